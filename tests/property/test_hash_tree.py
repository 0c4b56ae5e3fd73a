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
    """By no way of theirs, nor by a part of one."""
    assume(other not in messages)
    top, ways = grown(messages)
    way = data.draw(st.sampled_from(ways))
    assert root(other, way[33 * data.draw(st.integers(0, len(way) // 33)) :]) != top


@settings(max_examples=20)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_what_stands_inside_the_tree_is_no_message(left: bytes, right: bytes) -> None:
    """Two digests side by side are digested to the one above them, and would lead on from there as a message does."""
    digests = b"".join(grown([message])[0] for message in (left, right))
    top, _ = grown([left, right])
    assert root(digests, b"") != top


@pytest.mark.parametrize("way", [b"L", b"X" + bytes(32), b"L" * 33 * 33])
def test_what_is_no_way_leads_nowhere(way: bytes) -> None:
    """Cut off, sideways, or so long that somebody only wants it computed."""
    with pytest.raises(ValueError, match="no way"):
        root(b"", way)
