"""The mitigator's settings, from the environment."""

from pathlib import Path

from pydantic import Field

from shared.bus.settings import HolderSettings, Seconds
from shared.domain.policy import Mode, Policy


class Settings(HolderSettings):
    """PRIMUM_*; times in seconds. Those that speak of the cluster's own pace are divided by `pace`."""

    runbooks: Path | None = None

    mode: Mode = Mode.OBSERVE
    act_namespaces: frozenset[str] = frozenset()
    act_runbooks: frozenset[str] = frozenset()
    forbidden_namespaces: frozenset[str] = frozenset({"kube-system"})
    destructive_runbooks: frozenset[str] = frozenset()
    confidence_threshold: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)
    max_transactions_per_workload: int = Field(default=3, ge=0)

    approval_expires_s: Seconds = 3600
    diagnosis_stale_s: Seconds = 600
    defer_s: Seconds = 15
    """How long to wait before looking again at a plan that may not start now."""
    sample_every_s: Seconds = 5
    """Between two measurements while a transaction is judged."""
    watch_s: Seconds = 600
    """How long after a transaction was kept a late regression still takes it back."""

    @property
    def policy(self) -> Policy:
        return Policy(
            mode=self.mode,
            act_namespaces=self.act_namespaces,
            act_runbooks=self.act_runbooks,
            forbidden_namespaces=self.forbidden_namespaces,
            destructive_runbooks=self.destructive_runbooks,
            confidence_threshold=self.confidence_threshold,
            max_transactions_per_workload=self.max_transactions_per_workload,
        )
