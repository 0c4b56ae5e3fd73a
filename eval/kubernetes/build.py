"""Kubernetes, etcd and CoreDNS from their published Go modules: built once, kept by version, with no image pulled."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from eval.kubernetes.alone import alone
from eval.kubernetes.places import cache_dir, prune, running
from shared.domain.errors import PrimumError

VERSION: Final = "1.34.4"
"""1.35 and later refuse cgroup v1 by default, and there are machines that have nothing else."""
COREDNS: Final = "github.com/coredns/coredns@v1.12.4"
_MINOR: Final = "v0." + VERSION.split(".", 1)[1]
_COMMANDS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
_ETCD: Final = "go.etcd.io/etcd/server/v3"
# fmt: off
_STAGING: Final = (
    "api", "apiextensions-apiserver", "apimachinery", "apiserver", "cli-runtime", "client-go", "cloud-provider",
    "cluster-bootstrap", "code-generator", "component-base", "component-helpers", "controller-manager", "cri-api",
    "cri-client", "csi-translation-lib", "dynamic-resource-allocation", "endpointslice", "externaljwt", "kms",
    "kube-aggregator", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet", "metrics",
    "mount-utils", "pod-security-admission", "sample-apiserver", "sample-cli-plugin", "sample-controller",
)
# fmt: on
"""k8s.io/kubernetes points these at folders of its own repository; a build from outside names the published ones."""
_PAUSE: Final = """\
// Command pause holds a pod's namespaces until it is told to go.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	<-told
}
"""
_LOAD_VERSION: Final = "k8s.io/component-base/version"
_STAMP: Final = (
    f"-s -w -X {_LOAD_VERSION}.gitVersion=v{VERSION} -X {_LOAD_VERSION}.gitMajor=1 "
    f"-X {_LOAD_VERSION}.gitMinor={VERSION.split('.')[1]}"
)
Say = Callable[[str], None]


class BuildFailed(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """What should have been built was not."""

    advice = "look at what Go said, and run it again: what is built is kept"


def binaries() -> tuple[str, ...]:
    """The names of everything that is built."""
    return (*_COMMANDS, "etcd", "coredns", "pause")


def bin_dir() -> Path:
    """Where they lie. The folder is named for the version and for how it is built."""
    recipe = hashlib.sha256(repr((VERSION, COREDNS, _STAGING, _COMMANDS, _PAUSE, _STAMP)).encode()).hexdigest()[:8]
    return cache_dir() / "kubernetes" / f"v{VERSION}-{recipe}"


def is_built() -> bool:
    """Whether nothing is missing."""
    return all((bin_dir() / name).is_file() for name in binaries())


def build(say: Say) -> Path:
    """Build what is missing and return where it lies; seconds if nothing is. Raises BuildFailed.

    The first time takes some seven minutes of two cores, and 1.5 GB of Go's own caches.
    """
    place = bin_dir()
    if is_built():
        return place
    if shutil.which("go") is None:
        raise BuildFailed("there is no `go` on PATH", advice="install Go 1.25 or newer, https://go.dev/dl")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildFailed(f"no build can be kept: {error}", advice="XDG_CACHE_HOME may name another folder") from error
    with alone(place), tempfile.TemporaryDirectory(prefix="primum-build-") as scratch:
        _build_missing(Path(scratch), place, say)
    prune(place, lambda _: bool(running()))  # what of them a running cluster was started from, nobody wrote down
    return place


def _build_missing(scratch: Path, place: Path, say: Say) -> None:
    missing = [name for name in binaries() if not (place / name).is_file()]
    say(f"building Kubernetes {VERSION} into {place}: once, some minutes")
    if {*_COMMANDS, "etcd"} & {*missing}:
        _write_module(scratch)
        _go(scratch, "mod", "tidy")
    for number, name in enumerate(missing, start=1):
        say(f"building {name} ({number} of {len(missing)})")
        _build_one(scratch, place, name)


def _build_one(scratch: Path, place: Path, name: str) -> None:
    """Build one program; it comes to its place whole or not at all."""
    fresh = place / f".{name}.new"
    match name:
        case "coredns":  # a module of its own, with its own choice of versions
            apart = scratch / "coredns"
            apart.mkdir()
            _go(apart, "install", "-trimpath", "-ldflags", "-s -w", COREDNS, env={"GOBIN": str(apart)})
            shutil.move(apart / name, fresh)
        case "pause":
            (scratch / "pause.go").write_text(_PAUSE)
            _go(scratch, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(fresh), "pause.go")
        case "etcd":
            _go(scratch, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(fresh), _ETCD)
        case _:
            _go(scratch, "build", "-trimpath", "-ldflags", _STAMP, "-o", str(fresh), f"k8s.io/kubernetes/cmd/{name}")
    fresh.rename(place / name)


def _write_module(scratch: Path) -> None:
    _go(scratch, "mod", "init", "cluster.test")
    replaced = [f"-replace=k8s.io/{name}=k8s.io/{name}@{_MINOR}" for name in _STAGING]
    _go(scratch, "mod", "edit", *replaced, f"-require=k8s.io/kubernetes@v{VERSION}")
    imports = [_ETCD, *(f"k8s.io/kubernetes/cmd/{name}" for name in _COMMANDS)]
    lines = ["//go:build tools", "", "package tools", "", *(f'import _ "{path}"' for path in imports), ""]
    (scratch / "tools.go").write_text("\n".join(lines))


def _go(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
    said = subprocess.run(
        ("go", *arguments),
        cwd=folder,
        env={**os.environ, "CGO_ENABLED": "0", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        last = "; ".join(said.stderr.strip().splitlines()[-3:])
        raise BuildFailed(f"`go {' '.join(arguments[:2])} …` failed: {last}")
