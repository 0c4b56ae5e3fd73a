"""`primum up` in one object: an embedded NATS unless there is one, the five services, and a new start for what dies."""

import asyncio
import errno
import fcntl
import functools
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Self

import httpx
import structlog
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from structlog.typing import FilteringBoundLogger

from services.cli import leftovers, runtime
from services.cli.bus import bad_setting, keys_in
from services.cli.child import Child, Program
from shared.adapters import nkey
from shared.adapters.loopback import PLAIN
from shared.adapters.nats_connection import User, connected, open_to_all
from shared.adapters.nats_server import EmbeddedNats, NatsDidNotStart
from shared.adapters.nats_unread import unread
from shared.adapters.seal import signer
from shared.adapters.system import SystemClock
from shared.bus.ending import cancelled
from shared.bus.permissions import authorization
from shared.bus.settings import BusSettings
from shared.bus.setup import Plan, keep_up, set_up
from shared.domain.errors import LedgerUnavailable, PrimumError
from shared.domain.events import Owner

SERVICES: Final = ("gateway", "detector", "diagnoser", "mitigator", "undo")
_LOOK_EVERY_S: Final = 0.05
_DEATHS_AT_START: Final = 4
"""A service that died that often before it was ready will not be mended by a fifth start."""
_NATS_LOOK_EVERY_S: Final = 0.2
_NATS_LONGEST_WAIT_S: Final = 10.0
_NATS_HEALTH_EVERY_S: Final = 2.0


class SupervisorSettings(BaseSettings):
    """What `primum up` can be told, from PRIMUM_… in the environment."""

    model_config = SettingsConfigDict(env_prefix="PRIMUM_", frozen=True, extra="ignore")

    data_dir: Path = Field(default_factory=runtime.data_dir)
    nats_url: str = ""
    """Empty: one is started, its data in `data_dir`."""
    host: str = "127.0.0.1"
    port: int = Field(default=8321, ge=0, le=65535)
    """The gateway's; 0 takes a free one."""
    token: SecretStr = SecretStr("")
    """Empty: one is made and kept in `data_dir`."""
    replicas: int = Field(default=1, ge=1, le=9)
    """Of each service. All of one share its work; who calls the gateway may call any of its replicas."""
    ready_within_s: float = Field(default=60, gt=0)
    stop_within_s: float = Field(default=15, gt=0)


