"""The rows of a run that are finished, in a file: what is interrupted goes on where it stopped."""

import fcntl
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self

from eval.score import Row
from shared.domain.errors import PrimumError

_OF_A_ROW: Final = {each.name for each in fields(Row)}


@dataclass
class Finished:
    """`with` one run: what it was asked for, then a line for each row. Nobody else has its file meanwhile."""

    file: FileIO
    seed: int
    variants: int
    only: tuple[str, ...]
    rows: list[dict[str, Any]] = field(default_factory=list)
    stands: int = 0
    """How many bytes of the file are this run's already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    @classmethod
    def new(cls, folder: Path, on: str, seed: int, variants: int, only: Sequence[str]) -> Self:
        """Prepare a run on that ground; the one before it is put aside once this one begins. Raises PrimumError."""
        return cls(_taken(folder, on), seed, variants, tuple(only))

    @classmethod
    def of_the_last(cls, folder: Path, on: str) -> Self:
        """Go on with the last run on that ground; what broke off is played again. Raises PrimumError without one."""
        file = _taken(folder, on)
        file.seek(0)
        whole = file.read().rpartition(b"\n")[0]  # a line that was cut off is none
        if not whole:
            file.close()
            raise PrimumError(f"there is no run on {on} to go on with", advice="leave --resume out")
        try:
            asked, *rows = (json.loads(line) for line in whole.splitlines())
            known = [row for row in map(_known, rows) if not row["error"]]
            return cls(file, asked["seed"], asked["variants"], tuple(asked["only"]), known, len(whole) + 1)
        except (ValueError, KeyError, TypeError) as error:
            file.close()
            what = f"{file.name} is no run that can be gone on with"
            raise PrimumError(what, advice="leave --resume out, which begins anew") from error

    def begin(self) -> None:
        """Let the file be this run's, once there is something to play on; the run before lies beside it then.

        Raises PrimumError.
        """
        if not self.stands:
            self._put_aside()
            self._write({"seed": self.seed, "variants": self.variants, "only": self.only})

    def _put_aside(self) -> None:
        self.file.seek(0)
        if before := self.file.read():
            try:
                Path(str(self.file.name)).with_suffix(".before.jsonl").write_bytes(before)
            except OSError as error:
                why = f"the run before cannot be kept beside {self.file.name}: {error.strerror}"
                raise PrimumError(why, advice="make room there") from error

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row. Raises PrimumError."""
        self.begin()
        self.rows.append(row)
        self._write(row)

    def _write(self, said: dict[str, Any]) -> None:
        line = json.dumps(said).encode() + b"\n"
        try:
            self.file.truncate(self.stands)
            self.file.write(line)
            self.file.flush()
        except OSError as error:
            why = f"what is finished cannot be kept in {self.file.name}: {error.strerror}"
            raise PrimumError(why, advice="make room there, and go on with --resume") from error
        self.stands += len(line)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """Return it, if this version may have written it: a table shows one version. Raises ValueError, TypeError."""
    if {*row} != _OF_A_ROW:
        raise ValueError("another version wrote it")
    return row


def _taken(folder: Path, on: str) -> FileIO:
    path = folder / f"{on}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        why = f"what is finished cannot be kept in {path}: {error.strerror}"
        raise PrimumError(why, advice="set PRIMUM_DATA_DIR to a folder that you may write to") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        why = f"another run on {on} keeps its rows in {path}"
        raise PrimumError(why, advice="wait for its end, or set another PRIMUM_DATA_DIR") from error
    return file
