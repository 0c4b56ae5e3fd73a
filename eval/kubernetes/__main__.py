"""`python -m eval.kubernetes up|down|exec|status|build`: the cluster for tests, by hand and by `make cluster`."""

import asyncio
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from eval.kubernetes import network, pki
from eval.kubernetes.build import bin_dir, build
from eval.kubernetes.choice import CONTEXT, WITHOUT, Source, choose, is_held, run_alone, run_in_k3s
from eval.kubernetes.cluster import down, prepare, up
from eval.kubernetes.places import DEFAULT, Places, running
from eval.stopping import ENDS
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

app = typer.Typer(
    help="A real Kubernetes for tests, in a network namespace of its own.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


def _checked(name: str) -> str:
    """Return it, if it can be a folder's, a network's and a cgroup's. Raises PrimumError."""
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,40}", name):
        raise PrimumError(f"{name!r} is no name for a cluster", advice="a-z, 0-9, and - within it; 41 at most")
    return name


_PRIMUM: Final = Path(sys.executable).with_name("primum")
Name = Annotated[
    str,
    typer.Option("--name", callback=_checked, help="Several clusters may run, each with a name and a network."),
]


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be what went; what is to be ended is ended all the same
        typer.echo(text, err=True)


@app.command("build", epilog="Example: python -m eval.kubernetes build")
def build_() -> None:
    """Build Kubernetes from its Go modules, if that is not done yet, and say where it lies."""
    typer.echo(build(_say))


@app.command("up", epilog="Example: python -m eval.kubernetes up --nodes 2")
def up_(
    nodes: Annotated[int, typer.Option(min=1, max=4, help="Real kubelets, each with a containerd.")] = 1,
    name: Name = DEFAULT,
) -> None:
    """Start a cluster; it runs until it is taken down."""
    places, clock = Places(name), SystemClock()
    which = "" if name == DEFAULT else f" --name {name}"
    if not network.is_inside(places):
        prepare(places, nodes, _say)
        network.enter(places)
    began_s = clock.monotonic_s()
    try:
        asyncio.run(up(places, nodes, _say))
    except BaseException:
        if not is_held(name):  # which takes it down itself
            _say(
                f"it did not come up; its logs are in {places.logs}; `python -m eval.kubernetes down{which}` removes it"
            )
        raise
    _say(f"ready after {clock.monotonic_s() - began_s:.1f} s")
    _say(f"  look   {sys.executable} -m eval.kubernetes exec{which} kubectl get pods --all-namespaces")
    if name == DEFAULT:  # another ends with what it is up for
        _say(f"  play   {sys.executable} -m eval.kubernetes exec {_PRIMUM} eval run --on kubernetes --only wrong-image")
        _say("  end    make cluster-down")


@app.command("down", epilog="Example: python -m eval.kubernetes down")
def down_(
    *,
    name: Name = DEFAULT,
    everyone: Annotated[bool, typer.Option("--all", help="All on this machine, but those of runs that go on.")] = False,
) -> None:
    """Take a cluster down and leave nothing of it behind."""
    known = running()
    names = known if everyone else [name] if name in known or Places(name).network.exists() else []
    if not names:  # which is what was asked for, so it ends well: who cleans up may do it twice
        _say("there is none to take down" if everyone else f"there is no cluster {name!r}: nothing to take down")
    left = [trace for each in names if not (everyone and _spared(each)) for trace in _taken_down(each)]
    if left:
        raise PrimumError(f"could not be removed: {', '.join(left)}", advice="see who holds it, and run it again")


def _spared(name: str) -> bool:
    if held := is_held(name):
        _say(f"{name!r} goes with its run, which goes on; `python -m eval.kubernetes down --name {name}` ends both")
    return held


def _taken_down(name: str) -> list[str]:
    """Take one down, and say what is left: that one cannot go keeps none of the others."""
    try:
        left = asyncio.run(down(Places(name)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the next one goes
        return [f"the cluster {name!r} ({type(error).__name__}: {error})"]
    if not left:
        _say(f"{name!r} is down")
    return left


@app.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: python -m eval.kubernetes exec kubectl get nodes",
)
def exec_(command: Annotated[list[str], typer.Argument(help="What to run.")], name: Name = DEFAULT) -> None:
    """Run a command inside the cluster's network, as its administrator, with its kubectl on PATH."""
    places = Places(name)
    path = f"{bin_dir()}:{os.environ.get('PATH', '')}"
    environment = {
        "KUBECONFIG": str(places.admin),
        CONTEXT: pki.CONTEXT,
        "PATH": path,
        "TMPDIR": str(places.scratch),
        "KUBECACHEDIR": str(places.scratch),  # kubectl's, which else grows in the home folder
    }
    network.enter(places, ("env", *(f"{key}={value}" for key, value in environment.items()), *command))


@app.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: NODES=1 python -m eval.kubernetes run pytest tests/kubernetes",
)
def run_(
    command: Annotated[list[str], typer.Argument(help="What to run.")],
    nodes: Annotated[int, typer.Option(min=1, max=4, envvar="NODES", help="Of the cluster made for it.")] = 2,
) -> None:
    """Run a command on the cluster that PRIMUM_TEST_CONTEXT names; else on one that is up for it alone.

    Where neither can be had the command runs all the same, and PRIMUM_TEST_WITHOUT says why there is none.
    """
    choice = choose(os.environ)
    match choice.source:
        case Source.BUILT:
            if DEFAULT in running():
                _say("beside the cluster that stands here; to use that: python -m eval.kubernetes exec COMMAND")
            raise typer.Exit(run_alone(command, nodes, _say))
        case Source.K3S:
            raise typer.Exit(run_in_k3s(command, _say))
        case Source.NAMED | Source.NONE:
            pass
    os.environ[WITHOUT] = choice.reason
    network.become(command)


@app.command("status", epilog="Example: python -m eval.kubernetes status")
def status_(name: Name = DEFAULT) -> None:
    """Show its nodes and pods."""
    exec_(["kubectl", "get", "nodes,pods", "--all-namespaces"], name)


def main() -> None:
    """Run the command; a PrimumError is one line and status 2."""
    for each in ENDS:  # all as Ctrl-C: what was begun is ended before we are
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, signal.default_int_handler)
    try:
        app()
    except PrimumError as error:
        _say(f"primum: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
