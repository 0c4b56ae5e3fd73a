"""The tree of digests under one signature: whoever is in it is found in it, and nobody else."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.adapters.hash_tree import grown, root

MESSAGES = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


@settings(max_examples=50)
@given(MESSAGES)
def test_every_message_leads_to_the_root(messages: list[bytes]) -> None:
    """By its own way, however many there are."""
    top, ways = grown(messages)
    assert [root(message, way) for message, way in zip(messages, ways, strict=True)] == [top] * len(messages)


@settings(max_examples=50)
@given(MESSAGES, st.binary(max_size=80), st.data())
def test_no_other_message_leads_there(messages: list[bytes], other: bytes, data: st.DataObject) -> None:
    """By no way of theirs, nor by a part of one; also if it is made of what stands inside the tree."""
    assume(other not in messages)
    top, ways = grown(messages)
    way = data.draw(st.sampled_from(ways))
    cut = way[33 * data.draw(st.integers(0, len(way) // 33)) :]
    inside = way[1:33] + way[34:66]
    for tried in (way, cut):
        assert root(other, tried) != top
        assert inside in messages or root(inside, tried) != top


@pytest.mark.parametrize("way", [b"L", b"X" + bytes(32), b"L" * 33 * 33])
def test_what_is_no_way_leads_nowhere(way: bytes) -> None:
    """Cut off, sideways, or so long that somebody only wants it computed."""
    with pytest.raises(ValueError, match="no way"):
        root(b"", way)
