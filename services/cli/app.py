"""`primum`: the commands and their options. What they do is imported when they are called: help must be instant."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from services.cli import output
from services.cli.bench import bench
from services.cli.evaluate import evaluate
from services.cli.options import seeded, several
from shared.domain.errors import PrimumError

app = typer.Typer(
    help="An autonomous on-call responder for Kubernetes that never leaves the cluster worse than it found it.",
    epilog="Example: primum up --mode observe, and in another terminal: primum status",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
runbook = typer.Typer(help="The runbooks: contracts of what may be done.", no_args_is_help=True, rich_markup_mode=None)
dead = typer.Typer(help="Messages that could not be handled.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(runbook, name="runbook")
bus = typer.Typer(help="The bus: who may speak on it, and what it keeps.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(dead, name="dead")
app.add_typer(evaluate, name="eval")
app.add_typer(bench, name="bench")
app.add_typer(bus, name="bus")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again.")]
By = Annotated[str, typer.Option(help="Who orders it; your user name if left out.")]
Why = Annotated[str, typer.Option(help="Why, for the record.")]
Incident = Annotated[str, typer.Argument(help="The incident; the beginning of its id is enough.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Where `primum up` keeps its data.", envvar="PRIMUM_DATA_DIR", show_default="~/.primum"),
]
Kubeconfig = Annotated[
    Path | None, typer.Option(envvar="PRIMUM_KUBECONFIG", help="The kubeconfig; else what kubectl would use.")
]
Context = Annotated[
    str | None, typer.Option(envvar="PRIMUM_KUBE_CONTEXT", help="The context in it; else its current one.")
]


def main() -> None:
    """Run a command; every failure that a person can act on is one line and exit status 2."""
    try:
        with output.checked():
            status = app(prog_name="primum", standalone_mode=False)
    except PrimumError as error:
        _fail(str(error))
    except typer.Abort:
        _fail("nothing was answered, and nothing was done")
    except typer.TyperException as error:
        said, context = error.format_message(), getattr(error, "ctx", None)
        if said.startswith("Usage: "):  # of a group without a command it is the help
            print(said, file=sys.stderr)
            sys.exit(2)
        command = context.command_path if context else _called(sys.argv[1:])
        _fail(f"{said[:1].lower()}{said[1:].rstrip('.')}: `{command} --help` says how it is called")
    sys.exit(status)


def _called(words: Sequence[str]) -> str:
    """Return the command that these words call: an option without its value is an error that does not know it."""
    path, known = ["primum"], typer.main.get_command(app)
    for word in words:
        if isinstance(known, typer.core.TyperGroup) and word in known.commands:
            known = known.commands[word]
            path.append(word)
    return " ".join(path)


def _fail(said: str) -> NoReturn:
    with suppress(OSError):  # `2>&1 | head` may have closed that, too
        print(f"error: {' '.join(said.split())}", file=sys.stderr)
    sys.exit(2)


@app.callback()
def everywhere(data: Data = None) -> None:
    """Remember where Primum keeps its data."""
    from services.cli import runtime

    if data is not None:
        runtime.use(data)


@app.command(epilog="Example: primum up --mode suggest --context staging")
def up(  # noqa: PLR0913 - one parameter an option
    *,
    data: Data = None,
    nats_url: Annotated[str | None, typer.Option(help="A NATS to use; without one, one is started.")] = None,
    host: Annotated[str | None, typer.Option(help="Where the gateway listens.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Its port; 0 takes a free one.", show_default="8321")] = None,
    mode: Annotated[
        str | None, typer.Option(envvar="PRIMUM_MODE", help="observe, suggest or act.", show_default="observe")
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Start Primum here: the five services, and a NATS unless you have one; Ctrl-C stops them."""
    from services.cli import up as it

    options = it.Options(data, nats_url, host, port, mode, kubeconfig, context)
    raise typer.Exit(it.up(options))


@app.command(epilog="Example: primum status --json")
def status(*, as_json: Json = False) -> None:
    """What each agent does now, and what is open."""
    from services.cli import looking

    looking.status(as_json=as_json)


