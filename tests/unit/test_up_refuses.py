"""`primum up` refuses what can never work, before anything is started."""

from pathlib import Path

import pytest

from eval.kubeconfig import write_kubeconfig
from services.cli.up import Options, up
from shared.domain.errors import PrimumError

NOTHING_SAID = Options(None, None, None, None, None, None, None)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's kubeconfig, nobody's settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (NOTHING_SAID, "PRIMUM_KUBECONFIG"),
        (NOTHING_SAID._replace(kubeconfig=Path("/nonexist")), "there is no kubeconfig /nonexist"),
        (NOTHING_SAID._replace(nats_url="foo"), "PRIMUM_NATS_URL: it must be nats://HOST:PORT"),
        (NOTHING_SAID._replace(nats_url="http://127.0.0.1:4222"), "PRIMUM_NATS_URL: it must be nats://HOST:PORT"),
        (NOTHING_SAID._replace(mode="heroic"), "observe, suggest, act"),
    ],
)
def test_what_can_never_work_is_refused_before_anything_starts(tmp_path: Path, options: Options, said: str) -> None:
    """At once and in one line, not after all services died of it several times."""
    with pytest.raises(PrimumError, match=said):
        up(options._replace(data=tmp_path / "data", port=0))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "..", "::ffff:192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_the_hosts_fault(tmp_path: Path, host: str) -> None:
    """Another port would not help."""
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9", {"token": "any"})
    with pytest.raises(PrimumError, match="--host") as refusal:
        up(NOTHING_SAID._replace(data=tmp_path / "data", port=0, host=host, kubeconfig=kubeconfig))
    assert "--port" not in str(refusal.value)
