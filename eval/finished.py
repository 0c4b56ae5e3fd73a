"""The rows of a run that are finished, in a file: what is interrupted goes on where it stopped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from shared.domain.errors import PrimumError


@dataclass
class Finished:
    """One run: what it was asked for, then a line for each row."""

    file: Path
    seed: int
    variants: int
    only: tuple[str, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def new(cls, folder: Path, on: str, seed: int, variants: int, only: Sequence[str]) -> Self:
        """Begin a run on that ground; the one before it is forgotten."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{on}.jsonl"
        file.write_text(json.dumps({"seed": seed, "variants": variants, "only": only}) + "\n", encoding="utf-8")
        return cls(file, seed, variants, tuple(only))

    @classmethod
    def of_the_last(cls, folder: Path, on: str) -> Self:
        """Go on with the last run on that ground; what broke off is played again. Raises PrimumError without one."""
        file = folder / f"{on}.jsonl"
        if not file.exists():
            raise PrimumError(f"there is no run on {on} to go on with", advice="leave --resume out")
        head, *lines = file.read_text(encoding="utf-8").splitlines()
        asked = json.loads(head)
        rows = [json.loads(line) for line in lines]
        known = [row for row in rows if not row["error"]]
        return cls(file, asked["seed"], asked["variants"], tuple(asked["only"]), known)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self.rows.append(row)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
