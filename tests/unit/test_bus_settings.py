"""Settings of the services: from the environment, or a clear refusal."""

import pytest

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
