"""What of a built cluster is not as it was, beside its objects: processes, memory, network, nodes, DNS."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, Self

from eval.kubernetes import cgroups
from eval.kubernetes.machines import Machines
from eval.kubernetes.network import API_SERVICE, DNS
from eval.kubernetes.opening import rolled_out
from eval.lab.kinds import Obj
from eval.operator import Operator

_SYSTEM: Final = "kube-system"
_ALWAYS_THERE: Final = "kubernetes.default.svc.cluster.local"
_ANSWERS_WITHIN_S: Final = 1.0
_A: Final = 1
_IN: Final = 1
_RECURSE: Final = 0x0100


class Machinery(NamedTuple):
    """What stands outside of the API and is to be the same afterwards."""

    tables: frozenset[str]
    """Of nftables."""
    queues: frozenset[str]
    """The kinds of queueing disciplines."""
    memory: Mapping[str, str]

    @classmethod
    async def of(cls, machines: Machines) -> Self:
        tables = (await _said("nft", "--json", "list", "tables"))["nftables"]
        queues = await _said("tc", "-json", "qdisc", "show")
        return cls(
            frozenset(f"{each['table']['family']} {each['table']['name']}" for each in tables if "table" in each),
            frozenset(each["kind"] for each in queues),
            machines.memory_limits(),
        )


async def wounds(operator: Operator, machines: Machines, before: Machinery) -> list[str]:
    """Say what is wrong, in a line each; nothing if all is well."""
    return [
        *_of_processes(machines),
        *_of_machinery(before, await Machinery.of(machines)),
        *[line for node in await operator.list("Node") for line in _of_node(node)],
        *await _of_system(operator),
        *await _of_dns(),
    ]


def _of_processes(machines: Machines) -> Iterator[str]:
    for daemon in machines.daemons():
        if not daemon.runs():
            yield f"{daemon.name} does not run any more"
        elif daemon.stands_still():
            yield f"{daemon.name} stands still"
    yield from (f"process {pid} of a pod stands still" for pid in cgroups.stopped(machines.places))


def _of_machinery(before: Machinery, now: Machinery) -> Iterator[str]:
    for what, was, found in (
        ("table of nftables", before.tables, now.tables),
        ("kind of queueing discipline", before.queues, now.queues),
    ):
        yield from (f"a {what} that was not there: {name}" for name in sorted(found - was))
        yield from (f"a {what} that is not there any more: {name}" for name in sorted(was - found))
    for name, limit in before.memory.items():
        if now.memory[name] != limit:
            yield f"the pods of {name} may have {now.memory[name]} bytes, it was {limit}"


def _of_node(node: Obj) -> Iterator[str]:
    name = node["metadata"]["name"]
    for said in node["status"]["conditions"]:
        if said["status"] != ("True" if said["type"] == "Ready" else "False"):
            yield f"Node {name} says {said['type']} {said['status']}"
    for taint in node["spec"].get("taints", ()):
        yield f"Node {name} has the taint {taint['key']}:{taint['effect']}"


async def _of_system(operator: Operator) -> list[str]:
    """What runs in kube-system: every Deployment rolled out, and no pod left over."""
    wrong = [
        f"Deployment {item['metadata']['name']} of {_SYSTEM} is not rolled out"
        for item in await operator.list("Deployment", _SYSTEM)
        if not rolled_out(item)
    ]
    for pod in await operator.list("Pod", _SYSTEM):
        ready = any((each["type"], each["status"]) == ("Ready", "True") for each in pod["status"].get("conditions", ()))
        if not ready or "deletionTimestamp" in pod["metadata"]:
            wrong.append(f"Pod {pod['metadata']['name']} of {_SYSTEM} is not ready")
    return wrong


async def _of_dns() -> list[str]:
    found = await asyncio.to_thread(_resolved, _ALWAYS_THERE)
    return [] if found == API_SERVICE else [f"DNS says {found or 'nothing'} of {_ALWAYS_THERE}"]


def _resolved(name: str) -> str:
    """Ask the cluster's DNS for an address (RFC 1035); empty if there is none, or no answer."""
    number = os.getpid() & 0xFFFF
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    asked = struct.pack(">6H", number, _RECURSE, 1, 0, 0, 0) + labels + struct.pack(">B2H", 0, _A, _IN)
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(_ANSWERS_WITHIN_S)
        wire.sendto(asked, (DNS, 53))
        answer = wire.recv(512)
        if struct.unpack(">H", answer[6:8])[0]:
            return socket.inet_ntoa(answer[-4:])  # CoreDNS puts nothing behind the one address
    return ""


async def _said(*command: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, wrong = await process.communicate()
    if process.returncode:
        raise OSError(f"{' '.join(command)}: {wrong.decode(errors='replace').strip()}")
    return json.loads(said)
