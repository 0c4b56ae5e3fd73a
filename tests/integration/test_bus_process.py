"""What only a process of its own can show: kill -9, SIGTERM, and a start before NATS."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from shared.adapters.nats_inbox import NatsInbox
from shared.adapters.nats_server import EmbeddedNats
from shared.adapters.system import SystemClock
from shared.bus import pull, streams
from shared.bus.ending import cancelled
from shared.bus.setup import Plan, keep_up
from shared.domain.events import Owner
from shared.testing.builders import an_alert
from shared.testing.keys import operator, seal_of, settings_of, write_keys
from shared.testing.running import until

CLOCK = SystemClock()
PROGRAM = Path(__file__).with_name("a_detector.py")


class Detectors:
    """Processes of the test's service, one after the other or side by side, and what they saw."""

    def __init__(self, folder: Path, nats_url: str) -> None:
        self._folder, self._nats_url = folder, nats_url
        self._keys = settings_of(Owner.DETECTOR, write_keys(folder / "keys"))
        self._seen, self.gate = folder / "seen", folder / "gate"
        self.processes: list[Process] = []
        self._operating: asyncio.Task[None] | None = None

    async def start(self, *, ack_wait_s: float = 30, **settings: object) -> Process:
        """Start one; beside the first an operator sees to streams and durables, as in `primum up`."""
        if self._operating is None:
            plan = Plan(streams.Keeping(), pull.sources(Owner.DETECTOR, ack_wait_s, (), alerts=True))
            self._operating = asyncio.create_task(keep_up(self._nats_url, operator(), plan, CLOCK, lambda _: None))
        environment = {
            **os.environ,
            "SEEN": str(self._seen),
            "GATE": str(self.gate),
            "PRIMUM_NATS_URL": self._nats_url,
            **{f"PRIMUM_{name.upper()}": str(path) for name, path in self._keys.items()},
            "PRIMUM_RUNTIME_DIR": str(self._folder),
            "PRIMUM_ACK_WAIT_S": str(ack_wait_s),
            **{f"PRIMUM_{name.upper()}": str(value) for name, value in settings.items()},
        }
        with (self._folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(PROGRAM), env=environment, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def seen(self) -> Sequence[str]:
        """Each handling that began, in order."""
        return self._seen.read_text().split() if self._seen.exists() else []

    async def saw(self, count: int) -> None:
        """Wait until so many handlings began."""

        async def enough() -> bool:
            return len(self.seen()) >= count

        await until(enough, CLOCK, 20)

    async def get(self, path: str) -> httpx.Response | None:
        """GET from the newest process; None while it does not listen."""
        found = self._folder / "service-detector.json"
        if not found.exists():
            return None
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.get(f"{json.loads(found.read_text())['url']}{path}")

    async def answers(self, path: str, status: int) -> httpx.Response:
        """Wait until it answers with that status."""
        answer = None

        async def it_does() -> bool:
            nonlocal answer
            answer = await self.get(path)
            return answer is not None and answer.status_code == status

        await until(it_does, CLOCK, 20)
        assert answer is not None
        return answer

    async def end(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if self._operating is not None:
            await cancelled([self._operating])


@pytest.fixture
async def detectors(tmp_path: Path, nats_server: EmbeddedNats) -> AsyncIterator[Detectors]:
    """Processes that end with the test."""
    started = Detectors(tmp_path, nats_server.url)
    yield started
    await started.end()


async def test_a_killed_process_loses_no_alert(detectors: Detectors, connection: Client) -> None:
    """Killed in the middle of its work: the next process gets what was not acknowledged, and all the rest."""
    inbox = NatsInbox(connection, seal_of(Owner.GATEWAY))
    await asyncio.gather(*(inbox.put(an_alert(fingerprint=f"f{number}")) for number in range(200)))
    first = await detectors.start(ack_wait_s=1)
    await detectors.saw(8)
    first.send_signal(signal.SIGKILL)
    await first.wait()
    assert len(detectors.seen()) < 200
    detectors.gate.touch()
    await detectors.start(ack_wait_s=1)

    async def all_seen() -> bool:
        return set(detectors.seen()) == {f"f{number}" for number in range(200)}

    await until(all_seen, CLOCK, 20)


async def test_sigterm_hands_back_and_ends_well(detectors: Detectors, connection: Client) -> None:
    """Exit status 0, and the other process has the alert at once, not after ack_wait."""
    first = await detectors.start(grace_s=0, ack_wait_s=60)
    await NatsInbox(connection, seal_of(Owner.GATEWAY)).put(an_alert())
    await detectors.saw(1)
    first.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await first.wait() == 0
    await detectors.start()
    await detectors.saw(2)
    assert detectors.seen() == ["f1", "f1"]


async def test_it_may_start_before_nats(detectors: Detectors, nats_server: EmbeddedNats) -> None:
    """Alive but not ready, with the reason and what to do in one line of log; then NATS comes and it works."""
    await nats_server.stop()
    process = await detectors.start()
    assert (await detectors.answers("/alive", 200)).json()["service"] == "detector"
    assert "no NATS answers at 127.0.0.1" in (await detectors.answers("/ready", 503)).json()["reasons"][0]
    await nats_server.start()
    await detectors.answers("/ready", 200)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_its_log_is_json_on_stderr(detectors: Detectors, tmp_path: Path) -> None:
    """One object a line, each with its service; the first says where it listens."""
    process = await detectors.start()
    await detectors.answers("/ready", 200)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["listening", "connected to NATS", "stopped"]
    assert {line["service"] for line in lines} == {"detector"}
    assert not (tmp_path / "service-detector.json").exists()
