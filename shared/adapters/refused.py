"""What was refused is counted once each, and said; of a flood only so much is said that it does not fill a disk."""

from collections import OrderedDict
from typing import Final

import structlog

from shared.adapters.nats_stream import Stored
from shared.bus import meters
from shared.domain.acceptance import Refusal

_REMEMBERED: Final = 16_384
_EACH: Final = 100
"""So many are said one by one,"""
_EVERY: Final = 1000
"""and then every so many: who can write thousands must not make each of the services log thousands of lines."""


def worth_saying(so_far: int) -> bool:
    """Whether this one of a flood is said."""
    return so_far <= _EACH or not so_far % _EVERY


class Refused:
    """The messages of one stream that have no effect, as one process saw them."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._log = structlog.get_logger()
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._forgotten, self._so_far = 0, 0

    def note(self, stored: Stored, why: Refusal) -> None:
        """Count a message, and say so, unless that was done: it is read again and again."""
        if stored.sequence in self._seen or stored.sequence <= self._forgotten:
            return
        self._remember(stored.sequence)
        meters.REFUSED.labels(str(why)).inc()
        self._so_far += 1
        if not worth_saying(self._so_far):
            return
        self._log.warning(
            "a message is refused and has no effect",
            reason=str(why),
            stream=self._stream,
            sequence=stored.sequence,
            subject=stored.subject[:200],
            so_far=self._so_far,
        )

    def _remember(self, sequence: int) -> None:
        """Beyond what is remembered one by one, whatever is older is taken for known: a history is read in order."""
        self._seen[sequence] = None
        if len(self._seen) > _REMEMBERED:
            self._forgotten = max(self._forgotten, self._seen.popitem(last=False)[0])
