"""What somebody asks for by name."""

from collections.abc import Collection
from difflib import get_close_matches

from shared.domain.errors import PrimumError


def check(what: str, wanted: Collection[str], known: Collection[str], advice: str = "") -> None:
    """Raise PrimumError for the first name that none of the known has, with the one that is meant most likely.

    `advice` says where the known ones are listed; without it they are named.
    """
    if (unknown := next((name for name in wanted if name not in known), None)) is None:
        return
    near = [f"did you mean {name}?" for name in get_close_matches(unknown, known, n=1)]
    among = advice or f"choose among {', '.join(known)}"
    raise PrimumError(f"there is no {what} {unknown!r}", advice=" ".join([*near, among]))
