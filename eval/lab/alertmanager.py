"""Alertmanager as its receivers see it: groups, waits, repeats and resolved notices, in webhook payload version 4."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from eval.lab.kinds import Obj
from eval.lab.rules import Alert, generator_url

GROUP_WAIT_S: Final = 5.0
GROUP_INTERVAL_S: Final = 30.0
REPEAT_INTERVAL_S: Final = 4 * 3600.0
RESOLVED_KEPT_S: Final = 300.0
GROUP_BY: Final[tuple[str, ...]] = ("alertname", "namespace")
RECEIVER: Final = "primum"
NEVER: Final = "0001-01-01T00:00:00Z"
RETRY_S: Final = 2.0
RETRY_MAX_S: Final = 60.0
HA_DELAY_S: Final = 3.0  # the second of a pair waits for the first, and here never hears of it
_FNV_OFFSET: Final = 14695981039346656037
_FNV_PRIME: Final = 1099511628211


@lru_cache(maxsize=4096)
def _fingerprint(pairs: tuple[tuple[str, str], ...]) -> str:
    total = _FNV_OFFSET
    for name, value in pairs:
        for byte in (*name.encode(), 255, *value.encode(), 255):
            total = ((total ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's own: FNV-1a over the sorted labels, 16 hexadecimal digits."""
    return _fingerprint(tuple(sorted(labels.items())))


@dataclass(frozen=True)
class Delivery:
    """One alert of a notification that a receiver answered with 2xx."""

    fingerprint: str
    status: str
    starts_at: str
    ends_at: str
    at: datetime
    receiver: str
    sender: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Notification:
    """A payload on its way from one sender."""

    sender: int
    key: str
    payload: Obj
    firing: frozenset[str]
    resolved: frozenset[str]


@dataclass
class Route:
    """What one sender knows of one group."""

    due_s: float
    sent_s: float | None = None
    firing: frozenset[str] = frozenset()
    resolved: frozenset[str] = frozenset()
    in_flight: bool = False
    retry_s: float = RETRY_S


@dataclass
class Known:
    """An alert as Alertmanager last heard of it."""

    labels: dict[str, str]
    annotations: dict[str, str]
    expr: str
    starts_at: str
    ends_at: str
    ended_s: float | None = None


@dataclass
class Group:
    """Alerts that share the values of GROUP_BY."""

    labels: dict[str, str]
    alerts: dict[str, Known] = field(default_factory=dict)
    routes: dict[int, Route] = field(default_factory=dict)

    @property
    def key(self) -> str:
        inner = ", ".join(f'{name}="{self.labels[name]}"' for name in sorted(self.labels))
        return f"{{}}:{{{inner}}}"


@dataclass(frozen=True)
class Hold:
    """Alerts whose news arrives late."""

    matcher: Mapping[str, str]
    delay_s: float


