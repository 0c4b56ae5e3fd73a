"""K3S in Docker, by testcontainers: a real API server and kubelet for machines that cannot run a cluster of our own.

Nothing of this machine is inside its network: what must be there (the shop's registry, Prometheus) cannot be.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

IMAGE: Final = "rancher/k3s:v1.34.1-k3s1"
CONTEXT: Final = "default"
"""What its kubeconfig calls the only context there is."""


def missing() -> str:
    """Say why there can be none here; empty if its image is here now, pulled if it was not."""
    if find_spec("testcontainers") is None:
        return "testcontainers is not installed"
    if shutil.which("docker") is None:
        return "there is no `docker` on PATH"
    here = _docker("image", "inspect", IMAGE)
    pulled = _docker("pull", "--quiet", IMAGE) if here.returncode else here
    return f"Docker gives no {IMAGE}: {pulled.stderr.strip()}" if pulled.returncode else ""


def _docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ("docker", *arguments)
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@contextmanager
def running() -> Iterator[Path]:
    """Start one; yields its kubeconfig, and leaves nothing behind."""
    from testcontainers.k3s import K3SContainer  # noqa: PLC0415 - of the development environment

    with K3SContainer(IMAGE) as cluster, tempfile.TemporaryDirectory(prefix="primum-k3s-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(cluster.config_yaml())
        yield kubeconfig
