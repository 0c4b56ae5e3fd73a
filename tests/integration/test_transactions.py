"""A transaction from its opening to its verdict: real handlers, a real Kubernetes client, a lab over HTTP."""

import pytest

from shared.domain.cause import CIRCUMSTANTIAL, Cause, CauseCode
from shared.domain.cluster import MARK, Kind, Ref
from shared.domain.events import (
    Intended,
    Kept,
    NoPlanLeft,
    Owner,
    SampleTaken,
    TransactionOpened,
    UndoRequested,
    UndoWhy,
)
from shared.domain.frozen import JsonObject
from shared.domain.incident import State
from shared.domain.transaction import Outcome
from shared.testing.builders import a_cause
from tests.integration.the_core import EXPRESSION, Core

pytestmark = pytest.mark.asyncio(loop_scope="module")


def mark_of(core: Core, ref: Ref) -> str | None:
    metadata = core.stored(ref)["metadata"]
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    value = labels.get(MARK) if isinstance(labels, dict) else None
    return None if value is None else str(value)


def an_innocent_rollout(core: Core, role: str = "catalog") -> Cause:
    """A suspicion by timing alone: that going back a revision does not help is what shows that it was wrong."""
    deployment = core.ref(Kind.DEPLOYMENT, role)
    cause = a_cause(CauseCode.RECENT_ROLLOUT, deployment)
    assert cause.code in CIRCUMSTANTIAL
    return cause.but(remedy={"revision": 2})


async def test_what_is_intended_is_on_record_before_the_object_changes(core: Core) -> None:
    """At the moment of the write the locks are held, both images are durable, and the object is as it was."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    before = core.spec(cause.object)
    seen: list[tuple[list[str], object, set[Ref]]] = []

    async def look() -> None:
        seen.append((await core.names(incident), core.spec(cause.object), core.held()))

    mitigator.moments.at("before write", look)
    await mitigator.reconcile(incident)
    transaction = await core.transaction(incident)
    assert seen == [(["Opened", "DiagnosisStarted", "Diagnosed", "TransactionOpened", "Intended"], before, core.held())]
    assert core.held() == set(transaction.plan.locked) >= {cause.object, core.ref(Kind.DEPLOYMENT, "cart")}
    intended = transaction.intents[0]
    assert intended.pre_image["spec"] == before
    assert intended.post_image["spec"] == core.spec(cause.object) != before
    assert await core.names(incident) == [*seen[0][0], "StepApplied", "Applied"]


async def test_what_is_written_bears_the_transactions_mark_and_epoch(core: Core) -> None:
    """Anybody can see in the object itself who wrote it, and under which epoch; `before` is the health before it."""
    cause = await core.broken_selector()
    incident = await core.diagnosed(cause)
    await core.mitigator().reconcile(incident)
    transaction = await core.transaction(incident)
    opened = next(record for record in await core.history(incident) if isinstance(record.event, TransactionOpened))
    assert mark_of(core, cause.object) == f"{transaction.id}.{opened.sequence}"
    assert transaction.before.endpoints == {f"{cause.object.namespace}/{cause.object.name}": 0}


async def test_what_helped_is_kept_and_its_locks_are_free(core: Core) -> None:
    """Endpoints are back and the symptom is gone over several samples: decided before the deadline."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    await mitigator.reconcile(incident)
    core.metrics.levels.clear()
    folded = await core.until(mitigator, incident, State.RESOLVED, State.UNDOING)
    kept = (await core.history(incident))[-1].event
    assert isinstance(kept, Kept)
    assert (folded.state, kept.verdict.word, kept.unproven) == (State.RESOLVED, "better", False)
    assert core.held() == set()
    assert (Owner.MITIGATOR, incident) in core.bus.timers


