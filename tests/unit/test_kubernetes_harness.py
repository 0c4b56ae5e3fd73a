"""What of the harness for real Kubernetes needs no Kubernetes: whose cluster tests may use, and what an image is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eval.kubernetes import host, network
from eval.kubernetes.__main__ import app
from eval.kubernetes.build import bin_dir
from eval.kubernetes.choice import CONTEXT, Source, choose, choose_ours, is_held
from eval.kubernetes.daemon import Daemon, DidNotStart, known, within_network
from eval.kubernetes.image import archive
from eval.kubernetes.k3s import IMAGE
from eval.kubernetes.places import prune
from shared.domain.errors import PrimumError


@contextmanager
def waiting(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """A process with these words on its command line; it is there when the block begins, and gone after it."""
    command = (sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *words)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        process.stdout.readline()
        yield process


@pytest.mark.parametrize("name", ["../x", "-x", "x y", "X", "", "x\n"])
def test_a_cluster_is_named_as_a_folder_and_a_network_can_be(name: str) -> None:
    """Before anything is looked for under that name, to be started or to be removed."""
    with pytest.raises(PrimumError, match="is no name for a cluster"):
        app(["down", "--name", name], standalone_mode=False)


def test_that_there_is_no_such_cluster_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """And it is no failure: it is as it was to be."""
    assert not app(["down", "--name", "nobodys-cluster"], standalone_mode=False)
    assert "there is no cluster 'nobodys-cluster'" in capsys.readouterr().err


def test_the_cluster_that_somebody_named_is_the_one() -> None:
    """Before any that could be built."""
    assert choose({CONTEXT: "staging", "KUBECONFIG": "/some/where"}).source is Source.NAMED


def test_a_kubeconfig_alone_names_no_cluster_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be production's: without PRIMUM_TEST_CONTEXT it is not even looked at."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    choice = choose_ours({"KUBECONFIG": "/some/where"})
    assert (choice.source, "needs root" in choice.reason) == (Source.NONE, True)


def test_a_docker_that_cannot_pull_is_said_beside_what_lacks_for_a_cluster_of_our_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """K3S is what is left where none can be built; a person reads what to mend for either."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'no route to the registry' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    choice = choose({})
    assert choice.source is Source.NONE
    assert "needs root" in choice.reason
    assert choice.reason.endswith(f"Docker gives no {IMAGE}: no route to the registry")


def test_a_context_of_no_kubeconfig_is_a_mistake() -> None:
    """Said in one line, before anything is tried."""
    with pytest.raises(PrimumError, match="KUBECONFIG"):
        choose({CONTEXT: "staging"})


def test_what_is_built_is_kept_by_its_recipe_outside_of_the_tree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another version or another recipe is another folder, so that no stale program is ever taken."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = bin_dir()
    monkeypatch.setattr("eval.kubernetes.build.COREDNS", "another@v1")
    assert before.is_relative_to(tmp_path)
    assert bin_dir() != before


def test_of_older_builds_the_last_used_stays_and_those_in_use(tmp_path: Path) -> None:
    """Each is half a gigabyte, and a program that runs may be started again."""
    builds = [tmp_path / name for name in ("first", "second", "third", "newest")]
    for age, each in enumerate(reversed(builds)):
        each.mkdir()
        os.utime(each, (1e9 - age, 1e9 - age))
    prune(builds[-1], lambda each: each.name == "first")
    assert {each.name for each in tmp_path.iterdir()} == {"first", "third", "newest"}


def test_the_same_program_makes_the_same_image(tmp_path: Path) -> None:
    """Bit for bit: an image's name by digest means something."""
    program = tmp_path / "app"
    program.write_bytes(b"\x7fELF")
    one, other = (archive("local.test/app:1", program, tmp_path / name) for name in ("one.tar", "other.tar"))
    assert one.read_bytes() == other.read_bytes()


def test_a_pid_that_is_somebody_elses_by_now_is_not_a_daemon_of_ours() -> None:
    """A process is known by its pid and by when it began: no other is ever signalled."""
    assert not Daemon("etcd", os.getpid(), began=1).runs()


@pytest.mark.parametrize("text", [b"", b'{"name": "etcd", "pi', b"[]", b"\xff\xfe", b'{"name": "etcd"}'])
def test_what_was_cut_off_while_it_was_written_down_names_no_daemon(tmp_path: Path, text: bytes) -> None:
    """The machine went down with it; nobody could take the cluster down any more."""
    (tmp_path / "etcd.json").write_bytes(text)
    assert known(tmp_path) == []


