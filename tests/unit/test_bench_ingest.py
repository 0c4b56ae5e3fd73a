"""The counting of `primum bench ingest`: what was acknowledged, against what the stream holds."""

from collections.abc import Sequence
from typing import Any

import pytest

from eval.ingest.bench import Options, main
from eval.ingest.result import Phase, acknowledged, count, figures
from eval.ingest.traffic import Traffic, calls, deliveries, groups, posted
from shared.domain.errors import PrimumError

TRAFFIC = Traffic(seed=1, first=0, alerts=300, group=50, pair=True, repeats=0.1)


def a_phase(said_stored: frozenset[int] = frozenset(range(300))) -> Phase:
    return Phase(
        traffic=TRAFFIC,
        elapsed_s=1.0,
        cpu_s=0.1,
        raw_elapsed_s=0.5,
        raw_cpu_s=0.1,
        acknowledged=said_stored,
        latencies=[(1.0, 99), (50.0, 1)],
        answers={"202": 2},
    )


def bodies(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """What the stream would hold: the same moment, printed in another way."""
    return [{**posted(1, number), "starts_at": "2026-01-01T12:00:00.123000Z"} for number in numbers]


def test_everything_stored_once_is_well() -> None:
    """Nothing lost, nothing doubled."""
    found = count([a_phase()], bodies(range(300)))
    assert (found.stored, found.lost, found.doubled) == (300, [], [])


def test_an_acknowledged_alert_that_is_not_there_is_lost() -> None:
    """One that nobody was promised is not."""
    found = count([a_phase(frozenset({7, 8}))], bodies([8]))
    assert (found.stored, found.lost) == (1, [posted(1, 7)["fingerprint"]])


def test_an_alert_that_is_there_twice_is_doubled() -> None:
    """Whatever Msg-Ids the copies have."""
    found = count([a_phase()], bodies([*range(300), 5]))
    assert found.doubled == [posted(1, 5)["fingerprint"]]


def test_an_alert_stored_with_other_words_is_lost() -> None:
    """It is not what the sender was promised."""
    stream = bodies(range(300))
    stream[3]["labels"] = {**stream[3]["labels"], "severity": "none"}
    assert len(count([a_phase()], stream).lost) == 1


def test_each_sender_offers_every_group_and_repeats_some() -> None:
    """And sender and counter draw the same ones, each on its own."""
    whole = set(range(len(groups(TRAFFIC))))
    first, second = calls(TRAFFIC)
    assert set(first) == set(second) == whole
    assert len(first) + len(second) > 2 * len(whole)
    assert sorted({number for numbers in deliveries(TRAFFIC) for number in numbers}) == list(range(300))
    assert acknowledged(TRAFFIC, whole) == frozenset(range(300))


def test_a_quantile_is_of_alerts() -> None:
    """A slow call with many alerts counts as many."""
    found = figures([a_phase()])
    assert (found["ack_p50_ms"], found["ack_p99_ms"]) == (1.0, 1.0)
    assert found["of_raw_ratio"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(sabotage="nothing"), "there is no sabotage 'nothing': choose among ack-before-append, no-dedup"),
        (Options(alerts=3), "3 alerts are too few for 5 rounds"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(options: Options, says: str) -> None:
    """Before anything is started."""
    with pytest.raises(PrimumError) as said:
        main(options)
    assert says in str(said.value)
