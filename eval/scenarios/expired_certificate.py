"""A service whose certificate runs out: its callers refuse to talk to it."""

import base64
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final

from eval.ground import Ground, GroundName
from eval.kubernetes.pki import Authority, Pair
from eval.lab.kinds import Obj
from eval.lab.shop import CALLS, variable
from eval.scenarios.scenario import Blame, Expected, RightEnd, Scenario
from shared.adapters.system import SystemClock

PORT: Final = 8443
ROLLED_OUT_WITHIN_S: Final = 180.0
FELT_WITHIN_S: Final = 240.0
"""A kubelet looks after the Secrets of its pods about once a minute."""
_OWN: Final = "/etc/tls"
_TRUSTED: Final = "/etc/ca"
_AGO: Final = timedelta(minutes=-1)


class ExpiredCertificate(Scenario):
    """Nobody changed a manifest, and every pod is well; only a person can have a new one issued."""

    name: ClassVar[str] = "expired-certificate"
    title: ClassVar[str] = "a service whose certificate is out of date"
    truth: ClassVar[Sequence[Blame]] = (Blame("certificate-expired", "Service"),)
    right_end: ClassVar[RightEnd] = RightEnd.TOLD
    expected: ClassVar[Expected] = Expected()
    roles: ClassVar[Sequence[str]] = ("payment", "shipping")
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "its services speak no TLS"}

    async def prepare(self, ground: Ground) -> None:
        """Let it serve TLS with a certificate from a Secret, and its callers ask it so, since long."""
        self._name = ground.shop.services[self.role]
        with tempfile.TemporaryDirectory(prefix="primum-certificates-") as folder:
            authority = Authority(Path(folder) / "ca", SystemClock().now())
            hosts = (f"{self._name}.{ground.shop.namespace}",)
            good = _data(authority.issue("good", self._name, hosts=hosts))
            self._expired = _data(authority.issue("expired", self._name, hosts=hosts, lives=_AGO))
            trusted = authority.ca.read_text()
        await self._serve(ground, good, trusted)
        for caller in (role for role, calls in CALLS.items() if self.role in calls):
            await self._call(ground, ground.shop.services[caller])
        await ground.until(ground.complete, ROLLED_OUT_WITHIN_S)
        await ground.grow_old()

    async def inject(self, ground: Ground) -> None:
        """Let it be out of date, as it is when nobody renewed it; wait until somebody feels it."""
        await ground.operator.merge("Secret", ground.shop.namespace, f"{self._name}-tls", {"data": self._expired})

        async def felt() -> bool:
            return not await ground.at_rest()

        await ground.until(felt, FELT_WITHIN_S)

    async def _serve(self, ground: Ground, good: Mapping[str, str], trusted: str) -> None:
        namespace, operator = ground.shop.namespace, ground.operator
        secret = {"metadata": {"name": f"{self._name}-tls", "namespace": namespace}, "type": "kubernetes.io/tls"}
        await operator.create("Secret", {**secret, "data": {**good}})
        bundle = {"metadata": {"name": f"{self._name}-ca", "namespace": namespace}, "data": {"ca.crt": trusted}}
        await operator.create("ConfigMap", bundle)
        told = {"TLS_LISTEN": f":{PORT}", "TLS_CERTIFICATE": f"{_OWN}/tls.crt", "TLS_KEY": f"{_OWN}/tls.key"}
        volume = {"name": "tls", "secret": {"secretName": f"{self._name}-tls"}}
        change = _mounting(told, volume, _OWN, [{"name": "https", "containerPort": PORT}])
        await operator.patch("Deployment", namespace, self._name, change)
        port = {"name": "https", "port": PORT, "targetPort": PORT}
        await operator.patch("Service", namespace, self._name, {"spec": {"ports": [port]}})
        await ground.until(ground.complete, ROLLED_OUT_WITHIN_S)

    async def _call(self, ground: Ground, caller: str) -> None:
        address = f"https://{self._name}.{ground.shop.namespace}:{PORT}"
        told = {variable(self._name): address, "SSL_CERT_FILE": f"{_TRUSTED}/ca.crt"}
        change = _mounting(told, {"name": "ca", "configMap": {"name": f"{self._name}-ca"}}, _TRUSTED)
        await ground.operator.patch("Deployment", ground.shop.namespace, caller, change)


def _data(pair: Pair) -> Mapping[str, str]:
    """A Secret's data."""
    files = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}


def _mounting(told: Mapping[str, str], volume: Obj, at: str, ports: Sequence[Obj] = ()) -> Obj:
    """A strategic merge of a pod template that tells its container this, and lets it see that."""
    container = {
        "name": "app",
        "env": [{"name": name, "value": value} for name, value in told.items()],
        "volumeMounts": [{"name": volume["name"], "mountPath": at, "readOnly": True}],
        "ports": [*ports],
    }
    return {"spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}}
