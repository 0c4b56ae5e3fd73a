"""`primum bench ingest`: what the gateway takes in, how fast, and whether all of it is there afterwards.

A real gateway and a real nats-server, each a process; senders in a process of their own. Bursts through the gateway and
the same bursts without it take turns, since a machine has its moods; what is lost and doubled is read from the stream
after everything was stopped.
"""

import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from eval import naming, stopping
from eval.ingest import result
from eval.ingest.traffic import Traffic
from eval.ingest.worker import working
from eval.logbook import read_logbook
from services.cli.supervisor import SERVICES, Supervisor, SupervisorSettings
from shared.domain.errors import PrimumError

SABOTAGE: Final[Mapping[str, str]] = {
    "ack-before-append": "eval.ingest.ack_before_append",
    "no-dedup": "eval.ingest.no_dedup",
}
RAW_IN_FLIGHT: Final = 256
"""Messages; 64 and 1,024 gave no more when it was tried."""
_SINGLES: Final = 10_000_000
_RAW: Final = 100_000_000
"""Where the numbers begin of alerts sent one by one, and of those sent without Primum: no two meet in the stream."""
_SINGLE_SHARE: Final = 0.2


@dataclass(frozen=True)
class Options:
    """What `primum bench ingest` was asked for."""

    alerts: int = 10_000
    duplicates: float = 0.05
    pair: bool = True
    connections: int = 8
    group: int = 100
    rounds: int = 5
    seed: int | None = None
    kill: bool = False
    sabotage: str | None = None
    as_json: bool = False


def main(options: Options) -> int:
    """Run it: 0 if nothing was lost or doubled, 1 if something was, 130 after Ctrl-C. Raises PrimumError."""
    if options.sabotage:
        naming.check("sabotage", [options.sabotage], SABOTAGE)
    if options.alerts < options.rounds:
        raise PrimumError(f"{options.alerts} alerts are too few for {options.rounds} rounds", advice="offer more")
    try:
        found = stopping.run(Bench(options).run())
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    sys.stdout.write((json.dumps(found, indent=2) if options.as_json else _in_words(found)) + "\n")
    return 0 if found["ok"] else 1


