"""The detector with its grouping switched off: each alert is a cause group of its own, and no group finds another."""

import sys
from collections.abc import Sequence
from datetime import datetime

from services.detector import decide
from services.detector.app import main
from shared.analyzers.topology import Topology
from shared.domain.alert import Alert
from shared.domain.ids import CorrelationKey
from shared.domain.incident import Incident

_grouped = decide.group_of
_home_of, _merges_into = decide.home_of, decide.merges_into


def each_alone(alert: Alert, topology: Topology | None) -> decide.Group:
    """Answer with the group's root, and a key that no other alert has."""
    return _grouped(alert, topology).but(key=CorrelationKey(alert.fingerprint))


def no_home(
    group: decide.Group, began: datetime, topology: Topology, open_incidents: Sequence[Incident]
) -> decide.Home | None:
    """Answer as if no incident were open."""
    return _home_of(group, began, topology, open_incidents[:0])


def no_merge(
    incident: Incident, group: decide.Group, began: datetime, topology: Topology, others: Sequence[Incident]
) -> decide.Home | None:
    """Answer as if it were the only one."""
    return _merges_into(incident, group, began, topology, others[:0])


if __name__ == "__main__":
    decide.group_of = each_alone
    decide.home_of, decide.merges_into = no_home, no_merge
    sys.exit(main())
