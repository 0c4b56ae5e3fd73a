"""The recorder of the README's picture keeps what a terminal shows at the end, and only a run that really happened."""

import sys

from docs.record import last_frame, picture, watch

A_LIVE_PROGRAM = """
from rich.live import Live
from rich.text import Text
with Live(Text("first\\nframe"), auto_refresh=False) as live:
    live.update(Text("second\\nframe"), refresh=True)
    live.update(Text("the last", style="bold green"), refresh=True)
raise SystemExit(3)
"""


def test_the_last_frame_of_a_live_program_is_the_picture() -> None:
    """What was redrawn is gone, and the exit status is the program's own."""
    status, sent = watch(sys.executable, "-c", A_LIVE_PROGRAM)

    assert status == 3
    assert "second" in sent
    drawn = picture(last_frame(sent)).replace("&#160;", " ")
    assert "the last" in drawn
    assert "second" not in drawn
    assert "first" not in drawn


def test_a_picture_asks_nobody_for_a_font() -> None:
    """Whoever opens the README tells nobody."""
    assert "url(http" not in picture("said")
