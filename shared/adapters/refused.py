"""What was refused is counted and said, once each."""

from collections import OrderedDict
from typing import Final

import structlog

from shared.adapters.nats_stream import Stored
from shared.bus import meters
from shared.domain.acceptance import Refusal

_REMEMBERED: Final = 4096


class Refused:
    """The messages of one stream that have no effect, as one process saw them."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._log = structlog.get_logger()
        self._seen: OrderedDict[int, None] = OrderedDict()

    def note(self, stored: Stored, why: Refusal) -> None:
        """Count a message and say so, unless that was done: it is read again and again."""
        if stored.sequence in self._seen:
            return
        self._seen[stored.sequence] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        meters.REFUSED.labels(str(why)).inc()
        self._log.warning(
            "a message is refused and has no effect",
            reason=str(why),
            stream=self._stream,
            sequence=stored.sequence,
            subject=stored.subject[:200],
        )
