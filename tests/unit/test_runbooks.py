"""Runbooks as files: the built-in ones keep the contract, and a broken one is refused with file, place and advice."""

import re
from pathlib import Path

import pytest
import yaml

from shared.domain.cause import OUT_OF_REACH, CauseCode
from shared.domain.errors import RunbookInvalid
from shared.domain.runbook import Risk
from shared.runbooks.catalog import load, parse
from shared.runbooks.conditions import check, variables

GOOD = """
name: add-a-replica
version: 1
summary: Add one.
treats: [cpu-saturated]
params: {deployment: cause.object, replicas: cause.remedy.replicas}
preconditions: ["replicas > deployment.spec.replicas"]
steps:
  - id: enough
    check: deployment.spec.replicas > 9
    otherwise: add
  - id: add
    action: deployment.scale
    with: {deployment: deployment, replicas: replicas}
postconditions: ["deployment.status.availableReplicas >= replicas"]
settle_s: 60
shows_within_s: 60
risk: low
"""


def test_the_built_in_runbooks_are_these() -> None:
    """Each is read and held to its contract; only one is destructive."""
    catalog = load()
    assert {runbook.name: runbook.treats for runbook in catalog.runbooks} == {
        "drain-node": (CauseCode.NODE_GRAY_FAILURE,),
        "fix-service-port": (CauseCode.SERVICE_TARGET_PORT_MISMATCH,),
        "fix-service-selector": (CauseCode.SERVICE_SELECTOR_MISMATCH,),
        "restart-deployment": (CauseCode.UNHEALTHY_PROCESS,),
        "restore-resources": (CauseCode.MEMORY_LIMIT_TOO_LOW, CauseCode.CPU_LIMIT_TOO_LOW),
        "roll-back-deployment": (
            CauseCode.IMAGE_PULL_FAILED,
            CauseCode.CRASH_LOOP,
            CauseCode.RECENT_ROLLOUT,
            CauseCode.CONFIG_MAP_MISSING,
            CauseCode.SECRET_MISSING,
            CauseCode.READINESS_PROBE_MISCONFIGURED,
            CauseCode.UNSCHEDULABLE,
            CauseCode.QUOTA_EXCEEDED,
            CauseCode.CREDENTIALS_REFUSED,
            CauseCode.SLOW_DEPENDENCY,
            CauseCode.SERVICE_ACCOUNT_MISSING,
            CauseCode.LIMIT_RANGE_EXCEEDED,
            CauseCode.VOLUME_CLAIM_MISSING,
            CauseCode.VOLUME_CLAIM_UNBOUND,
            CauseCode.REQUESTS_TOO_LARGE,
            CauseCode.TAINT_NOT_TOLERATED,
            CauseCode.LIVENESS_PROBE_MISCONFIGURED,
            CauseCode.INIT_CONTAINER_HANGING,
            CauseCode.COMMAND_NOT_FOUND,
            CauseCode.ANTI_AFFINITY_UNSATISFIABLE,
            CauseCode.DEPENDENCY_ADDRESS_WRONG,
            CauseCode.DNS_POLICY_WRONG,
            CauseCode.PORT_CONFLICT,
            CauseCode.ROLLOUT_STUCK,
            CauseCode.MEMORY_USE_GROWN,
            CauseCode.CONNECTIONS_EXHAUSTED,
            CauseCode.RETRY_STORM,
        ),
        "serve-dialled-port": (CauseCode.SERVICE_PORT_MISMATCH,),
        "scale-deployment": (CauseCode.CPU_SATURATED, CauseCode.SCALED_TOO_LOW),
    }
    assert [runbook.name for runbook in catalog.runbooks if runbook.destructive] == ["drain-node"]


def test_every_cause_has_a_runbook() -> None:
    """A cause that nothing treats always ends with a person: who sees a machine, or knows what was meant."""
    untreated = {code for code in CauseCode if not load().treating(code)}
    assert untreated == OUT_OF_REACH | {
        CauseCode.CERTIFICATE_EXPIRED,
        CauseCode.NETWORK_POLICY_BLOCKS,
        CauseCode.DNS_MISCONFIGURED,
        CauseCode.WEBHOOK_FAILING,
    }


def test_a_good_runbook_is_read() -> None:
    """It is what the file says."""
    runbook = parse(GOOD, "good.yaml")
    assert (runbook.name, runbook.risk, len(runbook.steps)) == ("add-a-replica", Risk.LOW, 2)


