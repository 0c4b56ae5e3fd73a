"""`primum bench …`: figures of the main job under load. What a command does is imported when it is called."""

from typing import Annotated

import typer

from services.cli.options import seeded

bench = typer.Typer(help="Measure: what it takes in, and how fast.", no_args_is_help=True, rich_markup_mode=None)


@bench.callback()
def _group() -> None:
    """Measure: what it takes in, and how fast."""


@bench.command(epilog="Example: primum bench ingest --json; exit status 1 if an alert was lost or stored twice")
def ingest(  # noqa: PLR0913 - one parameter an option
    *,
    alerts: Annotated[int, typer.Option(min=1, help="Distinct ones, in groups; a fifth as many again one a call.")] = (
        10_000
    ),
    duplicates: Annotated[
        float, typer.Option(min=0, max=1, help="The share of calls that a sender repeats, as after a lost answer.")
    ] = 0.05,
    pair: Annotated[bool, typer.Option(help="Two senders, each of which sends everything.")] = True,
    connections: Annotated[int, typer.Option(min=1, help="Of all senders together, each with one call at once.")] = 8,
    group: Annotated[int, typer.Option(min=1, help="The most alerts in one call; sizes are log-uniform from 1.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Bursts, in turn with the same ones without Primum.")] = 5,
    seed: Annotated[int | None, seeded("Draws groups and repeats; printed.")] = None,
    kill: Annotated[bool, typer.Option("--kill", help="Kill NATS in the middle of the middle burst.")] = False,
    sabotage: Annotated[
        str | None,
        typer.Option(help="Break a promise, to see this fail: ack-before-append (kills NATS too) or no-dedup."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Fire alerts at a gateway as fast as they go, and count in the stream what was lost or doubled. Half a minute.

    Raw is what it is compared with: one process and one connection that publish the same messages into the same stream
    with nats-py's publish_async, made beforehand, in turns with the gateway. Every delivery is one, repeats included;
    raw JetStream drops those, the gateway sends few of them. Without repeats: --no-pair --duplicates 0.
    """
    from eval.ingest import bench as it

    options = it.Options(
        alerts=alerts,
        duplicates=duplicates,
        pair=pair,
        connections=connections,
        group=group,
        rounds=rounds,
        seed=seed,
        kill=kill,
        sabotage=sabotage,
        as_json=as_json,
    )
    raise typer.Exit(it.main(options))


@bench.command(epilog="Example: primum bench memory --json; exit status 1 if a service grows or starts too slowly")
def memory(
    *,
    alerts: Annotated[int, typer.Option(min=1, help="Distinct ones; an HA pair sends each twice.")] = 20_000,
    incidents: Annotated[int, typer.Option(min=3, help="Each of a workload of its own, from alert to end.")] = 2_000,
    starts: Annotated[int, typer.Option(min=1, help="How often each service is started, for the median.")] = 3,
    seed: Annotated[int, seeded("Draws what is wrong with whom.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Take incidents through all five services to their end, and watch what their processes hold.

    A quarter of an hour; Ctrl-C prints what was measured so far.
    """
    from eval.memory import bench as it

    raise typer.Exit(it.main(it.Options(alerts, incidents, starts, seed, as_json)))
