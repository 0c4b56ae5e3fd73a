"""The detector with its grouping switched off: each alert is a cause group of its own, and no group finds another."""

import sys

from services.detector import decide
from services.detector.app import main
from shared.analyzers.topology import Topology
from shared.domain.alert import Alert
from shared.domain.ids import CorrelationKey

_grouped = decide.group_of


def each_alone(alert: Alert, topology: Topology | None) -> decide.Group:
    """Answer with the group's root, and a key that no other alert has."""
    return _grouped(alert, topology).but(key=CorrelationKey(alert.fingerprint))


def no_home(*_: object) -> None:
    """Answer that no open incident explains anything."""


if __name__ == "__main__":
    decide.group_of = each_alone
    decide.home_of = no_home
    sys.exit(main())
