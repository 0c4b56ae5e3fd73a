"""The Kubernetes client through the API server's bad moments: every read ends right, and every write is done once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from eval.lab.faults import Aim, Trouble
from eval.lab.lab import Lab
from eval.lab.store import Change
from shared.adapters import kubernetes_config
from shared.adapters.kubernetes_api import KubernetesCluster, connect
from shared.domain.change import Edit, Evict, Patch
from shared.domain.cluster import MARK, Kind, Object, Ref
from shared.domain.errors import ChangeConflict, ClusterForbidden, ClusterUnavailable, ObjectMoved, PrimumError
from shared.domain.frozen import Json, JsonObject
from shared.domain.ids import ClusterName
from shared.domain.path import Present, read

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAME = ClusterName("lab")
MARKED, LATER = "txn-abc.17", "txn-abc.18"


@pytest_asyncio.fixture(loop_scope="module")
async def lab(standing: tuple[Lab, KubernetesCluster]) -> AsyncIterator[Lab]:
    """The lab of this module, healed after the test."""
    token = standing[0].token
    yield standing[0]
    standing[0].faults.heal()
    standing[0].rotate_token(token)


@pytest.fixture
def cluster(standing: tuple[Lab, KubernetesCluster]) -> KubernetesCluster:
    """The client under test, with 5 s for each answer."""
    return standing[1]


@pytest.fixture
def service(lab: Lab) -> Ref:
    """A Service that only this test writes to."""
    name = f"mine-{lab.store.version}"
    body = {"metadata": {"name": name, "namespace": lab.shop.namespace}}
    lab.store.create("Service", {**body, "spec": {"selector": {"app": "mine"}, "ports": [{"port": 80}]}})
    return Ref(cluster=NAME, kind=Kind.SERVICE, namespace=lab.shop.namespace, name=name)


def stored(lab: Lab, ref: Ref) -> JsonObject:
    """The object in the lab's store."""
    found: JsonObject = lab.store.get(str(ref.kind), ref.namespace, ref.name)
    return found


def to(seen: Object, path: str, value: Json) -> Patch:
    """A patch of one value."""
    return Patch(ref=seen.ref, edits=(Edit(path=path, before=read(seen.body, path), after=Present(value=value)),))


def changes_of(lab: Lab, ref: Ref, since: Object) -> int:
    """How often the store changed this object after it was read."""
    log = lab.store.since(str(ref.kind), int(since.resource_version))
    return sum(change.obj["metadata"]["name"] == ref.name for change in log)


# --- reads


BURSTS: "dict[str, Callable[[Lab, Aim], Trouble]]" = {
    "429-without-a-word": lambda lab, aim: lab.faults.overload(aim, retry_after_s=None),
    "500": lambda lab, aim: lab.faults.fail(500, aim),
    "503": lambda lab, aim: lab.faults.fail(503, aim),
    "504": lambda lab, aim: lab.faults.fail(504, aim),
    "reset": lambda lab, aim: lab.faults.reset(aim),
}


@pytest.mark.parametrize("burst", BURSTS)
async def test_a_read_outlasts_a_burst(cluster: KubernetesCluster, lab: Lab, service: Ref, burst: str) -> None:
    """Two bad answers, and the third is the object."""
    trouble = BURSTS[burst](lab, Aim(verbs=("get",), times=2))
    assert (await cluster.read(service)).ref == service
    assert trouble.met == 2


async def test_a_snapshot_outlasts_a_burst_on_every_list(cluster: KubernetesCluster, lab: Lab) -> None:
    """Every second list fails, whichever it is: still each kind is there, and nothing is missing."""
    calm = await cluster.snapshot()
    trouble = lab.faults.fail(503, Aim(verbs=("list",), every=2))
    stormy = await cluster.snapshot()
    assert trouble.met >= 3
    assert {seen.ref for seen in stormy.deployments} == {seen.ref for seen in calm.deployments}
    assert not [said for said in stormy.looked_at if said.startswith("not read")]


async def test_an_overloaded_server_is_left_alone_for_as_long_as_it_asks(
    cluster: KubernetesCluster, lab: Lab, service: Ref
) -> None:
    """`Retry-After: 1` is a second without a request."""
    trouble = lab.faults.overload(Aim(verbs=("get",), times=1), retry_after_s=1)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await cluster.read(service)
    assert (trouble.met, loop.time() - began_s >= 1) == (1, True)


async def test_a_burst_without_an_end_is_an_error_within_the_deadline(lab: Lab, service: Ref, tmp_path: Path) -> None:
    """What never ends is unavailable, and the last answer is quoted."""
    lab.faults.fail(500)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with connect(lab.kubeconfig(tmp_path / "kubeconfig"), None, NAME, timeout_s=0.4) as hasty:
        with pytest.raises(ClusterUnavailable, match="etcdserver: leader changed"):
            await hasty.read(service)
    assert loop.time() - began_s < 2


