"""What a Corefile says: which zones CoreDNS answers from the cluster's own Services."""

import re
from collections.abc import Iterator
from typing import Final

_KUBERNETES: Final = "kubernetes"
_PORT: Final = re.compile(r":\d+$")
_SCHEME: Final = re.compile(r"^[a-z]+://")


def service_zones(corefile: str) -> frozenset[str] | None:
    """The zones of the plugin `kubernetes`; where it names none, those of its server block.

    None if the file does not say it all: it includes others, or takes words from its environment.
    """
    zones: set[str] = set()
    depth, block = 0, []
    for line in _lines(corefile):
        words = [word for word in line.split() if word not in {"{", "}"}]
        if words[:1] == ["import"] or "{$" in line or "{%" in line:
            return None
        if depth == 0:
            block = [_zone(word) for word in words]
        elif depth == 1 and words[:1] == [_KUBERNETES]:
            zones.update(map(_zone, words[1:]) if words[1:] else block)
        depth += line.count("{") - line.count("}")
    return frozenset(zones)


def _lines(corefile: str) -> Iterator[str]:
    for line in corefile.splitlines():
        if told := line.partition("#")[0].strip():
            yield told


def _zone(word: str) -> str:
    """A zone without scheme, port and the dot of the root: `dns://.:53` is empty, and stands for all."""
    return _PORT.sub("", _SCHEME.sub("", word.strip(","))).rstrip(".").lower()
