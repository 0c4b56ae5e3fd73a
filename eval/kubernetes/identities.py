"""Who Primum is on the cluster: the ServiceAccounts that it ships with, one a service; never an administrator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from eval.kubernetes.control_plane import ControlPlane
from eval.kubernetes.pki import write_kubeconfig
from eval.kubernetes.places import Places

DEPLOYED: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
NAMESPACE: Final = "primum"
OBSERVER: Final = "observe"
SERVICES: Final = ("detector", "diagnoser", "mitigator", "undo")
_LIVES: Final = "24h"


async def deploy(plane: ControlPlane, places: Places) -> Mapping[str, Path]:
    """Apply the roles that Primum ships, and return a kubeconfig by service, with that service's own token."""
    await plane.kubectl("apply", *(f"--filename={DEPLOYED / name}" for name in ("observe.yaml", "act.yaml")))
    return {name: await kubeconfig(plane, places, NAMESPACE, f"primum-{name}") for name in (*SERVICES, OBSERVER)}


async def kubeconfig(plane: ControlPlane, places: Places, namespace: str, account: str) -> Path:
    """Write a kubeconfig that signs in as a ServiceAccount."""
    token = await plane.kubectl(f"--namespace={namespace}", "create", "token", account, f"--duration={_LIVES}")
    path = places.state / f"{namespace}-{account}.kubeconfig"
    return write_kubeconfig(path, places.pki / "ca.crt", {"token": token.strip()})
