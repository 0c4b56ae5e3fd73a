"""Draws the generated parts of docs/architecture.md from the code, so that the page cannot say otherwise.

`make drawings` writes them; `tests/unit/test_repository.py` fails while they are stale.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from shared.domain.incident import TRANSITIONS, Row, State

PAGE: Final = Path(__file__).parent / "architecture.md"
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


PARTS: Final[Mapping[str, Callable[[], str]]] = {"states": states, "transitions": transitions}


def drawn(page: str) -> str:
    """Return the page with every generated part as the code has it now. Raises KeyError for a part nobody draws."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}\n{part[3]}", page)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
