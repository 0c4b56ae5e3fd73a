"""The lab answers the real `kubernetes.aio` client as a real 1.34 API server does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes.aio import client, watch
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnauthorizedError,
    UnprocessibleEntityError,
)

from eval.lab.lab import Lab, LabSettings

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A lab on a real socket whose shop is up."""
    made = Lab(LabSettings(seed=1, pace=60))
    made.roll_out()
    async with made as running:
        yield running


@asynccontextmanager
async def connected(lab: Lab, cache: Path, token: str = "") -> AsyncIterator[DynamicClient]:
    """The real client, with a discovery cache of its own: the default one is shared by every port of a host."""
    configuration = client.Configuration(host=lab.url, api_key={"BearerToken": f"Bearer {token or lab.token}"})
    async with client.ApiClient(configuration) as transport:
        yield await DynamicClient(transport, cache_file=str(cache / "discovery.json"))


@pytest.fixture
async def api(lab: Lab, tmp_path: Path) -> AsyncIterator[DynamicClient]:
    """The real client, connected to the lab."""
    async with connected(lab, tmp_path) as found:
        yield found


async def resource(api: DynamicClient, kind: str) -> Any:
    """The client's handle on a kind."""
    version = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "EndpointSlice": "discovery.k8s.io/v1"}
    return await api.resources.get(api_version=version.get(kind, "v1"), kind=kind)


async def read(api: DynamicClient, kind: str, namespace: str, name: str) -> dict[str, Any]:
    """One object as the API answers it."""
    found: dict[str, Any] = (await (await resource(api, kind)).get(name=name, namespace=namespace)).to_dict()
    return found


