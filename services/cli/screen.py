"""How things look on a terminal of 80 columns, in a pipe, and at 2 AM: colours by state, times that can be compared."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.cli.said import Cause, Detail, Entry, Plan, Status, Summary, Transaction
from shared.domain.health import Health

_COLOURS: Final = {
    "detected": "cyan",
    "diagnosing": "cyan",
    "planning": "cyan",
    "awaiting_approval": "yellow",
    "mitigating": "blue",
    "validating": "blue",
    "undoing": "magenta",
    "resolved": "green",
    "escalated": "yellow",
    "stuck": "bold red",
    "closed": "dim",
    "kept": "green",
    "undone": "magenta",
    "better": "green",
    "worse": "red",
}
NOBODY: Final[Mapping[str, str]] = {}
_COLUMNS_OF_A_PIPE: Final = 80
_TIMELINE_WIDTHS: Final = (8, 7, 9)
"""Of the time of day, the span since the line above, and the service."""
_TIMELINE_DETAILS_AT: Final = _TIMELINE_WIDTHS[0] + 1
"""Not under the text: at 80 columns a path would be cut into three."""
_NOTES_SHOWN: Final = 12
"""A storm joins hundreds of alerts to one incident."""


def console(*, to_stderr: bool = False) -> Console:
    """A console that wraps at the terminal's width, and at 80 columns where there is none."""
    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _COLUMNS_OF_A_PIPE
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)


def coloured(word: str) -> Text:
    """A state, an outcome or a verdict in its colour."""
    return Text(word.replace("_", " "), style=_COLOURS.get(word, ""))


def clock(at: datetime) -> str:
    """The local time of day."""
    return at.astimezone().strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """A span as people say it: 42s, 3m 05s, 2h 07m, 4d 03h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def status_of(status: Status, now: datetime) -> list[RenderableType]:
    """What each agent does, then what is open."""
    head = Text(f"cluster {status.cluster}, mode {status.mode}")
    if status.paused:
        head.append(f", paused: {status.paused}", style="bold yellow")
    agents = columns("agent", "does now")
    for agent, activity in sorted(status.agents.items()):
        agents.add_row(agent, activity)
    shown: list[RenderableType] = [
        head,
        *unread(status.unread),
        "",
        agents if status.agents else Text("no agent says anything", "bold red"),
        "",
    ]
    shown += incidents_of(status.open, now, none="nothing is open")
    if not status.open:
        return shown
    return [*shown, "", Text("more: primum show ID; stop every act: primum pause WHY", style="dim")]


def unread(said: str | None) -> list[RenderableType]:
    """What of the ledger is not read: without it nobody knows why incidents are not there."""
    return [Text(said, style="bold yellow")] if said else []


def incidents_of(incidents: Sequence[Summary], now: datetime, *, none: str) -> list[RenderableType]:
    """One line an incident, and its title and reason under it."""
    if not incidents:
        return [Text(none, style="dim")]
    shown: list[RenderableType] = []
    for incident in incidents:
        line = Text.assemble((incident.id, "bold"), "  ", coloured(incident.state))
        if incident.opened_at:
            age = duration((now - incident.opened_at).total_seconds())
            line.append(f"  opened {clock(incident.opened_at)}, {age} ago")
        if incident.needs_a_person:
            line.append("  needs you", style="yellow")
        shown += [line, _under(incident.title)]
        shown += [_under(said, style="dim") for said in (incident.cause, incident.reason) if said]
    return shown


def detail_of(detail: Detail, now: datetime, agents: Mapping[str, str] = NOBODY) -> list[RenderableType]:
    """The incident's head, who is at it now, its causes, what was done or is asked for, and the timeline."""
    summary = detail.summary
    at_it = [f"now: {agent} {doing}" for agent, doing in sorted(agents.items()) if doing.endswith(f":{summary.id}")]
    shown: list[RenderableType] = [
        *incidents_of([summary], now, none=""),
        *map(_under, at_it),
        "",
        *(line for cause in detail.causes for line in cause_of(cause)),
    ]
    if detail.plan and summary.state in ("awaiting_approval", "escalated"):
        shown += ["", *plan_of(detail.plan)]
        if detail.approval_expires_at and summary.state == "awaiting_approval":
            left_s = (detail.approval_expires_at - now).total_seconds()
            shown.append(f"asked until {clock(detail.approval_expires_at)}, {duration(left_s)} from now")
    for transaction in detail.transactions:
        shown += ["", *transaction_of(transaction)]
    shown += ["", Text("timeline", style="bold"), *_timeline(detail.timeline), *_notes(detail.notes)]
    orders = _orders(detail)
    return [*shown, "", Text("what you can do", style="bold"), *map(_under, orders)] if orders else shown


