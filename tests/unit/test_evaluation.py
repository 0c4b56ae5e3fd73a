"""A run of the evaluation: what a seed draws, what a file of finished rows keeps, and what the page shows."""

import json
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from eval import report, table
from eval.finished import Finished
from eval.ground import GroundName
from eval.run import Case, Options, in_a_line, listed, main
from eval.scenarios.noise import NOISES
from eval.scenarios.registry import SCENARIOS
from eval.scenarios.scenario import SERVED, Scenario
from eval.score import WORDS, Row, summary
from eval.screen import Screen
from shared.domain.errors import PrimumError


def a_row(**known: Any) -> dict[str, Any]:
    return vars(Row("wrong-image", 0, **known))


def a_result(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"on": "lab", "seed": 7, "variants": 1, "rows": list(rows), "summary": summary(rows)}


@pytest.mark.parametrize("kind", SCENARIOS, ids=lambda kind: kind.name)
def test_variants_hit_others_beside_noise_that_hits_none_of_them(kind: type[Scenario]) -> None:
    """As many as there are roles; the same seed draws the same."""
    drawn = [Case(kind, variant).cast(7) for variant in range(len(kind.roles))]
    assert {scenario.role for scenario, _, _ in drawn} == set(kind.roles)
    assert [noise for _, noise, _ in drawn[:3]] == list(NOISES)[: len(drawn)]
    assert all(beside in SERVED and beside not in (one.role, one.other) for one, _, beside in drawn)
    again = [Case(kind, variant).cast(7) for variant in range(len(kind.roles))]
    assert [(one.role, one.other, one.rng.random()) for one, _, _ in drawn] == [
        (one.role, one.other, one.rng.random()) for one, _, _ in again
    ]


def test_a_run_goes_on_with_what_is_finished(tmp_path: Path) -> None:
    """With its seed and its choice; what broke off is played again."""
    with Finished.new(tmp_path, "lab", 7, 2, ["wrong-image", "healthy"]) as run:
        run.add(a_row(ok=True))
        run.add(a_row(error="RuntimeError: the lab fell over"))
    with Finished.of_the_last(tmp_path, "lab") as again:
        assert (again.seed, again.variants, again.only) == (7, 2, ("wrong-image", "healthy"))
        assert [row["error"] for row in again.rows] == [""]


def test_there_must_be_something_to_go_on_with(tmp_path: Path) -> None:
    """A run on another ground is not this one."""
    with Finished.new(tmp_path, "lab", 7, 1, []) as run:
        run.begin()
    with pytest.raises(PrimumError, match="no run on kubernetes"):
        Finished.of_the_last(tmp_path, "kubernetes")


def test_a_run_that_never_began_takes_nothing_from_the_one_before(tmp_path: Path) -> None:
    """What it was to be played on could not be had: a word that was mistyped, say."""
    with Finished.new(tmp_path, "lab", 7, 1, []) as run:
        run.add(a_row(ok=True))
    with Finished.new(tmp_path, "lab", 8, 1, []):
        pass
    with Finished.of_the_last(tmp_path, "lab") as again:
        assert (again.seed, len(again.rows)) == (7, 1)


def test_the_run_before_lies_beside_the_one_that_began(tmp_path: Path) -> None:
    """Hours of rows were lost to a run of one scenario: moved back, it is gone on with."""
    for seed in (7, 8):
        with Finished.new(tmp_path, "lab", seed, 1, []) as run:
            run.add(a_row(ok=True))
    (tmp_path / "lab.before.jsonl").replace(tmp_path / "lab.jsonl")
    with Finished.of_the_last(tmp_path, "lab") as again:
        assert (again.seed, len(again.rows)) == (7, 1)


def test_two_runs_do_not_write_each_others_rows(tmp_path: Path) -> None:
    """The second one is refused, with what to do about it."""
    with Finished.new(tmp_path, "lab", 7, 1, []) as first:
        first.begin()
        with pytest.raises(PrimumError, match="another run on lab"):
            Finished.new(tmp_path, "lab", 8, 1, [])
        with pytest.raises(PrimumError, match="another run on lab"):
            Finished.of_the_last(tmp_path, "lab")