def test_the_hash_is_of_the_content_and_not_of_the_layout() -> None:
    """Spaces and order do not change a contract; a word does."""
    again = yaml.safe_dump(yaml.safe_load(GOOD), sort_keys=True)
    assert parse(again, "again.yaml").hash == parse(GOOD, "good.yaml").hash
    assert parse(GOOD.replace("settle_s: 60", "settle_s: 61"), "other.yaml").hash != parse(GOOD, "good.yaml").hash


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "advice"),
    [
        ("risk: low", "risk: [", "line 19, column", "no YAML", "mend the syntax"),
        ("risk: low", "risk: 2026-13-01", "the whole file", "month", "mend the syntax"),
        ("risk: low", "risk: " + "[" * 2000, "the whole file", "recursion", "mend the syntax"),
        ("risk: low", "", "risk", "required", "add this field"),
        ("risk: low", "risk: low\nundo: none", "undo", "not permitted", "remove this field"),
        ("risk: low", "risk: tiny", "risk", "'low', 'medium' or 'high'", "primum runbook show"),
        ("cpu-saturated", "bad-luck", "treats.0", "Input should be", "primum runbook show"),
        ("name: add-a-replica", "name: Add A Replica", "name", "pattern", "primum runbook show"),
        ("settle_s: 60", "settle_s: 0", "settle_s", "greater than 0", "primum runbook show"),
        ("deployment.scale\n", "deployment.explode\n", "steps.add.action", "unknown action", "deployment.scale"),
        ("replicas: replicas}\npost", "count: replicas}\npost", "steps.add.with.count", "no such param", "replicas"),
        ("replicas: replicas}\npost", "replicas: many}\npost", "steps.add.with.replicas", "unknown param", "replicas"),
        (", replicas: replicas}\npost", "}\npost", "steps.add.with", "needs 'replicas'", "name the param"),
        ("replicas > deploy", "replicas >> deploy", "preconditions.0", "bad CEL", "cel.dev"),
        ("replicas > deploy", f"{'nodes.all(n, ' * 3}true))) && deploy", "preconditions.0", "3 loops", "at most 2"),
        ("deployment.spec.replicas > 9", "pods > 9", "steps.enough.check", "unknown name 'pods'", "deployment"),
        (">= replicas", ">= enough", "postconditions.0", "unknown name 'enough'", "deployment"),
        ("cause.object", "cause.evidence", "params.deployment", "unknown source", "cause.remedy.<key>"),
        ("otherwise: add", "otherwise: gone", "the whole file", "no later step", "primum runbook show"),
        ("id: add", "id: enough", "the whole file", "the same id", "primum runbook show"),
        ("params: {", "params: {nodes: cause.object, ", "params.nodes", "is provided", "another name"),
    ],
)
def test_a_broken_contract_is_refused_with_file_place_and_advice(
    old: str, new: str, place: str, what: str, advice: str
) -> None:
    """It is never skipped, and never half read."""
    assert old in GOOD
    with pytest.raises(RunbookInvalid) as refused:
        parse(GOOD.replace(old, new), "mine.yaml")
    message = str(refused.value)
    assert re.match(rf"mine\.yaml: {re.escape(place)}", message), message
    assert what in message
    assert advice in refused.value.advice


def test_a_file_that_is_no_mapping_is_refused() -> None:
    """An empty one too."""
    for text in ("", "just words", "[1, 2]"):
        with pytest.raises(RunbookInvalid, match="the whole file"):
            parse(text, "mine.yaml")


def test_a_folder_adds_its_runbooks(tmp_path: Path) -> None:
    """Other files in it are left alone."""
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("not a runbook")
    assert load(tmp_path).find("add-a-replica") is not None
    assert len(load(tmp_path).runbooks) == len(load().runbooks) + 1


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """A built-in one is not replaced in silence."""
    (tmp_path / "mine.yml").write_text(GOOD.replace("add-a-replica", "drain-node"))
    with pytest.raises(RunbookInvalid, match="there is a runbook 'drain-node' already"):
        load(tmp_path)


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """Not a catalog with fewer runbooks."""
    with pytest.raises(RunbookInvalid, match="PRIMUM_RUNBOOKS"):
        load(tmp_path / "missing")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunbookInvalid, match="cannot be read"):
        load(tmp_path)


# --- conditions


def test_a_condition_reads_what_it_is_bound_to() -> None:
    """Numbers are numbers, whatever they are in JSON."""
    assert check("a.spec.replicas >= 2 && b == 'x'", {"a": {"spec": {"replicas": 2}}, "b": "x"}).holds


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a.n > 3", "a.n > 3 is false"),
        ("a.missing > 3", "KeyError"),
        ("b > 3", "Undefined variable"),
        ("a.n", "no condition but 3"),
        ("a.n > 'x'", "a.n > 'x'"),
        ("a.n >", "ValueError"),
    ],
)
def test_what_cannot_be_evaluated_does_not_hold_and_says_why(expression: str, why: str) -> None:
    """A condition is never an error of the program."""
    held = check(expression, {"a": {"n": 3}})
    assert not held.holds
    assert why in held.reason


def test_the_names_that_an_expression_reads_are_known_before_it_runs() -> None:
    """Those that a macro binds are its own."""
    assert variables("nodes.exists(n, n.x == y) && size(revisions) > 1") == {"nodes", "y", "revisions"}
