"""The mitigator with its judge switched off: whatever was done is called an improvement and kept."""

import sys
from collections.abc import Sequence
from typing import Any

from services.mitigator import decide
from services.mitigator.app import main
from shared.domain.events import Kept, SampleTaken
from shared.domain.health import Verdict, VerdictWord
from shared.domain.transaction import Transaction


def keep_everything(transaction: Transaction, samples: Sequence[SampleTaken], *_: Any, **__: Any) -> Kept:
    """Answer as a judge would that never looks."""
    blind = Verdict(word=VerdictWord.BETTER, reasons=("nobody looked",))
    last = samples[-1]
    return Kept(
        transaction=transaction.id, verdict=blind, after=last.health, symptom=last.symptom, reason="nobody looked"
    )


if __name__ == "__main__":
    decide.judge = keep_everything
    sys.exit(main())