def test_a_row_that_was_cut_off_is_played_again(tmp_path: Path) -> None:
    """The disk was full, say; and what is added then stands on a line of its own."""
    with Finished.new(tmp_path, "lab", 7, 1, []) as run:
        run.add(a_row(ok=True))
        run.file.write(b'{"scenario": "wro')
    with Finished.of_the_last(tmp_path, "lab") as again:
        again.add(a_row(ok=False))
    with Finished.of_the_last(tmp_path, "lab") as after:
        assert [row["ok"] for row in after.rows] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON\n",
        b"[1]\n",
        b"{}\n",
        b'{"seed": 1, "variants": 1, "only": []}\n3\n',
        b"\xff\n",
        b'{"seed": 1, "variants": 1, "only": []}\n{"scenario": "wrong-image", "variant": 0, "error": ""}\n',
    ],
)
def test_what_is_no_run_is_said_to_be_none(tmp_path: Path, text: bytes) -> None:
    """In a line, with what to do; the last has a row of another version, which no table can show."""
    (tmp_path / "lab.jsonl").write_bytes(text)
    with pytest.raises(PrimumError, match="leave --resume out"):
        Finished.of_the_last(tmp_path, "lab")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(on="moon"), "there is no ground 'moon': choose lab or kubernetes"),
        (Options(only=("wrong-imag",)), r"there is no scenario 'wrong-imag': did you mean wrong-image\? .*--list"),
        (Options(only=("healthy", "xyzzy")), "there is no scenario 'xyzzy': `primum eval run --list` says which"),
        (Options(only=("packet-loss",)), r"can be played on lab \(packet-loss: .*: --on kubernetes can"),
        (Options(resume=True, seed=7), "--resume goes on with what the last run was asked for"),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options, said: str
) -> None:
    """In a line, and the last run can still be gone on with."""
    monkeypatch.setenv("PRIMUM_DATA_DIR", str(tmp_path))
    with pytest.raises(PrimumError, match=said):
        main(options)
    assert not list(tmp_path.iterdir())


def test_the_page_shows_every_row_and_runs_nothing_that_a_log_said() -> None:
    """What Primum, a cluster or an error said is text."""
    shown = report.page(
        a_result(
            a_row(named=False, truth=["image-pull-failed at x"], problems=["<script>alert(1)</script>"]),
            a_row(skipped="it has no nodes"),
            a_row(ok=True, t_detect_s=0.2, t_diagnose_s=0.5, t_mitigate_s=3.0),
            a_row(error="RuntimeError: it fell over"),
        )
    )
    assert "1 of 3 scenarios ended as they must" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "not played: it has no nodes" in shown
    assert "broke off: RuntimeError: it fell over" in shown
    assert shown.count("<circle") == 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ReadTimeout("", request=httpx.Request("GET", "http://x/api")), "ReadTimeout: GET http://x/api"),
        (RuntimeError("it fell\n  over"), "RuntimeError: it fell over"),
    ],
)
def test_what_broke_a_scenario_is_said_in_a_line(error: Exception, said: str) -> None:
    """It is all that remains of it, and the name of an error alone says nothing."""
    assert in_a_line(error) == said


@pytest.mark.parametrize(("tokens", "shown"), [(0, False), (1234, True)])
def test_tokens_are_shown_where_a_model_was_used(tokens: int, *, shown: bool) -> None:
    """Of none there is nothing to say."""
    assert ("tokens" in report.page(a_result(a_row(tokens=tokens)))) is shown


def test_the_page_says_what_its_words_mean() -> None:
    """Also those of the table, which has no room for it."""
    shown = unescape(report.page(a_result(a_row())))
    assert all(f"<dd>{said}</dd>" in shown for said in WORDS.values())
    assert {*table.COLUMNS} - {"scenario", "variant"} <= set(WORDS)


def test_the_scale_of_times_is_logarithmic_and_ends_at_its_ends() -> None:
    """A tenth, one and ten seconds are as far from each other."""
    assert report.at(1.0) - report.at(0.1) == pytest.approx(report.at(10.0) - report.at(1.0), abs=0.2)
    assert (report.at(0.0001), report.at(99999.0)) == (0.0, report.WIDTH)


RED = a_row(named=False, mitigated=False, problems=["users | wait,\n  [/and wait]"])


