"""`primum bench ingest` as somebody runs it: a real gateway, a real NATS, senders of their own."""

import json
import subprocess
import sys


def bench(*options: str) -> tuple[int, str, str]:
    ran = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "services.cli", "bench", "ingest", "--seed", "3", *options],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


def test_a_small_burst_is_counted() -> None:
    """Everything acknowledged is in the stream once, and the figures are there."""
    status, out, err = bench("--alerts", "500", "--rounds", "1", "--json")
    found = json.loads(out)
    assert (status, found["ok"]) == (0, True), (found, err)
    assert (found["offered"], found["acknowledged"], found["stored"]) == (600, 600, 600)
    assert (found["lost"], found["doubled"], found["seed"]) == (0, 0, 3)
    assert found["deliveries"] > 1000
    assert min(found["rate_per_s"], found["raw_rate_per_s"], found["ack_p50_ms"], found["ack_p99_ms"]) > 0
