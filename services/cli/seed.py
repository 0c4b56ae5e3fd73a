"""The option that draws chance, the same for every command that has one."""

from typing import Any

import typer


def seeded(said: str, *names: str) -> Any:
    """Return the option, whose help this is. Never below 0: chance drawn from -7 is that from 7, and NumPy has none."""
    return typer.Option(*names, min=0, help=said)
