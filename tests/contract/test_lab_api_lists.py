"""How a 1.34 API server answers lists and refusals, held by the lab over HTTP.

Sources: "Kubernetes API Concepts" (resource versions, retrieving large results sets in chunks), the apiserver's
`storage/continue.go`, `storage/etcd3/errors.go`, `storage/errors.go`, `meta/internalversion/validation`, and answers
of real servers. Nothing here reaches past HTTP but the switches of faults, so that a real cluster can be asked, too.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio

from eval.lab.faults import Aim
from eval.lab.lab import Lab, LabSettings
from shared.adapters.loopback import PLAIN

pytestmark = pytest.mark.asyncio(loop_scope="module")

Answer = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing() -> AsyncIterator[Lab]:
    """A lab that these tests share."""
    async with Lab(LabSettings(seed=1)) as lab:
        yield lab


@pytest_asyncio.fixture(loop_scope="module")
async def lab(standing: Lab) -> AsyncIterator[Lab]:
    """The lab, healed after the test."""
    token = standing.token
    yield standing
    standing.faults.heal()
    standing.rotate_token(token)


@pytest_asyncio.fixture(loop_scope="module")
async def http(lab: Lab) -> AsyncIterator[httpx.AsyncClient]:
    """A client that bears the token."""
    bearer = {"authorization": f"Bearer {lab.token}"}
    async with httpx.AsyncClient(base_url=lab.url, headers=bearer, trust_env=False, timeout=5, verify=PLAIN) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def maps(http: httpx.AsyncClient, lab: Lab) -> AsyncIterator[str]:
    """The URL of a namespace's ConfigMaps, five of them: a to e."""
    url = f"/api/v1/namespaces/{lab.shop.quiet_namespace}/configmaps"
    for name in "abcde":
        await make(http, url, name)
    yield url
    for name in [item["metadata"]["name"] for item in (await listed(http, url))["items"]]:
        (await http.delete(f"{url}/{name}")).raise_for_status()


async def make(http: httpx.AsyncClient, url: str, name: str) -> None:
    """Create one ConfigMap."""
    body = {"metadata": {"name": name, "labels": {"letter": name}}, "data": {"of": name}}
    (await http.post(url, json=body)).raise_for_status()


async def listed(http: httpx.AsyncClient, url: str, **query: object) -> Answer:
    """One answer to a list."""
    answer = await http.get(url, params={key: str(value) for key, value in query.items()})
    answer.raise_for_status()
    found: Answer = answer.json()
    return found


def names(page: Answer) -> list[str]:
    return [item["metadata"]["name"] for item in page["items"]]


async def refused(http: httpx.AsyncClient, url: str, **query: object) -> Answer:
    """The Status of a refusal."""
    answer = await http.get(url, params={key: str(value) for key, value in query.items()})
    status: Answer = answer.json()
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status_code)
    return status


def token_of(version: int, start: str) -> str:
    """A continue token as the server makes it."""
    said = {"v": "meta.k8s.io/v1", "rv": version, "start": start}
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


# --- pages


async def test_all_pages_are_of_one_snapshot(http: httpx.AsyncClient, maps: str) -> None:
    """What is created, changed or deleted between two pages shows in none of them, and the version stays."""
    first = await listed(http, maps, limit=2)
    (await http.delete(f"{maps}/d")).raise_for_status()
    await make(http, maps, "bb")
    (await http.patch(f"{maps}/c", json={"data": {"of": "?"}}, headers=merge())).raise_for_status()
    second = await listed(http, maps, limit=2, **{"continue": first["metadata"]["continue"]})
    third = await listed(http, maps, limit=2, **{"continue": second["metadata"]["continue"]})
    assert [names(page) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert second["items"][0]["data"] == {"of": "c"}
    assert len({page["metadata"]["resourceVersion"] for page in (first, second, third)}) == 1
    assert [page["metadata"].get("remainingItemCount") for page in (first, second, third)] == [3, 1, None]
    assert not third["metadata"].get("continue")
    assert names(await listed(http, maps)) == ["a", "b", "bb", "c", "e"]


def merge() -> Mapping[str, str]:
    return {"content-type": "application/merge-patch+json"}


async def test_with_a_selector_the_server_does_not_know_how_many_remain(http: httpx.AsyncClient, maps: str) -> None:
    """`remainingItemCount` is left out (its own documentation says so)."""
    page = await listed(http, maps, limit=2, labelSelector="letter")
    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]


async def test_a_page_whose_snapshot_is_compacted_is_410_with_a_token_to_go_on_regardless(
    http: httpx.AsyncClient, maps: str
) -> None:
    """Measured on a real server with a token whose `rv` is 1; the new token's list is of now, and says so."""
    await make(http, maps, "cc")
    status = await refused(http, maps, limit=2, **{"continue": token_of(1, "c\0")})
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("The provided continue parameter is too old")
    rest = await listed(http, maps, **{"continue": status["metadata"]["continue"]})
    now = await listed(http, maps)
    assert names(rest) == ["cc", "d", "e"]
    assert rest["metadata"]["resourceVersion"] == now["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ({"continue": "nonsense"}, 400, "continue key is not valid"),
        ({"continue": token_of(5000, "a\0"), "resourceVersion": "5"}, 400, "not allowed when using continue"),
        ({"resourceVersion": "abc"}, 400, "abc"),
        ({"resourceVersionMatch": "Exact"}, 422, "forbidden unless resourceVersion is provided"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422, 'forbidden for resourceVersion "0"'),
        ({"resourceVersionMatch": "Newest", "resourceVersion": "5"}, 422, "supported values"),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "5", "continue": token_of(5000, "a\0")},
            422,
            "forbidden when continue is provided",
        ),
    ],
    ids=["token", "both", "version", "match-alone", "exactly-any", "unknown-match", "match-and-token"],
)
async def test_parameters_that_mean_nothing_are_refused(
    http: httpx.AsyncClient, maps: str, query: dict[str, str], code: int, said: str
) -> None:
    """400 for what cannot be read, 422 of `ListOptions` for what excludes one another."""
    status = await refused(http, maps, **query)
    assert status["code"] == code
    assert said in status["message"]


