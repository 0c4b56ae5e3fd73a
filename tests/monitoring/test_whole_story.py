"""Two faults of the lab, told by a real Prometheus and a real pair of Alertmanagers to a whole Primum.

The story is played once. First a rollout that cannot start. Then another one: Primum is paused and Prometheus killed,
so that Alertmanager says `resolved` of what goes on; Prometheus comes back, Primum goes on, and in the middle of its
transaction Prometheus is killed again. What the tests say is read from the cluster and from the streams.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from eval.logbook import Logbook, read_logbook
from eval.monitoring.ground import MonitoredGround, monitored_ground
from eval.oracles import Objects, failing_ratio, residue, written_objects
from eval.scenarios.wrong_image import WrongImage
from eval.stage import Stage
from shared.adapters.system import SystemClock
from shared.testing.running import until

CLOCK = SystemClock()
SEED: Final = 3
DICE: Final = random.Random(SEED)  # noqa: S311 - seeded, so that it can be played again
WITHIN_S: Final = 60.0
SERVED_FOR_S: Final = 10.0
OVER: Final = frozenset({"resolved", "closed", "escalated", "stuck"})
UNDER_WAY: Final = frozenset({"mitigating", "validating"})
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(170)]


@dataclass
class Chapter:
    """One fault, and how it stood when it was over."""

    incidents: Sequence[Mapping[str, Any]] = ()
    residue: Sequence[str] = ()
    failing: float = 1.0
    sent: Sequence[float] = ()
    """Notifications that each of the pair got accepted."""
    fired: Sequence[Mapping[str, str]] = ()
    """The labels of all alerts that Prometheus has fired so far, by its own record."""


@dataclass
class Story:
    """What was seen on the way, and the log of it all."""

    told: Chapter = field(default_factory=Chapter)
    cut: Chapter = field(default_factory=Chapter)
    said_resolved: str = ""
    """The incident's state when Alertmanager held every alert for resolved, and nothing was."""
    still_broken: Sequence[str] = ()
    logbook: Logbook = field(default_factory=lambda: Logbook((), ()))


class Teller:
    """Plays it."""

    def __init__(self, stage: Stage[MonitoredGround], before: Objects) -> None:
        self._stage, self._known, self._before = stage, set[str](), before
        self._ground, self._monitoring = stage.ground, stage.ground.monitoring

    async def one_fault(self) -> Chapter:
        """A rollout that cannot start, with everything working."""
        await WrongImage("cart", DICE).inject(self._ground)
        await self._until_over()
        chapter = await self._chapter()
        await self._until_closed()
        return chapter

    async def a_false_all_clear(self, story: Story) -> None:
        """Paused, so that nothing is mended; and no Prometheus, so that the alerts end without a cause."""
        await self._order("/api/pause", reason="to see what a resolved notice does")
        await WrongImage("store", DICE).inject(self._ground)
        await self._until(self._is({"planning"}))
        await self._monitoring.prometheus.kill()
        await self._until(self._nothing_active)
        story.still_broken = await self._residue()
        (incident,) = await self._new()
        story.said_resolved = incident["state"]
        await self._monitoring.prometheus.start()

    async def no_prometheus(self) -> Chapter:
        """Go on, and lose Prometheus between the write and the verdict."""
        await self._order("/api/resume")
        await self._until(self._is(UNDER_WAY))
        await self._monitoring.prometheus.kill()
        await self._until_over()
        chapter = await self._chapter()
        await self._monitoring.prometheus.start()
        await self._until_closed()
        return chapter

    # --- looking

    async def _chapter(self) -> Chapter:
        ground, monitoring = self._ground, self._monitoring
        served = await ground.users()
        await ground.pass_s(SERVED_FOR_S)
        return Chapter(
            incidents=[await self._stage.incident(each["id"]) for each in await self._new()],
            residue=await self._residue(),
            failing=failing_ratio(served, await ground.users()),
            sent=[await monitoring.count(n, "alertmanager_notifications_total", integration="webhook") for n in (0, 1)],
            fired=await self._fired(),
        )

    async def _residue(self) -> Sequence[str]:
        return residue(self._before, await written_objects(self._ground.operator))

    async def _fired(self) -> Sequence[Mapping[str, str]]:
        try:
            answer = await self._monitoring.http.get(
                f"{self._monitoring.url}/api/v1/series", params={"match[]": 'ALERTS{alertstate="firing"}'}
            )
        except httpx.TransportError:
            return ()
        aside = ("__name__", "alertstate")
        return [{k: v for k, v in labels.items() if k not in aside} for labels in answer.json()["data"]]

    async def _new(self) -> Sequence[Mapping[str, Any]]:
        return [each for each in await self._stage.incidents() if each["id"] not in self._known]

    def _is(self, states: Collection[str]) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            return any(each["state"] in states for each in await self._new())

        return check

    async def _nothing_active(self) -> bool:
        """Whether each of the pair holds every alert for resolved, and has said so."""
        for each in self._monitoring.alertmanagers:
            if (await self._monitoring.http.get(f"{each.url}/api/v2/alerts")).json():
                return False
        before = await self._sent()
        await CLOCK.sleep(2 * self._monitoring.intervals.group_interval_s)
        return await self._sent() == before

    async def _sent(self) -> float:
        monitoring = self._monitoring
        return sum(
            [await monitoring.count(n, "alertmanager_notifications_total", integration="webhook") for n in (0, 1)]
        )

    async def _until(self, check: Callable[[], Awaitable[bool]]) -> None:
        await until(check, CLOCK, within_s=WITHIN_S)

    async def _until_over(self) -> None:
        async def check() -> bool:
            found = await self._new()
            return bool(found) and all(each["state"] in OVER for each in found) and self._ground.lab.settled()

        await self._until(check)

    async def _until_closed(self) -> None:
        async def check() -> bool:
            return all(each["state"] == "closed" for each in await self._stage.incidents())

        await self._until(check)
        self._known = {each["id"] for each in await self._stage.incidents()}

    async def _order(self, path: str, **said: str) -> None:
        await self._stage.order(path, **said)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(installed: None) -> AsyncIterator[Story]:  # noqa: ARG001 - nothing begins without the programs
    """The story, played."""
    told = Story()
    async with monitored_ground(SEED) as ground, Stage(ground) as stage:
        teller = Teller(stage, await written_objects(ground.operator))
        told.told = await teller.one_fault()
        await teller.a_false_all_clear(told)
        told.cut = await teller.no_prometheus()
        await stage.stop_primum()
        told.logbook = await read_logbook(stage.data)
    yield told


