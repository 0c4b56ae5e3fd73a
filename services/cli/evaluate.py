"""`primum eval …`: what holds when things break. What a command does is imported when it is called."""

import typer

evaluate = typer.Typer(
    name="eval", help="Break things on purpose, and count.", no_args_is_help=True, rich_markup_mode=None
)
