"""A past for a shop that was just opened: the server stamps creation itself, so its stamps are moved in etcd.

A cluster in which every workload was rolled out a minute ago is no team's: each of those rollouts would be suspected of
whatever breaks. Nothing but `metadata.creationTimestamp` is touched. Only for a cluster whose etcd is ours.
"""

import base64
from datetime import datetime, timedelta
from typing import Final

import httpx

from eval.lab.deployments import REVISION
from eval.lab.kinds import Obj
from eval.operator import Operator

ETCD: Final = "http://127.0.0.1:2379"
AGE: Final = timedelta(days=30)
BETWEEN_ROLLOUTS: Final = timedelta(days=7)
_TRIES: Final = 5
# ObjectMeta's field 8, a Timestamp of two fields: seconds as a varint, and no nanoseconds.
_STAMP: Final = b"\x42\x08\x08%b\x10\x00"


class NotInEtcdError(Exception):
    """etcd does not hold the object as this version of Kubernetes writes it."""


async def grow_old(operator: Operator, namespace: str, etcd: str = ETCD) -> None:
    """Make the Deployments and Services of a namespace a month old, and let their revisions lie a week apart.

    Raises NotInEtcdError, httpx.HTTPError.
    """
    async with httpx.AsyncClient(base_url=etcd, trust_env=False, timeout=5) as http:
        for kind, folder in (("Deployment", "deployments"), ("Service", "services/specs")):
            for item in await operator.list(kind, namespace):
                await _move(http, f"/registry/{folder}/{namespace}/{item['metadata']['name']}", item, AGE)
        for item in await operator.list("ReplicaSet", namespace):
            since = (int(item["metadata"]["annotations"][REVISION]) - 1) * BETWEEN_ROLLOUTS
            await _move(http, f"/registry/replicasets/{namespace}/{item['metadata']['name']}", item, AGE - since)


async def _move(http: httpx.AsyncClient, key: str, item: Obj, by: timedelta) -> None:
    """Write the same bytes with another stamp, unless somebody wrote meanwhile: then look again."""
    coded = _coded(key.encode())
    created = datetime.fromisoformat(item["metadata"]["creationTimestamp"])
    for _ in range(_TRIES):
        found = (await http.post("/v3/kv/range", json={"key": coded})).raise_for_status().json().get("kvs")
        if not found:
            raise NotInEtcdError(f"{key} is not there")
        moved = with_stamp(base64.b64decode(found[0]["value"]), created, created - by)
        asked = {
            "compare": [{"key": coded, "target": "MOD", "mod_revision": found[0]["mod_revision"]}],
            "success": [{"requestPut": {"key": coded, "value": _coded(moved)}}],
        }
        if (await http.post("/v3/kv/txn", json=asked)).raise_for_status().json().get("succeeded"):
            return
    raise NotInEtcdError(f"{key} is written faster than it can be read")


def with_stamp(stored: bytes, created: datetime, moved: datetime) -> bytes:
    """Return an object as etcd holds it, created at another time. Raises NotInEtcdError if the time is not in it."""
    old, new = (_STAMP % _varint(int(at.timestamp())) for at in (created, moved))
    if old not in stored or len(old) != len(new):  # another length would be another message
        raise NotInEtcdError("it holds no creation at the time that the API says")
    return stored.replace(old, new, 1)


def _varint(number: int) -> bytes:
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*coded, number))


def _coded(content: bytes) -> str:
    return base64.b64encode(content).decode()
