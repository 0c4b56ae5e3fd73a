"""`primum up`: five services and their bus from one command; what dies comes back, what is stopped leaves nothing."""

import asyncio
import functools
import json
import os
import signal
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import structlog
from structlog.typing import FilteringBoundLogger

from eval.kubeconfig import write_kubeconfig
from services.cli.child import Child, Program
from services.cli.supervisor import Supervisor, SupervisorSettings
from shared.adapters.loopback import PLAIN
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError
from shared.testing.command_line import CommandLine, Ran
from shared.testing.http_server import nobody_listening
from shared.testing.running import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
STARTS_WITHIN_S = 90
"""What `primum up` gives itself to be ready and to stop, 60 s and 15 s, and a little."""
WARNS_WITHIN_S = 20
"""Once it is ready: a request to the cluster is given 10 s."""
FIVE = {"gateway", "detector", "diagnoser", "mitigator", "undo"}


def a_kubeconfig(path: Path) -> Path:
    """A cluster that is not there: the services start without it, and say so when they are asked to look."""
    return write_kubeconfig(path, "http://127.0.0.1:9", {"token": "any"})


@dataclass
class Up:
    """A running `primum up`."""

    primum: CommandLine
    data: Path
    process: asyncio.subprocess.Process

    async def run(self, *arguments: str) -> Ran:
        return await self.primum(*arguments, PRIMUM_DATA_DIR=str(self.data))

    async def run_again(self, *arguments: str) -> Ran:
        """Run what another test has seen as a process from its start."""
        return await self.primum.again(*arguments, PRIMUM_DATA_DIR=str(self.data))

    @property
    def pids(self) -> Mapping[str, int]:
        pids: dict[str, int] = json.loads((self.data / "runtime" / "processes.json").read_text())["pids"]
        return pids

    @property
    def gateway(self) -> Mapping[str, str]:
        said: dict[str, str] = json.loads((self.data / "runtime" / "gateway.json").read_text())
        return said

    async def warns(self) -> str:
        """The first line on stderr that is a warning."""
        assert self.process.stderr is not None
        async with asyncio.timeout(WARNS_WITHIN_S):
            while b"warning" not in (line := await self.process.stderr.readline()):
                assert line, "it ended without a warning"
        return line.decode()

    async def says_it_is_ready(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(STARTS_WITHIN_S):
            while b"is ready" not in (line := await self.process.stdout.readline()):
                assert line, "it ended before it was ready"

    async def post_an_alert(self) -> int:
        alert = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-01-01T12:00:00Z"}
        bearer = {"Authorization": f"Bearer {self.gateway['token']}"}
        async with httpx.AsyncClient(
            base_url=self.gateway["url"], headers=bearer, trust_env=False, verify=PLAIN
        ) as http:
            answer = await http.post("/webhooks/alertmanager", json={"version": "4", "alerts": [alert]})
        return answer.status_code


async def started(primum: CommandLine, home: Path) -> AsyncIterator[Up]:
    """Start one on free ports, and stop it at the end."""
    kubeconfig = a_kubeconfig(home / "kubeconfig")
    data = home / "data"
    arguments = ("up", "--data", data, "--port", "0", "--kubeconfig", kubeconfig, "--mode", "observe")
    async with primum.running(*arguments) as process:
        up = Up(primum, data, process)
        await up.says_it_is_ready()
        yield up


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    """One that many tests look at."""
    home = tmp_path_factory.mktemp("up")
    async for running in started(CommandLine(home), home):
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def own(tmp_path: Path) -> AsyncIterator[Up]:
    """One for a test that ends it."""
    async for running in started(CommandLine(tmp_path), tmp_path):
        yield running


def runs(pid: int) -> bool:
    """Whether a process is there and no corpse."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_five_services_say_what_they_do(up: Up) -> None:
    """`primum status` finds them by what `up` wrote down."""
    said = (await up.run("status", "--json")).json
    assert isinstance(said["agents"], dict)
    assert set(said["agents"]) == FIVE
    assert said["mode"] == "observe"
    assert set(up.pids) == FIVE | {"nats"}


async def test_a_cluster_that_does_not_answer_is_warned_of(up: Up) -> None:
    """One line with what, why and what to do; it goes on, as the cluster may come later."""
    said = await up.warns()
    assert said.startswith("warning: the cluster cannot be looked at now: ")
    assert "PRIMUM_KUBECONFIG" in said
    assert (await up.run_again("status")).status == 0


async def test_the_token_is_for_its_user_alone(up: Up) -> None:
    """It is made at the first start, and asked for at every call."""
    for path in (up.data / "token", up.data / "runtime" / "gateway.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with httpx.AsyncClient(base_url=up.gateway["url"], trust_env=False, verify=PLAIN) as http:
        assert (await http.get("/api/status")).status_code == 401
    assert await up.post_an_alert() == 202


async def test_a_second_one_on_the_same_data_is_refused(up: Up) -> None:
    """And the first one does not notice."""
    said = (await up.run("up", "--port", "0", "--kubeconfig", str(up.data.parent / "kubeconfig"))).error
    assert "runs already" in said
    assert "--data" in said
    assert (await up.run_again("status")).status == 0


@pytest.mark.parametrize("service", ["mitigator", "gateway", "nats"])
async def test_what_is_killed_comes_back(up: Up, service: str) -> None:
    """On the same addresses: senders and services find it again by themselves."""
    killed, url = up.pids[service], up.gateway["url"]
    os.kill(killed, signal.SIGKILL)

    async def is_back() -> bool:
        return up.pids.get(service, killed) != killed and (await up.run_again("status", "--json")).status == 0

    await until(is_back, SystemClock(), within_s=30)
    assert up.gateway["url"] == url

    async def takes_alerts() -> bool:
        return await up.post_an_alert() == 202

    await until(takes_alerts, SystemClock(), within_s=30)


async def test_commands_work_through_it(up: Up) -> None:
    """Pausing, listing, and the errors of what is not there."""
    assert (await up.run("pause", "a release")).status == 0
    assert "paused: a release (by ada)" in (await up.run_again("status")).out
    assert (await up.run_again("resume")).status == 0
    assert (await up.run("dead", "list", "--json")).out.strip() == "[]"
    assert "primum incidents --all" in (await up.run_again("show", "inc-none")).error
    assert "no transaction" in (await up.run_again("undo", "txn-none")).error
    assert "no dead letter 7" in (await up.run_again("dead", "retry", "7")).error


async def test_a_wrong_token_is_an_error_with_advice(up: Up) -> None:
    """Somebody copied the wrong one."""
    said = (await up.primum.again("status", PRIMUM_GATEWAY_URL=up.gateway["url"], PRIMUM_TOKEN="wrong")).error
    assert "PRIMUM_TOKEN" in said


async def leaves_nothing(ended: Up, tell: Callable[[], None]) -> None:
    """Services first, then their bus; status 0; no process, no address left behind."""
    pids = ended.pids
    tell()
    async with asyncio.timeout(30):
        assert await ended.process.wait() == 0
    assert [name for name, pid in pids.items() if runs(pid)] == []
    assert [path.name for path in (ended.data / "runtime").iterdir()] == []
    for service in FIVE:
        assert '"stopped"' in (ended.data / "logs" / f"{service}.log").read_text()
    assert "no Primum found" in (await ended.run_again("status")).error


async def test_told_to_stop_by_sigterm_it_leaves_nothing(up: Up) -> None:
    """As init systems do. Of all that look at this one it is the last."""
    await leaves_nothing(up, up.process.terminate)


async def test_what_a_killed_one_left_is_ended_first_and_ctrl_c_leaves_nothing(own: Up) -> None:
    """After `kill -9` of the supervisor the same command starts again, on the same data, and ends as it should."""
    left = own.pids
    own.process.kill()
    await own.process.wait()
    assert any(runs(pid) for pid in left.values())
    async for again in started(own.primum, own.data.parent):
        assert [name for name, pid in left.items() if runs(pid)] == []
        assert (await again.run_again("status")).status == 0
        await leaves_nothing(
            again, functools.partial(os.killpg, again.process.pid, signal.SIGINT)
        )  # as a terminal does


async def test_a_port_that_is_taken_is_an_error_before_anything_starts(tmp_path: Path) -> None:
    """It says which, and how to choose another."""
    async with nobody_listening() as url:
        port = url.rsplit(":", 1)[1]
        kubeconfig = a_kubeconfig(tmp_path / "kubeconfig")
        said = (await CommandLine(tmp_path).again("up", "--port", port, "--kubeconfig", kubeconfig)).error
    assert port in said
    assert "--port" in said


async def test_a_mode_in_the_environment_that_is_none_is_an_error(tmp_path: Path) -> None:
    """It lists those there are."""
    assert "observe, suggest, act" in (await CommandLine(tmp_path).again("up", PRIMUM_MODE="heroic")).error


async def test_what_refuses_to_start_is_not_started_again(tmp_path: Path) -> None:
    """Its settings stay what they are."""
    log: FilteringBoundLogger = structlog.wrap_logger(structlog.ReturnLogger())
    refusing = Program("any", "zipfile", {})  # without arguments it ends with 2
    child = Child(refusing, log_dir=tmp_path, clock=SystemClock(), log=log, on_start=lambda: None)
    async with asyncio.timeout(30):
        await child.run()
    assert (child.refused, child.restarts) == (True, 0)


async def test_a_data_folder_that_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    """A full disk, a wrong owner, something in the way: nothing runs, and one line says why."""
    (tmp_path / "runtime").write_text("in the way")
    kubeconfig = a_kubeconfig(tmp_path / "kubeconfig")
    ran = await CommandLine(tmp_path).again("up", "--data", tmp_path, "--port", "0", "--kubeconfig", kubeconfig)
    *_, last = ran.err.splitlines()
    assert ran.status == 2
    assert last.startswith(f"error: the data folder {tmp_path} cannot be written")


async def test_a_folder_that_filled_up_is_why_a_service_does_not_start(tmp_path: Path) -> None:
    """Nobody could write a log there: it was said that the service said nothing, and not that the disk is full."""
    (tmp_path / "runtime" / "processes.json").mkdir(parents=True)
    settings = SupervisorSettings(data_dir=tmp_path, port=0)
    refusing = {"gateway": {"PRIMUM_CONCURRENCY": "none"}}
    with pytest.raises(PrimumError, match=f"the data folder {tmp_path} cannot be written"):
        await Supervisor(settings, env=refusing, disabled=FIVE - {"gateway"}).start()


async def test_the_last_words_of_a_service_say_what_to_do(tmp_path: Path) -> None:
    """Its log has the advice beside the reason; the last line of `primum up` had the reason alone."""
    (tmp_path / "any.log").write_text('{"event": "waiting", "reason": "no NATS answers", "advice": "include it"}\n')
    log: FilteringBoundLogger = structlog.wrap_logger(structlog.ReturnLogger())
    child = Child(Program("any", "this", {}), log_dir=tmp_path, clock=SystemClock(), log=log, on_start=lambda: None)
    assert child.last_words == "no NATS answers: include it"


async def test_a_service_that_cannot_be_started_now_is_started_later(tmp_path: Path) -> None:
    """Its log cannot be opened, as on a full disk; when that is mended it runs."""
    in_the_way = tmp_path / "logs"
    in_the_way.write_text("")
    log: FilteringBoundLogger = structlog.wrap_logger(structlog.ReturnLogger())
    child = Child(Program("any", "this", {}), log_dir=in_the_way, clock=SystemClock(), log=log, on_start=lambda: None)
    running = asyncio.create_task(child.run())

    async def was_tried() -> bool:
        return child.restarts > 0

    async def runs() -> bool:
        return child.pid is not None

    await until(was_tried, SystemClock())
    in_the_way.unlink()
    await until(runs, SystemClock())
    await child.stop(5)
    await running
