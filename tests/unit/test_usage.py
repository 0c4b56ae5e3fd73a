"""A command that is called wrongly: one line that says what to do, and exit status 2, as for every other error."""

import pytest

from services.cli.app import main


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
