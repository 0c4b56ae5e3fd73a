"""The ways between a process and what it talks to: slow, lossy, cut; a request that was sent lands, whoever died."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from eval.simulation.loop import VirtualLoop
from shared.domain.errors import PrimumError

T = TypeVar("T")
NEVER_S: Final = 1e9
USUAL_S: Final = (0.001, 0.03)
"""Between these bounds lies one direction of one exchange."""


@dataclass
class Trouble:
    """Something wrong with a way while it lasts; `whom` names the services that it hits, empty means all."""

    whom: frozenset[str] = frozenset()
    down: bool = False
    loses_requests: float = 0.0
    loses_answers: float = 0.0
    slow_s: float = 0.0
    """At most so much longer, a direction."""

    def hits(self, owner: str) -> bool:
        return not self.whom or owner in self.whom


@dataclass
class Way:
    """One way: to the ledger, to the Kubernetes API, to Prometheus, to the people."""

    name: str
    loop: VirtualLoop
    rng: random.Random
    timeout_s: float
    failure: Callable[[str], PrimumError]
    """What a caller is told who waited in vain."""
    troubles: list[Trouble] = field(default_factory=list)

    async def call(self, owner: str, asked: str, effect: Callable[[], T]) -> T:
        """Send a request, let it take effect there when it lands, and wait for the answer, at most `timeout_s`.

        The caller's end does not call the request back: what was sent lands.
        """
        out_s, back_s = self._delays(owner)
        answer: asyncio.Future[T] = self.loop.create_future()
        if out_s < NEVER_S:
            self.loop.call_later(out_s, self._land, effect, answer, back_s)
        if out_s + back_s < self.timeout_s:
            return await answer
        timer = self.loop.call_later(self.timeout_s, _give_up, answer, self.failure(f"{asked}: no answer"))
        try:
            return await answer
        finally:
            timer.cancel()

    def _land(self, effect: Callable[[], T], answer: "asyncio.Future[T]", back_s: float) -> None:
        try:
            result = effect()
        except PrimumError as refusal:
            self._answer(back_s, _fail, answer, refusal)
        else:
            self._answer(back_s, _succeed, answer, result)

    def _answer(self, back_s: float, how: Callable[..., None], answer: "asyncio.Future[T]", said: object) -> None:
        if back_s < NEVER_S:
            self.loop.call_later(back_s, how, answer, said)

    def _delays(self, owner: str) -> tuple[float, float]:
        out_s, back_s = self.rng.uniform(*USUAL_S), self.rng.uniform(*USUAL_S)
        for trouble in self.troubles:
            if not trouble.hits(owner):
                continue
            if trouble.slow_s:
                out_s += self.rng.uniform(0, trouble.slow_s)
                back_s += self.rng.uniform(0, trouble.slow_s)
            if trouble.down or self.rng.random() < trouble.loses_requests:
                out_s = NEVER_S
            if self.rng.random() < trouble.loses_answers:
                back_s = NEVER_S
        return out_s, back_s

    def is_down(self, owner: str) -> bool:
        return any(trouble.down and trouble.hits(owner) for trouble in self.troubles)


def _give_up(answer: "asyncio.Future[T]", failure: PrimumError) -> None:
    if not answer.done():
        answer.set_exception(failure)


def _fail(answer: "asyncio.Future[T]", refusal: PrimumError) -> None:
    if not answer.done():
        answer.set_exception(refusal)


def _succeed(answer: "asyncio.Future[T]", result: T) -> None:
    if not answer.done():
        answer.set_result(result)
