"""A command that is called wrongly: one line that says what to do, and exit status 2, as for every other error."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from services.cli.app import app, main


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Call it as a shell does; return the exit status."""
    monkeypatch.setattr("sys.argv", ["primum", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code or 0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "error: missing argument 'incident': `primum show --help` says how it is called"),
        (["frobnicate"], "error: no such command 'frobnicate': `primum --help` says how it is called"),
        (["--frobnicate"], "error: no such option: --frobnicate: `primum --help` says how it is called"),
        (["eval", "crash", "--jobs", "0"], "`primum eval crash --help` says how it is called"),
        (["eval", "run", "--only"], "`primum eval run --help` says how it is called"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_where_to_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Whatever is wrong with it, it looks the same."""
    status, printed = called(monkeypatch, *arguments), capsys.readouterr()
    assert (status, printed.out, len(printed.err.splitlines())) == (2, "", 1)
    assert printed.err.startswith("error: ")
    assert said in printed.err


def test_a_group_without_a_command_shows_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows all commands by heart."""
    assert called(monkeypatch, "runbook") == 2
    assert "lint" in capsys.readouterr().err


def test_what_ended_well_is_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And what a command says of itself is its exit status."""
    assert called(monkeypatch, "version") == 0
    assert capsys.readouterr().out.startswith("primum ")
    assert called(monkeypatch, "runbook", "lint", "/nowhere/at/all.yaml") != 0


def commands(of: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Every command that can be called, by its whole name."""
    for name, below in getattr(of, "commands", {}).items():
        yield from commands(below, *path, name)
    if not hasattr(of, "commands"):
        yield " ".join(path), of


SEEDS = [
    pytest.param(command, name, id=f"{path} {name}")
    for path, command in commands(typer.main.get_command(app))
    for name in ("--seed", "--first-seed")
    if any(name in parameter.opts for parameter in command.params)
]


@pytest.mark.parametrize(("command", "name"), SEEDS)
def test_no_seed_is_below_0(command: Any, name: str) -> None:
    """-7 would draw what 7 draws, or fail somewhere within. It is only read: a command that took it would be long."""
    with pytest.raises(typer.TyperException, match="greater than or equal to 0"):
        command.make_context("primum", [name, "-7"])


def test_there_are_commands_with_a_seed() -> None:
    """Or the test above would show nothing."""
    assert {"demo --seed", "eval run --seed", "eval storm --first-seed", "bench memory --seed"} <= {
        str(one.id) for one in SEEDS
    }


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "at the end"])
@pytest.mark.parametrize(("device", "why"), [("/dev/full", "No space left on device: make room"), ("", "Broken pipe")])
def test_what_cannot_be_printed_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], device: str, why: str, *, at_once: bool
) -> None:
    """Whether a disk is full or a reader went away, as `head` does; and whenever Python writes it."""
    if device:
        into = os.open(device, os.O_WRONLY)
    else:
        reading, into = os.pipe()
        os.close(reading)
    with io.TextIOWrapper(io.BufferedWriter(io.FileIO(into, "w")), write_through=at_once) as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        assert called(monkeypatch, "version") == 2
    assert f"error: what this prints cannot be written: {why}" in capsys.readouterr().err


def test_who_closed_everything_still_gets_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `2>&1 | head` does; 1 would say that what was measured failed."""
    with Path("/dev/full").open("w", buffering=1) as full, Path(os.devnull).open("w") as nowhere:
        monkeypatch.setattr("sys.stderr", full)
        assert called(monkeypatch, "frobnicate") == 2
        os.dup2(nowhere.fileno(), full.fileno())  # or what it holds would fail once more when it is closed


def test_nor_does_python_say_it_again_when_it_ends() -> None:
    """It writes what is left, once more."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "services.cli", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
