"""What each kind of fault does when its moment comes, and how it ends."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from eval.lab.kinds import Obj
from eval.oracles import written_objects
from eval.scenarios.alert_storm import AlertStorm
from eval.scenarios.gray_node import GrayNode
from eval.scenarios.healed_before import HealedBefore
from eval.scenarios.memory_limit import MemoryLimit
from eval.scenarios.misleading_rollout import MisleadingRollout
from eval.scenarios.scenario import Scenario, patch_container
from eval.scenarios.wrong_image import WrongImage
from eval.scenarios.wrong_selector import WrongSelector
from eval.simulation.bus import Flaky
from eval.simulation.cluster import ApiTrouble
from eval.simulation.intruder import Intruder, targets
from eval.simulation.plan import CALM_S, Fault
from eval.simulation.process import Blow, draw_blow
from eval.simulation.ways import Trouble, Way
from services.gateway.decide import plans_shown
from shared.domain.change import Patch
from shared.domain.cluster import HOLD, Kind
from shared.domain.events import Owner

if TYPE_CHECKING:
    from eval.simulation.simulation import Simulation

Play = Callable[["Simulation", Fault], Awaitable[None]]


async def play(simulation: "Simulation", fault: Fault) -> None:
    """Wait for the fault's moment, let it happen, and let it end."""
    await simulation.loop.sleep(fault.at_s - simulation.loop.time())
    simulation.story.tell("fault", "chaos", str(fault))
    await PLAYS[fault.kind](simulation, fault)


def _rng(simulation: "Simulation", fault: Fault) -> random.Random:
    """Chance of a fault's own: leaving another one out does not change it."""
    return random.Random(f"{simulation.plan.seed} {fault.kind} {fault.at_s}")


# --- the cluster


def _scenario(kind: type[Scenario]) -> Play:
    async def broken(simulation: "Simulation", fault: Fault) -> None:
        rng = _rng(simulation, fault)
        other = rng.choice(kind.others) if kind.others else ""
        scenario = kind(rng.choice(kind.roles), rng, other)
        before = await written_objects(simulation.ground.operator)
        try:
            await scenario.inject(simulation.ground)
        except TimeoutError:
            simulation.story.tell("fault", "chaos", f"{fault.kind}: the shop was not as it needs it")
            return
        broken = await simulation.changed_since(before)
        if fault.lasts_s:
            await simulation.loop.sleep(fault.lasts_s)
            await simulation.put_back(broken, f"{fault.kind} is mended by its owner")
        else:
            await simulation.loop.sleep(CALM_S - simulation.loop.time())
        await scenario.recover(simulation.ground)

    return broken


async def _wrong_port(simulation: "Simulation", fault: Fault) -> None:
    rng, shop, store = _rng(simulation, fault), simulation.world.shop, simulation.world.store
    name = shop.services[rng.choice(sorted(shop.services))]
    before = await written_objects(simulation.ground.operator)
    ports = [{**port, "targetPort": 9} for port in store.get("Service", shop.namespace, name)["spec"]["ports"]]
    store.patch("Service", shop.namespace, name, {"spec": {"ports": ports}})
    broken = await simulation.changed_since(before)
    if fault.lasts_s:
        await simulation.loop.sleep(fault.lasts_s)
        await simulation.put_back(broken, f"{fault.kind} is mended by its owner")


async def _innocent(simulation: "Simulation", fault: Fault) -> None:
    """A rollout of something harmless, or of the next version."""
    rng, shop = _rng(simulation, fault), simulation.world.shop
    role = rng.choice(sorted(shop.services))
    change: Mapping[str, object] = {"env": [{"name": "LOG_LEVEL", "value": "debug"}]}
    if rng.random() < 0.5:
        change = {"image": shop.next_image(role)}
    simulation.world.store.patch_strategic("Deployment", shop.namespace, shop.services[role], patch_container(change))


