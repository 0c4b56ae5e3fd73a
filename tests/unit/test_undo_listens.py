"""How long the undo service has heard all there was to hear: from the first word after a gap, and not within one."""

import pytest

from services.undo.listening import Listening


@pytest.mark.parametrize(
    ("spoke_at_s", "now_s", "heard_s"),
    [
        ((), 100, 0),
        ((10,), 10, 0),
        ((10, 14, 18), 20, 10),
        ((10, 14, 30), 32, 2),
        ((10, 14, 18), 40, 0),
    ],
    ids=["never spoke", "began now", "without a gap", "after a gap", "within a gap"],
)
def test_silence_is_counted_from_the_end_of_ones_own(spoke_at_s: tuple[int, ...], now_s: int, heard_s: int) -> None:
    """Who could not speak, or was frozen, has not listened meanwhile."""
    listening = Listening(longest_gap_s=5)
    for each_s in spoke_at_s:
        listening.spoke(each_s)
    assert listening.for_s(now_s) == heard_s
