"""The examples in CONTRIBUTING.md work as they stand: who copies one has an action, a runbook, an analyzer."""

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from eval.ground import Ground
from eval.lab.rehearsal import Rehearsal
from eval.lab_ground import WorldGround, inside
from eval.oracles import residue, written_objects
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod
from shared.actions.action import Action, action, patch, rolling
from shared.analyzers.evidence import at
from shared.analyzers.registry import Analyzer
from shared.domain.cause import CauseCode, Finding
from shared.domain.change import Change, Patch, replace
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.snapshot import Snapshot
from shared.runbooks import catalog
from shared.testing.builders import a_deployment, a_pod, a_replica_set, a_snapshot

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
MEANT = (
    *(Action, Change, Finding, Frozen, Iterator, Kind, Ref, Snapshot, CauseCode, action, at, patch, replace, rolling),
    *(Sequence, Ground, Blame, Expected, Scenario, patch_pod),
)


def _examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def _named(name: str) -> Any:
    """What the page's Python makes of a name, once its imports stand above it."""
    made: dict[str, Any] = {
        "Change": Change,
        "ClassVar": ClassVar,
        "SERVED": SERVED,
        **{meant.__name__: meant for meant in MEANT if hasattr(meant, "__name__")},
    }
    exec("\n".join(_examples("python")), made)  # noqa: S102 - it is our own page, and this is what it is for
    return made[name]


def test_the_action_writes_what_it_says_and_its_undo_is_derived() -> None:
    """Nobody wrote an undo, and there is one."""
    deployment = a_deployment()
    set_image: Action = _named("set_image")
    given = {"deployment": deployment.ref, "container": "main", "image": "registry.example/cart:2"}

    (change,) = set_image.run(given, a_snapshot(deployment))

    assert isinstance(change, Patch)
    after = change.apply(deployment)
    assert after.at("/spec/template/spec/containers/main/image") == "registry.example/cart:2"
    assert change.inverse().apply(after) == deployment


def test_the_runbook_keeps_to_the_contract() -> None:
    """It is what `primum runbook lint` would pass."""
    (text,) = _examples("yaml")

    assert catalog.parse(text, "CONTRIBUTING.md").name == "add-a-replica"


def test_the_analyzer_finds_its_cause_with_evidence() -> None:
    """It names the workload at fault, and nothing where nothing is wrong."""
    image_pull_failed: Analyzer = _named("image_pull_failed")
    deployment = a_deployment(replicas=1)
    revision = a_replica_set(deployment)
    ill, well = (
        a_snapshot(deployment, revision, a_pod(owner=revision, waiting=why)) for why in ("ImagePullBackOff", "")
    )

    (finding,) = image_pull_failed(ill)

    assert (finding.code, finding.object) == (CauseCode.IMAGE_PULL_FAILED, deployment.ref)
    assert list(image_pull_failed(well)) == []


async def test_the_scenario_breaks_one_object_of_the_service_that_it_hits() -> None:
    """The one that it blames."""
    world = Rehearsal(seed=1)
    ground = WorldGround(world, inside(world))
    scenario: Scenario = _named("NoSuchNode")("cart", random.Random(1))  # noqa: S311 - seeded
    before = await written_objects(ground.operator)

    await scenario.inject(ground)

    (line,) = residue(before, await written_objects(ground.operator))
    (blame,) = scenario.truth
    assert line.startswith("/".join(scenario.at_fault(blame, ground.shop)))
