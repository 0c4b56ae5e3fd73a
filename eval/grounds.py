"""The grounds there are, by name."""

from eval.ground import GroundName, Opening
from eval.lab_ground import lab_ground
from shared.domain.errors import PrimumError


def opening(on: GroundName) -> Opening:
    """How this ground is opened. Raises PrimumError where there is none."""
    if on == "lab":
        return lab_ground
    raise PrimumError("there is no real cluster to play on yet", advice="leave --on out: the lab is always there")