async def _edit(simulation: "Simulation", fault: Fault) -> None:
    """Somebody edits what Primum is at: an image, a count or a selector, of what it wrote last if it wrote anything."""
    rng, shop, store = _rng(simulation, fault), simulation.world.shop, simulation.world.store
    written = [
        intended.change.ref
        for deal in simulation.referee.deals.values()
        for intended, _ in deal.intents.values()
        if isinstance(intended.change, Patch)
    ]
    if written and written[-1].kind is Kind.SERVICE:
        selector = {"app": rng.choice(sorted(shop.services.values()))}
        _patched(simulation, "Service", written[-1].name, {"spec": {"selector": selector}})
        return
    role = rng.choice(sorted(shop.services))
    name = written[-1].name if written and rng.random() < 0.7 else shop.services[role]
    if store.find("Deployment", shop.namespace, name) is None:
        return
    match rng.choice(("image", "replicas", "label")):
        case "image":
            known = next((key for key, called in shop.services.items() if called == name), role)
            _patched(simulation, "Deployment", name, patch_container({"image": shop.next_image(known)}))
        case "replicas":
            _patched(simulation, "Deployment", name, {"spec": {"replicas": rng.choice((2, 3, 4))}})
        case _:
            note = {"metadata": {"annotations": {"example.com/owner": f"team-{rng.randrange(9)}"}}}
            _patched(simulation, "Deployment", name, note)


def _patched(simulation: "Simulation", kind: str, name: str, change: Obj) -> None:
    """A person's own write: a world without Primum has it, too."""
    namespace = simulation.world.shop.namespace
    simulation.by_a_person(lambda world: world.store.patch_strategic(kind, namespace, name, change))


async def _hold(simulation: "Simulation", fault: Fault) -> None:
    shop, store = simulation.world.shop, simulation.world.store
    store.patch("Namespace", "", shop.namespace, {"metadata": {"annotations": {HOLD: "a release"}}})
    await simulation.loop.sleep(fault.lasts_s)
    store.patch("Namespace", "", shop.namespace, {"metadata": {"annotations": {HOLD: None}}})


# --- the ways


def _on_way(way: Callable[["Simulation"], Way], make: Callable[[Fault], Trouble]) -> Play:
    async def troubled(simulation: "Simulation", fault: Fault) -> None:
        trouble = make(fault)
        way(simulation).troubles.append(trouble)
        await simulation.loop.sleep(fault.lasts_s)
        way(simulation).troubles.remove(trouble)
        simulation.story.tell("fault", "chaos", f"{fault.kind} is over")

    return troubled


def _whom(fault: Fault) -> frozenset[str]:
    return frozenset({str(fault.how["whom"])} if fault.how.get("whom") else ())


def _down(fault: Fault) -> Trouble:
    return Trouble(whom=_whom(fault), down=True)


def _lossy(fault: Fault) -> Trouble:
    return Trouble(
        whom=_whom(fault),
        loses_requests=float(fault.how["requests"]),
        loses_answers=float(fault.how["answers"]),
    )


def _slow(fault: Fault) -> Trouble:
    return Trouble(whom=_whom(fault), slow_s=float(fault.how["slow_s"]))


async def _flaky(simulation: "Simulation", fault: Fault) -> None:
    flaky = Flaky(float(fault.how["late_s"]), float(fault.how["doubled"]), float(fault.how["lost"]))
    durables = list(simulation.bus.durables.values())
    for durable in durables:
        durable.flaky.append(flaky)
    await simulation.loop.sleep(fault.lasts_s)
    for durable in durables:
        durable.flaky.remove(flaky)


async def _api(simulation: "Simulation", fault: Fault) -> None:
    refuses = frozenset({(str(fault.how["whom"]), str(fault.how["verb"]))} if "verb" in fault.how else ())
    trouble = ApiTrouble(
        refuses=refuses, busy=float(fault.how.get("busy", 0)), foreign=float(fault.how.get("foreign", 0))
    )
    simulation.api.troubles.append(trouble)
    await simulation.loop.sleep(fault.lasts_s)
    simulation.api.troubles.remove(trouble)
    simulation.story.tell("fault", "chaos", f"{fault.kind} is over")


