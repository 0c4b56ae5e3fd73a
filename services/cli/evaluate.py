"""`primum eval …`: what holds when things break. What a command does is imported when it is called."""

from typing import Annotated

import typer

evaluate = typer.Typer(
    name="eval", help="Break things on purpose, and count.", no_args_is_help=True, rich_markup_mode=None
)


@evaluate.callback()
def everything() -> None:
    """Break things on purpose, and count."""


@evaluate.command(epilog="Example: primum eval crash --only mitigator --seed 7 --json")
def crash(  # noqa: PLR0913 - one parameter an option
    *,
    scope: Annotated[str, typer.Option(help="What is killed: pipeline, the five services and NATS.")] = "pipeline",
    seed: Annotated[int | None, typer.Option(help="Of chance; with a row's own, that row is played again.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="VICTIM or VICTIM:MOMENT, whose beginning is enough; repeatable.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Kills at random moments, for each victim.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="A few rows that stand for all.")] = False,
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
    raise typer.Exit(run.main(options))
