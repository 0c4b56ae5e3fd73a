"""The grounds there are, by name."""

from typing import get_args

from eval.ground import GroundName, Opening
from eval.lab_ground import lab_ground
from shared.domain.errors import PrimumError


def named(name: str) -> GroundName:
    """Return the ground that is called so. Raises PrimumError for a name that none has."""
    known: tuple[GroundName, ...] = get_args(GroundName)
    for one in known:
        if name == one:
            return one
    raise PrimumError(f"there is no ground {name!r}", advice=f"choose {' or '.join(known)}")


def opening(on: GroundName) -> Opening:
    """How this ground is opened; this very command begins again in the network of the real cluster if it must.

    Raises PrimumError where there can be none.
    """
    if on == "lab":
        return lab_ground
    from eval.kubernetes.ground import enter, kubernetes_ground  # noqa: PLC0415 - what only a real cluster needs

    enter()
    return kubernetes_ground
