"""etcd, the API server, the controllers and the scheduler."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from eval.kubernetes.daemon import Daemon, DidNotStart
from eval.kubernetes.network import API_SERVICE, SERVICES, node_address
from eval.kubernetes.pki import Authority, Pair
from eval.kubernetes.places import Places
from shared.adapters.system import SystemClock

READY_WITHIN_S: Final = 60.0
NODE_IS_GONE_AFTER: Final = "20s"
_ETCD: Final = "http://127.0.0.1:2379"
_LOOK_EVERY_S: Final = 0.1
_CLOCK: Final = SystemClock()


class ControlPlane:
    """What stands once in a cluster. Everything here runs inside its network namespace."""

    def __init__(self, places: Places, programs: Path, authority: Authority) -> None:
        self._places, self._programs, self._authority = places, programs, authority

    async def start(self) -> None:
        """Start all of it; return when the API server says that it is ready. Raises DidNotStart."""
        admin = self._authority.issue("admin", "admin", "system:masters")
        self._authority.kubeconfig(self._places.admin, admin)
        self.run("etcd", *_etcd(self._places.state / "etcd"))
        self.run("kube-apiserver", *self._api_server(admin))
        await self._until_ready()
        for name in ("kube-controller-manager", "kube-scheduler"):
            self.run(name, *self._controller(name))

    def run(self, name: str, *arguments: str) -> Daemon:
        """Start one program of the cluster, as a daemon of its own name."""
        log = self._places.logs / f"{name}.log"
        return Daemon.start(name, (str(self._programs / name), *arguments), log, self._places.daemons)

    async def kubectl(self, *arguments: str) -> str:
        """Return what kubectl says, as the administrator. Raises DidNotStart with its words."""
        ours = f"--kubeconfig={self._places.admin}", f"--cache-dir={self._places.scratch}"  # nothing into ~/.kube
        command = (str(self._programs / "kubectl"), *ours, *arguments)
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(*command, stdin=nothing, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise DidNotStart(f"{error}", advice="remove it; what is missing is made") from error
        out, err = await process.communicate()
        if process.returncode:
            raise DidNotStart(f"kubectl {' '.join(arguments)}: {err.decode().strip()}")
        return out.decode()

    async def until(self, *arguments: str, said: str = "", meanwhile: Callable[[], None] = lambda: None) -> None:
        """Ask kubectl until it succeeds (and says this), and each time do something first.

        Raises DidNotStart with what it said last.
        """
        deadline_s = _CLOCK.monotonic_s() + READY_WITHIN_S
        while True:
            meanwhile()
            try:
                if said in (last := await self.kubectl(*arguments)):
                    return
            except DidNotStart as error:
                last = str(error)
            if _CLOCK.monotonic_s() > deadline_s:
                raise DidNotStart(last, advice=f"look into {self._places.logs}")
            await _CLOCK.sleep(_LOOK_EVERY_S)

    async def _until_ready(self) -> None:
        await self.until("get", "--raw", "/readyz")

    def _api_server(self, admin: Pair) -> Sequence[str]:
        hosts = ("127.0.0.1", node_address(0), API_SERVICE, "kubernetes.default.svc")
        serving = self._authority.issue("apiserver", "kube-apiserver", hosts=hosts)
        front = self._authority.issue("front-proxy", "front-proxy")
        tokens = self._authority.signing_pair("service-accounts")
        return (
            f"--etcd-servers={_ETCD}",
            f"--advertise-address={node_address(0)}",
            "--secure-port=6443",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self._authority.ca}",
            f"--service-account-key-file={tokens.certificate}",
            f"--service-account-signing-key-file={tokens.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={admin.certificate}",
            f"--kubelet-client-key={admin.key}",
            f"--kubelet-certificate-authority={self._authority.ca}",
            "--kubelet-preferred-address-types=InternalIP",
            # For servers behind this one, such as metrics-server: they believe who the caller is from this certificate.
            f"--requestheader-client-ca-file={self._authority.ca}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front.certificate}",
            f"--proxy-client-key-file={front.key}",
        )

    def _controller(self, name: str) -> Sequence[str]:
        pair = self._authority.issue(name, f"system:{name}")
        config = self._authority.kubeconfig(self._places.state / f"{name}.kubeconfig", pair)
        same = ("--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig")
        common = (*(f"{option}={config}" for option in same), "--leader-elect=false")
        if name == "kube-scheduler":
            return common
        return (
            *common,
            f"--service-account-private-key-file={self._places.pki / 'service-accounts.key'}",
            f"--root-ca-file={self._authority.ca}",
            "--use-service-account-credentials=true",
            f"--node-monitor-grace-period={NODE_IS_GONE_AFTER}",
        )


def _etcd(folder: Path) -> Sequence[str]:
    return (
        f"--data-dir={folder}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # nothing here must outlive the machine
        "--log-level=warn",
    )
