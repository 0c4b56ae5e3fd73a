"""Sends notifications to a receiver, or to its replicas, over HTTP, and reports to Alertmanager how each went."""

import asyncio
from collections.abc import Callable, Sequence

import httpx

from eval.lab.alertmanager import Alertmanager, Notification
from shared.adapters.loopback import PLAIN

TIMEOUT_S = 10.0


class Webhook:
    """One POST a notification, each a task; the pauses between tries are Alertmanager's, in model time.

    Of several addresses each sender has its own, and another one after each connection that failed: as behind a load
    balancer.
    """

    def __init__(
        self, urls: Sequence[str], token: str | None, alertmanager: Alertmanager, now_s: Callable[[], float]
    ) -> None:
        headers = {"user-agent": "Alertmanager/0.28.1"} | ({"authorization": f"Bearer {token}"} if token else {})
        self._urls, self._failures = urls, 0
        self._alertmanager = alertmanager
        self._now_s = now_s
        self._client = httpx.AsyncClient(headers=headers, timeout=TIMEOUT_S, trust_env=False, verify=PLAIN)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, notification: Notification, done: Callable[[Notification], None]) -> None:
        """Begin to send; `done` is called on a 2xx."""
        task = asyncio.get_running_loop().create_task(self._post(notification, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, notification: Notification, done: Callable[[Notification], None]) -> None:
        url = self._urls[(notification.sender + self._failures) % len(self._urls)]
        try:
            answer = await self._client.post(url, json=notification.payload)
        except httpx.TransportError:
            self._failures += 1
            self._alertmanager.failed(notification, self._now_s())
            return
        if answer.is_success:
            done(notification)
        elif answer.is_client_error:
            self._alertmanager.refuse(notification, self._now_s())
        else:
            self._alertmanager.failed(notification, self._now_s())

    async def close(self) -> None:
        """Stop what is under way; an answer that was not seen is no delivery."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()
