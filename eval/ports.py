"""Ports of loopback for programs that must be told theirs."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

_PORTS: Final = range(20_000, 32_000)
"""Below what kernels give to connections on their way out: one of those took a port before its program did."""
_RANDOM: Final = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody has at this moment. Raises OSError if there are not enough."""
    found = list(islice(_free(), count))
    if len(found) < count:
        raise OSError(f"fewer than {count} ports of {_PORTS.start} to {_PORTS.stop - 1} are free")
    return found


def _free() -> Iterator[int]:
    for port in _RANDOM.sample(_PORTS, len(_PORTS)):
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            yield port
