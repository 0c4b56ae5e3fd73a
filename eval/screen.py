"""What somebody sees who watches the demo: the scenarios, what Primum does about each, and how it ended."""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eval.ground import GroundName, Site
from eval.play import Result, actions
from eval.scenarios.scenario import Scenario
from eval.stage import Stage

_COLOURS: Final[Mapping[str, str]] = {
    "resolved": "green",
    "closed": "green",
    "escalated": "red",
    "stuck": "red",
    "undoing": "magenta",
    "mitigating": "yellow",
    "validating": "yellow",
    "awaiting_approval": "cyan",
}
_TELLING: Final[Mapping[str, str]] = {
    "Opened": "bold",
    "Diagnosed": "bold",
    "ApprovalRequested": "cyan",
    "Approved": "cyan",
    "Kept": "green",
    "Cleared": "green",
    "UndoRequested": "magenta",
    "Undone": "magenta",
    "UndoStuck": "red",
    "NoPlanLeft": "red",
    "NothingFound": "red",
}
_SMALL_STEPS: Final = frozenset({"Intended", "StepApplied", "UndoIntended", "UndoStepApplied", "Deferred"})
"""They are in the record, and too many for a screen."""
_GROUNDS: Final[Mapping[GroundName, str]] = {"lab": "the lab", "kubernetes": "a shop on a real cluster"}
LINES: Final = 14
DIFF_LINES: Final = 4


class Screen:
    """A table that lives on a terminal; plain lines where there is none; nothing if `quiet`."""

    def __init__(
        self,
        seed: int,
        scenarios: Sequence[Scenario],
        on: GroundName,
        *,
        quiet: bool,
        console: Console | None = None,
    ) -> None:
        self.console = console or Console(quiet=quiet)
        self._seed, self._scenarios = seed, scenarios
        self._results: dict[str, Result] = {}
        self._story: list[Text] = []
        self._told: set[tuple[str, int]] = set()
        self._head = f"starting {_GROUNDS[on]}, a NATS and five services …"
        self._live = Live(console=self.console, refresh_per_second=8, transient=False, get_renderable=self._draw)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        else:
            self.console.print(f"primum demo, seed {self._seed}: {self._head}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def on_stage(self, stage: Stage[Site]) -> None:
        """Say where everything is."""
        shop = stage.ground.shop
        self._head = f"shop in namespace {shop.namespace}: {', '.join(shop.services.values())}"
        self._plain(self._head)

    def show(self, result: Result) -> None:
        """Take in how a scenario stands."""
        fresh = result.name not in self._results
        self._results[result.name] = result
        if fresh:
            self._tell(Text(f"▶ {result.title}", style="bold"))
        for detail in (*result.incidents, *result.merged):
            for entry in detail["timeline"]:
                key = (detail["incident"]["id"], entry["sequence"])
                if key not in self._told and entry["type"] not in _SMALL_STEPS:
                    self._told.add(key)
                    for line in _lines(detail, entry):
                        self._tell(line)
        if result.elapsed_s:
            self._tell(_ending(result))

    def keeps(self, stage: Stage[Site]) -> None:
        """Say how to look around, until Ctrl-C."""
        self._tell(Text(f"left running; PRIMUM_DATA_DIR={stage.data} primum incidents --all; Ctrl-C stops it", "cyan"))

    def ends(self, ok: bool, problems: Sequence[str], residue: Sequence[str], elapsed_s: float) -> None:  # noqa: FBT001 - the one thing it says
        """Say how it all ended."""
        for line in (*problems, *(f"residue: {line}" for line in residue)):
            self._tell(Text(line, style="red"))
        said = "everything ended as it must" if ok else "something ended otherwise than it must"
        self._tell(Text(f"seed {self._seed}: {said}, in {elapsed_s:g} s", style="bold green" if ok else "bold red"))

    def _tell(self, line: Text) -> None:
        self._story.append(line)
        self._plain(line)

    def _plain(self, line: Text | str) -> None:
        if not self.console.is_terminal:
            self.console.print(line, soft_wrap=True)

    def _draw(self) -> Group:
        table = Table(title=f"primum demo · seed {self._seed}", title_justify="left", expand=True)
        for heading, ratio in (("scenario", 5), ("state", 2), ("actions", 5)):
            table.add_column(heading, ratio=ratio, overflow="fold")
        for heading in ("diagnosed", "resolved"):
            table.add_column(heading, justify="right", no_wrap=True)
        for scenario in self._scenarios:
            table.add_row(*_row(scenario, self._results.get(scenario.name)))
        return Group(table, Text(self._head, style="dim"), *self._story[-LINES:])


def _row(scenario: Scenario, result: Result | None) -> list[Text]:
    if result is None:
        return [Text(scenario.title, style="dim"), Text("waits", style="dim"), Text(""), Text(""), Text("")]
    mark = Text("")
    if result.elapsed_s:
        mark = Text("✔ ", style="green") if result.ok else Text("✘ ", style="red")
    states = [detail["incident"]["state"] for detail in result.incidents]
    state = (
        Text("\n").join(Text(one, style=_COLOURS.get(one, "white")) for one in states) if states else Text("breaking …")
    )
    done = [action for detail in result.incidents for action in actions(detail)]
    return [
        mark + Text(scenario.title),
        state,
        Text("\n").join(_action(action) for action in done),
        _seconds(result.alert_to_diagnosis_s),
        _seconds(result.alert_to_resolved_s),
    ]


def _action(action: Mapping[str, Any]) -> Text:
    style = {"kept": "green", "undone": "magenta", "stuck": "red"}.get(action["outcome"], "yellow")
    return Text(f"{action['runbook']}: {action['verdict'] or '…'}, {action['outcome']}", style=style)


def _seconds(value: float | None) -> Text:
    return Text("" if value is None else f"{value:.1f} s", style="dim")


def _lines(detail: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[Text]:
    """A line for the event; what a person is asked to approve is shown with it."""
    yield Text.assemble(
        (f"  {entry['at'][11:19]} ", "dim"),
        (f"{entry['by']:<9} ", "blue"),
        (f"{detail['incident']['id'][:12]} ", "dim"),
        (entry["text"], _TELLING.get(entry["type"], "")),
        no_wrap=True,
        overflow="ellipsis",
    )
    if entry["type"] == "ApprovalRequested":
        diff = entry["event"]["diff"]
        for line in diff[:DIFF_LINES]:
            yield Text(f"           would write: {line}", style="cyan", no_wrap=True, overflow="ellipsis")
        if len(diff) > DIFF_LINES:
            yield Text(f"           … and {len(diff) - DIFF_LINES} more", style="cyan")


def _ending(result: Result) -> Text:
    if result.ok:
        return Text(f"  ✔ {result.name}: as it must be, in {result.elapsed_s:g} s", style="green")
    return Text(f"  ✘ {result.name}: {'; '.join([*result.problems, *result.residue])}", style="red")
