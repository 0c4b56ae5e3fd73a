"""Options that several commands have, and that mean the same in each of them."""

from collections.abc import Sequence
from typing import Any

import typer


def seeded(said: str, *names: str) -> Any:
    """Return the option that draws chance. Never below 0: drawn from -7 it is that from 7, and NumPy has none."""
    return typer.Option(*names, min=0, help=said)


def several(said: str) -> Any:
    """Return the option that picks some of many by their names."""
    return typer.Option(callback=_parted, help=f"{said}; several with commas, repeatable.")


def _parted(given: Sequence[str] | None) -> Sequence[str]:
    return [name.strip() for each in given or () for name in each.split(",")]
