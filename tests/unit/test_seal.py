"""Signatures on alerts, which come again and again: a pair of Alertmanagers says everything twice."""

from collections.abc import Sequence

from shared.adapters.nats_inbox import AlertMessage
from shared.adapters.nats_stream import Stored
from shared.adapters.nkey import Key
from shared.adapters.seal import Seal
from shared.domain.alert import Alert
from shared.domain.events import Owner
from shared.testing.builders import an_alert
from shared.testing.keys import key_of, keyring, seal_of


class CountingKey(Key):
    """The gateway's key, which counts what it signs."""

    signed = 0

    def sign(self, data: bytes) -> bytes:
        self.signed += 1
        return super().sign(data)


def all_good(seal: Seal, alerts: Sequence[Alert]) -> bool:
    """Whether another service believes each of them."""
    sent = [AlertMessage(alert, seal) for alert in alerts]
    stored = [Stored(each.subject, 1, each.wire_headers(), each.data) for each in sent]
    return {seal_of(Owner.DETECTOR).signer(each) for each in stored} == {Owner.GATEWAY}


def test_an_exact_repeat_is_not_signed_again() -> None:
    """The second of a pair costs no second signature; another word does, and each is good."""
    key = CountingKey(key_of(Owner.GATEWAY).seed)
    seal = Seal(Owner.GATEWAY, key, keyring())
    alert = an_alert()
    assert all_good(seal, [alert, alert.but()])
    assert key.signed == 1
    assert all_good(seal, [alert.but(annotations={"summary": "other words"}), alert])
    assert key.signed == 2
