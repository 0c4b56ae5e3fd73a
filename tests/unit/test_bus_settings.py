"""Settings of the services: from the environment, or a clear refusal."""

import pytest
from pydantic import ValidationError

from services.mitigator.settings import Settings
from shared.bus.settings import ServiceSettings, load


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One prefix for all."""
    monkeypatch.setenv("PRIMUM_PACE", "20")
    monkeypatch.setenv("PRIMUM_NATS_URL", "nats://nats:4222")
    settings = load(ServiceSettings)
    assert (settings.pace, settings.nats_url) == (20, "nats://nats:4222")


def test_wrong_settings_are_named_and_end_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each, without the value, and the exit status that says: do not try again."""
    monkeypatch.setenv("PRIMUM_PORT", "s3cret")
    monkeypatch.setenv("PRIMUM_PACE", "-1")
    with pytest.raises(SystemExit) as end:
        load(ServiceSettings)
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "PRIMUM_PORT: Input should be a valid integer" in said
    assert "PRIMUM_PACE: Input should be greater than 0" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PACE", "inf"),
        ("CONFIDENCE_THRESHOLD", "nan"),  # nothing is below it: nobody would ever be asked
        ("CONFIDENCE_THRESHOLD", "-1"),
        ("APPROVAL_EXPIRES_S", "1e30"),  # no date: the request for an approval would fail for ever
        ("SAMPLE_EVERY_S", "0"),
        ("HEARTBEAT_EVERY_S", "600"),  # every transaction would be taken over while its holder lives
        ("CLUSTER", "a.b.>"),
        ("ACT_NAMESPACES", "shop"),
    ],
)
def test_what_would_fail_in_the_middle_of_an_incident_is_refused_at_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that cannot work is named before anything runs."""
    monkeypatch.setenv(f"PRIMUM_{name}", value)
    with pytest.raises(SystemExit) as end:
        load(Settings)
    assert end.value.code == 2
    assert name.lower() in capsys.readouterr().err.lower()


@pytest.mark.parametrize("url", ["foo", "http://nats:4222", "nats://", "nats://nats:many", "nats://nats,foo"])
def test_where_no_nats_can_be_is_refused(url: str) -> None:
    """It would be tried for ever."""
    with pytest.raises(ValidationError, match="nats://HOST:PORT"):
        ServiceSettings(nats_url=url)


@pytest.mark.parametrize("url", ["nats:4222", "nats://nats", "tls://ada:s3cret@[::1]:4222", "nats://a:1,nats://b:2"])
def test_where_a_nats_can_be_is_taken(url: str) -> None:
    """With a scheme or a port, one or several."""
    assert ServiceSettings(nats_url=url).nats_url == url