def test_a_process_that_cannot_be_written_down_does_not_go_on(tmp_path: Path) -> None:
    """On a full disk: each try to take a cluster down left another one that nobody knew."""
    (tmp_path / ".sleep.new").mkdir()
    command = (sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path))
    with pytest.raises(DidNotStart, match="cannot be written down"):
        Daemon.start("sleep", command, tmp_path / "log", tmp_path)
    here = within_network(Path("/proc/self/ns/net"))
    assert not [each for each in here if str(tmp_path) in Path(f"/proc/{each.pid}/cmdline").read_text()]


def test_a_program_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    """A build that was cut off or spoiled is an error with advice, and no daemon."""
    (program := tmp_path / "etcd").write_text("not a program")
    program.chmod(0o700)
    with pytest.raises(DidNotStart, match=r"etcd does not start: .*Exec format"):
        Daemon.start("etcd", (str(program),), tmp_path / "log", tmp_path)
    assert known(tmp_path) == []


def test_whatever_lives_in_a_network_is_found_there() -> None:
    """Nobody wrote down what a run had started before it was killed. This process itself is not to be ended."""
    with waiting() as child:
        found = {each.pid: each.name for each in within_network(Path("/proc/self/ns/net"))}
    assert found[child.pid].startswith("python")
    assert os.getpid() not in found


def test_a_cluster_is_its_runs_as_long_as_that_goes_on() -> None:
    """Whoever tidies up takes it from nobody; a pid alone may be anybody's by now."""
    with waiting("eval.kubernetes") as run:
        assert is_held(f"run-{run.pid}")
    assert not is_held(f"run-{run.pid}")
    assert not is_held(f"run-{os.getpid()}")
    assert not is_held("primum")


def test_what_kubelets_set_for_the_machine_is_put_back_when_the_last_cluster_goes(tmp_path: Path) -> None:
    """Kept once: the second cluster finds what the first one's kubelet has set."""
    states, panic = tmp_path / "states", tmp_path / "proc" / "sys" / "kernel" / "panic"
    panic.parent.mkdir(parents=True)
    panic.write_text("0\n")
    for name in ("one", "other"):
        (states / name).mkdir(parents=True)
        host.keep(states, tmp_path)
        panic.write_text("10\n")
    seen = list[str]()
    for name in ("one", "other"):
        (states / name).rmdir()
        host.put_back(states, tmp_path)
        seen.append(panic.read_text())
    assert seen == ["10\n", "0\n"]


def test_folders_that_no_program_can_be_told_to_lay_elsewhere_go_with_the_last_cluster(tmp_path: Path) -> None:
    """Unless they were there before it, or something lies in them that is none of it."""
    states, run = tmp_path / "states", tmp_path / "run"
    (states / "one").mkdir(parents=True)
    (tmp_path / "var" / "lib" / "cni").mkdir(parents=True)
    host.keep(states, tmp_path)
    for made in ("netns", "containerd/s", "containerd/runc/k8s.io/somebodys"):
        (run / made).mkdir(parents=True)
    # As `ip netns` does it; who may not mount anything sees only that the folder goes.
    mount = ("mount", "--bind", run / "netns", run / "netns")
    subprocess.run(mount, capture_output=True, check=False)  # noqa: S603
    (states / "one").rmdir()
    host.put_back(states, tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_dir())
    assert [path for path in left if not path.startswith("states")] == [
        "run",
        "run/containerd",
        "run/containerd/runc",
        "run/containerd/runc/k8s.io",
        "run/containerd/runc/k8s.io/somebodys",
        "var",
        "var/lib",
        "var/lib/cni",
    ]


def test_settings_that_were_cut_off_while_they_were_kept_are_kept_anew(tmp_path: Path) -> None:
    """And nobody is kept by them from taking a cluster down."""
    (states := tmp_path / "states").mkdir()
    panic = tmp_path / "proc" / "sys" / "kernel" / "panic"
    panic.parent.mkdir(parents=True)
    panic.write_text("0\n")
    (states / ".host.json").write_text("{")
    host.put_back(states, tmp_path)
    assert panic.read_text() == "0\n"
    host.keep(states, tmp_path)
    panic.write_text("10\n")
    host.put_back(states, tmp_path)
    assert panic.read_text() == "0\n"


def test_every_node_has_an_address_and_pods_of_its_own() -> None:
    """Several nodes share one network namespace."""
    assert len({network.node_address(number) for number in range(4)} | {network.pod_range(n) for n in range(4)}) == 8
