"""ServiceAccounts that sign in from outside of pods: with a token of their own, in files as programs want them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eval.kubeconfig import write_kubeconfig
from eval.operator import Operator
from shared.adapters.system import SystemClock

CONTEXT: Final = "here"
"""The name of the one context in such a kubeconfig."""
_LIVES_S: Final = 24 * 3600
_AUTHORITY: Final = "kube-root-ca.crt"
_AUTHORITY_WITHIN_S: Final = 15.0
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
    ca, token = await _authority(operator, namespace), await operator.token(namespace, name, _LIVES_S)
    return _written(folder, name, server, token, ca)


async def _authority(operator: Operator, namespace: str) -> str:
    """Wait until the controller has put the certificate of the API server there. Raises TimeoutError."""
    clock = SystemClock()
    ends_s = clock.monotonic_s() + _AUTHORITY_WITHIN_S
    while (found := await operator.find("ConfigMap", namespace, _AUTHORITY)) is None:
        if clock.monotonic_s() > ends_s:
            raise TimeoutError(f"nobody made {_AUTHORITY} in {namespace}")
        await clock.sleep(_LOOK_EVERY_S)
    certificate: str = found["data"]["ca.crt"]
    return certificate


def _written(folder: Path, name: str, server: str, token: str, ca: str) -> Account:
    folder.mkdir(parents=True, exist_ok=True)
    account = Account(server, folder / f"{name}.token", folder / f"{name}.crt", folder / f"{name}.kubeconfig")
    account.token.touch(mode=0o600)
    account.token.write_text(token)
    account.ca.write_text(ca)
    user = {"tokenFile": str(account.token)}
    write_kubeconfig(account.kubeconfig, server, user, context=CONTEXT, ca=account.ca)
    return account
