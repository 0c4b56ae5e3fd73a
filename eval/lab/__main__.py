"""`python -m eval.lab`: a lab of its own process; prints its addresses as one line of JSON when it is ready."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from eval.lab.lab import Lab, LabSettings


def _settings() -> tuple[LabSettings, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m eval.lab", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on loopback, 0 takes a free one")
    parser.add_argument("--seed", type=int, default=1, help="draws the shop and all chance")
    parser.add_argument("--pace", type=float, default=20.0, help="how much faster than the wall the lab's time runs")
    parser.add_argument("--webhook", help="where alerts are sent, in Alertmanager's format")
    parser.add_argument("--webhook-token", help="bearer token for the webhook")
    parser.add_argument("--senders", type=int, default=1, help="2 is a pair that sends everything twice")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig here")
    given = parser.parse_args()
    settings = LabSettings(given.seed, given.pace, given.port, given.webhook, given.webhook_token, given.senders)
    return settings, given.kubeconfig


async def _run(settings: LabSettings, kubeconfig: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, stop.set)
    async with Lab(settings) as lab:
        if kubeconfig:
            lab.kubeconfig(kubeconfig)
        addresses = {
            "kubernetes": lab.url,
            "prometheus": lab.prometheus_url,
            "metrics": lab.metrics_url,
            "token": lab.token,
            "namespace": lab.shop.namespace,
        }
        sys.stdout.write(json.dumps(addresses) + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_run(*_settings()))
