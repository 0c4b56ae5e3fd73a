"""How times, words and plans look on a terminal."""

import io
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from rich.console import Console

from services.cli.said import Detail, Summary, printable
from services.cli.screen import detail_of, duration, incidents_of


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0s"), (0.4, "0s"), (59.4, "59s"), (60, "1m 00s"), (3599, "59m 59s"), (7260, "2h 01m"), (90_000, "1d 01h")],
)
def test_a_span_is_said_as_people_say_it(seconds: float, said: str) -> None:
    """Two units at most."""
    assert duration(seconds) == said


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\x9bb", "back\bspace", "\u202eright to left", "bell\x07"])
def test_nothing_steers_the_terminal(text: str) -> None:
    """What clusters and alerts say is shown, never obeyed."""
    assert all(letter.isprintable() for letter in printable(text))


def test_markup_in_a_title_is_text() -> None:
    """Square brackets are common in alerts."""
    out = io.StringIO()
    summary = Summary(id="inc-1", state="detected", title="[bold]pods[0] of [/x] fail")
    for part in incidents_of([summary], datetime(2026, 1, 1, tzinfo=UTC), none=""):
        Console(file=out, width=80).print(part)
    assert "[bold]pods[0] of [/x] fail" in out.getvalue()


def test_the_last_lines_say_what_a_person_can_do() -> None:
    """Whoever is called at night gets the commands that this state takes, with the ids in them."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    out = io.StringIO()
    waiting = Detail(summary=Summary(id="inc-1", state="awaiting_approval", title="t"))
    for part in detail_of(waiting, now):
        Console(file=out, width=80).print(part)
    assert out.getvalue().split("what you can do")[1].split("\n")[1:4] == [
        "  primum approve inc-1",
        "  primum deny inc-1 --reason WHY",
        "  primum take inc-1",
    ]


def test_an_incident_says_who_is_at_it() -> None:
    """And what that one waits for; not who is at another."""
    out = io.StringIO()
    one = Detail(summary=Summary(id="inc-1", state="diagnosing", title="t"))
    agents = {"diagnoser": "waiting-for-the-cluster:inc-1", "mitigator": "validating:inc-11", "undo": "idle"}
    for part in detail_of(one, datetime(2026, 1, 1, tzinfo=UTC), agents):
        Console(file=out, width=80).print(part)
    assert [line for line in out.getvalue().splitlines() if "now:" in line] == [
        "  now: diagnoser waiting-for-the-cluster:inc-1"
    ]


def test_help_imports_nothing_heavy() -> None:
    """`primum --help` is instant: what a command does is imported when it is called."""
    heavy = ("rich", "httpx", "nats", "kubernetes", "pydantic", "structlog", "numpy", "networkx")
    code = f"import sys, services.cli.app; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert ran.stdout.strip() == "[]"
