"""Alertmanager's payloads, as it and others send them."""

import json
from datetime import UTC, datetime

import pytest

from services.gateway.alertmanager import MAX_ALERT_BYTES, PayloadInvalid, cluster_named, parse
from shared.domain.alert import AlertStatus
from shared.domain.frozen import Json, JsonObject
from shared.domain.ids import ClusterName

CLUSTER = ClusterName("test")


def posted(**changes: Json) -> JsonObject:
    """One alert, as Alertmanager 0.28 writes it."""
    return {
        "status": "firing",
        "labels": {"alertname": "HighErrorRate", "namespace": "shop", "severity": "critical"},
        "annotations": {"summary": "cart answers with errors"},
        "startsAt": "2026-01-01T12:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        "fingerprint": "b0a1c2d3e4f50617",
        **changes,
    }


def payload(*alerts: Json, **changes: Json) -> bytes:
    """A webhook call, as Alertmanager 0.28 writes it."""
    call: JsonObject = {
        "receiver": "primum",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "HighErrorRate"},
        "commonLabels": {"alertname": "HighErrorRate"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "version": "4",
        "groupKey": '{}:{alertname="HighErrorRate"}',
        "truncatedAlerts": 0,
        **changes,
    }
    return json.dumps(call).encode()


def test_an_alert_keeps_what_the_sender_said() -> None:
    """Labels, annotations, times and the rule's expression arrive as they were sent."""
    (alert,) = parse(payload(posted()), CLUSTER).alerts
    assert (alert.cluster, alert.fingerprint, alert.status) == ("test", "b0a1c2d3e4f50617", AlertStatus.FIRING)
    assert alert.name == "HighErrorRate"
    assert alert.annotations == {"summary": "cart answers with errors"}
    assert alert.starts_at == datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert alert.expression == "up == 0"


def test_an_address_that_is_none_names_no_expression() -> None:
    """Any sender chooses this text: the alert is an alert all the same, its symptom is unknown."""
    (alert,) = parse(payload(posted(generatorURL="http://[::1/graph?g0.expr=up")), CLUSTER).alerts
    assert alert.expression is None


def test_the_zero_time_is_no_end() -> None:
    """Go's zero time means that the alert has not ended."""
    (alert,) = parse(payload(posted()), CLUSTER).alerts
    assert alert.ends_at is None


def test_a_group_brings_every_alert_of_it_firing_or_resolved() -> None:
    """A call may mix both; each alert has its own status."""
    resolved = posted(status="resolved", endsAt="2026-01-01T12:05:00Z", fingerprint="aa")
    delivery = parse(payload(posted(), resolved, status="resolved"), CLUSTER)
    assert [alert.status for alert in delivery.alerts] == [AlertStatus.FIRING, AlertStatus.RESOLVED]
    assert delivery.alerts[1].ends_at == datetime(2026, 1, 1, 12, 5, tzinfo=UTC)


def test_fields_that_nobody_knows_yet_are_no_error() -> None:
    """A newer Alertmanager may say more, in the envelope and in each alert."""
    delivery = parse(payload(posted(newField={"a": [1]}), another=True), CLUSTER)
    assert len(delivery.alerts) == 1


def test_a_missing_fingerprint_is_made_of_the_labels() -> None:
    """The same labels in another order are the same alert."""
    one = posted(fingerprint="", labels={"a": "1", "b": "2"})
    two = posted(labels={"b": "2", "a": "1"})
    del two["fingerprint"]
    first, second = parse(payload(one, two), CLUSTER).alerts
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 16


@pytest.mark.parametrize("fingerprint", ["a.b", "a*", ">", "a b", "a\n", "x" * 65])
def test_a_fingerprint_that_would_hit_another_subject_is_refused(fingerprint: str) -> None:
    """It becomes a token of a subject: a dot or a star would lose the alert."""
    delivery = parse(payload(posted(fingerprint=fingerprint)), CLUSTER)
    assert delivery.alerts == ()
    assert delivery.refused[0].startswith("alert 0: fingerprint: ")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"startsAt": "yesterday"}, "startsAt"),
        ({"startsAt": "2026-01-01T12:00:00"}, "startsAt"),
        ({"status": "sleeping"}, "status"),
        ({"labels": {}}, "labels"),
        ({"labels": {"alertname": 7}}, "labels.alertname"),
    ],
)
def test_a_wrong_alert_keeps_no_other_one_out(change: JsonObject, where: str) -> None:
    """What is right is taken; what is wrong is named with its place."""
    delivery = parse(payload(posted(), posted(**change)), CLUSTER)
    assert len(delivery.alerts) == 1
    assert delivery.refused[0].startswith(f"alert 1: {where}: ")