async def patched(api: DynamicClient, lab: Lab, steps: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """The answer to a JSON Patch of one Deployment of the shop."""
    deployments = await resource(api, "Deployment")
    answer = await deployments.patch(
        name=lab.shop.cart, namespace=lab.shop.namespace, body=steps, content_type=JSON_PATCH, **options
    )
    found: dict[str, Any] = answer.to_dict()
    return found


async def test_discovery_finds_every_kind_that_primum_reads(api: DynamicClient) -> None:
    """Each kind is found by group and version, as on a real cluster, also those the lab has none of."""
    for version, kind in (
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("policy/v1", "PodDisruptionBudget"),
    ):
        found = await api.resources.get(api_version=version, kind=kind)
        assert found.kind == kind


async def test_kinds_that_the_lab_does_not_model_are_empty_and_cannot_be_created(api: DynamicClient, lab: Lab) -> None:
    """An autoscaler that would do nothing is refused instead of stored."""
    scalers = await api.resources.get(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler")
    assert (await scalers.get(namespace=lab.shop.namespace)).items == []
    body = {"metadata": {"name": "x"}, "spec": {}}
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {lab.token}"}) as http:
        path = f"/apis/autoscaling/v2/namespaces/{lab.shop.namespace}/horizontalpodautoscalers"
        assert (await http.post(lab.url + path, json=body)).status_code == 405


async def test_a_list_takes_label_and_field_selectors(api: DynamicClient, lab: Lab) -> None:
    """Equality, set-based and field selectors narrow a list."""
    pods = await resource(api, "Pod")
    shop = lab.shop
    mine = await pods.get(namespace=shop.namespace, label_selector=f"app={shop.cart}")
    assert len(mine.items) == shop.replicas["cart"]
    both = await pods.get(label_selector=f"app in ({shop.cart},{shop.edge}),!absent")
    assert len(both.items) == shop.replicas["cart"] + shop.replicas["edge"]
    node = mine.items[0].spec.nodeName
    here = await pods.get(field_selector=f"spec.nodeName={node},status.phase=Running")
    assert {pod.spec.nodeName for pod in here.items} == {node}
    events = await resource(api, "Event")
    about = await events.get(
        namespace=shop.namespace, field_selector=f"involvedObject.kind=Deployment,involvedObject.name={shop.cart}"
    )
    assert {event.involvedObject.name for event in about.items} == {shop.cart}


async def test_an_unknown_field_selector_is_refused(api: DynamicClient) -> None:
    """A field that cannot be selected by is 400, not ignored."""
    with pytest.raises(BadRequestError):
        await (await resource(api, "Pod")).get(field_selector="spec.nothing=1")


async def test_a_long_list_comes_in_pages(api: DynamicClient) -> None:
    """`limit` and `continue` walk the whole list once."""
    pods = await resource(api, "Pod")
    everything = [pod.metadata.name for pod in (await pods.get()).items]
    page = await pods.get(limit=4)
    seen = [pod.metadata.name for pod in page.items]
    while token := page.metadata["continue"]:
        page = await pods.get(limit=4, _continue=token)
        seen += [pod.metadata.name for pod in page.items]
    assert sorted(seen) == sorted(everything)


async def test_a_stale_resource_version_is_a_conflict(api: DynamicClient, lab: Lab) -> None:
    """`replace /metadata/resourceVersion` with the version read gives 409 once the object moved."""
    seen = await read(api, "Deployment", lab.shop.namespace, lab.shop.cart)
    lab.store.patch("Deployment", lab.shop.namespace, lab.shop.cart, {"metadata": {"labels": {"moved": "yes"}}})
    steps = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": seen["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/spec/replicas", "value": 5},
    ]
    with pytest.raises(ConflictError):
        await patched(api, lab, steps)


async def test_a_failed_test_is_invalid_with_empty_details(api: DynamicClient, lab: Lab) -> None:
    """A `test` that does not hold says 422 and no more, and nothing is written."""
    steps = [
        {"op": "test", "path": "/spec/replicas", "value": 77},
        {"op": "replace", "path": "/spec/replicas", "value": 5},
    ]
    with pytest.raises(UnprocessibleEntityError) as refused:
        await patched(api, lab, steps)
    status = json.loads(refused.value.body or "{}")
    assert (status["reason"], status["code"], status["details"]) == ("Invalid", 422, {})
    assert lab.store.get("Deployment", lab.shop.namespace, lab.shop.cart)["spec"]["replicas"] != 5


async def test_json_patch_differs_from_the_rfc_where_the_server_does(api: DynamicClient, lab: Lab) -> None:
    """`test null` passes for an absent key whose parent exists, `replace` sets a missing key, 4 is not 4.0."""
    after = await patched(
        api,
        lab,
        [
            {"op": "test", "path": "/metadata/labels/absent", "value": None},
            {"op": "replace", "path": "/metadata/labels/absent", "value": "now"},
        ],
    )
    assert after["metadata"]["labels"]["absent"] == "now"
    for step in (
        {"op": "test", "path": "/metadata/nothing/absent", "value": None},
        {"op": "test", "path": "/spec/replicas", "value": float(after["spec"]["replicas"])},
    ):
        with pytest.raises(UnprocessibleEntityError):
            await patched(api, lab, [step])


async def test_a_dry_run_returns_the_post_image_and_stores_nothing(api: DynamicClient, lab: Lab) -> None:
    """The answer carries what would be stored, canonical quantities included; the object stays as it was."""
    before = await read(api, "Deployment", lab.shop.namespace, lab.shop.cart)
    limits = "/spec/template/spec/containers/0/resources/limits/cpu"
    steps = [{"op": "replace", "path": limits, "value": "0.25"}]
    after = await patched(api, lab, steps, dry_run="All", field_manager="primum")
    assert after["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "250m"
    now = await read(api, "Deployment", lab.shop.namespace, lab.shop.cart)
    assert now["spec"] == before["spec"]
    assert now["metadata"]["generation"] == before["metadata"]["generation"]


async def test_generation_moves_with_the_spec_only_and_a_no_op_moves_nothing(api: DynamicClient, lab: Lab) -> None:
    """A label bumps the version, not the generation; a patch that changes nothing bumps neither."""
    first = await read(api, "Deployment", lab.shop.namespace, lab.shop.cart)
    labelled = await patched(api, lab, [{"op": "add", "path": "/metadata/labels/a", "value": "b"}])
    again = await patched(api, lab, [{"op": "add", "path": "/metadata/labels/a", "value": "b"}])
    assert labelled["metadata"]["generation"] == first["metadata"]["generation"]
    assert again["metadata"]["resourceVersion"] == labelled["metadata"]["resourceVersion"]
    scaled = await patched(api, lab, [{"op": "replace", "path": "/spec/replicas", "value": 4}], field_manager="primum")
    assert scaled["metadata"]["generation"] == first["metadata"]["generation"] + 1
    assert "primum" in {entry["manager"] for entry in scaled["metadata"]["managedFields"]}


async def test_strict_validation_refuses_an_unknown_field(api: DynamicClient, lab: Lab) -> None:
    """With Strict a misspelt field is 422 in a patch; without it the field vanishes or is kept, never acted on."""
    steps = [{"op": "add", "path": "/spec/replicsa", "value": 5}]
    with pytest.raises(UnprocessibleEntityError):
        await patched(api, lab, steps, query_params=[("fieldValidation", "Strict")])


async def test_the_selector_of_a_deployment_is_immutable(api: DynamicClient, lab: Lab) -> None:
    """422 that names the field."""
    with pytest.raises(UnprocessibleEntityError, match=r"spec\.selector"):
        await patched(api, lab, [{"op": "replace", "path": "/spec/selector/matchLabels", "value": {"a": "b"}}])


async def test_merge_and_strategic_patches_are_taken(api: DynamicClient, lab: Lab) -> None:
    """A merge patch merges maps; a strategic one addresses containers and variables by name."""
    deployments = await resource(api, "Deployment")
    where = {"name": lab.shop.edge, "namespace": lab.shop.namespace}
    await deployments.patch(body={"metadata": {"labels": {"team": "x"}}}, content_type=MERGE_PATCH, **where)
    container = {"name": "app", "env": [{"name": "LOG_LEVEL", "value": "debug"}]}
    await deployments.patch(body={"spec": {"template": {"spec": {"containers": [container]}}}}, **where)
    after = await read(api, "Deployment", lab.shop.namespace, lab.shop.edge)
    env = {item["name"]: item["value"] for item in after["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert after["metadata"]["labels"]["team"] == "x"
    assert env["LOG_LEVEL"] == "debug"
    assert len(env) > 1


async def test_a_delete_with_preconditions_in_its_body(api: DynamicClient, lab: Lab) -> None:
    """A wrong uid is 409; a dry run in the body deletes nothing; then the pod goes and another comes."""
    pods = await resource(api, "Pod")
    shop = lab.shop
    pod = (await pods.get(namespace=shop.namespace, label_selector=f"app={shop.cart}")).items[0]
    where = {"name": pod.metadata.name, "namespace": shop.namespace}
    with pytest.raises(ConflictError):
        await pods.delete(body={"preconditions": {"uid": "other"}}, **where)
    right = {"preconditions": {"uid": pod.metadata.uid}}
    await pods.delete(body={**right, "dryRun": ["All"]}, **where)
    assert "deletionTimestamp" not in lab.store.get("Pod", shop.namespace, pod.metadata.name)["metadata"]
    await pods.delete(body=right, **where)
    await lab.until(lambda: lab.store.find("Pod", shop.namespace, pod.metadata.name) is None, timeout_s=10)
    await lab.until(lab.complete, timeout_s=10)


async def test_a_delete_with_a_body_ignores_the_dry_run_of_its_query(api: DynamicClient, lab: Lab) -> None:
    """The real server's trap: with DeleteOptions in the body, `dryRun` in the query does not count."""
    maps = await resource(api, "ConfigMap")
    namespace = lab.shop.namespace
    await maps.create(body={"metadata": {"name": "m"}, "data": {"a": "1"}}, namespace=namespace)
    await maps.delete(name="m", namespace=namespace, body={"propagationPolicy": "Background"}, dry_run="All")
    with pytest.raises(NotFoundError):
        await maps.get(name="m", namespace=namespace)


async def test_what_a_gone_owner_owned_is_collected_even_when_created_late(api: DynamicClient, lab: Lab) -> None:
    """A create that carries an owner which no longer exists does not stay."""
    maps = await resource(api, "ConfigMap")
    namespace = lab.shop.namespace
    owner = await maps.create(body={"metadata": {"name": "txn"}}, namespace=namespace)
    await maps.delete(name="txn", namespace=namespace)
    ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "txn", "uid": owner.metadata.uid}
    await maps.create(body={"metadata": {"name": "late", "ownerReferences": [ref]}}, namespace=namespace)
    await lab.until(lambda: lab.store.find("ConfigMap", namespace, "late") is None, timeout_s=5)


async def test_a_deployment_deleted_with_orphan_is_adopted_when_recreated(api: DynamicClient, lab: Lab) -> None:
    """Its ReplicaSets and pods live on, and the recreated Deployment takes them over."""
    deployments = await resource(api, "Deployment")
    where = {"name": lab.shop.shipping, "namespace": lab.shop.namespace}
    before = await read(api, "Deployment", lab.shop.namespace, lab.shop.shipping)
    pods = {pod["metadata"]["name"] for pod in lab.store.list("Pod")}
    await deployments.delete(body={"propagationPolicy": "Orphan"}, **where)
    meta = {key: before["metadata"][key] for key in ("name", "namespace", "labels")}
    await deployments.create(body={"metadata": meta, "spec": before["spec"]}, namespace=lab.shop.namespace)
    await lab.until(lab.complete, timeout_s=10)
    assert {pod["metadata"]["name"] for pod in lab.store.list("Pod")} == pods


async def test_a_watch_sees_what_changes_after_the_version_it_names(api: DynamicClient, lab: Lab) -> None:
    """ADDED, MODIFIED and DELETED arrive in order, and an object that leaves the selector is DELETED to it."""
    maps = await resource(api, "ConfigMap")
    namespace = lab.shop.namespace
    version = (await maps.get(namespace=namespace)).metadata.resourceVersion
    lab.store.create("ConfigMap", {"metadata": {"name": "a", "namespace": namespace, "labels": {"in": "1"}}})
    lab.store.patch("ConfigMap", namespace, "a", {"data": {"k": "v"}})
    lab.store.patch("ConfigMap", namespace, "a", {"metadata": {"labels": {"in": None}}})
    seen = []
    async with watch.Watch() as watching:
        async for event in watching.stream(
            maps.get,
            serialize=False,
            namespace=namespace,
            label_selector="in",
            resource_version=version,
            timeout_seconds=5,
        ):
            seen.append(event["type"])
            if len(seen) == 3:
                break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_watch_ends_after_its_timeout(api: DynamicClient) -> None:
    """`timeoutSeconds` ends the stream from the server's side, bookmarks or not."""
    maps = await resource(api, "ConfigMap")
    options = [("allowWatchBookmarks", "true")]
    async with watch.Watch() as watching, asyncio.timeout(10):
        stream = watching.stream(maps.get, serialize=False, timeout_seconds=1, query_params=options)
        assert [event["type"] async for event in stream if event["type"] != "BOOKMARK"] == []


async def test_logs_of_this_run_and_of_the_one_before(api: DynamicClient, lab: Lab) -> None:
    """Lines are text; a container that never ended has no previous log, and the answer says so with 400."""
    pods = await resource(api, "Pod")
    pod = (await pods.get(namespace=lab.shop.namespace, label_selector=f"app={lab.shop.edge}")).items[0]
    where = {"name": pod.metadata.name, "namespace": lab.shop.namespace, "serialize": False}
    answer = await pods.log.get(query_params=[("tailLines", "5"), ("container", "app")], **where)
    assert "INFO starting" in await answer.text()
    with pytest.raises(BadRequestError):
        await pods.log.get(query_params=[("previous", "true")], **where)


async def test_an_eviction_respects_a_disruption_budget(api: DynamicClient, lab: Lab) -> None:
    """429 while the budget allows none, 201 when it does."""
    namespace, name = lab.shop.namespace, lab.shop.cart
    budget = {"metadata": {"name": "b", "namespace": namespace}}
    budget["spec"] = {"minAvailable": lab.shop.replicas["cart"], "selector": {"matchLabels": {"app": name}}}  # type: ignore[dict-item]
    lab.store.create("PodDisruptionBudget", budget)
    pods = await resource(api, "Pod")
    pod = (await pods.get(namespace=namespace, label_selector=f"app={name}")).items[0].metadata.name
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {lab.token}"}) as http:
        path = f"{lab.url}/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        assert (await http.post(path, json=body)).status_code == 429
        lab.store.delete("PodDisruptionBudget", namespace, "b")
        assert (await http.post(path, json=body)).status_code == 201
    left = lab.store.find("Pod", namespace, pod)  # None: it has ended already
    assert left is None or "deletionTimestamp" in left["metadata"]


async def test_without_the_token_nothing_is_answered(lab: Lab, tmp_path: Path) -> None:
    """401, as a Status."""
    with pytest.raises(UnauthorizedError):
        async with connected(lab, tmp_path, token="wrong"):
            pytest.fail("discovery must not succeed")


async def test_a_forbidden_verb_is_403(api: DynamicClient, lab: Lab) -> None:
    """The fault switch refuses one verb on one resource and leaves the others."""
    lab.faults.forbid("patch", "deployments")
    with pytest.raises(ForbiddenError):
        await patched(api, lab, [{"op": "replace", "path": "/spec/replicas", "value": 1}])
    assert (await read(api, "Deployment", lab.shop.namespace, lab.shop.cart))["kind"] == "Deployment"


async def test_a_hanging_resource_never_answers_and_does_not_hold_up_the_end(lab: Lab) -> None:
    """The client's own timeout is what ends it."""
    lab.faults.hang("pods")
    patience = httpx.Timeout(10, read=0.3)
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {lab.token}"}, timeout=patience) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(f"{lab.url}/api/v1/pods")


async def test_dropped_writes_look_done_and_are_not(api: DynamicClient, lab: Lab) -> None:
    """The sabotage: 200 with the post-image to Primum, an unchanged object to everybody."""
    lab.faults.drop_writes()
    steps = [{"op": "replace", "path": "/spec/replicas", "value": 9}]
    answer = await patched(api, lab, steps, field_manager="primum-mitigator")
    assert answer["spec"]["replicas"] == 9
    assert lab.store.get("Deployment", lab.shop.namespace, lab.shop.cart)["spec"]["replicas"] != 9


async def test_the_lab_writes_a_kubeconfig_that_the_client_can_load(lab: Lab, tmp_path: Path) -> None:
    """What `primum` is pointed at."""
    from kubernetes.aio import config  # noqa: PLC0415 - only this test loads files

    path = lab.kubeconfig(tmp_path / "kubeconfig")
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(path), client_configuration=configuration)
    async with client.ApiClient(configuration) as transport:
        api = await DynamicClient(transport, cache_file=str(tmp_path / "discovery.json"))
        assert (await (await resource(api, "Node")).get()).items
