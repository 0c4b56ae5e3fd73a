"""Defects on purpose, put in from outside: what the simulation must find, or it would find nothing."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from eval.simulation.bus import NearLedger, SimBus
from eval.simulation.cluster import ApiServer, FarCluster
from eval.simulation.ports import FarLedger
from eval.simulation.process import Process, ProcessClock
from eval.simulation.services import Outside
from shared.bus.service import Duties
from shared.domain.alert import Alert
from shared.domain.change import Patch
from shared.domain.cluster import Object
from shared.domain.errors import IllegalTransition, ObjectMoved
from shared.domain.events import Event, Owner
from shared.domain.ids import IncidentId
from shared.domain.incident import Incident, apply
from shared.domain.transaction import Lock, Transaction


class _Careless(NearLedger):
    """Appends to whatever the incident has become meanwhile, as if nobody else ever wrote."""

    async def append(
        self,
        incident: Incident,
        *events: Event,
        locks: Sequence[Lock] = (),
        frees_key: bool = False,
        while_open: Incident | None = None,
    ) -> Incident:
        newest = self._sim.folded(incident.id).sequence
        stale = incident.model_copy(update={"sequence": newest})
        return await super().append(stale, *events, locks=locks, frees_key=frees_key, while_open=while_open)


def _without_compare_and_swap(outside: Outside) -> None:
    def ledger(process: Process, bus: SimBus) -> FarLedger:
        return FarLedger(process, bus, _Careless(bus, process.owner, ProcessClock(process)))

    outside.ledgers = ledger


def _acknowledges_first(outside: Outside) -> None:
    """Alerts are acknowledged at once, and handled afterwards: what dies then is lost."""

    def hasty(duties: Duties, process: Process) -> Duties:
        on_alerts = duties.on_alerts
        if on_alerts is None:
            return duties

        async def take(alerts: Sequence[Alert]) -> None:
            async def later() -> None:
                await process.sleep(0.5)
                await on_alerts(alerts)

            process.spawn(_whatever(later()), "hasty")

        return replace(duties, on_alerts=take)

    outside.duties = {Owner.DETECTOR: hasty}


async def _whatever(work: Awaitable[None]) -> None:
    with contextlib.suppress(Exception):  # that is the defect
        await work


class _Unfenced(FarCluster):
    """Reads the object again whenever a write is refused, and writes over whoever was faster."""

    async def write(self, patch: Patch, seen: Object, mark: str) -> Object:
        for _ in range(5):
            try:
                return await super().write(patch, seen, mark)
            except ObjectMoved:
                seen = await self.read(patch.ref)
        return await super().write(patch, seen, mark)


def _ignores_the_epoch(outside: Outside) -> None:
    def cluster(process: Process, server: ApiServer) -> FarCluster:
        return _Unfenced(process, server) if process.owner is Owner.MITIGATOR else FarCluster(process, server)

    outside.clusters = cluster


class _Forgetful(FarLedger):
    """Undo's view of the ledger without the steps that were intended and never confirmed."""

    async def fold(self, incident: IncidentId) -> Incident:
        return _confirmed_only(await super().fold(incident))

    async def append(
        self,
        incident: Incident,
        *events: Event,
        locks: Sequence[Lock] = (),
        frees_key: bool = False,
        while_open: Incident | None = None,
    ) -> Incident:
        after = await super().append(incident, *events, locks=locks, frees_key=frees_key, while_open=while_open)
        return _confirmed_only(after)


def _confirmed_only(incident: Incident) -> Incident:
    kept = tuple(_confirmed(known) for known in incident.transactions)
    return incident.model_copy(update={"transactions": kept})


def _confirmed(known: Transaction) -> Transaction:
    intents = tuple(intent for intent in known.intents if intent.step in known.steps_applied)
    return known.model_copy(update={"intents": intents})


def _skips_the_unconfirmed(outside: Outside) -> None:
    def ledger(process: Process, bus: SimBus) -> FarLedger:
        return _Forgetful(process, bus) if process.owner is Owner.UNDO else FarLedger(process, bus)

    outside.ledgers = ledger


class _Gullible(NearLedger):
    """Believes whatever has a place in the table, whoever put it there."""

    async def fold(self, incident: IncidentId) -> Incident:
        folded = Incident(id=incident)
        for record in self._sim.events.get(incident, []):
            with contextlib.suppress(IllegalTransition):
                folded = apply(folded, record)
        return folded


def _believes_anybody(outside: Outside) -> None:
    def ledger(process: Process, bus: SimBus) -> FarLedger:
        return FarLedger(process, bus, _Gullible(bus, process.owner, ProcessClock(process)))

    outside.ledgers = ledger


SABOTAGES: Final[Mapping[str, Callable[[Outside], None]]] = {
    "no-compare-and-swap": _without_compare_and_swap,
    "ack-before-append": _acknowledges_first,
    "ignores-the-epoch": _ignores_the_epoch,
    "undo-skips-the-unconfirmed": _skips_the_unconfirmed,
    "believes-anybody": _believes_anybody,
}
