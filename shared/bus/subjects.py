"""The names on the bus: every subject is made here, of tokens that cannot break out of their place."""

import hashlib
import re
from typing import Final

from shared.domain.cluster import Ref
from shared.domain.events import Owner
from shared.domain.ids import ClusterName, CorrelationKey, Fingerprint, IncidentId

_SAFE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

PAUSE: Final = "primum.control.pause"
ALERTS: Final = "primum.alert."
ALL_ALERTS: Final = f"{ALERTS}>"
ALL_OPEN: Final = "primum.open.*"
ALL_OPENED: Final = "primum.ledger.*.Opened"


def token(text: str) -> str:
    """Return the text where it is safe as a token of a subject, else its hash.

    A `.`, a `*` or a space would lose the message or hit another subject.
    """
    return text if _SAFE.fullmatch(text) else hashed(text)


def hashed(text: str) -> str:
    """Return 96 bits of SHA-256 in hex, for what may hold anything: correlation keys and workloads."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def ledger(incident: IncidentId, event: str) -> str:
    """Name the subject of one event."""
    return f"primum.ledger.{token(incident)}.{token(event)}"


def ledger_of(incident: IncidentId) -> str:
    """Return the ONE filter that every compare-and-swap of an incident uses.

    On R3 the server compares filters of checks in flight literally: a second spelling would let two writers through.
    """
    return f"primum.ledger.{token(incident)}.>"


def wake_ups(event: str) -> str:
    """Match the events of one name, of all incidents."""
    return f"primum.ledger.*.{token(event)}"


def open_key(key: CorrelationKey) -> str:
    """Name the subject that says which incident of a cause group is open."""
    return f"primum.open.{hashed(key)}"


def lock(workload: Ref) -> str:
    """Name the subject of a workload's lock."""
    return f"primum.lock.{hashed(f'{workload.cluster}/{workload}')}"


def fact(incident: IncidentId, kind: str) -> str:
    """Name the subject of a fact of one kind."""
    return f"primum.fact.{token(incident)}.{token(kind)}"


def facts_of(incident: IncidentId) -> str:
    """Match all facts of an incident."""
    return f"primum.fact.{token(incident)}.>"


def alert(cluster: ClusterName, fingerprint: Fingerprint) -> str:
    """Name the subject of one condition of one cluster."""
    return f"primum.alert.{token(cluster)}.{token(fingerprint)}"


def timer(owner: Owner, incident: IncidentId) -> str:
    """Name the subject on which a service's wake-up for an incident is scheduled."""
    return f"primum.timer.{owner}.{token(incident)}"


def fired(owner: Owner, incident: IncidentId) -> str:
    """Name the subject on which it arrives."""
    return f"primum.fired.{owner}.{token(incident)}"


def fired_for(owner: Owner) -> str:
    """Match all wake-ups of a service."""
    return f"primum.fired.{owner}.>"


def dead(stream: str) -> str:
    """Name the subject of what could not be handled of a stream."""
    return f"primum.dead.{token(stream)}"
