"""The lab's Alertmanager groups, waits, repeats and resolves as the real one does."""

import pytest

from eval.lab.alertmanager import NEVER, Notification, fingerprint
from eval.lab.errors import ApiError
from eval.lab.kinds import Obj
from eval.lab.quantity import canonical
from eval.lab.rehearsal import Rehearsal


def settled(seed: int = 2, senders: int = 1) -> Rehearsal:
    """A shop that stands."""
    world = Rehearsal(seed, senders)
    world.until(world.settled)
    return world


def select(lab: Rehearsal, name: str, wanted: str) -> None:
    """Point a Service's selector somewhere."""
    lab.store.patch("Service", lab.shop.namespace, name, {"spec": {"selector": {"app": wanted}}})


def first(lab: Rehearsal, alert: str) -> Obj:
    """The first payload of this alert's group."""
    return next(item.payload for item in lab.notifications if item.payload["groupLabels"]["alertname"] == alert)


def test_a_fingerprint_is_alertmanagers_own() -> None:
    """FNV-1a over sorted names and values, so that nothing depends on the order; the empty set is its offset."""
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1"}) != fingerprint({"a": "2"})


def test_the_payload_is_version_4_whole() -> None:
    """Every field that a receiver of the real one may read."""
    lab = settled()
    select(lab, lab.shop.orders, "nobody")
    lab.until(lambda: any('"ServiceNoEndpoints"' in item.key for item in lab.notifications), within_s=90)
    payload = first(lab, "ServiceNoEndpoints")
    alert = payload["alerts"][0]
    assert (payload["version"], payload["status"], payload["truncatedAlerts"]) == ("4", "firing", 0)
    assert payload["groupKey"] == f'{{}}:{{alertname="ServiceNoEndpoints", namespace="{lab.shop.namespace}"}}'
    assert payload["groupLabels"] == {"alertname": "ServiceNoEndpoints", "namespace": lab.shop.namespace}
    assert payload["commonLabels"]["service"] == lab.shop.orders
    assert set(payload) >= {"receiver", "commonAnnotations", "externalURL"}
    assert (alert["status"], alert["endsAt"]) == ("firing", NEVER)
    assert alert["fingerprint"] == fingerprint(alert["labels"])
    assert "g0.expr=kube_endpoint_address_available%20%3D%3D%200&g0.tab=1" in alert["generatorURL"]


def test_a_group_is_resolved_with_the_end_of_each_alert() -> None:
    """The notice comes with the group's next flush, says resolved, and keeps startsAt."""
    lab = settled()
    select(lab, lab.shop.orders, "nobody")
    lab.until(lambda: any('"ServiceNoEndpoints"' in item.key for item in lab.notifications))
    select(lab, lab.shop.orders, lab.shop.orders)
    lab.until(lab.quiet)
    mine = [item.payload for item in lab.notifications if '"ServiceNoEndpoints"' in item.key]
    assert [payload["status"] for payload in mine] == ["firing", "resolved"]
    began, ended = (payload["alerts"][0] for payload in mine)
    assert began["startsAt"] == ended["startsAt"]
    assert ended["endsAt"] > ended["startsAt"]


def test_what_is_known_is_not_sent_again_before_the_repeat_interval() -> None:
    """Ten minutes of the same alert are one notification."""
    lab = settled()
    select(lab, lab.shop.orders, "nobody")
    lab.run(600)
    keys = [item.key for item in lab.notifications if '"ServiceNoEndpoints"' in item.key]
    assert len(keys) == 1


def test_a_pair_sends_everything_twice() -> None:
    """Two senders, the same fingerprints, slightly apart."""
    lab = settled(senders=2)
    select(lab, lab.shop.orders, "nobody")
    lab.run(90)
    mine = [item for item in lab.notifications if '"ServiceNoEndpoints"' in item.key]
    assert [item.sender for item in mine] == [0, 1]
    assert mine[0].firing == mine[1].firing


def test_held_news_arrives_late_and_still_arrives() -> None:
    """A fault that heals meanwhile is announced as firing all the same, and then resolved."""
    lab = settled()
    lab.alertmanager.hold({"alertname": "ServiceNoEndpoints"}, 60)
    select(lab, lab.shop.orders, "nobody")
    lab.until(lab.fires("ServiceNoEndpoints", lab.shop.orders))
    select(lab, lab.shop.orders, lab.shop.orders)
    lab.until(lambda: not lab.fires("ServiceNoEndpoints", lab.shop.orders)())
    assert not [item for item in lab.notifications if '"ServiceNoEndpoints"' in item.key]
    lab.until(lab.quiet)
    mine = [item.payload["status"] for item in lab.notifications if '"ServiceNoEndpoints"' in item.key]
    assert mine == ["firing", "resolved"]


class Unreachable(Rehearsal):
    """A world whose receiver is down until `up`, and which learns it as a sender would."""

    up = False

    def send(self, notification: Notification) -> None:
        if self.up:
            self.alertmanager.delivered(notification, self.now_s, self.wall())
        else:
            self.notifications.append(notification)
            self.alertmanager.failed(notification, self.now_s)


def test_a_receiver_that_is_down_gets_it_later() -> None:
    """Every failed try is followed by another; only what was answered counts as delivered."""
    lab = Unreachable(2)
    lab.until(lab.settled)
    select(lab, lab.shop.orders, "nobody")
    lab.run(90)
    assert len(lab.notifications) > 2
    assert not lab.alertmanager.deliveries
    lab.up = True
    lab.run(90)
    told = {item.fingerprint for item in lab.alertmanager.deliveries}
    firing = {fingerprint(alert.labels) for alert in lab.rules.active.values() if alert.firing}
    assert firing <= told


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1.5", "1500m"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1000", "1k"),
        (2, "2"),
    ],
)
def test_quantities_are_stored_canonically(given: str, stored: str) -> None:
    """As the server writes them back."""
    assert canonical(given) == stored


def test_what_is_no_quantity_is_refused() -> None:
    """400, before anything is stored."""
    lab = Rehearsal(1)
    with pytest.raises(ApiError, match="quantities must match"):
        lab.edit_container(lab.shop.cart, resources={"limits": {"memory": "lots"}})
