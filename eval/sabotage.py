"""Organs switched off from outside, to show that a demo without them fails: nothing in the organs knows of this."""

from collections.abc import Mapping
from typing import Final

from eval.stage import Organs

WRITES: Final = "writes"
"""Which the lab drops, rather than a service."""
ORGANS: Final[Mapping[str, Organs]] = {
    "judge": Organs(modules={"mitigator": "eval.no_judge"}),
    "undo": Organs(disabled=("undo",)),
    WRITES: Organs(),
    "grouping": Organs(modules={"detector": "eval.no_grouping"}),
    "diagnosis": Organs(disabled=("diagnoser",)),
}