class Supervisor:
    """Five services and their bus, as processes. `start` returns once all are ready; `stop` once all are gone.

    The first replica of a service has the service's name, the second is `<service>-2`, and so on; `children`, log
    files and `url_of` go by that name. `env` adds to the environment of single services, `everywhere` to that of all;
    `disabled` services are not started, `modules` replaces what is run for one. An async context manager, too.
    """

    def __init__(  # noqa: PLR0913 - what may be replaced from outside
        self,
        settings: SupervisorSettings,
        *,
        env: Mapping[str, Mapping[str, str]] | None = None,
        everywhere: Mapping[str, str] | None = None,
        disabled: Collection[str] = (),
        modules: Mapping[str, str] | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._settings, self._clock = settings, SystemClock()
        self._data = settings.data_dir.expanduser().absolute()
        self._env, self._everywhere = env or {}, everywhere or {}
        self._disabled, self._modules = disabled, modules or {}
        self._log: FilteringBoundLogger = log or structlog.get_logger()
        self._lock: IO[bytes] | None = None
        self._nats: EmbeddedNats | None = None
        self._ports: dict[str, int] = {}
        self._children: dict[str, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.token, self.nats_url = "", ""

    @property
    def runtime_dir(self) -> Path:
        return self._data / "runtime"

    @property
    def log_dir(self) -> Path:
        return self._data / "logs"

    @property
    def keys_dir(self) -> Path:
        return keys_in(self._data)

    @property
    def gateway_url(self) -> str:
        return self.url_of("gateway")

    @property
    def children(self) -> Mapping[str, Child]:
        """The services that are run, by name."""
        return self._children

    @property
    def nats_pid(self) -> int | None:
        """The embedded NATS, if there is one and it runs."""
        return self._nats.pid if self._nats and not self._nats.exited else None

    @property
    def gateway_urls(self) -> list[str]:
        """Where each replica of the gateway answers; the first is `gateway_url`."""
        return [self.url_of(name) for name in self._ports]

    def url_of(self, name: str) -> str:
        """Where a replica answers, for callers on this machine; empty while it has not said so yet."""
        if name not in self._ports:
            return runtime.announced(self._runtime_dir_of(name), service_of(name), self._children[name].pid)
        host = self._settings.host
        near = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{near}]' if ':' in near else near}:{self._ports[name]}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and wait until all of it is ready. Raises PrimumError, and then nothing runs."""
        self._lock = _claim(self._data)
        try:
            for name in await leftovers.end(self.runtime_dir, self._data, self._clock):
                self._log.warning("ended what an earlier Primum left running", process=name)
            self.token = self._settings.token.get_secret_value() or runtime.token_in(self._data)
            # Ports that stay: Alertmanager was told them, and a restarted gateway must come back there.
            for name in replicas_of("gateway", self._settings.replicas):
                self._ports[name] = _free_port(self._settings.host, 0 if self._ports else self._settings.port)
            remade = nkey.lost(self.keys_dir)
            self._log.info("Primum starts", logs=str(self.log_dir))
            known = nkey.make(self.keys_dir)
            self._warn_of_new_keys(remade)
            self._warn_of_exposed_keys()
            await self._start_nats(authorization(known))
            await self._set_up_bus()
            self._start_services()
            await self._until_ready()
            runtime.write(self.runtime_dir, "gateway", runtime.GatewayAt(url=self.gateway_url, token=self.token))
        except OSError as error:
            await self.stop()
            raise _unwritable(self._data, error) from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the services, then NATS, each within its time. Without effect unless it was started."""
        if self._lock is None:  # the files in the data folder are somebody else's
            return
        self._forget("gateway", "nats")
        try:
            await asyncio.gather(*(child.stop(self._settings.stop_within_s) for child in self._children.values()))
        finally:  # whoever loses patience with the services leaves no bus behind
            await cancelled(self._tasks)
            self._tasks.clear()
            if self._nats is not None:
                await self._nats.stop(self._settings.stop_within_s)
        self._forget("processes")
        self._lock.close()
        self._lock = None

    def _warn_of_new_keys(self, names: Sequence[str]) -> None:
        advice = "on a NATS of your own: `primum bus keys`, and let the server reload the users that it writes"
        for name in names:
            self._log.warning("a seed was gone, and a new key was made", of=name, advice=advice)

    def _warn_of_exposed_keys(self) -> None:
        for name in nkey.HOLDERS_OF_KEYS:
            for danger in nkey.exposed(nkey.seed_file(self.keys_dir, name), None):
                self._log.warning("a key is not safe", reason=danger)

    # --- the bus

    async def _start_nats(self, users: str) -> None:
        self.nats_url = self._settings.nats_url
        if not self.nats_url:
            self._nats = EmbeddedNats(self._data / "nats", more=users)
            await self._nats.start()
            self.nats_url = self._nats.url
            self._tasks += [asyncio.create_task(keep(self._nats)) for keep in (self._keep_nats, self._heal_nats)]
        self._remember()
        runtime.write(self.runtime_dir, "nats", runtime.NatsAt(url=self.nats_url))

    async def _set_up_bus(self) -> None:
        """Make the streams and consumers, which no service may, and see to them from now on."""
        operator = User(nkey.OPERATOR, nkey.load_key(nkey.seed_file(self.keys_dir, nkey.OPERATOR)))
        plan = Plan.of({owner: self._bus_settings(owner) for owner in Owner})
        try:
            async with connected(self.nats_url, operator) as connection:
                if (warning := open_to_all(connection)) is not None:
                    self._say_of_the_bus(warning)
                await set_up(connection, plan)
                known = nkey.load_keyring(self.keys_dir / nkey.KEYRING)
                if (left := await unread(connection, functools.partial(signer, known))) is not None:
                    self._say_of_the_bus(left)
        except LedgerUnavailable as error:  # one of somebody else's that has no leader yet, or is not up
            self._say_of_the_bus(str(error))
        keeping = keep_up(self.nats_url, operator, plan, self._clock, self._say_of_the_bus)
        self._tasks.append(asyncio.create_task(keeping))

    def _bus_settings(self, owner: Owner) -> BusSettings:
        """What a service will read of the bus in its environment."""
        said = {**os.environ, **self._environment(owner)}
        names = {name: f"PRIMUM_{name.upper()}" for name in BusSettings.model_fields}
        try:
            return BusSettings.model_validate({name: said[each] for name, each in names.items() if each in said})
        except ValidationError as error:
            raise bad_setting(error) from error

    def _say_of_the_bus(self, what: str) -> None:
        self._log.warning("the bus was seen to", what=what)

    async def _keep_nats(self, nats: EmbeddedNats) -> None:
        """Start it again, on the same port and data, when it dies."""
        wait_s = _NATS_LOOK_EVERY_S
        while True:
            await self._clock.sleep(wait_s)
            if not nats.exited:
                wait_s = _NATS_LOOK_EVERY_S
                continue
            self._log.warning("the embedded NATS died and is started again")
            try:
                await nats.stop()
                await nats.start()
                self._remember()
            except (NatsDidNotStart, OSError) as error:  # a full disk passes, too
                wait_s = min(2 * wait_s, _NATS_LONGEST_WAIT_S)
                self._log.error("the embedded NATS does not start", error=str(error), again_in_s=wait_s)

    async def _heal_nats(self, nats: EmbeddedNats) -> None:
        """Stop it when it runs and cannot write any more, so that it is started again; less and less often.

        It must say so at two looks in a row: a consumer that goes while it is looked at is no ailment.
        """
        wait_s, complaints = _NATS_HEALTH_EVERY_S, 0
        while True:
            await self._clock.sleep(wait_s)
            if nats.exited or not (reason := await nats.ailing()):
                wait_s, complaints = _NATS_HEALTH_EVERY_S, 0
                continue
            complaints += 1
            if complaints > 1:
                wait_s = min(2 * wait_s, _NATS_LONGEST_WAIT_S)
                self._log.error("the embedded NATS ails and is stopped", reason=reason, again_in_s=wait_s)
                await nats.stop()

    # --- the services

    def _start_services(self) -> None:
        for service in SERVICES:
            if service not in self._disabled:
                for name in replicas_of(service, self._settings.replicas):
                    self._start_service(name)

    def _start_service(self, name: str) -> None:
        service = service_of(name)
        program = Program(name, self._modules.get(service, f"services.{service}"), self._environment(name))
        child = Child(program, log_dir=self.log_dir, clock=self._clock, log=self._log, on_start=self._remember)
        self._children[name] = child
        self._tasks.append(asyncio.create_task(child.run()))

    def _runtime_dir_of(self, name: str) -> Path:
        """Where a replica says where it listens: a service knows its name, and not that there are others like it."""
        return self.runtime_dir if name == service_of(name) else self.runtime_dir / name

    def _environment(self, name: str) -> Mapping[str, str]:
        gateway = name in self._ports
        return {
            "PRIMUM_NATS_URL": self.nats_url,
            "PRIMUM_NKEY_FILE": str(nkey.seed_file(self.keys_dir, service_of(name))),
            "PRIMUM_KEYRING": str(self.keys_dir / nkey.KEYRING),
            "PRIMUM_HOST": self._settings.host if gateway else "127.0.0.1",
            "PRIMUM_PORT": str(self._ports[name]) if gateway else "0",
            "PRIMUM_TOKEN": self.token if gateway else "",
            runtime.DATA: str(self._data),
            runtime.RUNTIME: str(self._runtime_dir_of(name)),
            **self._everywhere,
            **self._env.get(service_of(name), {}),
        }

    def _write_down(self) -> None:
        pids = {name: child.pid for name, child in self._children.items()} | {"nats": self.nats_pid}
        leftovers.remember(self.runtime_dir, {name: pid for name, pid in pids.items() if pid is not None})

    def _remember(self) -> None:
        try:
            self._write_down()
        except OSError as error:  # on a full disk the services matter more than the note of them
            self._log.error("what runs now could not be written down", folder=str(self.runtime_dir), error=str(error))

    def _forget(self, *names: str) -> None:
        for name in names:
            try:
                (self.runtime_dir / f"{name}.json").unlink(missing_ok=True)
            except OSError as error:  # it turned read-only: what runs must be stopped all the same
                self._log.error("what was written down stays", name=name, error=str(error))

    async def _until_ready(self) -> None:
        waiting = set(self._children)
        deadline_s = self._clock.monotonic_s() + self._settings.ready_within_s
        async with httpx.AsyncClient(timeout=2, trust_env=False, verify=PLAIN) as http:
            while waiting:
                for name in sorted(waiting):
                    self._check_life(self._children[name])
                    if (url := self.url_of(name)) and await _is_ready(http, f"{url}/ready"):
                        waiting.discard(name)
                if waiting and self._clock.monotonic_s() > deadline_s:
                    self._write_down()
                    raise self._not_ready(sorted(waiting))
                await self._clock.sleep(_LOOK_EVERY_S)

    def _check_life(self, child: Child) -> None:
        if child.refused or child.restarts >= _DEATHS_AT_START:
            self._write_down()  # if it cannot be, that is why: whoever cannot write can say nothing in a log either
            raise PrimumError(f"{child.name} does not start: {child.last_words}")

    def _not_ready(self, waiting: list[str]) -> PrimumError:
        first = self._children[waiting[0]]
        within = f"within {self._settings.ready_within_s:g} s"
        return PrimumError(
            f"{', '.join(waiting)} not ready {within} ({first.name}: {first.last_words})",
            advice=f"read the logs in {self.log_dir}",
        )


def replicas_of(service: str, count: int) -> list[str]:
    """Name the replicas of a service: `undo`, `undo-2`, `undo-3`."""
    return [service, *(f"{service}-{number}" for number in range(2, count + 1))]


def service_of(name: str) -> str:
    """Return the service that a replica is one of."""
    return name.partition("-")[0]


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).is_success
    except httpx.HTTPError:  # it does not listen yet
        return False


def _free_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0. Raises PrimumError if somebody listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:
            raise _not_ours(host, port, error) from error
        return int(probe.getsockname()[1])


def _not_ours(host: str, port: int, error: OSError | UnicodeError) -> PrimumError:
    """Say why nobody can listen there: it is the host's fault if that is no name, or one of another machine."""
    why = error.strerror if isinstance(error, OSError) else "no host has such a name"
    by_the_host = not isinstance(error, OSError) or isinstance(error, socket.gaierror)
    if by_the_host or getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
        advice = "name an address of this machine with --host or PRIMUM_HOST"
    else:
        advice = "choose another with --port or PRIMUM_PORT"
    return PrimumError(f"the gateway cannot listen on {host}:{port} ({why})", advice=advice)


def _unwritable(data: Path, error: OSError) -> PrimumError:
    why = f"the data folder {data} cannot be written ({error.strerror})"
    return PrimumError(why, advice="mend that, or choose another with --data")


def _claim(data: Path) -> IO[bytes]:
    """Lock the data folder: two supervisors would fight over it. Raises PrimumError."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data / "primum.lock").open("ab+", buffering=0)
    except OSError as error:
        raise _unwritable(data, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sign(lock)
    except BlockingIOError as error:
        lock.seek(0)
        by = lock.read().decode(errors="replace").strip()
        lock.close()
        raise PrimumError(
            f"Primum runs already in {data}{f' (process {by})' if by else ''}",
            advice="use that one, stop it first, or choose another folder with --data",
        ) from error
    except OSError as error:
        lock.close()
        raise _unwritable(data, error) from error
    return lock


def _sign(lock: IO[bytes]) -> None:
    lock.truncate(0)
    lock.write(str(os.getpid()).encode())
