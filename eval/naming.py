"""What somebody asks for by name."""

from collections.abc import Sequence
from difflib import get_close_matches

from shared.domain.errors import PrimumError


def check(what: str, wanted: Sequence[str], known: Sequence[str], advice: str) -> None:
    """Raise PrimumError for the first name that none of the known has, with the one that is meant most likely."""
    if (unknown := next((name for name in wanted if name not in known), None)) is None:
        return
    near = get_close_matches(unknown, known, n=1)
    raise PrimumError(f"there is no {what} {unknown!r}", advice=(f"did you mean {near[0]}? " if near else "") + advice)
