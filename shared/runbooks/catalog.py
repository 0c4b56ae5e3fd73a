"""The runbooks that are known: the built-in ones and a folder's, each checked against its contract when it is read."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from shared.actions.registry import ACTIONS
from shared.domain.cause import CauseCode
from shared.domain.errors import RunbookInvalid
from shared.domain.frozen import Frozen
from shared.domain.runbook import ActionStep, CheckStep, Runbook
from shared.runbooks.conditions import loops_in, variables

PROVIDED: Final = frozenset({"revisions", "nodes"})
"""What every condition may read beside the runbook's params: a Deployment's templates, newest first; all Nodes."""
LOOPS_AT_MOST: Final = 2
"""Each multiplies the work of the others: three over two hundred nodes hold a service up for seconds."""
_SOURCE: Final = re.compile(r"cause\.(object|remedy\.[a-z][a-z0-9_]*)")


class Catalog(Frozen):
    """All runbooks, by name."""

    runbooks: tuple[Runbook, ...]

    def find(self, name: str) -> Runbook | None:
        return next((runbook for runbook in self.runbooks if runbook.name == name), None)

    def treating(self, code: CauseCode) -> Sequence[Runbook]:
        return [runbook for runbook in self.runbooks if code in runbook.treats]


def load(extra_dir: Path | None = None) -> Catalog:
    """Read the built-in runbooks and those of a folder. Raises RunbookInvalid: a broken contract is never skipped."""
    built_in = [
        (entry.name, entry.read_text()) for entry in files(__package__).iterdir() if entry.name.endswith(".yaml")
    ]
    runbooks: dict[str, Runbook] = {}
    for source, text in [*sorted(built_in), *_texts(extra_dir)]:
        runbook = parse(text, source)
        if runbook.name in runbooks:
            raise RunbookInvalid(
                f"{source}: name: there is a runbook {runbook.name!r} already", advice="give it another name"
            )
        runbooks[runbook.name] = runbook
    return Catalog(runbooks=tuple(runbooks[name] for name in sorted(runbooks)))


def _texts(folder: Path | None) -> Iterator[tuple[str, str]]:
    if folder is None:
        return
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
        for path in paths:
            yield str(path), path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failed:
        raise RunbookInvalid(
            f"{folder}: cannot be read: {failed}", advice="check PRIMUM_RUNBOOKS and the folder's permissions"
        ) from failed


def parse(text: str, source: str) -> Runbook:
    """Read one runbook and hold it to its contract. Raises RunbookInvalid that says file, place and what to do."""
    try:
        written = yaml.safe_load(text)
    except yaml.YAMLError as failed:
        raise RunbookInvalid(f"{source}: {_place_of(failed)}: this is no YAML", advice="mend the syntax") from failed
    except (ValueError, RecursionError) as failed:  # PyYAML's own: a month 13, a thousand brackets
        raise RunbookInvalid(f"{source}: the whole file: {failed}", advice="mend the syntax") from failed
    try:
        runbook = Runbook.model_validate(written)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise RunbookInvalid(f"{source}: {place}: {first['msg']}", advice=_advice(first["type"])) from invalid
    for place, what, advice in _complaints(runbook):
        raise RunbookInvalid(f"{source}: {place}: {what}", advice=advice)
    return runbook


def _place_of(failed: yaml.YAMLError) -> str:
    mark = failed.problem_mark if isinstance(failed, yaml.MarkedYAMLError) else None
    return "the whole file" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def _advice(kind: str) -> str:
    match kind:
        case "missing":
            return "add this field"
        case "extra_forbidden":
            return "remove this field, or correct its name"
        case _:
            return "compare with a built-in one: `primum runbook show roll-back-deployment`"


def _complaints(runbook: Runbook) -> Iterator[tuple[str, str, str]]:
    """Yield (place, what is wrong, what to do) for all that the schema cannot see."""
    for name, origin in runbook.params.items():
        if not _SOURCE.fullmatch(origin):
            yield f"params.{name}", f"unknown source {origin!r}", "use `cause.object` or `cause.remedy.<key>`"
        if name in PROVIDED:
            yield f"params.{name}", "this name is provided to every condition", "give it another name"
    for kind, conditions in (("preconditions", runbook.preconditions), ("postconditions", runbook.postconditions)):
        for index, condition in enumerate(conditions):
            yield from _condition(runbook, f"{kind}.{index}", condition)
    for step in runbook.steps:
        if isinstance(step, CheckStep):
            yield from _condition(runbook, f"steps.{step.id}.check", step.check)
        else:
            yield from _action(runbook, step)


def _condition(runbook: Runbook, place: str, expression: str) -> Iterator[tuple[str, str, str]]:
    try:
        unknown = sorted(variables(expression) - {*runbook.params, *PROVIDED})
    except ValueError as failed:
        yield place, f"bad CEL: {failed}", "mend the expression (https://cel.dev)"
        return
    if (loops := loops_in(expression)) > LOOPS_AT_MOST:
        yield place, f"{loops} loops in one condition", f"use at most {LOOPS_AT_MOST}: it runs while transactions wait"
    if unknown:
        yield place, f"unknown name {unknown[0]!r}", f"use one of {', '.join(sorted({*runbook.params, *PROVIDED}))}"


def _action(runbook: Runbook, step: ActionStep) -> Iterator[tuple[str, str, str]]:
    place = f"steps.{step.id}"
    if (action := ACTIONS.get(step.action)) is None:
        yield f"{place}.action", f"unknown action {step.action!r}", f"use one of {', '.join(ACTIONS)}"
        return
    fields = action.params.model_fields
    for field, param in step.with_.items():
        if field not in fields:
            yield f"{place}.with.{field}", f"{action.name} has no such parameter", f"use one of {', '.join(fields)}"
        if param not in runbook.params:
            yield f"{place}.with.{field}", f"unknown param {param!r}", f"use one of {', '.join(runbook.params)}"
    for field, info in fields.items():
        if info.is_required() and field not in step.with_:
            yield f"{place}.with", f"{action.name} needs {field!r}", "name the param that it comes from"
