"""Alerts as Primum keeps them: one condition of one sender at one moment, whatever the payload it came in."""

import hashlib
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

from pydantic import AwareDatetime

from shared.domain.frozen import Frozen
from shared.domain.ids import ClusterName, Fingerprint


def _expression(generator_url: str) -> str | None:
    try:
        query = parse_qs(urlsplit(generator_url).query)
    except ValueError:  # whoever can send an alert chooses this text; what is no address names no expression
        return None
    return next(iter(query.get("g0.expr", [])), None)


class AlertStatus(StrEnum):
    """What the sender says: still true, or over. Resolved notices trail the fact; the symptom is measured."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Frozen):
    """One alert of one webhook call."""

    cluster: ClusterName
    fingerprint: Fingerprint
    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None = None
    generator_url: str = ""

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @property
    def namespace(self) -> str:
        return self.labels.get("namespace", "")

    @property
    def expression(self) -> str | None:
        """The rule's own expression, as Prometheus writes it into generatorURL (`g0.expr`); None if it is not there."""
        return _expression(self.generator_url)

    @property
    def delivery_id(self) -> str:
        """Equal for exact repeats and for the two senders of an HA pair; another for anything that says more."""
        ends = self.ends_at.isoformat() if self.ends_at and self.status is AlertStatus.RESOLVED else ""
        labels = sorted(self.labels.items())  # a sender may give one fingerprint to two alerts
        said = f"{self.cluster}\0{self.fingerprint}\0{self.status}\0{self.starts_at.isoformat()}\0{ends}\0{labels}"
        return hashlib.sha256(said.encode()).hexdigest()[:32]
