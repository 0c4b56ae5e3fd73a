"""What pods are configured with, from ConfigMaps and Secrets, and the kubelet's words for what is not there."""

import base64
from collections.abc import Iterator, Mapping
from typing import Final

from eval.lab.kinds import Obj
from eval.lab.store import Store

_KINDS: Final = {"configMap": "ConfigMap", "secret": "Secret"}


class MissingError(Exception):
    """A container or a volume cannot be made; the message is what the kubelet says."""


def environment(store: Store, namespace: str, container: Obj) -> dict[str, str]:
    """The environment of a container, later entries before earlier ones. Raises MissingError."""
    found: dict[str, str] = {}
    for item in container.get("envFrom") or []:
        for what, kind in _KINDS.items():
            if source := item.get(f"{what}Ref"):
                prefix = item.get("prefix", "")
                found |= {prefix + key: value for key, value in _data(store, namespace, kind, source).items()}
    for item in container.get("env") or []:
        value = _value(store, namespace, item)
        if value is not None:
            found[item["name"]] = value
    return found


def _value(store: Store, namespace: str, item: Obj) -> str | None:
    """None where an optional source has nothing."""
    source = item.get("valueFrom") or {}
    for what, kind in _KINDS.items():
        if ref := source.get(f"{what}KeyRef"):
            data = _data(store, namespace, kind, ref)
            if ref["key"] not in data and not ref.get("optional"):
                raise MissingError(f"couldn't find key {ref['key']} in {kind} {namespace}/{ref['name']}")
            return data.get(ref["key"])
    return str(item.get("value", ""))


def _data(store: Store, namespace: str, kind: str, source: Obj) -> Mapping[str, str]:
    name = source.get("name") or source.get("secretName", "")
    found = store.find(kind, namespace, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise MissingError(f'{kind.lower()} "{name}" not found')
    data: Mapping[str, str] = found.get("data") or {}
    return data if kind == "ConfigMap" else {key: base64.b64decode(value).decode() for key, value in data.items()}


def unmountable(store: Store, pod: Obj) -> Iterator[tuple[str, str]]:
    """Yield each volume that cannot be set up, and why. One that no container mounts is not set up at all."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    mounted = {mount["name"] for container in containers for mount in container.get("volumeMounts") or []}
    for volume in (volume for volume in spec.get("volumes") or [] if volume["name"] in mounted):
        for source in (volume, *((volume.get("projected") or {}).get("sources") or [])):
            for what, kind in _KINDS.items():
                if ref := source.get(what):
                    try:
                        _data(store, pod["metadata"]["namespace"], kind, ref)
                    except MissingError as missing:
                        yield volume["name"], str(missing)
