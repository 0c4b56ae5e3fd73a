"""Where commands print: a reader that went away and a disk that is full are errors like every other one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

from shared.domain.errors import PrimumError


class NotPrinted(PrimumError):  # noqa: N818 - what happened
    """Nobody takes what is printed."""


class _Printed:
    """A stream whose failure is a NotPrinted; of an OSError typer and rich make an exit status 1, which means more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._told():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with Path(os.devnull).open("w") as nowhere:  # Python writes what is left there when it ends
                os.dup2(nowhere.fileno(), self._stream.fileno())
            away = isinstance(error, BrokenPipeError)
            advice = "let who reads it read it to its end" if away else "make room, or print it elsewhere"
            raise NotPrinted(f"what this prints cannot be written: {error.strerror}", advice=advice) from error


@contextmanager
def checked() -> Iterator[None]:
    """Let what is printed in the block be written to its last letter. Raises NotPrinted, also from within."""
    with Path(os.devnull).open("w") as nowhere:
        printed = _Printed(sys.stdout or nowhere)  # there is none in a process that was started without
        with redirect_stdout(cast("TextIO", printed)):
            yield
            printed.flush()