class Bench:
    """One run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 10_000)
        self._kills = options.kill or options.sabotage == "ack-before-append"
        self._killed = 0
        self._message_bytes = 0

    async def run(self) -> dict[str, Any]:
        """Offer everything, stop everything, count."""
        with tempfile.TemporaryDirectory(prefix="primum-bench-", ignore_cleanup_errors=True) as folder:
            data = Path(folder)
            async with self._primum(data) as primum:
                grouped = await self._bursts(primum, "in groups", 0, self._options.alerts, self._options.group)
                alone = max(self._options.rounds, round(self._options.alerts * _SINGLE_SHARE))
                singles = await self._bursts(primum, "one a call", _SINGLES, alone, 1)
                memory = _peak_rss_mb(primum.children["gateway"].pid)
                restarts = primum.children["gateway"].restarts
            _say("counting what the stream holds")
            counted = result.count([*grouped, *singles], (await read_logbook(data)).alerts)
        return self._result(grouped, singles, counted) | {
            "gateway_peak_rss_mb": memory,
            "gateway_restarts": restarts,
        }

    def _primum(self, data: Path) -> Supervisor:
        settings = SupervisorSettings(data_dir=data, port=0, nats_url="", host="127.0.0.1")
        return Supervisor(
            settings,
            disabled=[service for service in SERVICES if service != "gateway"],
            modules={"gateway": SABOTAGE[self._options.sabotage]} if self._options.sabotage else {},
            log=structlog.wrap_logger(structlog.ReturnLogger()),
        )

    async def _bursts(self, primum: Supervisor, kind: str, first: int, alerts: int, group: int) -> list[result.Phase]:
        """Let raw JetStream and the gateway take turns at bursts of one kind."""
        phases: list[result.Phase] = []
        for number in range(self._options.rounds):
            share = alerts // self._options.rounds + (number < alerts % self._options.rounds)
            traffic = Traffic(self._seed, first, share, group, self._options.pair, self._options.duplicates)
            first += share
            raw = await self._raw(primum, traffic)
            kill = self._kills and group > 1 and number == self._options.rounds // 2
            phase = await self._gateway(primum, traffic, raw, kill=kill)
            phases.append(phase)
            _say(
                f"{kind}, round {number + 1} of {self._options.rounds}: {phase.raw_rate:,.0f} alerts/s raw, "
                f"{phase.rate:,.0f} through the gateway{', NATS killed' if kill else ''}"
            )
        return phases

    async def _raw(self, primum: Supervisor, traffic: Traffic) -> Mapping[str, Any]:
        other = traffic._replace(first=_RAW + traffic.first)
        task = {
            "traffic": other._asdict(),
            "nats_url": primum.nats_url,
            "keys": str(primum.keys_dir),
            "in_flight": RAW_IN_FLIGHT,
        }
        async with working("eval.ingest.raw", task) as worker:
            said = await worker.go()
        self._message_bytes = self._message_bytes or said["message_bytes"]
        return said

    async def _gateway(
        self, primum: Supervisor, traffic: Traffic, raw: Mapping[str, Any], *, kill: bool
    ) -> result.Phase:
        gateway = primum.children["gateway"]
        task = {
            "traffic": traffic._asdict(),
            "url": primum.gateway_url,
            "token": primum.token,
            "connections": self._options.connections,
        }
        async with working("eval.ingest.sender", task) as worker:
            began_cpu_s = _cpu_s(gateway.pid)
            said = await worker.go((lambda: self._kill_nats(primum)) if kill else None)
            cpu_s = _cpu_s(gateway.pid) - began_cpu_s
        return result.Phase(
            traffic=traffic,
            elapsed_s=said["elapsed_s"],
            cpu_s=cpu_s,
            raw_elapsed_s=raw["elapsed_s"],
            raw_cpu_s=raw["cpu_s"],
            acknowledged=result.acknowledged(traffic, said["acknowledged"]),
            latencies=[(ms, alerts) for ms, alerts in said["latencies"]],
            answers=said["answers"],
        )

    def _kill_nats(self, primum: Supervisor) -> None:
        """`kill -9`; the supervisor starts it again on its data."""
        if (pid := primum.nats_pid) is not None:
            os.kill(pid, signal.SIGKILL)
            self._killed += 1

    def _result(
        self, grouped: list[result.Phase], singles: list[result.Phase], counted: result.Counted
    ) -> dict[str, Any]:
        phases = [*grouped, *singles]
        offered = sum(phase.traffic.alerts for phase in phases)
        taken = sum(len(phase.acknowledged) for phase in phases)
        main, single = result.figures(grouped), result.figures(singles)
        return {
            "ok": taken == offered and not counted.lost and not counted.doubled,
            "offered": offered,
            "acknowledged": taken,
            "stored": counted.stored,
            "lost": len(counted.lost),
            "doubled": len(counted.doubled),
            **main,
            "one_alert_a_call": single,
            "targets": {
                "none_lost": not counted.lost,
                "none_doubled": not counted.doubled,
                "ack_p99_below_100_ms": (main["ack_p99_ms"] or result.ACK_P99_MS) < result.ACK_P99_MS,
                "at_least_70_percent_of_raw": main["of_raw_ratio"] >= result.LEAST_OF_RAW,
            },
            "nats_killed": self._killed,
            "seed": self._seed,
            "settings": {
                "alerts": self._options.alerts,
                "duplicates": self._options.duplicates,
                "pair": self._options.pair,
                "connections": self._options.connections,
                "group": self._options.group,
                "rounds": self._options.rounds,
                "kill": self._kills,
                "sabotage": self._options.sabotage,
                "raw_in_flight": RAW_IN_FLIGHT,
                "message_bytes": self._message_bytes,
            },
            "measured": _MEASURED,
        }


_MEASURED: Final = {
    "offered": "distinct alerts, in groups and one a call together; with `pair` two senders send each, `duplicates` "
    "of the calls are repeated by their sender",
    "load": "closed loop: each connection has one call under way; a call that is not taken is sent again",
    "rate_per_s": "distinct alerts a second until the last answer, median of the rounds",
    "raw_rate_per_s": "the same messages (subjects, headers, Msg-Ids, repeats) published by nats-py's publish_async "
    "over one connection into the same stream of the same server, made beforehand, `raw_in_flight` at once, on the "
    "same event loop (asyncio's own); median of the rounds. The gateway does not publish a repeat of what it sent a "
    "moment ago, raw JetStream has to drop it; message by message they compare with --no-pair --duplicates 0",
    "message_bytes": "headers and body of a message of the first burst, on average: those of a group share a signature "
    "and are longer by their way to it",
    "of_raw_ratio": "median over the rounds of each round's own ratio",
    "cpu_us_per_delivery": "computing time of the gateway's process (raw: of the raw client's) for each alert or "
    "repeat: what compares on a busy machine",
    "ack_ms": "from a call's first byte to its 2xx, counted for each alert in it",
    "lost": "acknowledged and not in the stream, or with other words, after everything was stopped",
    "doubled": "in the stream more than once",
}


def _peak_rss_mb(pid: int | None) -> float | None:
    """Return the most memory that a process ever had resident, where /proc says it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return round(int(peak[0]) / 1024, 1) if peak else None


def _cpu_s(pid: int | None) -> float:
    """Return the time that a process computed so far; 0 where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    user, system = stat.rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _in_words(found: Mapping[str, Any]) -> str:
    single = found["one_alert_a_call"]
    met = [f"{name.replace('_', ' ')}: {'yes' if ok else 'NO'}" for name, ok in found["targets"].items()]
    return "\n".join(
        [
            f"{found['offered']:,} distinct alerts offered, {found['acknowledged']:,} taken, seed {found['seed']}",
            f"{found['stored']:,} stored: {found['lost']} lost, {found['doubled']} doubled",
            *(_row(name, each) for name, each in (("in groups", found), ("one a call", single))),
            f"targets: {', '.join(met)}",
        ]
    )


def _row(name: str, said: Mapping[str, Any]) -> str:
    return (
        f"  {name:10}  {said['rate_per_s']:>7,} alerts/s (raw {said['raw_rate_per_s']:,}; round by round "
        f"{said['of_raw_ratio']:.0%} of it), "
        f"acknowledged after {said['ack_p50_ms']} ms p50, {said['ack_p99_ms']} ms p99"
    )