def _orders(detail: Detail) -> list[str]:
    """The commands that this state takes; the last lines, where somebody who is called at night looks."""
    name, state = detail.summary.id, detail.summary.state
    match state:
        case "awaiting_approval":
            orders = [f"primum approve {name}", f"primum deny {name} --reason WHY", f"primum take {name}"]
        case "escalated" | "stuck":
            orders = [*([f"primum pick {name}"] if detail.plan else []), f"primum close {name} --reason WHY"]
        case "detected" | "diagnosing" | "planning":
            orders = [f"primum take {name}"]
        case _:
            orders = []
    standing = [known.id for known in detail.transactions if known.outcome in ("kept", "under-way")]
    if state not in ("closed", "undoing") and standing:
        orders.append(f"primum undo {standing[-1]} --reason WHY")
    return orders


def cause_of(cause: Cause) -> list[RenderableType]:
    """A cause and what it stands on."""
    head = Text.assemble(("cause  ", "bold"), f"{cause.summary} ", (f"({cause.code}, {cause.confidence:.0%})", "dim"))
    evidence = [_under(wraps(f"{piece.source} {piece.pointer} = {piece.value}")) for piece in cause.evidence]
    return [head, *evidence, *(_under(reason, style="dim") for reason in cause.rank_reasons)]


def plan_of(plan: Plan) -> list[RenderableType]:
    """What would be done, whom it can touch, how it would be taken back."""
    head = Text.assemble(("plan  ", "bold"), plan.runbook, f"  risk {plan.risk}  ", (plan.hash, "dim"))
    if plan.destructive:
        head.append("  destructive", style="bold red")
    return [
        head,
        *(_under(line, style="green") for line in plan.diff),
        Text("touches", style="bold"),
        *(_under(ref) for ref in plan.blast_radius),
        Text("is taken back by", style="bold"),
        *(_under(line, style="magenta") for line in plan.undo),
        f"the verdict comes within {duration(plan.verdict_within_s)}",
    ]


def transaction_of(transaction: Transaction) -> list[RenderableType]:
    """What was done, how it was judged, and the health before and after."""
    head = Text.assemble(
        (transaction.id, "bold"),
        f"  {transaction.runbook}  ",
        coloured(transaction.outcome),
        f"  {clock(transaction.opened_at)}",
    )
    if transaction.unproven:
        head.append("  unproven", style="yellow")
    if transaction.undo_why:
        head.append(f"  because: {transaction.undo_why}")
    shown: list[RenderableType] = [head, *(_under(line, style="green") for line in transaction.diff)]
    if transaction.verdict:
        said = Text("verdict ").append_text(coloured(transaction.verdict.word))
        shown.append(Padding(said.append(f": {transaction.verdict.reason}"), (0, 0, 0, 2), expand=False))
    shown.append(Padding(_health(transaction.before, transaction.after), (0, 0, 0, 2), expand=False))
    return shown


def _health(before: Health, after: Health | None) -> Table:
    table = columns("workload", "ready", "crash loops", "restarts")
    for workload in before.workloads:
        then = after.of(workload.ref) if after else None
        table.add_row(
            str(workload.ref),
            _change(f"{workload.ready}/{workload.desired}", f"{then.ready}/{then.desired}" if then else None),
            _change(str(workload.crash_looping), str(then.crash_looping) if then else None),
            _change(str(workload.restarts), str(then.restarts) if then else None),
        )
    for service, ready in sorted(before.endpoints.items()):
        now = str(after.endpoints.get(service, 0)) if after else None
        table.add_row(f"endpoints of {service}", _change(str(ready), now), "", "")
    return table


def _change(before: str, after: str | None) -> str:
    return before if after is None or after == before else f"{before} -> {after}"


def _timeline(entries: Sequence[Entry]) -> list[RenderableType]:
    shown: list[RenderableType] = []
    earlier: datetime | None = None
    for entry in entries:
        span = f"+{duration((entry.at - earlier).total_seconds())}" if earlier else ""
        line = Table.grid(padding=(0, 1))
        for width in _TIMELINE_WIDTHS:
            line.add_column(width=width, style="dim", no_wrap=True)
        line.add_column()
        line.add_row(clock(entry.at), span, entry.by, entry.text)
        shown += [line, *(_under(wraps(one), style="dim", by=_TIMELINE_DETAILS_AT) for one in entry.details)]
        earlier = entry.at
    return shown


def _notes(notes: Sequence[str]) -> list[RenderableType]:
    if not notes:
        return []
    shown: list[RenderableType] = ["", Text("alerts and notes", style="bold")]
    shown += [_under(note, style="dim") for note in notes[:_NOTES_SHOWN]]
    if (more := len(notes) - _NOTES_SHOWN) > 0:
        shown.append(_under(f"and {more} more, which --json shows", style="dim"))
    return shown


def wraps(pointer: str) -> str:
    """Evidence with a space before the path inside an object, so that the line breaks there."""
    return pointer.removeprefix("object ").replace("#/", " /", 1)


def _under(text: str, *, style: str = "", by: int = 2) -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, by), expand=False)


def columns(*headings: str) -> Table:
    """An empty table with these, and without lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading)
    return table
