"""The grounds there are, by name."""

from eval.ground import GroundName, Opening
from eval.lab_ground import lab_ground


def opening(on: GroundName) -> Opening:
    """How this ground is opened; this very command begins again in the network of the real cluster if it must.

    Raises PrimumError where there can be none.
    """
    if on == "lab":
        return lab_ground
    from eval.kubernetes.ground import enter, kubernetes_ground  # noqa: PLC0415 - what only a real cluster needs

    enter()
    return kubernetes_ground