def _types(incident: Mapping[str, Any]) -> list[str]:
    return [entry["type"] for entry in incident["timeline"]]


async def test_one_condition_told_by_both_is_one_incident(story: Story) -> None:
    """Both Alertmanagers delivered; the ledger has one incident for each of the two faults."""
    assert min(story.told.sent) >= 1
    assert len(story.told.incidents) == 1
    assert Counter(event.get("type") for event in story.logbook.ledger)["Opened"] == 2


async def test_no_alert_is_stored_twice(story: Story) -> None:
    """Two senders, retries, repeats: one message for each word on each alert."""
    words = Counter(
        (
            each["fingerprint"],
            each["status"],
            each["starts_at"],
            each["ends_at"] if each["status"] == "resolved" else "",
        )
        for each in story.logbook.alerts
    )

    assert words
    assert [word for word, times in words.items() if times > 1] == []


async def test_no_alert_is_lost(story: Story) -> None:
    """Whatever Prometheus's own record says has fired is in the stream."""
    stored = {
        frozenset((name, value) for name, value in each["labels"].items() if name != "cluster")
        for each in story.logbook.alerts
    }

    assert story.told.fired
    assert [labels for labels in story.told.fired if frozenset(labels.items()) not in stored] == []


async def test_it_is_diagnosed_mended_and_measured_by_the_real_prometheus(story: Story) -> None:
    """The cause, one transaction, a verdict, and a symptom that was read as gone: kept, and proven."""
    (incident,) = story.told.incidents
    (transaction,) = incident["transactions"]
    kept = next(entry["event"] for entry in incident["timeline"] if entry["type"] == "Kept")

    assert incident["causes"][0]["code"] == "image-pull-failed"
    assert (transaction["runbook"], transaction["outcome"]) == ("roll-back-deployment", "kept")
    assert (kept["unproven"], kept["verdict"]["word"]) == (False, "better")
    assert kept["symptom"]["symptom"] in {"gone", "receding"}
    assert story.told.residue == []
    assert story.told.failing < 0.02


async def test_a_resolved_notice_only_makes_it_look(story: Story) -> None:
    """Alertmanager said that all is over, twice; it was not, and the incident did not move."""
    assert {each["status"] for each in story.logbook.alerts} == {"firing", "resolved"}
    assert story.still_broken != []
    assert story.said_resolved == "planning"
    assert not any("Cleared" in _types(incident) for incident in [*story.told.incidents, *story.cut.incidents])


async def test_without_prometheus_the_verdict_stands_on_structure_and_says_so(story: Story) -> None:
    """The rollback is kept, unproven: the symptom is unknown, the verdict's reasons are what the cluster shows."""
    (incident,) = story.cut.incidents
    kept = next(entry["event"] for entry in incident["timeline"] if entry["type"] == "Kept")

    assert kept["unproven"]
    assert kept["symptom"]["symptom"] == "unknown"
    assert "Prometheus cannot be reached" in kept["reason"]
    assert kept["verdict"]["word"] == "better"
    assert kept["verdict"]["reasons"]
    assert not any("request" in reason for reason in kept["verdict"]["reasons"])
    assert story.cut.residue == []
    assert story.cut.failing < 0.02


async def test_what_a_prometheus_remembers_from_before_it_went_is_no_relapse(story: Story) -> None:
    """It came back after the rollback, and answered with what it had scraped before: nothing came of that."""
    events = [event["type"] for event in story.logbook.ledger if event.get("type")]

    assert "Relapsed" not in events
    assert events.count("Quiet") == 2


async def test_nothing_is_left_under_way(story: Story) -> None:
    """Every transaction ended, every lock is free."""
    assert story.logbook.orphaned() == []
