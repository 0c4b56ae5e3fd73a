"""What the team of the shop on a real cluster tells its Prometheus: rules and jobs that this Prometheus takes."""

import subprocess
from pathlib import Path

import yaml

from eval.kubernetes.accounts import Account
from eval.kubernetes.monitoring import jobs
from eval.kubernetes.rules import team_rules_file


def promtool(*arguments: str) -> str:
    """What it complains of; empty if nothing."""
    run = subprocess.run(  # noqa: S603 - our own arguments
        ["promtool", "check", *arguments],  # noqa: S607 - wherever this machine has it
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if run.returncode == 0 else run.stdout + run.stderr


def test_promtool_accepts_the_teams_rules(tmp_path: Path) -> None:
    """The recording rule, too, which no engine but Prometheus's own understands."""
    (tmp_path / "rules.yml").write_text(team_rules_file())

    assert promtool("rules", str(tmp_path / "rules.yml")) == ""


def test_this_prometheus_takes_the_teams_jobs(tmp_path: Path) -> None:
    """Also where it was built without its own discovery of Kubernetes, as Debian's is."""
    for name in ("token", "ca.crt"):
        (tmp_path / name).touch()
    account = Account("https://127.0.0.1:6443", tmp_path / "token", tmp_path / "ca.crt", tmp_path / "kubeconfig")
    config = {"scrape_configs": list(jobs(account, "http://127.0.0.1:9100", "http://127.0.0.1:9200/metrics"))}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))

    assert promtool("config", str(tmp_path / "prometheus.yml")) == ""
