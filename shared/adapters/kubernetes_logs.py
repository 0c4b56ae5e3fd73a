"""Containers' logs through the Kubernetes API: the port Logs."""

import math
from typing import Final

import aiohttp
from kubernetes.aio.dynamic import DynamicClient

from shared.adapters.kubernetes_requests import Requests
from shared.adapters.kubernetes_wire import asked_for, resource_of
from shared.domain.cluster import Kind, Ref
from shared.domain.errors import WriteRefused

MOST_BYTES: Final = 256 * 1024
LONGEST_LINE: Final = 2000


class KubernetesLogs:
    """The logs that the kubelets of one cluster keep."""

    def __init__(self, client: DynamicClient, requests: Requests) -> None:
        self._client, self._requests = client, requests
        self._pods = resource_of(client, Kind.POD)

    async def tail(self, pod: Ref, container: str, *, since_s: float, lines: int) -> tuple[str, ...]:
        path = f"{self._pods.path(name=pod.name, namespace=pod.namespace)}/log"
        asked = [
            ("container", container),
            ("tailLines", lines),
            ("sinceSeconds", max(1, math.ceil(since_s))),
            ("limitBytes", MOST_BYTES),
        ]
        try:
            said = await self._requests.text(
                asked_for("get", pod.kind, pod.namespace, f"{pod.name}/log"),
                lambda: self._client.request(
                    "get",
                    path,
                    query_params=list(asked),
                    serialize=False,
                    _request_timeout=aiohttp.ClientTimeout(total=self._requests.timeout_s),
                ),
            )
        except WriteRefused:  # 400: the container waits to start
            return ()
        return tuple(line[:LONGEST_LINE] for line in said.splitlines())