@pytest.mark.parametrize(
    "change",
    [{}, {"status": "resolved", "endsAt": "2026-01-01T13:05:00+01:00"}, {"fingerprint": ""}, {"annotations": {}}],
)
def test_an_alert_is_read_the_same_beside_a_wrong_one(change: JsonObject) -> None:
    """A call in which nothing is wrong is read at once, another one alert by alert."""
    (alone,) = parse(payload(posted(**change)), CLUSTER).alerts
    (beside,) = parse(payload(posted(**change), 7), CLUSTER).alerts
    assert alone == beside


def test_an_alert_does_not_choose_its_cluster() -> None:
    """Nor anything else by Primum's own names: the call's cluster and Alertmanager's fields count."""
    (alert,) = parse(
        payload(posted(cluster="other", starts_at="2020-01-01T00:00:00Z", generator_url="x")), CLUSTER
    ).alerts
    assert alert == parse(payload(posted()), CLUSTER).alerts[0]


def test_an_alert_that_no_message_could_hold_is_refused() -> None:
    """NATS takes a megabyte a message; a sentence says how long the alert is."""
    delivery = parse(payload(posted(annotations={"description": "x" * MAX_ALERT_BYTES}), posted()), CLUSTER)
    assert len(delivery.alerts) == 1
    assert "bytes long" in delivery.refused[0]


def test_what_the_sender_cut_off_is_known() -> None:
    """`max_alerts` of a sender loses alerts before they reach Primum: that is counted."""
    assert parse(payload(posted(), truncatedAlerts=12), CLUSTER).truncated == 12


def test_less_than_nothing_cannot_have_been_cut_off() -> None:
    """It is refused before anything is stored: it was stored and answered 500, and so sent again for ever."""
    with pytest.raises(PayloadInvalid, match="truncatedAlerts"):
        parse(payload(posted(), truncatedAlerts=-1), CLUSTER)


def test_a_fingerprint_that_a_sender_uses_twice_hides_no_alert() -> None:
    """What says other labels is another delivery: the second was answered 202, and dropped as a repeat of the first."""
    first, second = parse(payload(posted(), posted(labels={"alertname": "DiskFull"})), CLUSTER).alerts
    assert first.fingerprint == second.fingerprint
    assert first.delivery_id != second.delivery_id


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"version": "4", "alerts": [{"labels": {"a": "\\ud800"}}]}', "the body is not JSON"),
        (b"[]", "the body is a JSON list, not an object"),
        (b"null", "the body is a JSON NoneType, not an object"),
        (b"{}", 'the payload\'s version is null, not "4"'),
        (b'{"version": "3", "alerts": []}', 'the payload\'s version is "3", not "4"'),
        (b'{"version": 4, "alerts": []}', 'the payload\'s version is 4, not "4"'),
        (b'{"version": "4"}', "the payload is not Alertmanager's: alerts: "),
        (b'{"version": "4", "alerts": {}}', "the payload is not Alertmanager's: alerts: "),
    ],
)
def test_what_can_never_be_taken_is_said_in_a_sentence(body: bytes, says: str) -> None:
    """Nothing is guessed, and the sentence says what is wrong with it."""
    with pytest.raises(PayloadInvalid) as refused:
        parse(body, CLUSTER)
    assert refused.value.args[0].startswith(says)


def test_a_call_without_alerts_is_a_call() -> None:
    """Nothing to store is stored."""
    assert parse(payload(), CLUSTER).alerts == ()


@pytest.mark.parametrize("name", ["", "a.b", "*", "über", "x" * 65])
def test_a_cluster_must_be_a_token(name: str) -> None:
    """It becomes part of a subject, as the fingerprint does."""
    with pytest.raises(PayloadInvalid):
        cluster_named(name)
