"""What stands at the beginning of a ledger and counts for nothing: an earlier Primum wrote it, or its keys are gone."""

from collections.abc import Callable

from nats.aio.client import Client

from shared.adapters.nats_stream import NatsStream, Stored
from shared.bus import streams
from shared.domain.cluster import MARK
from shared.domain.events import Owner

Signer = Callable[[Stored], Owner | None]


async def unread(connection: Client, signer: Signer, timeout_s: float = 5.0) -> str | None:
    """Say how many of the first messages are not signed by a known key, and what to do; None if the first one is.

    To a person their incidents are gone, as if there had never been any. Raises LedgerUnavailable.
    """
    stream = NatsStream(connection, streams.LEDGER, timeout_s)
    first, last = await stream.first(), await stream.last(">")
    if first is None or last is None or signer(first) is not None:
        return None
    until = last.sequence + 1 if signer(last) is None else await _until(stream, signer, first.sequence, last.sequence)
    return (
        f"the first {until - first.sequence:,} messages of the ledger are not signed by any key of the keyring, so they"
        " count for nothing, and the incidents, locks and pauses in them are not shown: a Primum from before messages"
        " were signed wrote them, or the keys were made anew. If the keys are elsewhere, put them back (docs/"
        "architecture.md, who may say what). If not, look at what was written to the cluster then (kubectl get all -A"
        f" -l {MARK}), and begin a new ledger to be rid of this: primum up --data ANOTHER-FOLDER"
    )


async def _until(stream: NatsStream, signer: Signer, low: int, high: int) -> int:
    """Where signed messages begin, between one that is not and one that is; by halves: a ledger may have millions."""
    while high - low > 1:
        middle = (low + high) // 2
        found = await stream.first(middle)
        if found is None or found.sequence >= high or signer(found) is not None:
            high = middle
        else:
            low = found.sequence
    return high
