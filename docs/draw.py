"""Draws the generated parts of docs/architecture.md and docs/evaluation.md from the code: pages cannot say otherwise.

`make drawings` writes them; `tests/unit/test_repository.py` fails while they are stale.
"""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Final

from nats.js.api import RetentionPolicy, StreamConfig

from eval.score import WORDS
from shared.bus import streams
from shared.bus.settings import BusSettings, ObserverSettings, ServiceSettings
from shared.domain.events import Owner
from shared.domain.incident import TRANSITIONS, Row, State

PAGES: Final = tuple(Path(__file__).parent / name for name in ("architecture.md", "evaluation.md"))
_NEARLY_EVERYWHERE: Final = 4  # states that one event leaves for the same next one: more arrows than help the eye
_PART: Final = re.compile(r"(<!-- drawn: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def states() -> str:
    """The transition table as a diagram; what may happen from nearly everywhere is said beneath it."""
    everywhere = {key: states for key, states in _states_by_row().items() if len(states) >= _NEARLY_EVERYWHERE}
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), row in TRANSITIONS.items():
        if (event.__name__, row) not in everywhere:
            arrows.setdefault((state or "[*]", row.next), []).append(event.__name__)
    lines = [f"    {before} --> {after}: {' / '.join(events)}" for (before, after), events in arrows.items()]
    diagram = ["```mermaid", "stateDiagram-v2", *lines, f"    {State.CLOSED} --> [*]", "```", ""]
    notes = [
        f"- `{name}` by {_owners(row)}, from {', '.join(states)}: to {row.next}"
        for (name, row), states in everywhere.items()
    ]
    return "\n".join([*diagram, "Not drawn, because they lead there from nearly everywhere:", "", *notes])


def transitions() -> str:
    """The transition table as a table: what may happen in a state, what comes next, and who may say so."""
    lines = ["| in | what may happen → next (who may append it) |", "|---|---|"]
    for state in (None, *State):
        rows = [(event.__name__, row) for (before, event), row in TRANSITIONS.items() if before == state]
        if rows:
            cell = "<br>".join(f"{name} → {row.next} ({_owners(row)})" for name, row in rows)
            lines.append(f"| {state or 'nothing yet'} | {cell} |")
    return "\n".join(lines)


def _states_by_row() -> Mapping[tuple[str, Row], list[str]]:
    states: dict[tuple[str, Row], list[str]] = {}
    for (state, event), row in TRANSITIONS.items():
        states.setdefault((event.__name__, row), []).append(state or "")
    return states


def _owners(row: Row) -> str:
    return ", ".join(sorted(row.owners))


def stream_table() -> str:
    """The streams as `shared/bus` makes them, with what each is for."""
    lines = ["| stream | subjects | keeps | what for |", "|---|---|---|---|"]
    for config in streams.streams(streams.Keeping()):
        subjects = ", ".join(f"`{subject}`" for subject in config.subjects or ())
        lines.append(f"| {config.name} | {subjects} | {_keeps(config)} | {_WHAT_FOR[str(config.name)]} |")
    return "\n".join(lines)


def _keeps(config: StreamConfig) -> str:
    if config.retention is RetentionPolicy.WORK_QUEUE:
        return "until done"
    if not config.max_age:
        return "for ever"
    for unit_s, unit in ((86400, "d"), (3600, "h")):
        if config.max_age > unit_s:
            return f"{config.max_age / unit_s:g} {unit}"
    return f"{config.max_age:g} s"


_WHAT_FOR: Final = {
    streams.ALERTS: "the inbox: an alert is acknowledged to its sender once it is here",
    streams.LEDGER: "the truth: every event that changes a state, every lock, each by compare-and-swap",
    streams.FACTS: "what only informs: alerts that joined, samples, notes",
    streams.TIMERS: "wake-ups that the server keeps; a fired one is handled like any other",
    streams.DEAD: "what could not be handled, with the reason",
    streams.bucket_stream(streams.HEARTBEATS): "which holders of transactions live",
    streams.bucket_stream(streams.ACTIVITIES): "what each agent is doing now",
    streams.bucket_stream(streams.CLAIMS): "which gateway is telling a person what: of several, one does",
}


def settings() -> str:
    """What can be set through the environment: of every service, and of which one beside that."""
    readers: dict[str, list[str]] = {}
    for kind, reader in _kinds_of_settings():
        for row in _settings_of(kind):
            readers.setdefault(row, []).append(reader)
    lines = ["| variable | default | meaning | read by |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"{row} {', '.join(by)} |" for row, by in readers.items())])


def _kinds_of_settings() -> Iterator[tuple[type[BusSettings], str]]:
    yield BusSettings, "every service, and `primum bus setup`"
    yield ServiceSettings, "every service"
    yield ObserverSettings, "all but the gateway"
    for owner in Owner:
        for found in vars(importlib.import_module(f"services.{owner}.settings")).values():
            common = (ServiceSettings, ObserverSettings)
            if isinstance(found, type) and issubclass(found, ServiceSettings) and found not in common:
                yield found, str(owner)


def _settings_of(kind: type[BusSettings]) -> Iterator[str]:
    """A row for each field that the class itself adds, without its last cell."""
    (found,) = [node for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef)]
    fields = kind.model_fields
    for line, beneath in zip_longest(found.body, found.body[1:]):
        match line:
            case ast.AnnAssign(target=ast.Name(id=name)) if name in fields:
                default = _typed(fields[name].default)
                yield f"| `PRIMUM_{name.upper()}` | {default} | {_sentence(beneath)} |"
            case _:
                pass


def _sentence(beneath: ast.stmt | None) -> str:
    """What the string beneath a field says: it exists in the source alone."""
    match beneath:
        case ast.Expr(value=ast.Constant(value=str(said))):
            return " ".join(said.split())
        case _:
            return ""


def _typed(default: object) -> str:
    """As a person would type it into the environment."""
    if isinstance(default, frozenset):
        return f"`{json.dumps(sorted(default))}`"
    return f"`{default}`" if default is not None and str(default) else ""


def words() -> str:
    """What the columns of `primum eval run` mean."""
    return "\n".join(
        ["| word | what it says |", "|---|---|", *(f"| {word} | {said} |" for word, said in WORDS.items())]
    )


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "states": states,
    "transitions": transitions,
    "streams": stream_table,
    "settings": settings,
    "words": words,
}


def drawn(page: str) -> str:
    """Return the page with every generated part as the code has it now. Raises KeyError for a part nobody draws."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}\n{part[3]}", page)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(drawn(page.read_text()))
