"""Where the Kubernetes API is and how to sign in: a kubeconfig, or the ServiceAccount of the pod we run in."""

import asyncio
import os
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.adapters.loopback import is_loopback
from shared.domain.errors import ClusterUnavailable

_NO_CLUSTER = "no kubeconfig was found, and this is not a pod with a ServiceAccount"
_HOW_TO_NAME_ONE = "name one with PRIMUM_KUBECONFIG, or run `kubectl config view` to see what kubectl uses"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _ContextBody(_Part):
    cluster: str


class _Context(_Part):
    name: str
    context: _ContextBody


class _ClusterBody(_Part):
    server: str


class _Cluster(_Part):
    name: str
    cluster: _ClusterBody


class _User(_Part):
    name: str


class _Kubeconfig(_Part):
    """What must hold of a kubeconfig before the library reads it: its own errors speak of its own innards."""

    contexts: list[_Context] | None = None
    clusters: list[_Cluster] | None = None
    users: list[_User] | None = None
    current_context: str | None = Field(default=None, alias="current-context")


async def load(kubeconfig: Path | None, context: str | None) -> Configuration:
    """Return the client's configuration; nothing is asked of the API server yet.

    `kubeconfig` None means what kubectl would use (KUBECONFIG, ~/.kube/config), and if there is none, the pod's own
    ServiceAccount. Raises ClusterUnavailable, saying what is wrong with which file.
    """
    configuration = Configuration()
    paths = _paths(kubeconfig)
    if paths:
        _check(paths, context)
        await _from_kubeconfig(configuration, paths, context)
    else:
        _from_service_account(configuration)
    if is_loopback(configuration.host):
        configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def _paths(kubeconfig: Path | None) -> list[Path]:
    if kubeconfig is not None:
        if not kubeconfig.expanduser().is_file():
            raise ClusterUnavailable(f"there is no kubeconfig {kubeconfig}", advice="correct the path to it")
        return [kubeconfig.expanduser()]
    named = os.environ.get("KUBECONFIG") or "~/.kube/config"
    candidates = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    return [path for path in candidates if path.is_file()]


def _check(paths: list[Path], context: str | None) -> None:
    files = [_parse(path) for path in paths]
    named = ", ".join(map(str, paths))
    contexts = [known.name for file in files for known in file.contexts or ()]
    wanted = context or next((file.current_context for file in reversed(files) if file.current_context), None)
    has = f"its contexts: {', '.join(contexts) or 'none'}"
    if not wanted:
        raise ClusterUnavailable(f"kubeconfig {named} has no current-context", advice=f"set PRIMUM_KUBE_CONTEXT; {has}")
    if wanted not in contexts:
        raise ClusterUnavailable(
            f"kubeconfig {named} has no context {wanted!r}", advice=f"correct PRIMUM_KUBE_CONTEXT; {has}"
        )


def _parse(path: Path) -> _Kubeconfig:
    try:
        return _Kubeconfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(map(str, first["loc"])) or "the file"
        what = f"{where}: {first['msg']}"
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a month 13, a thousand brackets
        what = " ".join(str(error).split())
    except OSError as error:
        what = str(error)
    raise ClusterUnavailable(f"kubeconfig {path} cannot be read: {what}", advice="repair it, or name another one")


async def _from_kubeconfig(configuration: Configuration, paths: list[Path], context: str | None) -> None:
    named = os.pathsep.join(map(str, paths))
    try:
        loader = await load_kube_config(
            config_file=named, context=context, client_configuration=configuration, persist_config=False
        )
    except (ConfigException, OSError, ValueError) as error:
        raise ClusterUnavailable(f"kubeconfig {named} cannot be used: {error}", advice="repair it") from error
    if hasattr(loader, "exec_plugin_expiry"):
        configuration.refresh_api_key_hook = _refresher(loader)


def _refresher(loader: Any) -> Any:
    """Renew an exec plugin's token when it ran out: the library would go on with the old one for ever."""
    one_at_a_time = asyncio.Lock()

    async def refresh(configuration: Configuration) -> None:
        async with one_at_a_time:
            await loader.load_from_exec_plugin()
        configuration.api_key["BearerToken"] = loader.token

    return refresh


def _from_service_account(configuration: Configuration) -> None:
    try:
        load_incluster_config(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise ClusterUnavailable(_NO_CLUSTER, advice=_HOW_TO_NAME_ONE) from error