def stamp(at: datetime) -> str:
    """RFC 3339 with milliseconds, as Go's JSON would print it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class Alertmanager:
    """Driven by ticks: takes alerts, gives notifications that are due, and learns how each delivery went."""

    def __init__(self, prometheus_url: str, senders: int = 1) -> None:
        self.url = prometheus_url
        self.senders = senders
        self.deliveries: list[Delivery] = []
        self.refused: list[Notification] = []  # given up, because the receiver answered 4xx
        self._groups: dict[tuple[str, ...], Group] = {}
        self._holds: list[Hold] = []
        self._late: list[tuple[float, str, Known]] = []

    def hold(self, matcher: Mapping[str, str], seconds: float) -> None:
        """Hear of alerts with these labels only `seconds` of model time later, firing and resolved alike."""
        self._holds.append(Hold(dict(matcher), seconds))

    def release(self) -> None:
        """Be prompt again; what is held back already still comes late."""
        self._holds.clear()

    @property
    def idle(self) -> bool:
        """Nothing is firing here, held back or on its way, and every resolved notice that is owed has left."""
        owed = any(
            route.in_flight or route.firing for group in self._groups.values() for route in group.routes.values()
        )
        return not owed and not self._late and not any(group.alerts for group in self._groups.values())

    # -- alerts in

    def receive(self, alerts: Iterable[Alert], now_s: float) -> None:
        for alert in alerts:
            if alert.fired_at is None:
                continue
            known = Known(
                alert.labels,
                alert.annotations,
                alert.rule.expr,
                stamp(alert.fired_at),
                stamp(alert.ended_at) if alert.ended_at else NEVER,
                now_s if alert.ended_at else None,
            )
            mark = fingerprint(alert.labels)
            delay_s = max(
                (hold.delay_s for hold in self._holds if hold.matcher.items() <= alert.labels.items()), default=0.0
            )
            if delay_s:
                self._late.append((now_s + delay_s, mark, known))
            else:
                self._take(mark, known, now_s)
        arrived = [item for item in self._late if item[0] <= now_s]
        self._late = [item for item in self._late if item[0] > now_s]
        for _, mark, known in arrived:
            self._take(mark, known, now_s, wait_s=0.0)  # it has waited: a second wait could swallow the news

    def _take(self, mark: str, known: Known, now_s: float, wait_s: float = GROUP_WAIT_S) -> None:
        values: dict[str, str] = {name: known.labels[name] for name in GROUP_BY if name in known.labels}
        key = tuple(values.get(name, "") for name in GROUP_BY)
        group = self._groups.get(key)
        if group is None:
            if known.ended_s is not None:
                return  # nobody was ever told that it fired
            group = self._groups[key] = Group(values)
            for sender in range(self.senders):
                group.routes[sender] = Route(now_s + wait_s + sender * HA_DELAY_S)
        if known.ended_s is not None and mark not in group.alerts:
            return
        group.alerts[mark] = known

    # -- notifications out

    def due(self, now_s: float) -> list[Notification]:
        """Notifications to send now; each must be answered with delivered, failed or refuse."""
        found: list[Notification] = []
        for key, group in list(self._groups.items()):
            for sender, route in group.routes.items():
                if not route.in_flight and now_s >= route.due_s:
                    route.due_s = now_s + GROUP_INTERVAL_S
                    if notification := self._flush(group, sender, route, now_s):
                        route.in_flight = True
                        found.append(notification)
            self._forget(group)
            if not group.alerts and not any(route.in_flight for route in group.routes.values()):
                del self._groups[key]
        return found

    def _flush(self, group: Group, sender: int, route: Route, now_s: float) -> Notification | None:
        firing = frozenset(mark for mark, known in group.alerts.items() if known.ended_s is None)
        # As Alertmanager's dedup stage: what was never announced as firing is not announced as resolved.
        resolved = frozenset(group.alerts) - firing
        told = resolved & (route.firing | route.resolved)
        news = not firing <= route.firing or not told <= route.resolved
        repeats = bool(firing) and route.sent_s is not None and now_s - route.sent_s >= REPEAT_INTERVAL_S
        if not news and not repeats:
            return None
        return Notification(sender, group.key, self._payload(group, firing | told), firing, told)

    def _forget(self, group: Group) -> None:
        """Drop resolved alerts that every sender has told of, or never had to."""
        for mark in [mark for mark, known in group.alerts.items() if known.ended_s is not None]:
            if not any(route.in_flight or mark in route.firing for route in group.routes.values()):
                del group.alerts[mark]

    def _payload(self, group: Group, marks: frozenset[str]) -> Obj:
        chosen = [(mark, group.alerts[mark]) for mark in sorted(marks)]
        alerts = [
            {
                "status": "resolved" if known.ended_s is not None else "firing",
                "labels": known.labels,
                "annotations": known.annotations,
                "startsAt": known.starts_at,
                "endsAt": known.ends_at,
                "generatorURL": generator_url(self.url, known.expr),
                "fingerprint": mark,
            }
            for mark, known in chosen
        ]
        return {
            "version": "4",
            "groupKey": group.key,
            "truncatedAlerts": 0,
            "status": "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved",
            "receiver": RECEIVER,
            "groupLabels": group.labels,
            "commonLabels": _common([known.labels for _, known in chosen]),
            "commonAnnotations": _common([known.annotations for _, known in chosen]),
            "externalURL": self.url.rsplit("/", 1)[0] + "/alertmanager",
            "alerts": alerts,
        }

    # -- how it went

    def _route(self, sent: Notification) -> Route | None:
        group = next((group for group in self._groups.values() if group.key == sent.key), None)
        return group.routes[sent.sender] if group else None

    def delivered(self, sent: Notification, now_s: float, wall: datetime) -> None:
        """The receiver answered 2xx."""
        for alert in sent.payload["alerts"]:
            self.deliveries.append(
                Delivery(
                    alert["fingerprint"],
                    alert["status"],
                    alert["startsAt"],
                    alert["endsAt"],
                    wall,
                    RECEIVER,
                    sent.sender,
                    alert["labels"],
                )
            )
        self.settle(sent, now_s)

    def settle(self, sent: Notification, now_s: float) -> None:
        """Remember a notification as sent (also when there is no receiver, and so no delivery)."""
        if route := self._route(sent):
            route.in_flight, route.sent_s, route.retry_s = False, now_s, RETRY_S
            route.firing, route.resolved = sent.firing, sent.resolved

    def failed(self, sent: Notification, now_s: float) -> None:
        """5xx or no connection: the group is sent again, as it is then, after a growing pause."""
        if route := self._route(sent):
            route.in_flight, route.due_s = False, now_s + route.retry_s
            route.retry_s = min(RETRY_MAX_S, 2 * route.retry_s)

    def refuse(self, sent: Notification, now_s: float) -> None:
        """4xx: Alertmanager gives this notification up; the group's next flush tries again."""
        self.refused.append(sent)
        if route := self._route(sent):
            route.in_flight, route.due_s = False, now_s + GROUP_INTERVAL_S


def _common(maps: list[dict[str, str]]) -> dict[str, str]:
    first, *rest = maps
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in rest)}
