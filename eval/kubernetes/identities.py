"""Who Primum is on the cluster: the ServiceAccounts that it ships with, one a service; never an administrator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from eval.kubernetes.accounts import Account, sign_in
from eval.operator import Operator

DEPLOYED: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
NAMESPACE: Final = "primum"
SERVICES: Final = ("detector", "diagnoser", "mitigator", "undo")
"""Those that touch the cluster: the gateway is nobody there."""


async def deploy(operator: Operator) -> None:
    """Apply the roles that Primum ships."""
    for name in ("observe.yaml", "act.yaml"):
        for body in yaml.safe_load_all((DEPLOYED / name).read_text()):
            meta = body["metadata"]
            where = meta.get("namespace", "")
            if await operator.find(body["kind"], where, meta["name"]) is None:
                await operator.create(body["kind"], body)
            else:
                await operator.merge(body["kind"], where, meta["name"], body)


async def identities(operator: Operator, server: str, folder: Path) -> Mapping[str, Account]:
    """Deploy the roles, and let each service that touches the cluster sign in; by the service's name."""
    await deploy(operator)
    return {name: await sign_in(operator, server, folder, NAMESPACE, f"primum-{name}") for name in SERVICES}
