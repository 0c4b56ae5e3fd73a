"""What is over is let go of: a service that runs for months must not hold every incident that it ever saw."""

from collections import Counter
from datetime import timedelta

from eval.memory.process import Sample, course
from services.detector.memory import Memory
from services.mitigator.lately import Lately
from shared.adapters.nats_folds import CLOSED_KEPT, Folds
from shared.adapters.system import RandomIdentity
from shared.domain.events import Owner
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, State
from shared.testing.builders import T0
from shared.testing.memory_ledger import MemoryBus, MemoryLedger
from shared.testing.story import an_incident, recorded, story_to
from shared.testing.virtual_clock import VirtualClock


def test_incidents_that_are_over_are_let_go_of_and_open_ones_are_not() -> None:
    """A thousand that ended while one stays open: the newest few are kept, and the open one."""
    folds = Folds()
    folds.keep(an_incident(State.DIAGNOSING, incident="inc-open"))
    for number in range(1000):
        folds.keep(an_incident(State.DIAGNOSING, incident=f"inc-{number}"))
        folds.keep(an_incident(State.DIAGNOSING, incident=f"inc-{number}").but(state=State.CLOSED))
    assert len(folds) == CLOSED_KEPT + 1
    assert folds.get(IncidentId("inc-open")).state is State.DIAGNOSING
    assert folds.get(IncidentId("inc-999")).state is State.CLOSED


def test_what_joined_an_incident_that_is_over_is_let_go_of() -> None:
    """And none of it counts any more against what may be remembered of others."""
    memory, over = Memory(), IncidentId("inc-over")
    memory.looked(over, ["a", "b"])
    memory.forget(over)
    memory.forget(over)
    assert memory.joined(over) is None


class Asked(MemoryLedger):
    """A ledger that counts who was asked for."""

    def __init__(self, bus: MemoryBus) -> None:
        super().__init__(bus, Owner.MITIGATOR)
        self.folded = Counter[str]()

    async def fold(self, incident: IncidentId) -> Incident:
        self.folded[incident] += 1
        return await super().fold(incident)


async def test_the_days_transactions_are_read_once_of_what_is_over() -> None:
    """They still count; only what is open is read again for the next plan."""
    bus = MemoryBus(VirtualClock(), RandomIdentity())
    for name, state in (("inc-over", State.CLOSED), ("inc-open", State.RESOLVED)):
        bus.events[IncidentId(name)] = list(recorded(name, story_to(state)))
        bus.opened.append(IncidentId(name))
    ledger, lately = Asked(bus), Lately()
    first = await lately.recent(ledger, T0 + timedelta(hours=1))
    assert await lately.recent(ledger, T0 + timedelta(hours=1)) == first
    assert sum(first.transactions.values()) == 2
    assert ledger.folded == {"inc-over": 1, "inc-open": 2}


def test_memory_that_grows_with_each_incident_is_not_flat() -> None:
    """What the first third costs is warming up; 5 kB an incident after that is a leak."""
    warm = [Sample(ended, 100 + min(ended, 600) / 10) for ended in range(0, 2001, 10)]
    assert course(warm, 2000).flat
    leaks = [Sample(each.ended, each.rss_mb + each.ended * 0.005) for each in warm]
    assert (course(leaks, 2000).flat, course(leaks, 2000).slope_mb_per_1000) == (False, 5.0)