@pytest.mark.parametrize("compactions", [1, 2], ids=["once", "again"])
async def test_a_list_whose_snapshot_expires_between_two_pages_is_read_anew(
    cluster: KubernetesCluster, lab: Lab, compactions: int
) -> None:
    """Never half of one snapshot and half of another; and if pages expire again and again, then in one piece."""
    namespace = lab.shop.quiet_namespace
    kept = [f"e{compactions}-{number:04}" for number in range(1001)]
    for name in kept:
        lab.store.create("Event", {"metadata": {"name": name, "namespace": namespace}, "reason": f"T{compactions}"})
    lab.faults.expire_pages(compactions)
    snapshot = await cluster.snapshot({namespace})
    assert sorted(event.metadata.name for event in snapshot.events if event.reason == f"T{compactions}") == kept
    assert lab.faults.compactions < compactions


# --- writes


@pytest.mark.parametrize("after", [False, True], ids=["not-carried-out", "carried-out"])
@pytest.mark.parametrize("burst", ["500", "504", "reset"])
async def test_a_write_whose_answer_is_lost_is_done_once(
    cluster: KubernetesCluster, lab: Lab, service: Ref, burst: str, *, after: bool
) -> None:
    """Whether the server carried it out is read off the object: then it is done, else it is sent again."""
    before = await cluster.read(service)
    trouble = BURSTS[burst](lab, Aim(verbs=("patch",), times=1, after=after))
    answer = await cluster.write(to(before, "/spec/selector/app", "ours"), before, MARKED)
    assert trouble.met == 1
    assert changes_of(lab, service, before) == 1
    assert answer.at("/spec/selector/app") == "ours"
    assert answer.resource_version == (await cluster.read(service)).resource_version
    assert answer.at("/metadata/labels") == {MARK: MARKED}


async def test_a_write_that_the_server_turned_away_is_sent_again(
    cluster: KubernetesCluster, lab: Lab, service: Ref
) -> None:
    """429 is said before anything is looked at."""
    before = await cluster.read(service)
    lab.faults.overload(Aim(verbs=("patch",), times=2), retry_after_s=None)
    await cluster.write(to(before, "/spec/selector/app", "ours"), before, MARKED)
    assert changes_of(lab, service, before) == 1


async def test_a_lost_write_that_lands_while_it_is_sent_again_is_done_once(
    cluster: KubernetesCluster, lab: Lab, service: Ref
) -> None:
    """It was not there when it was looked for; the second one is refused, for the first has moved the object."""
    before = await cluster.read(service)
    lab.faults.fail(504, Aim(verbs=("patch",), times=1, late=True))
    answer = await cluster.write(to(before, "/spec/selector/app", "ours"), before, MARKED)
    assert (changes_of(lab, service, before), answer.at("/spec/selector/app")) == (1, "ours")


async def test_a_lost_write_is_known_by_what_the_server_stored_not_by_what_was_sent(
    cluster: KubernetesCluster, lab: Lab
) -> None:
    """`0.25` cores stand there as `250m`: the same content, and done."""
    name, path = lab.shop.quiet, "/spec/template/spec/containers/app/resources/limits/cpu"
    before = await cluster.read(Ref(cluster=NAME, kind=Kind.DEPLOYMENT, namespace=lab.shop.quiet_namespace, name=name))
    lab.faults.reset(Aim(verbs=("patch",), times=1, after=True))
    answer = await cluster.write(to(before, path, "0.25"), before, MARKED)
    assert answer.at(path) == "250m"
    spec = stored(lab, before.ref)["metadata"]
    assert isinstance(spec, dict)
    assert spec["generation"] == before.at("/metadata/generation") + 1  # type: ignore[operator]


async def test_a_lost_write_over_which_somebody_wrote_is_no_success(
    cluster: KubernetesCluster, lab: Lab, service: Ref
) -> None:
    """Their value stands, with our mark: the object moved, and reading it again says whose it is."""
    before = await cluster.read(service)
    patch = to(before, "/spec/selector/app", "ours")
    lab.faults.reset(Aim(verbs=("patch",), times=1, after=True))

    def somebody_writes(_: Change) -> None:
        forget()
        lab.store.patch("Service", service.namespace, service.name, {"spec": {"selector": {"app": "theirs"}}})

    forget = lab.store.subscribe(somebody_writes)
    with pytest.raises(ObjectMoved, match="not by us"):
        await cluster.write(patch, before, MARKED)
    now = await cluster.read(service)
    assert now.at("/spec/selector/app") == "theirs"
    with pytest.raises(ChangeConflict):
        await cluster.write(patch, now, MARKED)