@app.command(epilog="Example: primum incidents --all")
def incidents(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    as_json: Json = False,
) -> None:
    """The incidents, newest first."""
    from services.cli import looking

    looking.incidents(everything=everything, as_json=as_json)


@app.command(epilog="Example: primum show inc-4f")
def show(incident: Incident, *, as_json: Json = False) -> None:
    """One incident: its timeline with evidence, what was written, the health before and after."""
    from services.cli import looking

    looking.show(incident, as_json=as_json)


@app.command(epilog="Example: primum approve inc-4f")
def approve(incident: Incident, *, by: By = "", yes: Yes = False, as_json: Json = False) -> None:
    """Let Primum do what it asks for; it shows what that is, whom it can touch and how it is taken back."""
    from services.cli import ordering

    ordering.approve(incident, by, yes=yes, as_json=as_json)


@app.command(epilog="Example: primum deny inc-4f --reason 'not during the sale'")
def deny(incident: Incident, *, reason: Why = "", by: By = "", as_json: Json = False) -> None:
    """Refuse what Primum asks for; it looks for another way."""
    from services.cli import ordering

    ordering.deny(incident, by, reason, as_json=as_json)


@app.command(epilog="Example: primum take inc-4f")
def take(incident: Incident, *, by: By = "", as_json: Json = False) -> None:
    """Take an incident over: Primum keeps its hands off it."""
    from services.cli import ordering

    ordering.take(incident, by, as_json=as_json)


