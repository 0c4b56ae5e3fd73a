"""Messages without effect: each is counted once, however often it is read, and a flood of them floods no log."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.adapters.nats_stream import Stored
from shared.adapters.refused import Refused
from shared.domain.acceptance import Refusal

FLOOD = 40_000


def counted() -> float:
    """How many were counted as forged until now, in this process."""
    return REGISTRY.get_sample_value("primum_refused_events_total", {"reason": "forged"}) or 0.0


def forged(sequence: int) -> Stored:
    """One that somebody put into an incident."""
    return Stored("primum.ledger.inc-a.Opened", sequence, {}, b"")


def test_a_flood_is_counted_once_however_often_it_is_read() -> None:
    """An incident's page is looked at all the time, and reads its whole history."""
    with capture_logs():
        refused, before = Refused("LEDGER"), counted()
        for _ in range(3):
            for sequence in range(1, FLOOD + 1):
                refused.note(forged(sequence), Refusal.FORGED)
    assert counted() - before == FLOOD


def test_a_flood_is_said_in_few_lines() -> None:
    """The first ones each, then how many there are so far."""
    with capture_logs() as said:
        refused = Refused("LEDGER")
        for sequence in range(1, FLOOD + 1):
            refused.note(forged(sequence), Refusal.FORGED)
    assert [line["sequence"] for line in said[:100]] == list(range(1, 101))
    assert len(said) < 150
    assert said[-1]["so_far"] == FLOOD
