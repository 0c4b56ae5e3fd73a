"""Ctrl-C of what starts processes: the first one ends them in order, and a second one does not interrupt that."""

import asyncio
import signal
import sys
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar

_Result = TypeVar("_Result")
ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a supervisor's word, and a terminal that was closed."""
STOPPED: Final = 130
"""The exit status after Ctrl-C."""


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run it as asyncio.run does, until it ends or is told to stop by Ctrl-C, SIGTERM or SIGHUP.

    Raises KeyboardInterrupt if it was told to, once everything that it began is ended: asyncio.run alone would let a
    second Ctrl-C interrupt the ending itself, and a SIGTERM would end nothing.
    """
    told = False

    async def guarded() -> _Result:
        me, loop = asyncio.current_task(), asyncio.get_running_loop()

        def stop() -> None:
            nonlocal told
            if told or me is None:
                with suppress(OSError):  # the terminal may be what went
                    sys.stderr.write("stopping: what was started is being ended\n")
                    sys.stderr.flush()
                return
            told = True
            me.cancel()

        for number in ENDS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants no SIGHUP to end anything
                loop.add_signal_handler(number, stop)
        return await main

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if told:
            # All is ended; one more Ctrl-C while Python goes would make a death by signal of it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt from None
        raise


async def together(each: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Do all at once, and return what each gave. When one fails, or whoever waits is cancelled, all are cancelled once.

    It is over only when every one is: asyncio.gather would leave with the first, and what the others were still ending
    was ended by nobody. Raises what the first to fail raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in each]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]
