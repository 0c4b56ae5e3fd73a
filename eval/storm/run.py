"""`primum eval storm`: storms of alerts with a known truth, through a real gateway, NATS and detector."""

import asyncio
import json
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from eval import stopping
from eval.stage import Organs
from eval.storm.alerts import Draw, Told
from eval.storm.causes import choose
from eval.storm.cluster import draw
from eval.storm.sender import Pair
from eval.storm.standing import WINDOW_S, Standing, standing
from eval.storm.verdict import Record, Verdict, judge, read
from services.cli.supervisor import Supervisor, SupervisorSettings
from shared.adapters.nats_connection import User, connected
from shared.adapters.nkey import OPERATOR, load_key, seed_file
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError

ORGANS: Final[Mapping[str, Organs]] = {"grouping": Organs(modules={"detector": "eval.no_grouping"})}
"""What `--sabotage` takes away."""
EARLY_SHARE: Final = 0.03
"""The part of the alerts that fires before the objects show the cause: only errors do."""
FLAPPING_SHARE: Final = 0.02
"""The part that Alertmanager calls resolved in the end, rightly or not."""
SHOWS_AFTER_S: Final = 1.5
LOOKS_EVERY_S: Final = 2.0
"""Between two looks of the detector at an incident; that is when groups that prove to be one are merged."""
QUIET_S: Final = 2.5 * LOOKS_EVERY_S
"""So long nothing must move before the verdict."""
SETTLES_WITHIN_S: Final = 90.0
_POLL_S: Final = 0.5


@dataclass(frozen=True)
class Options:
    """What `primum eval storm` was asked for."""

    alerts: int = 5000
    """Of each storm of the first `large` seeds."""
    fewer: int = 250
    """Of each storm of the other seeds, if that is fewer: fifty storms of thousands would take half an hour."""
    large: int = 5
    causes: tuple[int, ...] = (1, 3)
    seeds: tuple[int, ...] = tuple(range(1, 51))
    whole: int = 2
    """How many of the first seeds go through all five services."""
    jobs: int = 2
    """Storms at the same time, each with a Primum of its own."""
    sabotage: str | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Row:
    """One storm."""

    seed: int
    causes: int
    faults: Sequence[str]
    workloads: int
    services: int
    alerts: int
    deliveries: int
    verdict: Verdict
    joined_within_s: float
    """From the last alert that the gateway acknowledged to the last that is on an incident's record."""
    storm_s: float
    """From the first alert sent to the last on record."""
    story: Sequence[str]

    @property
    def ok(self) -> bool:
        return self.verdict.ok and self.verdict.incidents == self.causes

    def as_json(self) -> dict[str, Any]:
        flat = {key: value for key, value in asdict(self).items() if key not in ("verdict", "story")}
        return {**flat, **asdict(self.verdict), "ok": self.ok, "story": [] if self.ok else self.story}


def main(options: Options) -> int:
    """Run all storms, print the result; the exit status: 1 if anything was lost, doubled, merged or split wrongly.

    130 after Ctrl-C. Raises PrimumError.
    """
    clock = SystemClock()
    began_s = clock.monotonic_s()
    try:
        rows = stopping.run(_all(options))
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return stopping.STOPPED
    except ExceptionGroup as failed:  # of storms that play at the same time
        raise failed.exceptions[0] from failed
    summary = summarised(rows) | {"elapsed_s": round(clock.monotonic_s() - began_s, 1)}
    if options.as_json:
        document = json.dumps({"rows": [row.as_json() for row in rows], "summary": summary}, indent=2)
        sys.stdout.write(f"{document}\n")
    else:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in summary.items()) + "\n")
    return 0 if summary["ok"] else 1


def summarised(rows: Sequence[Row]) -> dict[str, Any]:
    """Add up."""
    counted = ("wrong_merges", "splits", "misplaced", "lost", "doubled", "unattributed", "merged")
    return {
        "ok": bool(rows) and all(row.ok for row in rows),
        "storms": len(rows),
        "storms_by_alerts": {str(size): count for size, count in Counter(row.alerts for row in rows).items()},
        "storms_red": sum(not row.ok for row in rows),
        "alerts": sum(row.alerts for row in rows),
        **{name: sum(getattr(row.verdict, name) for row in rows) for name in counted},
        "joined_within_s_p50": round(statistics.median(row.joined_within_s for row in rows), 2) if rows else None,
        "joined_within_s_max": max((row.joined_within_s for row in rows), default=None),
    }


async def _all(options: Options) -> Sequence[Row]:
    if options.sabotage is not None and options.sabotage not in ORGANS:
        raise PrimumError(f"no such sabotage: {options.sabotage}", advice=f"one of {', '.join(ORGANS)}")
    wanted = [(number, seed, causes) for number, seed in enumerate(options.seeds) for causes in options.causes]
    free, done = asyncio.Semaphore(options.jobs), 0

    async def play(number: int, seed: int, causes: int) -> Row:
        nonlocal done
        async with free:
            alerts = options.alerts if number < options.large else min(options.fewer, options.alerts)
            row = await storm(seed, causes, alerts, options.sabotage, whole=number < options.whole)
            done += 1
            _progress(row, done, len(wanted))
            return row

    async with asyncio.TaskGroup() as group:
        playing = [group.create_task(play(*each)) for each in wanted]
    return [each.result() for each in playing]


