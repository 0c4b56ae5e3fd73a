"""A bound on the computing of one seed: what spins lets no virtual time pass, so no timer of its own could end it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

MOST_S: Final = 60.0
"""Of computing; a seed takes half a second, and the longest a few."""


class EndlessError(BaseException):
    """It computes for ever. Not an Exception: nobody may take it for his own."""


@contextmanager
def bounded(seconds: float, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell it, and raise EndlessError in whatever still runs after so many seconds of computing; in a main thread only.

    It is told because whatever runs may be a task that nobody asks for its end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(*_: object) -> NoReturn:
        tell(said := f"it computes for more than {seconds:g} s")
        raise EndlessError(said)

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