async def test_a_write_that_stays_without_an_answer_says_that_it_may_have_been_carried_out(
    cluster: KubernetesCluster, lab: Lab, service: Ref, tmp_path: Path
) -> None:
    """An honest error: whoever gets it must take back what may have run."""
    before = await cluster.read(service)
    async with connect(lab.kubeconfig(tmp_path / "kubeconfig"), None, NAME, timeout_s=0.4) as hasty:
        lab.faults.reset(Aim(after=True))
        with pytest.raises(ClusterUnavailable, match="whether it was carried out is not known"):
            await hasty.write(to(before, "/spec/selector/app", "ours"), before, MARKED)
    assert changes_of(lab, service, before) == 1


@pytest.mark.parametrize("after", [False, True], ids=["not-carried-out", "carried-out"])
async def test_a_fence_whose_answer_is_lost_stands_once(
    cluster: KubernetesCluster, lab: Lab, service: Ref, *, after: bool
) -> None:
    """Also the same mark again, which is taken off first: two writes, each lost, each done once."""
    seen = await cluster.read(service)
    lab.faults.reset(Aim(verbs=("patch",), times=1, after=after))
    once = await cluster.mark(seen, LATER)
    lab.faults.reset(Aim(verbs=("patch",), times=2, after=after))
    twice = await cluster.mark(once, LATER)
    assert (once.at("/metadata/labels"), twice.at("/metadata/labels")) == ({MARK: LATER}, {MARK: LATER})
    assert changes_of(lab, service, seen) == 3
    with pytest.raises(ObjectMoved):
        await cluster.write(to(seen, "/spec/selector/app", "late"), seen, MARKED)


async def test_an_eviction_whose_answer_is_lost_takes_one_pod(cluster: KubernetesCluster, lab: Lab) -> None:
    """It names the pod's UID: its replacement is not meant."""
    pods = lab.store.list("Pod", lab.shop.quiet_namespace)
    pod = next(found for found in pods if "deletionTimestamp" not in found["metadata"])
    ref = Ref(cluster=NAME, kind=Kind.POD, namespace=lab.shop.quiet_namespace, name=pod["metadata"]["name"])
    lab.faults.reset(Aim(verbs=("evict",), times=1, after=True))
    await cluster.evict(Evict(ref=ref, uid=pod["metadata"]["uid"], controller="its ReplicaSet"))
    uids = {found["metadata"]["uid"] for found in lab.store.list("Pod", lab.shop.quiet_namespace)}
    assert {found["metadata"]["uid"] for found in pods} - {pod["metadata"]["uid"]} <= uids


# --- tokens


async def test_a_token_that_ran_out_is_read_again_from_its_file(lab: Lab, service: Ref, tmp_path: Path) -> None:
    """Bound tokens rotate: the file is renewed, and a service runs longer than its first token."""
    token = tmp_path / "token"
    kubeconfig = lab.kubeconfig(tmp_path / "kubeconfig", token)
    async with connect(kubeconfig, None, NAME, timeout_s=5) as cluster:
        before = await cluster.read(service)
        token.write_text(lab.rotate_token())
        await cluster.write(to(before, "/spec/selector/app", "ours"), before, MARKED)
        token.write_text(lab.rotate_token())
        assert (await cluster.snapshot()).deployments
    assert changes_of(lab, service, before) == 1


async def test_a_token_that_was_not_renewed_is_a_clear_error(lab: Lab, service: Ref, tmp_path: Path) -> None:
    """Asked twice, and then a person must sign in again; with the new kubeconfig it goes on by itself."""
    kubeconfig = lab.kubeconfig(tmp_path / "kubeconfig")
    async with connect(kubeconfig, None, NAME, timeout_s=5) as cluster:
        lab.rotate_token()
        with pytest.raises(ClusterForbidden, match=r"401 Unauthorized: .*sign in again"):
            await cluster.read(service)
        lab.kubeconfig(kubeconfig)
        assert (await cluster.read(service)).ref == service
        kubeconfig.unlink()
        lab.rotate_token()
        with pytest.raises(PrimumError, match="there is no kubeconfig"):
            await cluster.read(service)


async def test_in_a_pod_the_mounted_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet renews the file; signing in again takes what stands there then."""
    for name in ("TOKEN", "CERT"):
        (tmp_path / name).write_text("first")
        monkeypatch.setattr(f"kubernetes.aio.config.incluster_config.SERVICE_{name}_FILENAME", str(tmp_path / name))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    signed_in = [await kubernetes_config.load(None, None)]
    (tmp_path / "TOKEN").write_text("second")
    signed_in.append(await kubernetes_config.load(None, None))
    assert [one.api_key["BearerToken"] for one in signed_in] == ["bearer first", "bearer second"]
