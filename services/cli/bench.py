"""`primum bench …`: figures of the main job under load. What a command does is imported when it is called."""

import typer

bench = typer.Typer(help="Measure: what it takes in, and how fast.", no_args_is_help=True, rich_markup_mode=None)
