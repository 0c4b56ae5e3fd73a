"""Signatures on alerts: each stored alert is believed by itself."""

from shared.adapters.nats_inbox import AlertMessage
from shared.adapters.nats_stream import Stored
from shared.domain.events import Owner
from shared.testing.builders import an_alert
from shared.testing.keys import seal_of


def test_another_service_believes_an_alert() -> None:
    """And not one with other words under the same signature."""
    alert, detector = an_alert(), seal_of(Owner.DETECTOR)
    sent = AlertMessage(alert, alert.delivery_id, seal_of(Owner.GATEWAY))
    stored = Stored(sent.subject, 1, sent.wire_headers(), sent.data)
    assert detector.signer(stored) is Owner.GATEWAY
    assert detector.signer(stored._replace(data=sent.data + b" ")) is None
