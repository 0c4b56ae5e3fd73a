"""`primum eval …`: what holds when things break. What a command does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.options import seeded, several

evaluate = typer.Typer(
    name="eval", help="Break things on purpose, and count.", no_args_is_help=True, rich_markup_mode=None
)


@evaluate.callback()
def everything() -> None:
    """Break things on purpose, and count."""


@evaluate.command(
    epilog="Example: primum eval run --only wrong-image,quota-exceeded --seed 7 --report report.html; "
    "what the columns mean: docs/evaluation.md"
)
def run(  # noqa: PLR0913 - one parameter an option
    *,
    on: Annotated[str, typer.Option(help="The ground: lab, or kubernetes.")] = "lab",
    only: Annotated[list[str] | None, several("Only this scenario, as --list names it")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say which scenarios there are, and play none.")] = False,
    seed: Annotated[int | None, seeded("Draws names, targets and noise; printed.")] = None,
    variants: Annotated[
        int, typer.Option(min=1, help="Of each scenario: another shop, another service, other noise beside it.")
    ] = 1,
    report: Annotated[Path | None, typer.Option(help="Write a page with plots, too.", metavar="FILE.html")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last run on this ground.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Make each fault there is, and judge by its truth what Primum did about it; status 1 unless all end as they must.

    Found, blamed on the right object, named, mended or rightly left to a person; read from Primum's ledger and from the
    cluster, never from what it says of itself. Five to ten minutes for all that the lab can play; two a scenario on
    kubernetes, where all take just under two hours.
    """
    from eval import run as it

    options = it.Options(on, tuple(only or ()), seed, variants, as_json, report, resume)
    raise typer.Exit(it.listed(options) if listed else it.main(options))


@evaluate.command(epilog="Example: primum eval crash --only mitigator --seed 7 --json")
def crash(  # noqa: PLR0913 - one parameter an option
    *,
    scope: Annotated[str, typer.Option(help="What is killed: pipeline, the five services and NATS.")] = "pipeline",
    seed: Annotated[int | None, seeded("Of chance; with a row's own, that row is played again.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="VICTIM or VICTIM:MOMENT, whose beginning is enough; repeatable.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Kills at random moments, for each victim.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="A few rows that stand for all.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Say which rows these are, and play none.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Rows at a time.")] = 2,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin no row after a red one.")] = False,
    within_s: Annotated[float, typer.Option("--within", min=1, help="Seconds in which a row must be over.")] = 100,
    sabotage: Annotated[
        str, typer.Option(help="A defect on purpose: ack-before-append or no-compare-and-swap. It must be seen.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Kill, freeze and starve every part at every moment; status 1 unless all ends as without that."""
    from eval.crash import run

    options = run.Options(scope, seed, tuple(only or ()), rounds, quick, jobs, fail_fast, within_s, sabotage, as_json)
    raise typer.Exit(run.listed(options) if listed else run.main(options))


@evaluate.command(
    epilog="Example: primum eval simulate --seeds 1000 --jobs 2 --json; exit status 1 if a promise was broken"
)
def simulate(  # noqa: PLR0913 - one parameter an option
    *,
    seeds: Annotated[int, typer.Option(min=1, help="So many seeds in a row.")] = 100,
    first: Annotated[int, seeded("The first of them.", "--first", "--seed")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that play them.")] = 1,
    sabotage: Annotated[
        str | None,
        typer.Option(
            help="Put a defect in, which must be found: no-compare-and-swap, ack-before-append, ignores-the-epoch, "
            "undo-skips-the-unconfirmed or believes-anybody."
        ),
    ] = None,
    without: Annotated[
        list[int] | None, typer.Option(help="Leave out the fault of this number; may be repeated.")
    ] = None,
    shrink: Annotated[
        bool, typer.Option("--shrink/--no-shrink", help="Leave out what a broken promise does not take.")
    ] = True,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first broken promise.")] = False,
    story: Annotated[bool, typer.Option("--story", help="Tell the story of each seed, on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """All of Primum and a cluster on virtual time, with faults and crashes from a seed: no promise may be broken."""
    from eval.simulation import command

    options = command.Options(
        seeds=seeds,
        first=first,
        jobs=jobs,
        sabotage=sabotage,
        without=frozenset(without or ()),
        shrink=shrink,
        fail_fast=fail_fast,
        story=story,
        as_json=as_json,
    )
    raise typer.Exit(command.simulate(options))


@evaluate.command(epilog="Example: primum eval storm --causes 3 --seed 7 --json")
def storm(  # noqa: PLR0913 - one parameter an option
    *,
    alerts: Annotated[
        int, typer.Option(min=10, help="Distinct ones in each storm of the first --large seeds; a pair sends each.")
    ] = 5000,
    large: Annotated[int, typer.Option(min=0, help="How many of the seeds have so many.")] = 5,
    fewer: Annotated[int, typer.Option(min=10, help="Alerts in each storm of the other seeds.")] = 250,
    causes: Annotated[
        list[int] | None, typer.Option(min=1, max=3, help="How many; repeatable.", show_default="1 and 3")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many storms of each kind.")] = 50,
    first_seed: Annotated[int, seeded("The seeds are this one and those that follow.")] = 1,
    seed: Annotated[int | None, seeded("Only this one.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Storms at the same time.")] = 2,
    whole: Annotated[
        int, typer.Option(min=0, help="With how many of the seeds all five services run; else gateway and detector.")
    ] = 2,
    sabotage: Annotated[str | None, typer.Option(help="A defect on purpose: grouping. It must be seen.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a line.")] = False,
) -> None:
    """Send storms of alerts whose causes are known; status 1 if any is lost, doubled, merged or split wrongly."""
    from eval.storm import run

    chosen = (seed,) if seed is not None else tuple(range(first_seed, first_seed + seeds))
    options = run.Options(
        alerts=alerts,
        fewer=fewer,
        large=large,
        causes=tuple(causes or (1, 3)),
        seeds=chosen,
        whole=whole,
        jobs=jobs,
        sabotage=sabotage,
        as_json=as_json,
    )
    raise typer.Exit(run.main(options))


@evaluate.command(epilog="Example: primum eval replicas --only rolling-restart --seed 7 --json")
def replicas(  # noqa: PLR0913 - one parameter an option
    *,
    seed: Annotated[int | None, seeded("Of chance; with the same one a row is played again.")] = None,
    only: Annotated[list[str] | None, several("One case, by its name")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two cases that stand for all, in a minute.")] = False,
    within_s: Annotated[float, typer.Option("--within", min=1, help="Seconds in which a row must be over.")] = 100,
    sabotage: Annotated[
        str, typer.Option(help="A defect on purpose: no-compare-and-swap or ack-before-append. It must be seen.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Two and three of each service, restarted in a storm, on a bus that loses its leader; status 1 unless all is 0."""
    from eval.replicas import run

    raise typer.Exit(run.main(run.Options(seed, tuple(only or ()), quick, within_s, sabotage, as_json)))