def _progress(row: Row, done: int, of: int) -> None:
    verdict = row.verdict
    said = f"{verdict.incidents} incidents, {verdict.wrong_merges} wrong merges, {verdict.splits} splits"
    said += f", {verdict.misplaced} misplaced, {verdict.lost} lost, {verdict.doubled} doubled"
    joined = f"joined within {row.joined_within_s:.1f} s"
    mark = "ok " if row.ok else "RED"
    sys.stderr.write(f"[{done}/{of}] {mark} seed {row.seed}, causes {row.causes}: {said}, {joined}\n")


async def storm(seed: int, count: int, size: int, sabotage: str | None, *, whole: bool) -> Row:
    """Draw and play one storm. Raises PrimumError if Primum does not start or does not come to rest."""
    rng = random.Random(f"{seed}/{count}")
    cluster, causes = choose(rng, draw(rng), count)
    drawing = Draw(rng, cluster, causes, f"{WINDOW_S}s")
    at = SystemClock().now()
    alerts = drawing.storm(size, at.replace(microsecond=at.microsecond // 1000 * 1000))
    async with standing(cluster, rng) as stands:
        with tempfile.TemporaryDirectory(prefix="primum-storm-", ignore_cleanup_errors=True) as folder:
            supervisor = _primum(Path(folder), stands, ORGANS.get(sabotage or ""), whole=whole)
            async with supervisor, connected(supervisor.nats_url, _operator(supervisor)) as connection:
                pair = Pair(supervisor.gateway_url, supervisor.token, stands.prometheus_url, rng)
                began_at = SystemClock().now()
                stands.fail(drawing.ratios)
                early, rest = _early_first(alerts)
                async with pair:
                    await pair.fire(early)
                    await SystemClock().sleep(SHOWS_AFTER_S)
                    for cause in causes:
                        cause.show(cluster, stands.store)
                    await pair.fire(rest)
                    acknowledged_at = SystemClock().now()
                    await pair.resolve(rng.sample(alerts, round(len(alerts) * FLAPPING_SHARE)))
                record = await _at_rest(connection, len(alerts))
    last = record.last_joined_at or acknowledged_at
    return Row(
        seed=seed,
        causes=count,
        faults=[str(cause.fault) for cause in causes],
        workloads=len(cluster.workloads),
        services=5 if whole else 2,
        alerts=len(alerts),
        deliveries=pair.deliveries,
        verdict=judge(record, alerts, count),
        joined_within_s=round(max(0.0, (last - acknowledged_at).total_seconds()), 2),
        storm_s=round((last - began_at).total_seconds(), 2),
        story=record.story,
    )


def _early_first(alerts: Sequence[Told]) -> tuple[Sequence[Told], Sequence[Told]]:
    """Split off what can fire while only errors show: alerts about requests."""
    early = [told for told in alerts if told.expression][: round(len(alerts) * EARLY_SHARE)]
    known = {told.fingerprint for told in early}
    return early, [told for told in alerts if told.fingerprint not in known]


def _primum(folder: Path, stands: Standing, organs: Organs | None, *, whole: bool) -> Supervisor:
    everywhere = {
        "PRIMUM_CLUSTER": "lab",
        "PRIMUM_KUBECONFIG": str(stands.kubeconfig(folder / "kubeconfig")),
        "PRIMUM_KUBE_CONTEXT": "lab",
        "PRIMUM_PROMETHEUS_URL": stands.prometheus_url,
        "PRIMUM_METRICS_WINDOW_S": str(WINDOW_S),
        "PRIMUM_MODE": "observe",
        "PRIMUM_SURROUNDINGS_AGE_S": "1",
        "PRIMUM_SYMPTOM_EVERY_S": str(LOOKS_EVERY_S),
    }
    return Supervisor(
        SupervisorSettings(data_dir=folder / "data", port=0, nats_url="", host="127.0.0.1"),
        everywhere=everywhere,
        disabled=() if whole else ("diagnoser", "mitigator", "undo"),
        modules=organs.modules if organs else {},
        log=structlog.wrap_logger(structlog.ReturnLogger()),
    )


def _operator(supervisor: Supervisor) -> User:
    return User(OPERATOR, load_key(seed_file(supervisor.keys_dir, OPERATOR)))


async def _at_rest(connection: Any, alerts: int) -> Record:
    """Wait until all alerts are on record (or no more come) and no incident opens, merges or gains any more."""
    clock, since_s, known = SystemClock(), 0.0, (-1, -1, -1)
    deadline_s = clock.monotonic_s() + SETTLES_WITHIN_S
    while True:
        record = await read(connection)
        now = (len(record.opened), len(record.merged), len(record.joined))
        if now != known:
            known, since_s = now, clock.monotonic_s()
        if clock.monotonic_s() - since_s > (QUIET_S if len(record.joined) >= alerts else 4 * QUIET_S):
            return record
        if clock.monotonic_s() > deadline_s:
            raise PrimumError(f"no rest within {SETTLES_WITHIN_S:g} s: {known} opened, merged, joined")
        await clock.sleep(_POLL_S)
