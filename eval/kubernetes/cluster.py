"""A whole cluster: up in seconds, and down without a trace."""

import asyncio
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from eval.kubernetes import cgroups, daemon, host, network, programs
from eval.kubernetes.build import bin_dir, build
from eval.kubernetes.control_plane import ControlPlane
from eval.kubernetes.daemon import DidNotStart
from eval.kubernetes.node import Node, start_proxy
from eval.kubernetes.pki import Authority
from eval.kubernetes.places import Places, running
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

_DNS: Final = Path(__file__).with_name("coredns.yaml")
_GRACE_S: Final = 5.0
_GONE_WITHIN_S: Final = 20.0
_STARTS_WITHIN_S: Final = 20.0
_CNI_RESULTS: Final = Path("/var/lib/cni/results")
_CONTAINER_LOGS: Final = Path("/var/log/containers")
KUBELETS_SOCKET: Final = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
"""Where every kubelet listens for devices, whatever folder it was given."""
_MOUNTS: Final = Path("/proc/mounts")
Say = Callable[[str], None]


class ClusterIsUp(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """One of this name runs already, or was not taken down."""


def prepare(places: Places, nodes: int, say: Say) -> None:
    """Build what is missing and make the network and the cgroups; what is left to do is done inside the network.

    Raises ClusterIsUp, DidNotStart, NetworkFailed, BuildFailed, NotBuilt.
    """
    if said := network.missing():
        raise network.NetworkFailed("this machine cannot run a cluster", advice=said)
    if not running() and _a_kubelet_listens():
        raise DidNotStart("this machine is somebody's node: a kubelet runs here", advice="take one that is not")
    if places.state.exists() or places.network.exists():
        raise ClusterIsUp(f"a cluster {places.name!r} is here already", advice="use it, or `make cluster-down`")
    build(say)
    programs.build(say)
    try:
        for folder in (places.state, places.logs, places.daemons, places.scratch):
            folder.mkdir(parents=True, mode=0o700)
        host.keep()
    except OSError as error:
        raise DidNotStart(f"its state cannot be kept: {error}", advice=f"make room in {places.state.parent}") from error
    network.make(places, nodes)
    cgroups.make(places, nodes)


async def up(places: Places, nodes: int, say: Say) -> None:
    """Start everything; return when all nodes are Ready and DNS answers. To be called inside the network.

    Raises DidNotStart; then what was started still runs, for a look at its logs, until `down`.
    """
    binaries, authority = bin_dir(), Authority(places.pki, SystemClock().now())
    plane = ControlPlane(places, binaries, authority)
    members = [Node(places, binaries, number) for number in range(nodes)]
    for node in members:
        node.furnish()
        node.start_containerd()
    say("starting the API server")
    await asyncio.gather(plane.start(), *(_load_images(node) for node in members))
    say(f"waiting for {nodes} node{'s' * (nodes > 1)}")
    await asyncio.gather(*(_join(node, plane, authority) for node in members))
    start_proxy(plane, authority, places)
    await plane.until("get", "--namespace=kube-system", "serviceaccount", "default")
    await plane.until("get", "--namespace=default", "serviceaccount", "default")
    await plane.kubectl("apply", f"--filename={_DNS}")
    await plane.kubectl("--namespace=kube-system", "scale", "deployment/coredns", f"--replicas={nodes}")
    await plane.kubectl("--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")


async def _join(node: Node, plane: ControlPlane, authority: Authority) -> None:
    """Start its kubelet, again if it ends, as systemd would, and return when the node is ready. Raises DidNotStart.

    Every kubelet listens on the socket of one path, so of two that begin at the same moment one may end.
    """
    kubelet = node.start_kubelet(authority)

    def again() -> None:
        nonlocal kubelet
        if not kubelet.runs():
            kubelet = node.start_kubelet(authority)

    ready = "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    await plane.until("get", "node", node.name, ready, said="True", meanwhile=again)


async def _load_images(node: Node) -> None:
    archives = await asyncio.to_thread(node.images)
    if not await _answers(node):
        raise DidNotStart(f"containerd of {node.name} does not answer")
    for each in archives:
        said = await asyncio.to_thread(_run, node.ctr("images", "import", str(each)))
        if said.returncode:
            raise DidNotStart(f"{node.name} does not take the image {each.name}: {said.stderr.strip()}")


async def down(places: Places) -> list[str]:
    """Take it down and remove every trace, whatever state it was in. Return what could not be removed."""
    numbers = range(len(list(places.state.glob("node[0-9]*"))))
    members = [Node(places, bin_dir(), number) for number in numbers]
    living = _living(places)
    _thaw(living)
    # The kubelet before its containers: it would start them again. etcd last: the API server drains long without it.
    await daemon.end([each for each in living if not each.name.startswith(("containerd", "etcd"))], _GRACE_S)
    left = [said for said in await asyncio.gather(*(_containers_left(node) for node in members)) if said]
    await daemon.end(_living(places), _GRACE_S)
    cgroups.end_all(places)
    left += _unmount(places)
    if not await daemon.within(_GONE_WITHIN_S, lambda: cgroups.remove(places)):
        left.append(f"cgroup {places.cgroup}")
    network.remove(places)
    _remove_files(places)  # the last: by them it is found again, if this is killed on the way
    if places.state.exists():
        left.append(f"folder {places.state}")
    host.put_back()
    if not running() and not _a_kubelet_listens():
        _remove_kubelets_socket()
    return left


def _a_kubelet_listens() -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(KUBELETS_SOCKET))
        except OSError:
            return False
    return True