def test_the_table_says_why_a_row_is_red() -> None:
    """And what all of them came to; a cell stays one whatever is in it."""
    shown = table.markdown(a_result(a_row(ok=True), RED)).splitlines()
    assert shown[3].endswith(r"| not named, mitigated; users \| wait, [/and wait] |")
    assert shown[4:] == ["", "1 of 2 ended as they must; seed 7"]


@pytest.mark.parametrize("variants", [1, 2])
def test_a_terminal_of_80_columns_shows_the_table_whole(variants: int) -> None:
    """The longest name and the longest times; the reason beneath the row that is red."""
    long = max((kind.name for kind in SCENARIOS), key=len)
    times = {"t_alert_s": 9.994, "t_detect_s": 99.94, "t_diagnose_s": 9999.0, "t_mitigate_s": 9999.0}
    rows = [{**a_row(detected=True, **times), "scenario": long}, RED, a_row(skipped="it has no nodes")]
    with (out := Console(width=80, markup=False)).capture() as printed:
        out.print(*table.drawn(a_result(*rows) | {"variants": variants}), sep="\n")
    shown = [line.rstrip() for line in printed.get().splitlines()]
    assert shown[2].split() == [
        *([long] if variants == 1 else [f"{long}#0"]),
        "✔",
        *"----",
        "9.99",
        "99.9",
        "9999",
        "9999",
    ]
    assert shown[5] == "  not named, mitigated; users | wait, [/and wait]"
    assert shown[6].endswith(": not played: it has no nodes")
    assert shown[-1] == "0 of 2 ended as they must; seed 7"


def test_the_scenarios_are_listed_with_where_they_can_be_played(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order in which they are played; and for programs why not elsewhere."""
    assert listed(Options(as_json=True)) == 0
    known = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in known] == [kind.name for kind in SCENARIOS]
    assert known[0]["on"] == ["lab", "kubernetes"]
    assert [one for one in known if one["not_on"]] == [one for one in known if one["on"] == ["kubernetes"]]
    listed(Options(only=("packet-loss", "healthy")))
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert [line.split()[:2] for line in lines] == [
        ["scenario", "played"],
        ["healthy", "lab,"],
        ["packet-loss", "kubernetes"],
    ]


def test_where_nothing_is_left_to_play_that_is_said_and_nothing_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished run's rows are shown again; also where its ground cannot be had any more."""
    monkeypatch.setenv("PRIMUM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PRIMUM_TEST_CONTEXT", "of-no-kubeconfig")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with Finished.new(tmp_path / "eval", "kubernetes", 7, 1, ["wrong-image"]) as run:
        run.add(a_row(ok=True))
    assert main(Options(on="kubernetes", resume=True)) == 0
    printed = capsys.readouterr()
    assert "seed 7, on kubernetes; nothing was left to play" in printed.err
    assert "1 of 1 ended as they must" in printed.out


def test_a_run_that_could_play_nothing_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No share of nothing: what the ground lacks is said, and what to do about it."""
    monkeypatch.setenv("PRIMUM_DATA_DIR", str(tmp_path))
    with Finished.new(tmp_path / "eval", "kubernetes", 7, 1, ["wrong-image"]) as run:
        run.add(a_row(skipped="it takes 2 nodes that are ours, here are 0"))
    with pytest.raises(PrimumError, match=r"it takes 2 nodes.*: without PRIMUM_TEST_CONTEXT"):
        main(Options(on="kubernetes", resume=True))


@pytest.mark.parametrize(("on", "said"), [("lab", "the lab"), ("kubernetes", "a shop on a real cluster")])
def test_the_demo_says_which_cluster_it_starts(on: GroundName, said: str) -> None:
    """A real one takes longer."""
    with (console := Console(width=100)).capture() as printed, Screen(7, [], on, quiet=False, console=console):
        pass
    assert printed.get() == f"primum demo, seed 7: starting {said}, a NATS and five services …\n"


@pytest.mark.parametrize("name", [".", "nowhere/page.html"], ids=["a folder", "in no folder"])
def test_where_no_page_can_be_written_is_said_before_anything_is_played(tmp_path: Path, name: str) -> None:
    """On a real cluster it came after two hours; and a slip of the pen made folders."""
    with pytest.raises(PrimumError, match="no report can be written to"):
        report.check(tmp_path / name)
    assert not list(tmp_path.iterdir())
    report.check(tmp_path / "page.html")
