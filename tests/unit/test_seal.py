"""Signatures on alerts: each stored alert is believed by itself, also one that shares its signature."""

import base64
from collections.abc import Sequence

import pytest

from shared.adapters.nats_inbox import messages
from shared.adapters.nats_stream import Stored
from shared.adapters.seal import OWNER, SIGNATURE
from shared.domain.events import Owner
from shared.testing.builders import an_alert
from shared.testing.keys import seal_of


def stored(count: int) -> Sequence[Stored]:
    """Alerts that came in one call."""
    alerts = [an_alert(fingerprint=f"f{number}") for number in range(count)]
    sent = messages({str(number): alert for number, alert in enumerate(alerts)}, seal_of(Owner.GATEWAY))
    return [Stored(each.subject, number, each.wire_headers(), each.data) for number, each in enumerate(sent)]


def sealed(message: Stored) -> bytes:
    """Read its signature, and its way."""
    return base64.b64decode(message.headers[SIGNATURE])


def with_seal(message: Stored, seal: bytes) -> Stored:
    """Put another signature and way on it."""
    return message._replace(headers={**message.headers, SIGNATURE: base64.b64encode(seal).decode()})


@pytest.mark.parametrize("count", [1, 2, 3, 32, 33, 100])
def test_another_service_believes_an_alert(count: int) -> None:
    """However many came with it, and not one with other words under the same signature."""
    detector = seal_of(Owner.DETECTOR)
    for each in stored(count):
        assert detector.signer(each) is Owner.GATEWAY
        assert detector.signer(each._replace(data=each.data + b" ")) is None


def test_alerts_that_came_together_share_a_signature() -> None:
    """It is what takes longest."""
    assert len({sealed(each)[:64] for each in stored(64)}) == 2


@pytest.mark.parametrize("altered", [{"ce-id": "1"}, {OWNER: "detector"}, {OWNER: "nobody"}, {SIGNATURE: "AAAA"}])
def test_an_alert_of_many_is_not_believed_with_another_header(altered: dict[str, str]) -> None:
    """Whatever is signed, and the signature itself."""
    first, *_ = stored(5)
    assert seal_of(Owner.DETECTOR).signer(first._replace(headers={**first.headers, **altered})) is None


@pytest.mark.parametrize("way", [b"", b"L", b"X" + bytes(32), b"R" + bytes(32)])
def test_an_alert_of_many_is_not_believed_without_its_way(way: bytes) -> None:
    """Nor with one that is none, nor with one that leads elsewhere."""
    first, *_ = stored(5)
    assert seal_of(Owner.DETECTOR).signer(with_seal(first, sealed(first)[:64] + way)) is None


def test_an_alert_is_not_believed_in_the_place_of_another() -> None:
    """With the other's way, or under the other's subject."""
    first, second, *_ = stored(4)
    detector = seal_of(Owner.DETECTOR)
    assert detector.signer(with_seal(first, sealed(second))) is None
    assert detector.signer(first._replace(subject=f"{first.subject}x")) is None
