"""The shop on a real cluster is the lab's: the same names and wiring, in manifests and images that belong together."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from eval.kubernetes import programs
from eval.kubernetes.load import targets
from eval.kubernetes.past import NotInEtcdError, with_stamp
from eval.kubernetes.rules import team_rules, team_rules_file
from eval.kubernetes.shop import (
    QUIET_RPS,
    Manifests,
    behaviour,
    credentials,
    design,
    image_environments,
    manifests,
    ratio_variable,
)
from eval.lab import shop as lab
from eval.lab.kinds import Obj
from eval.lab.quantity import MIB, parse
from eval.lab.rules import rules
from eval.lab.shop import CALLS, Shop
from eval.lab.store import Store

SEEDS = (1, 2, 3)


def _drawing(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable is the point


def _written(seed: int) -> tuple[Shop, Manifests]:
    shop = design(_drawing(seed))
    return shop, manifests(shop)


def _container(template: Obj) -> Obj:
    (container,) = template["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def _environment(container: Obj) -> Mapping[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def _templates(written: Manifests) -> Iterator[tuple[str, Obj]]:
    for workload in written.workloads:
        for template in (*workload.older, workload.deployment["spec"]["template"]):
            yield workload.deployment["metadata"]["name"], template


@pytest.mark.parametrize("seed", SEEDS)
def test_the_shop_is_the_one_that_the_lab_draws_from_that_seed(seed: int) -> None:
    """Names, namespaces, replicas, versions, wiring and past: who knows the one shop knows the other."""
    shop, written = _written(seed)
    store = Store(_drawing(0), lambda: datetime(2026, 1, 1, tzinfo=UTC))
    lab.open_shop(store, lab.design(_drawing(seed)))
    assert len(written.workloads) == len(list(store.all("Deployment")))
    for workload in written.workloads:
        ours = workload.deployment
        theirs = store.get("Deployment", ours["metadata"]["namespace"], ours["metadata"]["name"])
        mine, its = _container(ours["spec"]["template"]), _container(theirs["spec"]["template"])

        assert ours["metadata"]["labels"] == theirs["metadata"]["labels"]
        assert {**ours["spec"], "template": None} == {**theirs["spec"], "template": None}
        assert ours["spec"]["template"]["metadata"] == theirs["spec"]["template"]["metadata"]
        assert mine["name"] == its["name"]
        assert mine["image"].split("/", 1)[1] == its["image"].split("/", 1)[1]
        assert {each["name"] for each in its["env"]} <= {each["name"] for each in mine["env"]}
        assert len({each["name"] for each in mine["env"]}) == len(mine["env"])
        plain = {key: value for key, value in _environment(its).items() if key not in shop.credentials}
        assert plain.items() <= _environment(mine).items()
        assert len(workload.older) == 2
    assert {item["metadata"]["name"] for item in written.services} == {*shop.services.values(), shop.quiet}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_image_is_there_and_calls_whom_its_manifest_knows(seed: int) -> None:
    """An image says how often it calls whom, its manifest where those are: one without the other calls nobody."""
    shop, written = _written(seed)
    images = image_environments(shop)
    for name, template in _templates(written):
        container = _container(template)
        told = images[container["image"]]
        called = {key.removesuffix("_RATIO") for key in told if key.endswith("_RATIO")}
        known = {key.removesuffix("_URL") for key in _environment(container) if key.endswith("_URL")}
        assert known == called | {told[key].removesuffix("_URL") for key in told if key == "JOBS_FROM"}, name
    for role, calls in CALLS.items():
        ratios = {ratio_variable(shop.services[callee]): f"{calls[callee]:g}" for callee in calls}
        assert ratios.items() <= behaviour(shop, role).items()
    assert shop.missing_image("cart") not in images


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_store_and_its_callers_have_its_credentials(seed: int) -> None:
    """They come from one Secret that is there; who does not call the store cannot sign in to it."""
    shop, written = _written(seed)
    (secret,) = written.secrets
    holders = {
        name
        for name, template in _templates(written)
        for each in _container(template)["env"]
        if each.get("valueFrom", {}).get("secretKeyRef", {}).get("name") == credentials(shop)
        and each["valueFrom"]["secretKeyRef"]["key"] in secret["stringData"]
    }

    assert {*secret["stringData"].values()} == {*shop.credentials.values()}
    assert secret["metadata"] == {"name": credentials(shop), "namespace": shop.namespace}
    assert holders == {shop.store, *(shop.services[role] for role, calls in CALLS.items() if "store" in calls)}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_config_map_that_is_mounted_is_there(seed: int) -> None:
    """A pod whose volume has no ConfigMap never starts."""
    _, written = _written(seed)
    there = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in written.config_maps}
    mounted = {
        (workload.deployment["metadata"]["namespace"], volume["configMap"]["name"])
        for workload in written.workloads
        for volume in workload.deployment["spec"]["template"]["spec"].get("volumes", ())
    }

    assert mounted == there


@pytest.mark.parametrize("seed", SEEDS)
def test_the_shop_fits_on_a_node_of_two_cores_beside_the_cluster(seed: int) -> None:
    """All pods and one more of each, as in a rollout, ask for less than half a core or so and 2 GiB."""
    _, written = _written(seed)
    cores, size_bytes = 0.0, 0.0
    for workload in written.workloads:
        asked = _container(workload.deployment["spec"]["template"])["resources"]["requests"]
        pods = workload.deployment["spec"]["replicas"] + 1
        cores, size_bytes = cores + pods * parse(asked["cpu"]), size_bytes + pods * parse(asked["memory"])

    assert cores < 0.75
    assert size_bytes < 2048 * MIB


def test_the_users_ask_the_edge_and_the_quiet_neighbour_by_address() -> None:
    """Users know no cluster's DNS. The services behind the edge have none of their own until a surge."""
    shop, _ = _written(1)
    names = [*shop.services.values(), shop.quiet]
    users = {each.service: each for each in targets(shop, {name: f"198.19.0.{n}" for n, name in enumerate(names)})}

    assert users.keys() == {*names}
    assert (users[shop.edge].url, users[shop.edge].rps) == ("http://198.19.0.0:8080", shop.rps["edge"])
    assert (users[shop.quiet].namespace, users[shop.quiet].rps) == (shop.quiet_namespace, QUIET_RPS)
    assert {users[name].rps for role, name in shop.services.items() if role != "edge"} == {0.0}