async def _stuck(simulation: "Simulation", fault: Fault) -> None:
    simulation.stuck_at = simulation.world.sampled_at
    await simulation.loop.sleep(fault.lasts_s)
    simulation.stuck_at = None


# --- the processes


async def _kill(simulation: "Simulation", fault: Fault) -> None:
    _aim(simulation, fault, None)


async def _freeze(simulation: "Simulation", fault: Fault) -> None:
    _aim(simulation, fault, fault.lasts_s)


async def _late_hand(simulation: "Simulation", fault: Fault) -> None:
    """Whoever of the mitigators writes next is held fast before its write, until long after it was given up."""
    for process in simulation.running(Owner.MITIGATOR):
        process.aim(Blow(calls=1, before=True, freeze_s=fault.lasts_s, on="patch"))


def _aim(simulation: "Simulation", fault: Fault, freeze_s: float | None) -> None:
    rng, owner = _rng(simulation, fault), Owner(str(fault.how["service"]))
    running = simulation.running(owner)
    if not running:
        return
    process, blow = rng.choice(running), draw_blow(rng, freeze_s, str(fault.how["on"]))
    simulation.restarts_after_s[process.name] = fault.lasts_s
    process.aim(blow)


async def _clock(simulation: "Simulation", fault: Fault) -> None:
    owner = Owner(str(fault.how["service"]))
    simulation.skew(owner, float(fault.how["seconds"]))
    await simulation.loop.sleep(fault.lasts_s)
    simulation.skew(owner, 0.0)


# --- the people


async def _pause(simulation: "Simulation", fault: Fault) -> None:
    await simulation.callers.order("pause", "/api/pause", {"by": "operator", "reason": "a release"})
    await simulation.loop.sleep(fault.lasts_s)
    simulation.resumes = True


async def _order(simulation: "Simulation", fault: Fault) -> None:
    del fault
    await simulation.operator.meddle()


async def _strike(simulation: "Simulation", fault: Fault) -> None:
    """Somebody puts a message into the ledger: unsigned, signed by whom it does not belong to, or a second time."""
    bus = simulation.bus
    seen = targets(bus, simulation.referee.states, lambda known: plans_shown(bus.said(known)))
    put = Intruder(bus, _rng(simulation, fault)).strike(fault.kind, seen)
    simulation.story.tell("forged", "intruder", f"{fault.kind}: {put}")


def _ledger(simulation: "Simulation") -> Way:
    return simulation.bus.way


def _kube(simulation: "Simulation") -> Way:
    return simulation.api.way


def _prometheus(simulation: "Simulation") -> Way:
    return simulation.prometheus


def _people(simulation: "Simulation") -> Way:
    return simulation.people


_SCENARIOS: Final[Sequence[type[Scenario]]] = (
    WrongImage,
    MemoryLimit,
    WrongSelector,
    MisleadingRollout,
    GrayNode,
    HealedBefore,
    AlertStorm,
)
PLAYS: Final[Mapping[str, Play]] = {
    **{kind.name: _scenario(kind) for kind in _SCENARIOS},
    "wrong-port": _wrong_port,
    "innocent-rollout": _innocent,
    "edit": _edit,
    "hold": _hold,
    "ledger-down": _on_way(_ledger, _down),
    "ledger-lossy": _on_way(_ledger, _lossy),
    "ledger-slow": _on_way(_ledger, _slow),
    "bus-flaky": _flaky,
    "api-down": _on_way(_kube, _down),
    "api-lossy": _on_way(_kube, _lossy),
    "api-slow": _on_way(_kube, _slow),
    "api-busy": _api,
    "api-foreign": _api,
    "api-forbidden": _api,
    "prometheus-down": _on_way(_prometheus, _down),
    "prometheus-stuck": _stuck,
    "people-deaf": _on_way(_people, _down),
    "kill": _kill,
    "late-hand": _late_hand,
    "freeze": _freeze,
    "clock-jump": _clock,
    "pause": _pause,
    "order": _order,
    "forged": _strike,
    "stolen": _strike,
    "replayed": _strike,
}
