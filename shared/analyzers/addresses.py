"""Which Services a pod template's environment names, and at which ports."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from shared.domain.objects import Deployment, PodTemplate

_BETWEEN: Final = re.compile(r"[\s,;|]+")
_HOST_AND_PORT: Final = re.compile(r"(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?):(?P<port>\d{1,5})(/.*)?")
_IN_A_DOMAIN: Final = re.compile(
    r"(?<![\w.-])[a-z0-9-]+\.[a-z0-9-]+\.svc\.([a-z0-9-]+(?:\.[a-z0-9-]+)*)", re.IGNORECASE
)
_USUAL: Final[Mapping[str, int]] = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A Service that is looked for, and at which port if the address says."""

    namespace: str
    name: str
    port: int | None


def services_named(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield (namespace, name) of each address in the environment that may be a Service's.

    `http://name`, `postgres://user:word@name.namespace.svc:5432/db`, `name:9092,other:9092`; a word alone is none.
    """
    for address in addresses(deployment.spec.template, deployment.ref.namespace):
        yield address.namespace, address.name


def services_in(value: str, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield the same of one value, as a workload of that namespace resolves it."""
    for address in _addresses_in(value, namespace):
        yield address.namespace, address.name


def services_at(host: str, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield the same of a host's name alone."""
    for address in _service(host, None, namespace):
        yield address.namespace, address.name


def addresses(template: PodTemplate, namespace: str) -> Iterator[Address]:
    """Yield each address in the environment, as a workload of that namespace resolves it."""
    for container in template.spec.containers:
        for variable in container.env:
            yield from _addresses_in(variable.value, namespace)


def cluster_domains(deployments: Iterable[Deployment]) -> Iterator[str]:
    """Yield what stands behind `name.namespace.svc.` in environments: what the cluster's names end with."""
    for deployment in deployments:
        for container in deployment.spec.template.spec.containers:
            for variable in container.env:
                yield from map(str.lower, _IN_A_DOMAIN.findall(variable.value))


def _addresses_in(value: str, namespace: str) -> Iterator[Address]:
    for token in _BETWEEN.split(value):
        if (found := _host(token)) is not None:
            yield from _service(*found, namespace)


def _host(token: str) -> tuple[str, int | None] | None:
    if "://" in token:
        try:
            parts = urlsplit(token)
            port = parts.port or _USUAL.get(parts.scheme)
        except ValueError:  # a bracket without its fellow, or no number for a port: no address
            return None
        return None if parts.hostname is None else (parts.hostname, port)
    matched = _HOST_AND_PORT.fullmatch(token)
    return None if matched is None else (matched["host"], int(matched["port"]))


def _service(host: str, port: int | None, namespace: str) -> Iterator[Address]:
    match host.split("."):
        case [name]:
            yield Address(namespace, name, port)
        case [name, other] | [name, other, "svc", *_]:
            yield Address(other, name, port)
        case _:
            pass