async def test_a_burst_of_wake_ups_is_one_sample(core: Core) -> None:
    """Events, timers and the sweep come together; three looks within a moment are not three samples."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator(sample_every_s=600)
    core.metrics.levels.clear()
    for _ in range(8):
        await mitigator.reconcile(incident)
    facts = await core.ledger(Owner.MITIGATOR).facts(incident)
    assert len([fact for fact in facts if isinstance(fact, SampleTaken)]) == 1
    assert (await core.fold(incident)).state is State.VALIDATING
    assert (Owner.MITIGATOR, incident) in core.bus.timers


async def test_a_right_but_insufficient_fix_stays_and_the_next_cause_is_sought(core: Core) -> None:
    """Its cause is mended, the symptom is still there at the deadline: kept, and back to diagnosis."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    await mitigator.reconcile(incident)
    fixed = core.spec(cause.object)
    while (await core.fold(incident)).state is State.VALIDATING:
        await mitigator.reconcile(incident)
        await core.tick()
        facts = await core.ledger(Owner.MITIGATOR).facts(incident)
        if len([fact for fact in facts if isinstance(fact, SampleTaken)]) == 4:
            core.clock.advance(60)
    assert (await core.fold(incident)).state is State.DIAGNOSING
    assert (await core.transaction(incident)).outcome is Outcome.KEPT
    assert (core.spec(cause.object), core.held()) == (fixed, set())


async def test_what_did_not_help_is_taken_back_and_barred_also_for_the_next_incident(core: Core) -> None:
    """The object's spec is exactly as before, the plan is excluded, and nobody tries the pair again that day."""
    cause = an_innocent_rollout(core)
    before = core.spec(cause.object)
    incident, mitigator, undo = await core.diagnosed(cause), core.mitigator(), core.undo()
    await mitigator.reconcile(incident)
    assert core.spec(cause.object) != before
    await core.lab.until(core.lab.complete, timeout_s=20)
    await mitigator.reconcile(incident)
    core.clock.advance(60)
    await core.until(mitigator, incident, State.UNDOING)
    folded = await core.until(undo, incident, State.DIAGNOSING, State.STUCK)
    transaction = await core.transaction(incident)
    assert (folded.state, transaction.outcome, transaction.undo_why) == (
        State.DIAGNOSING,
        Outcome.UNDONE,
        UndoWhy.DID_NOT_HELP,
    )
    assert core.spec(cause.object) == before
    assert transaction.plan.hash in folded.excluded
    assert (cause.object, "roll-back-deployment") in folded.barred
    assert core.held() == set()

    cause = cause.but(remedy={"revision": 1})  # going back has renumbered revision 2
    later = await core.diagnosed(cause, "inc-2")
    await mitigator.reconcile(later)
    refused = (await core.history(later))[-1].event
    assert isinstance(refused, NoPlanLeft)
    assert "undone" in refused.considered[-1]
    core.clock.advance(25 * 3600)
    core.bus.beats[mitigator.holder] = core.clock.monotonic_s()
    next_day = await core.diagnosed(cause, "inc-3")
    await mitigator.reconcile(next_day)
    assert (await core.fold(next_day)).state is State.VALIDATING


async def test_a_write_that_fails_is_taken_back_like_one_that_may_have_run(core: Core) -> None:
    """The API server refuses between intent and write: undone, and what was never written is found untouched."""
    cause = await core.broken_selector()
    before = core.spec(cause.object)
    incident, mitigator, undo = await core.diagnosed(cause), core.mitigator(), core.undo()

    async def refuse() -> None:
        core.lab.faults.forbid("patch", "services")

    mitigator.moments.at("before write", refuse)
    await mitigator.reconcile(incident)
    *_, intended, asked = (record.event for record in await core.history(incident))
    assert isinstance(intended, Intended)
    assert isinstance(asked, UndoRequested)
    assert asked.why is UndoWhy.STEP_FAILED
    core.lab.faults.heal()
    folded = await core.until(undo, incident, State.DIAGNOSING, State.STUCK)
    assert (folded.state, core.spec(cause.object), core.held()) == (State.DIAGNOSING, before, set())
    assert "UndoIntended" not in await core.names(incident)


