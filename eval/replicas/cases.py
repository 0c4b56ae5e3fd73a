"""The rows there are: how many of each service, on how many servers, what breaks, and what befalls them meanwhile."""

from dataclasses import dataclass
from typing import Final

from eval.crash import matrix
from eval.crash.matrix import ASKED, QUICK, STORM, UNDONE, Kinds
from eval.crash.outside import Outside
from eval.nats_cluster import NatsCluster
from eval.replicas.trouble import LeaderKilled, RollingRestart, Undisturbed, in_a_storm, in_a_transaction
from shared.bus import streams

RACE: Final = "race"
"""The row that has ledgers instead of services."""


@dataclass(frozen=True)
class Case:
    """One row to be."""

    name: str
    replicas: int
    scenarios: Kinds
    leader_of: str = ""
    """Whose leader is killed; empty: the bus is one server, and nobody kills it."""
    restarts: bool = False

    def as_crash(self, cluster: NatsCluster | None) -> matrix.Case:
        """The same, as the kill matrix plays it."""
        return matrix.Case(f"{self.replicas} of each", self.name, self.scenarios, outside=self._trouble(cluster))

    def _trouble(self, cluster: NatsCluster | None) -> Outside:
        moment = in_a_storm if self.scenarios == STORM else in_a_transaction
        if cluster is not None:
            return LeaderKilled(cluster, self.leader_of, moment)
        return RollingRestart(self.replicas, moment) if self.restarts else Undisturbed()


CASES: Final = (
    Case("side-by-side", 3, QUICK),
    Case("taken-back", 2, UNDONE),
    Case("asked", 3, ASKED),
    Case("rolling-restart", 2, STORM, restarts=True),
    Case("rolling-restart-in-transaction", 2, UNDONE, restarts=True),
    Case("leader-killed-in-storm", 2, STORM, leader_of=streams.ALERTS),
    Case("leader-killed-in-transaction", 2, QUICK, leader_of=streams.LEDGER),
    Case(RACE, 3, (), leader_of=streams.LEDGER),
)
QUICK_CASES: Final = ("side-by-side", RACE)
