"""Which Services a pod template's environment names."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from shared.domain.objects import Deployment

_BETWEEN: Final = re.compile(r"[\s,;|]+")
_HOST_AND_PORT: Final = re.compile(r"(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?):\d{1,5}(/.*)?")


def services_named(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield (namespace, name) of each address in the environment that may be a Service's.

    `http://name`, `postgres://user:word@name.namespace.svc:5432/db`, `name:9092,other:9092`; a word alone is none.
    """
    for container in deployment.spec.template.spec.containers:
        for variable in container.env:
            yield from services_in(variable.value, deployment.ref.namespace)


def services_in(value: str, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield the same of one value, as a workload of that namespace resolves it."""
    for token in _BETWEEN.split(value):
        if (host := _host(token)) is not None:
            yield from _service(host, namespace)


def _host(token: str) -> str | None:
    if "://" in token:
        try:
            return urlsplit(token).hostname
        except ValueError:  # a bracket without its fellow: no address
            return None
    matched = _HOST_AND_PORT.fullmatch(token)
    return None if matched is None else matched["host"]


def _service(host: str, namespace: str) -> Iterator[tuple[str, str]]:
    match host.split("."):
        case [name]:
            yield namespace, name
        case [name, other] | [name, other, "svc", *_]:
            yield other, name
        case _:
            pass
