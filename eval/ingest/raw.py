"""The same messages straight into the same stream, by the same client library: what JetStream gives without Primum.

A process of its own that speaks as `eval.ingest.sender` does. Subjects, headers, signatures, bodies and Msg-Ids are
made beforehand by the gateway's own code, in the order in which the senders offer them, repeats included: whoever has
an HA pair and no gateway publishes every alert twice. They are published by the gateway's user over one connection with
`publish_async`, the library's fastest way, so many in flight as the task says, on the event loop that the gateway has.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from eval.ingest.sender import say
from eval.ingest.traffic import Traffic, body, deliveries
from services.gateway.alertmanager import parse
from shared.adapters.nats_connection import User, connected
from shared.adapters.nats_inbox import messages
from shared.adapters.nkey import KEYRING, seed_file
from shared.adapters.seal import load
from shared.domain.events import Owner
from shared.domain.ids import ClusterName


async def run(task: dict[str, Any]) -> None:
    """Do what the task says: `traffic`, `nats_url`, `keys` (the folder), `in_flight`."""
    traffic, cluster, keys = Traffic(**task["traffic"]), ClusterName("default"), Path(task["keys"])
    seal = load(Owner.GATEWAY, seed_file(keys, Owner.GATEWAY), keys / KEYRING)
    calls = [parse(body(traffic.seed, numbers), cluster).alerts for numbers in deliveries(traffic)]
    writes = [write for alerts in calls for write in messages({alert.delivery_id: alert for alert in alerts}, seal)]
    ready = [(write.subject, write.data, write.wire_headers()) for write in writes]
    async with connected(task["nats_url"], User(Owner.GATEWAY, seal.key)) as client:
        stream = client.jetstream(publish_async_max_pending=task["in_flight"])
        say({"say": "ready"})
        await asyncio.to_thread(sys.stdin.readline)
        loop = asyncio.get_running_loop()
        began_s, began_cpu_s = loop.time(), sum(os.times()[:2])
        acks = [await stream.publish_async(subject, data, headers=headers) for subject, data, headers in ready]
        await stream.publish_async_completed()
        elapsed_s, cpu_s = loop.time() - began_s, sum(os.times()[:2]) - began_cpu_s
        for ack in acks:
            ack.result()  # raises if a single one was not stored
        sizes = [len(data) + sum(len(name) + len(value) + 4 for name, value in said.items()) for _, data, said in ready]
        mean = round(sum(sizes) / len(sizes))
        say({"say": "done", "elapsed_s": elapsed_s, "cpu_s": cpu_s, "message_bytes": mean})


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.stdin.readline())))