@pytest.mark.parametrize("moment", ["before dry run", "before write"])
async def test_a_conflict_with_somebodys_unrelated_write_is_read_again_and_written(core: Core, moment: str) -> None:
    """Controllers move objects all the time: that is no reason to give up."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()

    async def annotate() -> None:
        core.somebody_edits(cause.object, metadata={"annotations": {"note": "hello"}})

    mitigator.moments.at(moment, annotate)
    await mitigator.reconcile(incident)
    assert (await core.fold(incident)).state is State.VALIDATING
    metadata = core.stored(cause.object)["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["annotations"] == {"note": "hello"}


async def test_what_cannot_be_looked_at_by_the_deadline_is_not_shown_to_have_helped(core: Core) -> None:
    """A permission that went is no verdict either: it waits until the deadline, and then it is taken back."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    await mitigator.reconcile(incident)
    for kind in ("deployments", "replicasets", "pods", "services", "endpointslices", "events", "nodes"):
        core.lab.faults.forbid("list", kind)
    await mitigator.reconcile(incident)
    assert (await core.fold(incident)).state is State.VALIDATING
    assert (Owner.MITIGATOR, incident) in core.bus.timers
    core.clock.advance(60)
    await mitigator.reconcile(incident)
    asked = (await core.history(incident))[-1].event
    assert isinstance(asked, UndoRequested)
    assert "not measured" in asked.reason


async def test_a_late_regression_is_taken_back_within_the_watch_window(core: Core) -> None:
    """Kept is not the end: a scope that is worse than before the transaction goes back."""
    cause = await core.broken_selector()
    incident, mitigator = await core.diagnosed(cause), core.mitigator()
    await mitigator.reconcile(incident)
    core.metrics.levels.clear()
    await core.until(mitigator, incident, State.RESOLVED)
    workload = core.ref(Kind.DEPLOYMENT, "cart")
    container: JsonObject = {"name": "app", "image": core.lab.shop.missing_image("cart")}
    core.lab.store.patch_strategic(
        "Deployment",
        workload.namespace,
        workload.name,
        {
            "spec": {
                "strategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
                "template": {"spec": {"containers": [container]}},
            }
        },
    )
    folded = await core.until(mitigator, incident, State.UNDOING)
    assert "late regression" in folded.reason


async def test_the_symptom_is_read_anew_before_a_transaction_starts(core: Core) -> None:
    """If it is gone and the scope is well, nothing starts; while the scope ails, it is only out of sight."""
    rollout = an_innocent_rollout(core, "orders")
    well, mitigator = await core.diagnosed(rollout), core.mitigator()
    core.metrics.levels.clear()
    await mitigator.reconcile(well)
    assert (await core.fold(well)).reason == "the symptom is gone"
    ailing = await core.diagnosed(await core.broken_selector(), "inc-2")
    await mitigator.reconcile(ailing)
    assert (await core.fold(ailing)).state is State.VALIDATING


async def test_a_symptom_that_is_gone_holds_nothing_back_while_the_root_ails(core: Core) -> None:
    """However well the plan's own scope is: the detector does not clear that incident, so it would wait for ever."""
    broken, rollout = await core.broken_selector(), an_innocent_rollout(core, "shipping")
    incident = await core.diagnosed(rollout, root=broken.object)
    core.metrics.levels.clear()
    await core.mitigator().reconcile(incident)
    assert (await core.fold(incident)).state is State.VALIDATING


async def test_nothing_starts_while_the_symptom_recedes_however_often_it_is_looked_at(core: Core) -> None:
    """Two looks at one scrape show a standstill: what recedes is measured again only after the wait."""
    incident, mitigator = await core.diagnosed(an_innocent_rollout(core, "orders")), core.mitigator(pace=1)
    place = core.ref(Kind.DEPLOYMENT, "orders")
    core.somebody_edits(place, metadata={"annotations": {"primum.dev/hold": "true"}})
    await mitigator.reconcile(incident)
    core.somebody_edits(place, metadata={"annotations": {"primum.dev/hold": None}})
    core.metrics.levels[EXPRESSION] = 0.5
    for _ in range(4):
        await mitigator.reconcile(incident)
    folded = await core.fold(incident)
    assert (folded.state, folded.reason) == (State.PLANNING, "the symptom is receding")
    core.clock.advance(16)
    await mitigator.reconcile(incident)
    assert (await core.fold(incident)).state is State.VALIDATING