def test_the_teams_rules_are_the_labs_and_those_for_targets_and_nodes() -> None:
    """An alert means the same on both clusters, and what it looks at is recorded before it looks."""
    (group,) = yaml.safe_load(team_rules_file())["groups"]
    names = [rule.get("alert", rule.get("record")) for rule in group["rules"]]

    own = ["TargetDown", "KubeNodeNotReady", "KubeNodePressure"]
    assert names == ["http_request_duration_seconds", *(rule.alert for rule in rules(1)), *own]
    assert team_rules()[: len(rules(1))] == rules(1)


def test_the_programs_are_kept_by_what_they_are_made_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed source makes other programs; a changed test does not, and nothing is ever built into the tree."""
    sources = tmp_path / "apps"
    sources.mkdir()
    (sources / "main.go").write_text("package main\n")
    monkeypatch.setattr(programs, "SOURCES", sources)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = programs.folder()

    (sources / "main_test.go").write_text("package main\n")
    same = programs.folder()
    (sources / "main.go").write_text("package main // changed\n")

    assert first.is_relative_to(tmp_path / "cache" / "primum")
    assert first == same != programs.folder()


def test_programs_are_in_use_as_long_as_somebody_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And those of whoever was killed are not: the kernel lets go of his share."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    programs.folder().mkdir(parents=True)
    for name in programs.NAMES:
        (programs.folder() / name).touch()

    async def used() -> tuple[bool, bool]:
        async with programs.built(print) as place:
            within = programs.is_used(place)
        return within, programs.is_used(place)

    assert asyncio.run(used()) == (True, False)


def test_only_the_creation_of_an_object_is_moved_in_etcd() -> None:
    """Every other byte is what Kubernetes wrote; what does not hold that time is left alone."""
    created = datetime.fromisoformat("2026-11-21T23:13:40Z")
    seconds = b"\xa4\xcb\x88\xd8\x06"
    stored = b"k8s\x00 a b\x42\x08\x08" + seconds + b"\x10\x00 c \x22\x08\x08" + seconds + b"\x10\x00"

    moved = with_stamp(stored, created, created - timedelta(days=30))

    other = stored.index(b"\x22")
    assert len(moved) == len(stored)
    assert moved != stored
    assert moved[other:] == stored[other:]
    assert with_stamp(moved, created - timedelta(days=30), created) == stored
    with pytest.raises(NotInEtcdError):
        with_stamp(stored, created - timedelta(seconds=1), created)
