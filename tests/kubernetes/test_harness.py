"""The harness: what it brings up is a real cluster, and what it takes down has never been there."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from eval.kubernetes import network, programs
from eval.kubernetes.build import bin_dir, binaries
from eval.kubernetes.choice import CONTEXT, OURS
from eval.kubernetes.cluster import KUBELETS_SOCKET
from eval.kubernetes.daemon import Daemon, known
from eval.kubernetes.places import Places, cache_dir, running
from shared.adapters.system import SystemClock
from shared.testing.running import until

WATCHED: Final = ("/etc/cni", "/opt/containerd", "/run", "/usr/libexec", "/var/lib", "/var/log", "/sys/fs/cgroup")
"""Where a container runtime and a kubelet like to leave things."""


@pytest.fixture
def second(quiet: None) -> Iterator[Places]:
    """A second cluster beside the one that the tests run on, which this test takes up and down."""
    del quiet
    if network.missing():
        pytest.skip(network.missing())
    places = Places(f"second-{os.getpid()}")
    yield places
    harness("down", f"--name={places.name}")


def harness(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run one of its commands."""
    return subprocess.run(  # noqa: S603
        (*OURS, *arguments), capture_output=True, text=True, check=False, timeout=120, env=os.environ | environment
    )


def traces(of: Places) -> frozenset[str]:
    """Everything that a cluster could leave on this machine, but for what belongs to other clusters."""
    others = [Places(name) for name in running() if name != of.name]
    files = (str(path) for top in WATCHED for path in Path(top).rglob("*"))
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return frozenset(
        path for path in (*files, *mounts, *_processes()) if not any(_is_of(other, path) for other in others)
    )


def _processes() -> Iterator[str]:
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            words = each.read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name.startswith(("containerd", "kube", "etcd", "coredns", "pause")):
                yield f"{each.parent.name} {' '.join(words)}"


def _is_of(places: Places, trace: str) -> bool:
    parts = (str(places.state), f"/{places.cgroup}/", f"/{places.cgroup}-node", str(places.network))
    return any(part in trace for part in parts) or trace.endswith(f"/{places.cgroup}")


def test_a_cluster_that_was_taken_down_has_left_nothing(second: Places) -> None:
    """No process, mount, network namespace, cgroup or file of its two nodes; also of pods that still ran."""
    before = traces(second)
    assert harness("up", f"--name={second.name}", "--nodes=2").returncode == 0
    assert harness("status", f"--name={second.name}").stdout.count("Running") == 2
    assert harness("down", f"--name={second.name}").returncode == 0
    assert traces(second) - before == frozenset()


async def test_a_kubelet_that_ends_as_it_begins_is_started_again(second: Places) -> None:
    """All of a machine listen on one path: of two that began at the same moment one ended, and no node came of it."""
    log = second.logs / "kubelet-0.log"

    async def has_ended() -> bool:
        return log.exists() and "address already in use" in log.read_text()

    KUBELETS_SOCKET.unlink()
    KUBELETS_SOCKET.mkdir()
    starting = await asyncio.create_subprocess_exec(*OURS, "up", f"--name={second.name}", "--nodes=1")
    try:
        await until(has_ended, SystemClock(), within_s=60.0)
    finally:
        KUBELETS_SOCKET.rmdir()
    assert await starting.wait() == 0


def test_what_was_killed_on_its_way_up_is_taken_down_as_well(second: Places) -> None:
    """The runtime dead, its containers left behind: they are found by their cgroup."""
    before = traces(second)
    assert harness("up", f"--name={second.name}").returncode == 0
    for daemon in known(second.daemons):
        os.kill(daemon.pid, 9)
    assert harness("down", f"--name={second.name}").returncode == 0
    assert traces(second) - before == frozenset()


def test_what_a_run_that_was_killed_has_left_on_it_goes_with_it(second: Places) -> None:
    """Services, a Prometheus, a bus and their files: nobody but the cluster's network knows of them."""
    assert harness("up", f"--name={second.name}").returncode == 0
    left = "setsid sleep 600 >/dev/null 2>&1 & echo $!; mktemp"
    pid, file = harness("exec", f"--name={second.name}", "sh", "-c", left).stdout.split()
    orphan = Daemon.of("sleep", int(pid))
    assert orphan.runs()
    assert Path(file).exists()
    assert harness("down", f"--name={second.name}").returncode == 0
    assert not orphan.runs()
    assert not Path(file).exists()


def test_two_of_one_name_cannot_be(second: Places) -> None:
    """The second is refused in one line, and the first goes on."""
    assert harness("up", f"--name={second.name}").returncode == 0
    refused = harness("up", f"--name={second.name}")
    assert refused.returncode == 2
    assert refused.stderr.startswith("primum: ")
    assert len(refused.stderr.splitlines()) == 1
    assert "Running" in harness("status", f"--name={second.name}").stdout


def test_what_runs_on_a_cluster_need_not_fetch_anything(second: Places, tmp_path: Path) -> None:
    """Its network leads nowhere: on a clean machine the shop could not be built in it, and nothing played."""
    if shutil.which("go") is None:
        pytest.skip("there is no `go` on PATH")
    (tmp_path / "primum").mkdir()
    (tmp_path / "primum" / "kubernetes").symlink_to(cache_dir() / "kubernetes")
    compiled = subprocess.run(("go", "env", "GOCACHE"), stdout=subprocess.PIPE, text=True, check=True)  # noqa: S607
    caches = {"XDG_CACHE_HOME": str(tmp_path), "GOCACHE": compiled.stdout.strip()}
    assert harness("up", f"--name={second.name}", **caches).returncode == 0
    assert {path.name for path in (tmp_path / "primum" / "shop").glob("*/*")} >= {*programs.NAMES}


def test_the_logs_of_what_did_not_come_up_for_a_run_outlast_it(tmp_path: Path) -> None:
    """The cluster goes, and why it did not come up would go with it."""
    if network.missing():
        pytest.skip(network.missing())
    broken = tmp_path / "primum" / bin_dir().relative_to(cache_dir())
    broken.mkdir(parents=True)
    (tmp_path / "primum" / "shop").symlink_to(cache_dir() / "shop")
    for name in binaries():
        (broken / name).symlink_to(bin_dir() / name)
    (broken / "kube-apiserver").unlink()
    (broken / "kube-apiserver").write_text("no program")
    nobodys = {CONTEXT: "", "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    before = running()

    ended = harness("run", "--nodes=1", "true", **nobodys)

    assert ended.returncode == 2
    assert "kube-apiserver does not start" in ended.stderr
    (kept,) = tmp_path.glob("primum-run-*")
    assert f"its logs are kept in {kept}" in ended.stderr
    assert (kept / "etcd.log").stat().st_size > 0
    assert running() == before
