"""The people around: Alertmanager's calls, an operator who orders and edits at random, and who is told what."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.applications import Starlette

from eval.lab.alertmanager import Notification
from eval.simulation.loop import VirtualLoop
from eval.simulation.process import Process, ProcessKilledError
from eval.simulation.story import Story
from shared.domain.frozen import JsonObject

PATIENCE_S: Final = 10.0
Answer = tuple[int, Any]


async def request(app: Starlette, method: str, path: str, body: object) -> Answer:
    """Make one HTTP request of an application in this process: the status and the JSON of the answer."""
    status, chunks = 0, bytearray()
    sent = json.dumps(body).encode()
    left: list[Mapping[str, Any]] = [{"type": "http.request", "body": sent, "more_body": False}]

    async def receive() -> Mapping[str, Any]:
        return left.pop() if left else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            chunks.extend(message.get("body", b""))

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(sent)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("gateway.lab", 80),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # starlette's own names for the same mappings
    return status, json.loads(bytes(chunks) or b"null")


@dataclass
class Callers:
    """Everybody who calls a gateway over HTTP."""

    loop: VirtualLoop
    rng: random.Random
    story: Story
    gateways: Callable[[], list[tuple[Process, Starlette]]]
    ordered: dict[str, set[str]] = field(default_factory=lambda: {"approve": set(), "pick": set()})
    """What was ordered, so that the referee knows what nobody ordered."""
    calls: int = 0

    async def call(self, method: str, path: str, body: object = None) -> Answer | None:
        """Call any gateway; None if none answers in time, or it dies over it."""
        there = self.gateways()
        if not there:
            return None
        process, app = self.rng.choice(there)
        self.calls += 1
        task = process.spawn(request(app, method, path, body), f"call {self.calls}")
        await asyncio.wait({task}, timeout=PATIENCE_S)
        if not task.done() or task.cancelled() or isinstance(task.exception(), ProcessKilledError):
            return None
        return task.result()

    async def deliver(self, notification: Notification, settle: Callable[[str], None]) -> None:
        """Send a notification as Alertmanager does, and tell it how that went."""
        answer = await self.call("POST", "/webhooks/alertmanager", notification.payload)
        code = answer[0] if answer else 0
        if code // 100 == 2:
            settle("delivered")
        else:
            settle("refused" if code // 100 == 4 else "failed")
        firing, over = len(notification.firing), len(notification.resolved)
        self.story.tell(
            "alerts", "alertmanager", f"{notification.key}: {firing} firing, {over} over: {code or 'no answer'}"
        )

    async def order(self, what: str, path: str, body: Mapping[str, object]) -> None:
        """Give an order, and say how it was answered."""
        answer = await self.call("POST", path, body)
        if answer is None:
            said = "no answer"
        else:
            said = str(answer[0]) if answer[0] < 300 else f"{answer[0]} {answer[1].get('error', '')}"
        self.story.tell("order", "operator", f"{what}: {said}")


@dataclass
class Receiver:
    """Where messages to people arrive."""

    story: Story
    told: set[str] = field(default_factory=set)

    def take(self, message: JsonObject) -> None:
        self.told.add(str(message["id"]))
        self.story.tell("told", "people", f"{message['why']} {message['id']}: {message['text']}")


@dataclass
class Operator:
    """Somebody on call, who answers some of what is asked, late or never, and sometimes meddles."""

    loop: VirtualLoop
    rng: random.Random
    callers: Callers
    look: Callable[[], list[Mapping[str, Any]]]
    """The open incidents as the ledger has them now: id, state, sequence, pending, plans, transactions."""
    until_s: float
    _seen: set[tuple[str, int]] = field(default_factory=set)

    async def work(self) -> None:
        """Look every few seconds at what is new."""
        while self.loop.time() < self.until_s:
            await self.loop.sleep(self.rng.uniform(2, 8))
            for one in self.look():
                if (one["id"], one["sequence"]) not in self._seen:
                    self._seen.add((one["id"], one["sequence"]))
                    await self._answer(one)

    async def _answer(self, one: Mapping[str, Any]) -> None:
        chance = self.rng.random()
        match one["state"]:
            case "awaiting_approval" if chance < 0.5:
                await self._order("approve", one, one["pending"])
            case "awaiting_approval" if chance < 0.65:
                await self._order("deny", one, one["pending"])
            case "escalated" | "stuck" if chance < 0.15:
                await self._order("close", one)
            case "escalated" | "stuck" if chance < 0.4 and one["plans"]:
                await self._order("pick", one, self.rng.choice(one["plans"]))
            case _:
                pass

    async def _order(self, what: str, one: Mapping[str, Any], plan: str = "") -> None:
        await self.loop.sleep(self.rng.uniform(0.1, 10))
        if what in self.callers.ordered:
            self.callers.ordered[what].add(f"{one['id']} {plan}")
        body = {"by": "operator"} | ({"plan_hash": plan} if plan else {})
        await self.callers.order(f"{what} {one['id']} {plan}".rstrip(), f"/api/incidents/{one['id']}/{what}", body)

    async def meddle(self) -> None:
        """Order something at random about any open incident, whatever it is about just now."""
        found = self.look()
        if not found:
            return
        one = self.rng.choice(found)
        kind = self.rng.choice(("undo", "undo", "take", "close", "approve", "pick"))
        if kind == "undo" and one["transactions"]:
            transaction = self.rng.choice(one["transactions"])
            path = f"/api/transactions/{transaction}/undo"
            await self.callers.order(f"undo {transaction}", path, {"by": "operator", "reason": "it was me"})
        elif kind in ("approve", "pick") and one["plans"]:
            await self._order(kind, one, self.rng.choice(one["plans"]))
        elif kind in ("take", "close"):
            await self._order(kind, one)


Do = Callable[[], Awaitable[None]]
