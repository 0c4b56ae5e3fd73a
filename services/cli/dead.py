"""`dead list|retry`: what could not be handled. It speaks to NATS itself, so that it works when the services do not."""

import asyncio
from collections.abc import Sequence

from services.cli import screen
from services.cli.bus import operator
from services.cli.runtime import as_json as document
from services.cli.runtime import nats_url
from services.cli.said import printable
from shared.adapters.nats_connection import connected
from shared.adapters.nats_dead import DeadLetter, NatsDeadLetters
from shared.adapters.system import SystemClock
from shared.domain.frozen import JsonObject


def listed(*, as_json: bool) -> None:
    """Print the dead letters, oldest first. Raises PrimumError."""
    letters = asyncio.run(_all(nats_url()))
    if as_json:
        print(document([_said(letter) for letter in letters]))
        return
    now, console = SystemClock().now(), screen.console()
    for letter in letters:
        age = screen.duration((now - letter.at).total_seconds())
        console.print(f"{letter.number}  {letter.service}, {age} ago: {printable(letter.reason)}")
        console.print(f"   {printable(letter.subject)}", style="dim")
    if not letters:
        console.print("nothing is dead", style="dim")


def retry(number: int, *, as_json: bool) -> None:
    """Send one again. Raises PrimumError."""
    letter = asyncio.run(_again(nats_url(), number))
    print(document(_said(letter)) if as_json else f"sent again: {printable(letter.subject)}")


async def _all(url: str) -> Sequence[DeadLetter]:
    async with connected(url, operator()) as connection:
        return await NatsDeadLetters(connection).list()


async def _again(url: str, number: int) -> DeadLetter:
    async with connected(url, operator()) as connection:
        return await NatsDeadLetters(connection).retry(number)


def _said(letter: DeadLetter) -> JsonObject:
    return {**letter.model_dump(mode="json"), "number": letter.number}