def _remove_kubelets_socket() -> None:
    """And its folders, if nothing else is in them."""
    KUBELETS_SOCKET.unlink(missing_ok=True)
    with suppress(OSError):
        for folder in (KUBELETS_SOCKET.parent, KUBELETS_SOCKET.parent.parent):
            folder.rmdir()


def _living(places: Places) -> list[daemon.Daemon]:
    """Itself, and whatever else lives in its network: a run that was killed leaves a whole Primum there."""
    found = {each.pid: each for each in daemon.within_network(places.network)}
    return [*(found | {each.pid: each for each in daemon.known(places.daemons) if each.runs()}).values()]


def _thaw(living: Sequence[daemon.Daemon]) -> None:
    """Let go on what a scenario froze: a stopped process hears no SIGTERM."""
    for each in living:
        each.signal(signal.SIGCONT)


async def _containers_left(node: Node) -> str:
    """Remove its containers, and say why they could not be; what else there is goes all the same."""
    try:
        await _remove_containers(node)
    except (DidNotStart, OSError) as error:
        return f"what the runtime of {node.name} knows of its containers ({error})"
    return ""


async def _remove_containers(node: Node) -> None:
    """Remove all containers by way of their runtime, so that each shim cleans up behind itself.

    A runtime that was killed is started again for that: only it knows what a shim has left where.
    """
    if not _succeeds(node.ctr("version")):
        node.start_containerd()
    if await _answers(node):
        names = _run(node.ctr("containers", "list", "--quiet")).stdout.split()
        await asyncio.to_thread(_run, node.ctr("tasks", "delete", "--force", *names))
        await asyncio.to_thread(_run, node.ctr("containers", "delete", *names))


async def _answers(node: Node) -> bool:
    return await daemon.within(_STARTS_WITHIN_S, lambda: _succeeds(node.ctr("version")))


def _unmount(places: Places) -> list[str]:
    """Unmount whatever is mounted below the state, the deepest first, and return what would not go."""
    mounted = [line.split()[1].replace("\\040", " ") for line in _MOUNTS.read_text().splitlines()]
    ours = sorted((path for path in mounted if Path(path).is_relative_to(places.state)), key=len, reverse=True)
    return [f"mount {path}" for path in ours if _run(("umount", "--lazy", path)).returncode]


def _remove_files(places: Places) -> None:
    shutil.rmtree(places.state, ignore_errors=True)
    for result in _CNI_RESULTS.glob(f"{places.cgroup}-node[0-9]-*-eth0"):  # also where nobody knows the nodes any more
        _, _, pod = result.name.removesuffix("-eth0").removeprefix(places.cgroup).split("-", 2)
        (_CNI_RESULTS / f"cni-loopback-{pod}-lo").unlink(missing_ok=True)
        result.unlink(missing_ok=True)
    for link in _CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and Path(link.readlink()).is_relative_to(places.state):
            link.unlink(missing_ok=True)


def _succeeds(command: Sequence[str]) -> bool:
    return _run(command).returncode == 0


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