@app.command(epilog="Example: primum pick inc-4f --plan 0123456789abcdef")
def pick(
    incident: Incident,
    *,
    plan: Annotated[str, typer.Option(help="The plan's hash; the pending one if left out.")] = "",
    by: By = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Choose a plan of an escalated or stuck incident: Primum carries it out."""
    from services.cli import ordering

    ordering.pick(incident, plan, by, yes=yes, as_json=as_json)


@app.command(epilog="Example: primum close inc-4f --reason 'mended by hand'")
def close(incident: Incident, *, reason: Why = "", by: By = "", as_json: Json = False) -> None:
    """Close an escalated or stuck incident."""
    from services.cli import ordering

    ordering.close(incident, by, reason, as_json=as_json)


@app.command(epilog="Example: primum undo txn-7c --reason 'it was me'")
def undo(
    transaction: Annotated[str, typer.Argument(help="The transaction, as `primum show` names it.")],
    *,
    reason: Why = "",
    by: By = "",
    as_json: Json = False,
) -> None:
    """Take back what Primum did: one transaction, kept or under way, whole."""
    from services.cli import ordering

    ordering.undo(transaction, by, reason, as_json=as_json)


@app.command(epilog="Example: primum pause 'release in progress'")
def pause(
    reason: Annotated[str, typer.Argument(help="Why, for everybody who looks.")], *, by: By = "", as_json: Json = False
) -> None:
    """Begin nothing new, and take back what is under way; undo itself never pauses."""
    from services.cli import ordering

    ordering.pause(reason, by, as_json=as_json)


@app.command(epilog="Example: primum resume")
def resume(*, by: By = "", as_json: Json = False) -> None:
    """End a pause."""
    from services.cli import ordering

    ordering.resume(by, as_json=as_json)


@app.command(epilog="Example: primum diagnose -n shop; exit status 0: healthy, 1: findings, 2: could not look")
def diagnose(  # noqa: PLR0913 - one parameter an option
    *,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Only here; may be repeated.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    prometheus: Annotated[
        str,
        typer.Option(envvar="PRIMUM_PROMETHEUS_URL", help="For what only metrics show; without it, structure alone."),
    ] = "",
    timeout_s: Annotated[
        float, typer.Option("--timeout", envvar="PRIMUM_KUBE_TIMEOUT_S", min=0.1, help="Of each request, in seconds.")
    ] = 10.0,
    window_s: Annotated[
        float,
        typer.Option("--window", envvar="PRIMUM_METRICS_WINDOW_S", min=1, help="Of the metrics' rates, in seconds."),
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Look at a cluster and say what is wrong with it. Reads only; needs no NATS, no key, no Primum running."""
    from services.cli import diagnose as it

    where = it.Where(tuple(namespace or ()), kubeconfig, context, prometheus, timeout_s, window_s)
    raise typer.Exit(it.diagnose(where, as_json=as_json))


@app.command(epilog="Example: primum demo --seed 7 --json; exit status 1 if anything ended otherwise than it should")
def demo(  # noqa: PLR0913 - one parameter an option
    *,
    on: Annotated[str, typer.Option(help="The cluster that is broken: lab, which is embedded, or kubernetes.")] = "lab",
    seed: Annotated[int | None, seeded("Draws names, targets, order and noise; printed.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds in a row, from `--seed` on.")] = 1,
    only: Annotated[list[str] | None, several("Only this scenario")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running at the end, until Ctrl-C.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first that ends wrongly.")] = False,
    sabotage: Annotated[
        str | None, typer.Option(help="Switch an organ off: judge, undo, writes, grouping or diagnosis.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Break a shop in an embedded cluster in seven ways, and watch Primum deal with each. A minute and a half.

    On kubernetes it is a real cluster, and about two minutes for each of them.
    """
    from eval import demo as it

    options = it.Options(
        on=on,
        seed=seed,
        seeds=seeds,
        only=tuple(only or ()),
        as_json=as_json,
        keep=keep,
        fail_fast=fail_fast,
        sabotage=sabotage,
    )
    raise typer.Exit(it.main(options))


@app.command(epilog="Example: primum version")
def version(*, as_json: Json = False) -> None:
    """Which Primum this is."""
    from services.cli import looking

    looking.version(as_json=as_json)


Folder = Annotated[Path | None, typer.Option("--folder", envvar="PRIMUM_RUNBOOKS", help="Further runbooks.")]


@runbook.command("list", epilog="Example: primum runbook list")
def runbook_list(*, folder: Folder = None, as_json: Json = False) -> None:
    """The runbooks there are."""
    from services.cli import runbooks

    runbooks.listed(folder, as_json=as_json)


@runbook.command("show", epilog="Example: primum runbook show roll-back-deployment")
def runbook_show(name: str, *, folder: Folder = None, as_json: Json = False) -> None:
    """One runbook: what it treats, when, in which steps, at which risk."""
    from services.cli import runbooks

    runbooks.show(name, folder, as_json=as_json)


@runbook.command("lint", epilog="Example: primum runbook lint runbooks/*.yaml; exit status 1 if one is invalid")
def runbook_lint(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files; without any, those that Primum would load.")
    ] = None,
    *,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Whether runbooks keep to the contract's form."""
    from services.cli import runbooks

    raise typer.Exit(runbooks.lint(tuple(files or ()), folder, as_json=as_json))


@dead.command("list", epilog="Example: primum dead list")
def dead_list(*, as_json: Json = False) -> None:
    """What could not be handled, and why."""
    from services.cli import dead as it

    it.listed(as_json=as_json)


@dead.command("retry", epilog="Example: primum dead retry 17")
def dead_retry(
    number: Annotated[int, typer.Argument(help="Its number in `primum dead list`.")], *, as_json: Json = False
) -> None:
    """Send one of them again, where it came from."""
    from services.cli import dead as it

    it.retry(number, as_json=as_json)


@bus.command("keys", epilog="Example: primum bus keys --out keys")
def bus_keys(
    *,
    out: Annotated[Path | None, typer.Option(help="Where to; else where `primum up` has them.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key for each service and the operator, and the users for a nats-server's configuration."""
    from services.cli import bus as it

    it.keys(out, as_json=as_json)


@bus.command("setup", epilog="Example: primum bus setup --nats-url nats://nats:4222 --key keys/operator.nk")
def bus_setup(
    *,
    nats_url: Annotated[str, typer.Option(envvar="PRIMUM_NATS_URL", help="Else that of `primum up`.")] = "",
    key: Annotated[Path | None, typer.Option(help="The operator's; else that of `primum up`.")] = None,
    as_json: Json = False,
) -> None:
    """Make the streams and consumers that are missing, and mend those that differ: no service may."""
    from services.cli import bus as it

    it.setup(nats_url, key, as_json=as_json)
