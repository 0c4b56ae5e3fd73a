"""CEL conditions: compiled once, and never an error: what cannot be evaluated does not hold, with the reason."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import cel

from shared.domain.frozen import Frozen, Json

_BOUND_INSIDE: Final = re.compile(r"\.(?:all|exists|exists_one|existsOne|filter|map)\(\s*(\w+)\s*,")
"""Names that a macro binds; the library reports them among an expression's variables."""


class Held(Frozen):
    """Whether a condition holds; `reason` says why not."""

    holds: bool
    reason: str = ""


@lru_cache(maxsize=512)
def _compiled(expression: str) -> "cel.Program":
    return cel.compile(expression)


@lru_cache(maxsize=512)
def variables(expression: str) -> frozenset[str]:
    """The names that an expression reads. Raises ValueError with the place of the error if it is no CEL."""
    return frozenset(_compiled(expression).variables()) - frozenset(_BOUND_INSIDE.findall(expression))


def loops_in(expression: str) -> int:
    """How many macros walk over a list: they may be nested, and CEL has no limit of its own."""
    return len(_BOUND_INSIDE.findall(expression))


def check(expression: str, bindings: Mapping[str, Json]) -> Held:
    """Evaluate a condition over what the names are bound to; what it does not read costs time, so it is left out."""
    try:
        read = variables(expression)
        value = _compiled(expression).execute({name: bound for name, bound in bindings.items() if name in read})
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError) as failed:
        return Held(holds=False, reason=f"{expression}: {type(failed).__name__}: {failed}")
    if value is True:
        return Held(holds=True)
    return Held(holds=False, reason=f"{expression} is {'false' if value is False else f'no condition but {value!r}'}")
