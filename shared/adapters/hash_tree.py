"""One signature for many messages: a tree of their digests, as in RFC 6962, of which the root is what is signed.

Each message carries its way, the digests beside it from its own place up to the root. Message and way give the root
again, and no other message gives it: that would be two texts of one SHA-256.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

_LEAF, _NODE = b"\0", b"\1"
"""No digest of two others passes for a message's, nor the other way round."""
_LEFT, _RIGHT = b"L", b"R"
_STEP_BYTES: Final = 1 + sha256().digest_size
_MOST_STEPS: Final = 32
"""Whoever sends a longer way only wants it computed."""


def grown(messages: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
    """Return the root of some messages, at least one, and the way of each."""
    level, levels = [sha256(_LEAF + message).digest() for message in messages], list[Sequence[bytes]]()
    while len(level) > 1:
        levels.append(_steps(level))
        level = _above(level)
    ways = [b"".join([steps[place >> height] for height, steps in enumerate(levels)]) for place in range(len(messages))]
    return level[0], ways


def root(message: bytes, way: bytes) -> bytes:
    """Return the root to which a message's way leads. Raises ValueError if that is no way."""
    if len(way) % _STEP_BYTES or len(way) > _MOST_STEPS * _STEP_BYTES:
        raise ValueError(f"no way has {len(way)} bytes")
    digest = sha256(_LEAF + message).digest()
    for start in range(0, len(way), _STEP_BYTES):
        side, other = way[start : start + 1], way[start + 1 : start + _STEP_BYTES]
        if side not in (_LEFT, _RIGHT):
            raise ValueError(f"no way goes {side!r}")
        digest = sha256(_NODE + (other + digest if side == _LEFT else digest + other)).digest()
    return digest


def _above(level: Sequence[bytes]) -> list[bytes]:
    """Digest two and two; the last one of an odd number goes up as it is."""
    paired = [sha256(_NODE + level[left] + level[left + 1]).digest() for left in range(0, len(level) - 1, 2)]
    return [*paired, level[-1]] if len(level) % 2 else paired


def _steps(level: Sequence[bytes]) -> Sequence[bytes]:
    """What each has beside it; nothing beside the last one of an odd number."""
    paired = [(_LEFT if place % 2 else _RIGHT) + level[place ^ 1] for place in range(len(level) - len(level) % 2)]
    return [*paired, b""] if len(level) % 2 else paired
