"""Which cluster tests may use: one that somebody named for them, or one that is made for them; never another."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from eval.kubernetes import k3s, network
from eval.kubernetes.build import is_built
from eval.kubernetes.cluster import Say
from eval.kubernetes.places import FOR_A_RUN, Places
from eval.stopping import ENDS
from shared.domain.errors import PrimumError

CONTEXT: Final = "PRIMUM_TEST_CONTEXT"
"""Names the context of KUBECONFIG whose cluster tests may use; they work in namespaces of their own."""
WITHOUT: Final = "PRIMUM_TEST_WITHOUT"
"""Says to the tests why there is no cluster for them."""


OURS: Final = (sys.executable, "-P", "-m", "eval.kubernetes")
"""The harness as a command; what lies in somebody's current folder is none of its modules."""


class Source(Enum):
    """Where a cluster for tests comes from."""

    NAMED = "named"
    BUILT = "built"
    K3S = "k3s"
    NONE = "none"


class Choice(NamedTuple):
    """Where it comes from; `reason` says why there is none."""

    source: Source
    reason: str = ""


def choose(environment: Mapping[str, str]) -> Choice:
    """Choose: the one that is named; the built one, which shows everything; K3S, which shows a part; none.

    Raises PrimumError if a context is named and no kubeconfig.
    """
    ours = choose_ours(environment)
    if ours.source is not Source.NONE:
        return ours
    if lacking := k3s.missing():
        return Choice(Source.NONE, f"{ours.reason}; and {lacking}")
    return Choice(Source.K3S)


def choose_ours(environment: Mapping[str, str]) -> Choice:
    """Choose for what must run inside the cluster's network. Raises as `choose`."""
    if environment.get(CONTEXT):
        if not environment.get("KUBECONFIG"):
            raise PrimumError(f"{CONTEXT} names a context of no kubeconfig", advice="set KUBECONFIG, too")
        return Choice(Source.NAMED)
    if lacking := network.missing():
        return Choice(Source.NONE, lacking)
    if not is_built() and shutil.which("go") is None:
        return Choice(Source.NONE, "Kubernetes is not built here, and there is no `go` on PATH to build it with")
    return Choice(Source.BUILT)


def run_alone(command: Sequence[str], nodes: int, say: Say) -> int:
    """Run a command on a cluster that is up for it alone, and return its exit status; the cluster goes in any case."""
    name = f"{FOR_A_RUN}{os.getpid()}"
    say(f"a cluster {name!r} of {nodes} for this run")
    try:
        if failed := carried_out((*OURS, "up", f"--name={name}", f"--nodes={nodes}")):
            _keep_logs(Places(name), say)
            return failed
        return carried_out((*OURS, "exec", f"--name={name}", *command))
    finally:
        with undisturbed():
            say(f"taking {name!r} down")
            carried_out((*OURS, "down", f"--name={name}"))


def _keep_logs(places: Places, say: Say) -> None:
    """Let the logs of what did not come up outlast it."""
    if not places.logs.is_dir():
        return
    kept = Path(tempfile.mkdtemp(prefix=f"primum-{places.name}-"))
    try:
        shutil.copytree(places.logs, kept, dirs_exist_ok=True)
    except OSError as error:  # shutil's, too
        say(f"its logs cannot be kept: {error}")
        return
    say(f"its logs are kept in {kept}")


def is_held(name: str) -> bool:
    """Whether a cluster is up for a run that goes on."""
    words = Path("/proc") / name.removeprefix(FOR_A_RUN) / "cmdline"
    try:
        return name.startswith(FOR_A_RUN) and OURS[-1].encode() in words.read_bytes()
    except OSError:
        return False


def run_in_k3s(command: Sequence[str], say: Say) -> int:
    """Run a command on a K3S that is up for it alone, and return its exit status; the cluster goes in any case."""
    say(f"{k3s.IMAGE} in Docker for this run")
    with k3s.running() as kubeconfig:
        return carried_out(("env", f"KUBECONFIG={kubeconfig}", f"{CONTEXT}={k3s.CONTEXT}", *command))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal that would end us, or what is started meanwhile, do so: it is ending things already."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in ENDS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def carried_out(command: Sequence[str]) -> int:
    """Run a command to its end, and return its status: who wants us to end wants it to end, and it may clean up.

    Ctrl-C reaches it without us, as all of a terminal's foreground; SIGTERM and SIGHUP are passed on.
    """
    with subprocess.Popen(command) as process:

        def pass_on(number: int, _: FrameType | None) -> None:
            if number != signal.SIGINT:
                process.send_signal(number)

        before = {each: signal.signal(each, pass_on) for each in ENDS if signal.getsignal(each) is not signal.SIG_IGN}
        try:
            status = process.wait()
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
    return status if status >= 0 else 128 - status
