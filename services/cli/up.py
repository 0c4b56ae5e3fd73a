"""`up`: the supervisor with a person before it, or an init system."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from services.cli.bus import bad_setting
from services.cli.supervisor import Supervisor, SupervisorSettings
from shared.adapters.kubernetes_api import connect
from shared.adapters.system import SystemClock
from shared.bus.ending import cancelled
from shared.bus.settings import ObserverSettings
from shared.domain.errors import ClusterForbidden, ClusterUnavailable, PrimumError
from shared.domain.ids import ClusterName
from shared.domain.policy import Mode
from shared.ports.cluster import Cluster


class Options(NamedTuple):
    """What was said on the command line; it goes over the environment."""

    data: Path | None
    nats_url: str | None
    host: str | None
    port: int | None
    mode: str | None
    kubeconfig: Path | None
    context: str | None


def up(options: Options) -> int:
    """Run until Ctrl-C or SIGTERM; return the exit status. Raises PrimumError."""
    settings, everywhere = _settings(options), _everywhere(options)
    seeing = _seeing(options, settings)
    return asyncio.run(_run(Supervisor(settings, everywhere=everywhere, log=_log()), seeing))


async def _run(supervisor: Supervisor, seeing: ObserverSettings) -> int:
    """Run it beside one look at the cluster. Raises ClusterUnavailable at once for a kubeconfig that never works."""
    name = ClusterName(seeing.cluster)
    async with connect(seeing.kubeconfig, seeing.kube_context, name, seeing.kube_timeout_s) as cluster:
        looking = asyncio.create_task(_look(cluster))
        try:
            return await _until_told(supervisor, looking)
        finally:
            await cancelled([looking])


async def _look(cluster: Cluster) -> str:
    """Return why nothing can be seen, if so: it may come later, and an incident is no good time to learn of it."""
    try:
        await cluster.snapshot()
    except (ClusterUnavailable, ClusterForbidden) as error:
        return " ".join(str(error).split())
    return ""


def _warn_of(looking: asyncio.Task[str]) -> None:
    if not looking.cancelled() and (why := looking.result()):
        print(f"warning: the cluster cannot be looked at now: {why}; Primum goes on", file=sys.stderr, flush=True)


async def _until_told(supervisor: Supervisor, looking: asyncio.Task[str]) -> int:
    told, loop, clock = asyncio.Event(), asyncio.get_running_loop(), SystemClock()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    began_s = clock.monotonic_s()
    starting = asyncio.create_task(supervisor.start())
    stopping = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            _say_where(supervisor, clock.monotonic_s() - began_s)
            looking.add_done_callback(_warn_of)
            await stopping
        print("stopping", flush=True)
    finally:
        stopping.cancel()
        starting.cancel()  # if it is under way it takes back what it began
        await asyncio.gather(starting, return_exceptions=True)
        await supervisor.stop()
    return 0


def _say_where(supervisor: Supervisor, took_s: float) -> None:
    data = supervisor.runtime_dir.parent
    print(f"Primum is ready after {took_s:.1f} s; Ctrl-C stops it")
    print(f"  alerts   {supervisor.gateway_url}/webhooks/alertmanager")
    print(f"  token    {data / 'token' if not os.environ.get('PRIMUM_TOKEN') else 'PRIMUM_TOKEN'}")
    print(f"  bus      {supervisor.nats_url}")
    print(f"  logs     {supervisor.log_dir}")
    print(f"  look     primum --data {data} status", flush=True)


def _settings(options: Options) -> SupervisorSettings:
    said = {"data_dir": options.data, "nats_url": options.nats_url, "host": options.host, "port": options.port}
    try:
        return SupervisorSettings.model_validate({name: value for name, value in said.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PrimumError(
            f"{where} cannot be {first['input']!r}", advice=f"correct it, or PRIMUM_{where.upper()}"
        ) from error


def _seeing(options: Options, settings: SupervisorSettings) -> ObserverSettings:
    """What every service that looks will read; raises PrimumError for what each of them would refuse."""
    said = {
        "nats_url": settings.nats_url or ObserverSettings.model_fields["nats_url"].default,
        "kubeconfig": options.kubeconfig,
        "kube_context": options.context,
    }
    try:
        return ObserverSettings.model_validate({name: value for name, value in said.items() if value is not None})
    except ValidationError as error:
        raise bad_setting(error) from error


def _everywhere(options: Options) -> dict[str, str]:
    """What the services read themselves."""
    if options.mode is not None and options.mode not in list(Mode):
        raise PrimumError(f"there is no mode {options.mode}", advice=f"use one of {', '.join(Mode)}")
    said = {
        "PRIMUM_MODE": options.mode,
        "PRIMUM_KUBECONFIG": options.kubeconfig,
        "PRIMUM_KUBE_CONTEXT": options.context,
    }
    return {name: str(value) for name, value in said.items() if value is not None}


def _log() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
    )
    return logger