# --- versions


async def test_version_0_is_answered_from_the_cache_whole(http: httpx.AsyncClient, maps: str) -> None:
    """`limit` is ignored with resourceVersion 0."""
    page = await listed(http, maps, limit=2, resourceVersion=0)
    assert names(page) == ["a", "b", "c", "d", "e"]
    assert not page["metadata"].get("continue")


@pytest.mark.parametrize(
    ("query", "as_it_was"),
    [
        ({"resourceVersionMatch": "Exact"}, True),
        ({"limit": "500"}, True),
        ({}, False),
        ({"resourceVersionMatch": "NotOlderThan", "limit": "500"}, False),
    ],
    ids=["exact", "limit-without-a-match", "nothing-said", "not-older"],
)
async def test_a_version_means_this_one_or_a_later_one(
    http: httpx.AsyncClient, maps: str, query: dict[str, str], *, as_it_was: bool
) -> None:
    """Exact is that very version, so is a limit without a match; all else is any version that is not older."""
    version = (await listed(http, maps))["metadata"]["resourceVersion"]
    (await http.delete(f"{maps}/a")).raise_for_status()
    page = await listed(http, maps, resourceVersion=version, **query)
    assert ("a" in names(page)) is as_it_was
    assert (page["metadata"]["resourceVersion"] == version) is as_it_was


async def test_a_version_that_is_compacted_cannot_be_listed_exactly(http: httpx.AsyncClient, maps: str) -> None:
    """410, with nothing to go on from."""
    status = await refused(http, maps, resourceVersion=1, resourceVersionMatch="Exact")
    assert (status["code"], status["reason"], status["metadata"]) == (410, "Expired", {})


async def test_a_version_from_the_future_times_out(http: httpx.AsyncClient, maps: str) -> None:
    """504 with its cause, and when to ask again: in the body, and as a header."""
    future = int((await listed(http, maps))["metadata"]["resourceVersion"]) + 1_000_000
    answer = await http.get(maps, params={"resourceVersion": str(future)})
    details = answer.json()["details"]
    assert (answer.status_code, answer.json()["reason"]) == (504, "Timeout")
    assert details["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.headers["retry-after"] == str(details["retryAfterSeconds"])


# --- trouble


async def test_an_overloaded_server_says_429_in_plain_text_and_when_to_come_back(
    http: httpx.AsyncClient, maps: str, lab: Lab
) -> None:
    """API Priority and Fairness: `Retry-After`, no Status; its two headers are on every answer (flow control docs)."""
    lab.faults.overload(Aim(times=1), retry_after_s=3)
    turned_away, answered = await http.get(maps), await http.get(maps)
    assert (turned_away.status_code, turned_away.headers["retry-after"]) == (429, "3")
    assert turned_away.text == "Too many requests, please try again later.\n"
    assert turned_away.headers["content-type"].startswith("text/plain")
    for name in ("x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"):
        assert turned_away.headers[name] == answered.headers[name] != ""
    assert answered.status_code == 200


@pytest.mark.parametrize(("code", "retry_after_s"), [(500, None), (503, 2), (504, None)])
async def test_a_server_in_trouble_answers_with_a_status(
    http: httpx.AsyncClient, maps: str, lab: Lab, code: int, retry_after_s: int | None
) -> None:
    """Etcd's own errors come as 500 without a reason; whoever says `retryAfterSeconds` says `Retry-After`."""
    lab.faults.fail(code, Aim(times=1), retry_after_s=retry_after_s)
    status = await refused(http, maps)
    assert status["code"] == code
    assert status.get("reason") == {503: "ServiceUnavailable", 504: "Timeout"}.get(code)
    assert (status.get("details") or {}).get("retryAfterSeconds") == retry_after_s


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_write_whose_answer_is_lost_may_have_been_carried_out(
    http: httpx.AsyncClient, maps: str, lab: Lab, *, after: bool
) -> None:
    """The client sees a reset connection either way."""
    lab.faults.reset(Aim(verbs=("patch",), times=1, after=after))
    with pytest.raises(httpx.ReadError):
        await http.patch(f"{maps}/a", json={"data": {"of": "new"}}, headers=merge())
    assert ((await listed(http, f"{maps}/a"))["data"] == {"of": "new"}) is after


async def test_an_expired_token_is_401_and_the_next_one_is_not(http: httpx.AsyncClient, maps: str, lab: Lab) -> None:
    """In the middle of anything: Unauthorized, as a Status that names nothing."""
    fresh = lab.rotate_token()
    status = await refused(http, maps)
    assert (status["code"], status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")
    http.headers["authorization"] = f"Bearer {fresh}"
    assert names(await listed(http, maps)) == ["a", "b", "c", "d", "e"]
