"""The network namespace that a cluster is shut in: no route out of it, and nothing reaches in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Never

from eval.kubernetes import cgroups
from eval.kubernetes.places import DEFAULT, Places
from shared.domain.errors import PrimumError

# 198.18.0.0/15 is set aside for tests of networks (RFC 2544): nobody's real address.
SERVICES: Final = "198.19.0.0/16"
API_SERVICE: Final = "198.19.0.1"
DNS: Final = "198.19.0.10"
_BRIDGE: Final = "nodes"


class NetworkFailed(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """The machine does not let us make what a cluster needs."""


def node_address(number: int) -> str:
    """Where a node's kubelet, and whatever else runs on that node outside of pods, is reached."""
    return f"198.18.0.{number + 1}"


def pod_range(number: int) -> str:
    """The addresses of a node's pods."""
    return f"198.18.{128 + number}.0/24"


def make(places: Places, nodes: int) -> None:
    """Make the namespace, with a bridge that carries the nodes' addresses. Raises NetworkFailed."""
    name = places.network.name
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "link", "add", _BRIDGE, "type", "bridge")  # there are kernels without `dummy`
    for number in range(nodes):
        _ip("-n", name, "address", "add", f"{node_address(number)}/24", "dev", _BRIDGE)
    _ip("-n", name, "link", "set", _BRIDGE, "up")
    _ip("-n", name, "route", "add", "default", "dev", _BRIDGE)  # kube-proxy and kubelet want one; it leads nowhere
    _run(_inside(places, "sysctl", "-qw", "net.ipv4.ip_forward=1"))


def remove(places: Places) -> None:
    """Remove it, if it is there; the links in it go with it."""
    if places.network.exists():
        _ip("netns", "delete", places.network.name)


def is_inside(places: Places) -> bool:
    """Whether this process is in the cluster's network."""
    try:
        return places.network.stat().st_ino == Path("/proc/self/ns/net").stat().st_ino
    except OSError:
        return False


def enter(places: Places, command: Sequence[str] | None = None) -> None:
    """Become a command inside the namespace; this very command if none is named, which goes on if it is there already.

    Raises NetworkFailed if there is no such namespace.
    """
    if is_inside(places) and command is None:
        return
    if not places.network.exists():
        raise NetworkFailed(f"no cluster {places.name!r} runs here", advice="start one with `make cluster`")
    become(_inside(places, *(command or (sys.executable, *sys.orig_argv[1:]))))


def become(command: Sequence[str]) -> Never:
    """Be this command from here on. Raises NetworkFailed if there is none."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        raise NetworkFailed(f"{command[0]} cannot be run: {error.strerror}", advice="is it on PATH?") from error


def _inside(places: Places, *command: str) -> Sequence[str]:
    # Not `ip netns exec`: that mounts a fresh /sys, in which the kubelet finds no cgroups.
    return ("nsenter", f"--net={places.network}", "--", *command)


def _ip(*arguments: str) -> None:
    _run(("ip", *arguments))


def _run(command: Sequence[str]) -> None:
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if said.returncode:
        raise NetworkFailed(f"`{' '.join(command)}` failed: {said.stderr.strip()}", advice="run it as root")


def missing() -> str:
    """Say what this machine lacks to run a cluster, and how to get it; empty if it lacks nothing."""
    if os.geteuid() != 0:
        return "a real cluster needs root, for its network namespace, its mounts and its cgroups"
    programs = {"ip": "iproute2", "nsenter": "util-linux", "containerd": "containerd", "runc": "runc"}
    programs |= {"conntrack": "conntrack", "nft": "nftables"}
    lacks = {package for program, package in programs.items() if shutil.which(program) is None}
    if not Path("/usr/lib/cni/bridge").is_file():
        lacks.add("containernetworking-plugins")
    if lacks:
        return f"it lacks {', '.join(sorted(lacks))}: apt-get install {' '.join(sorted(lacks))}"
    return _forbidden()


def _forbidden() -> str:
    """Try what a root without capabilities, as in many a container, may not; in a namespace that leaves no mount."""
    try:
        _run(("unshare", "--net", "ip", "link", "add", _BRIDGE, "type", "bridge"))
    except NetworkFailed as error:
        return f"this root may not make a network namespace with a bridge in it: {error}"
    return cgroups.forbidden(f"probe-of-{DEFAULT}-{os.getpid()}")
