"""ServiceAccounts that sign in from outside of pods: with a token of their own, in files as programs want them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from eval.operator import Operator
from shared.adapters.system import SystemClock

CONTEXT: Final = "here"
"""The name of the one context in such a kubeconfig."""
_TOKEN_WITHIN_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True)
class Account:
    """How a ServiceAccount signs in. The files hold what their names say."""

    server: str
    token: Path
    ca: Path
    kubeconfig: Path


async def sign_in(operator: Operator, server: str, folder: Path, namespace: str, name: str) -> Account:
    """Fetch a token for a ServiceAccount that is there, and write it down. `server` is the API's URL.

    Raises TimeoutError.
    """
    secret = f"{name}-token"
    if await operator.find("Secret", namespace, secret) is None:
        lasting = {"kubernetes.io/service-account.name": name}
        meta = {"name": secret, "namespace": namespace, "annotations": lasting}
        await operator.create("Secret", {"metadata": meta, "type": "kubernetes.io/service-account-token"})
    return _written(folder, name, server, await _token(operator, namespace, secret))


async def _token(operator: Operator, namespace: str, secret: str) -> Mapping[str, bytes]:
    """Wait until the controller has filled the Secret in. Raises TimeoutError."""
    clock = SystemClock()
    ends_s = clock.monotonic_s() + _TOKEN_WITHIN_S
    while True:
        data = (await operator.get("Secret", namespace, secret)).get("data") or {}
        if {"token", "ca.crt"} <= data.keys():
            return {name: base64.b64decode(text) for name, text in data.items()}
        if clock.monotonic_s() > ends_s:
            raise TimeoutError(f"nobody gave {secret} a token")
        await clock.sleep(_LOOK_EVERY_S)


def _written(folder: Path, name: str, server: str, secret: Mapping[str, bytes]) -> Account:
    folder.mkdir(parents=True, exist_ok=True)
    account = Account(server, folder / f"{name}.token", folder / f"{name}.crt", folder / f"{name}.kubeconfig")
    for path in (account.token, account.kubeconfig):
        path.touch(mode=0o600)
    account.token.write_bytes(secret["token"])
    account.ca.write_bytes(secret["ca.crt"])
    cluster = {"server": server, "certificate-authority": str(account.ca)}
    account.kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": CONTEXT, "cluster": cluster}],
                "users": [{"name": name, "user": {"tokenFile": str(account.token)}}],
                "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": name}}],
                "current-context": CONTEXT,
            }
        )
    )
    return account
