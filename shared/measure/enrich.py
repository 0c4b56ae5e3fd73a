"""What the metrics say of a snapshot's Services and pods: request counters and resource use."""

import asyncio
from collections.abc import Sequence

from shared.domain.errors import MetricsUnavailable
from shared.domain.health import Latency, Traffic
from shared.domain.snapshot import Snapshot, Usage
from shared.ports.metrics import Metrics

COUNTED = "http_requests_total"
FAILED = 'http_requests_total{code=~"5.."}'
DURATION = "http_request_duration_seconds"
BEFORE = ((1, 1), (2, 2), (12, 4))
"""The spans before the window, in windows: how long each is, and how long ago it ended."""
CPU_PERIODS = 'container_cpu_cfs_periods_total{container!=""}'
CPU_PERIODS_WAITED = 'container_cpu_cfs_throttled_periods_total{container!=""}'
# cAdvisor also writes a series for the pod as a whole, without a container: it would count everything twice.
CPU_SECONDS = 'container_cpu_usage_seconds_total{container!=""}'
MEMORY_BYTES = 'sum by (namespace, pod) (container_memory_working_set_bytes{container!=""})'


def said_by(series: str, pods: Sequence[str], *, but: bool = False) -> str:
    """A selector's series that these pods export; or all but those, so also what no pod does."""
    if not pods:
        return series
    name, _, matchers = series.rstrip("}").partition("{")
    who = f'pod{"!~" if but else "=~"}"{"|".join(pods)}"'
    return f"{name}{{{','.join(filter(None, (matchers, who)))}}}"


def requests(counter: str) -> str:
    """The query for a counter by Service, since it began."""
    return f"sum by (namespace, service) ({counter})"


def recent_requests(counter: str, window_s: float) -> str:
    """The query for what a counter grew by, by Service, within a window."""
    return f"sum by (namespace, service) (increase({counter}[{_duration(window_s)}]))"


def cpu_cores(window_s: float) -> str:
    """The query for CPU use as a rate over a window."""
    return f"sum by (namespace, pod) (rate({CPU_SECONDS}[{_duration(window_s)}]))"


def throttled(window_s: float) -> str:
    """The query for the part of a pod's CPU periods, within a window, in which it had to wait for the next."""
    waited, all_of_them = (
        f"sum by (namespace, pod) (increase({counter}[{_duration(window_s)}]))"
        for counter in (CPU_PERIODS_WAITED, CPU_PERIODS)
    )
    return f"{waited} / {all_of_them}"


def average_s(window_s: float, offset_s: float = 0.0, but: Sequence[str] = ()) -> str:
    """The query for how long answers took on average, by Service, within a window that ended `offset_s` ago.

    Histograms and summaries both count what it is made of. Pods in `but` are not asked.
    """
    span = f"[{_duration(window_s)}]" + (f" offset {_duration(offset_s)}" if offset_s else "")
    spent, answers = (
        f"sum by (namespace, service) (increase({said_by(f'{DURATION}_{part}', but, but=True)}{span}))"
        for part in ("sum", "count")
    )
    return f"{spent} / {answers}"


async def with_metrics(snapshot: Snapshot, metrics: Metrics, window_s: float) -> Snapshot:
    """Fill `traffic`, `recent` and `latency` (of the snapshot's Services) and `usage` (of its pods).

    What has no series stays out: not measured is not the same as zero. When a query fails, what it was for stays
    empty and `looked_at` says so; diagnosis goes on without.
    """
    usage, about_usage = await _usage(snapshot, metrics, window_s)
    starved = sorted({pod.partition("/")[2] for pod, used in usage.items() if used.starved})
    (traffic, recent, doubtful, about_requests), (latency, about_latency) = await asyncio.gather(
        _requests(snapshot, metrics, window_s, starved),
        _latency(snapshot, metrics, window_s, starved),
    )
    return snapshot.model_copy(
        update={
            "traffic": traffic,
            "recent": recent,
            "doubtful": doubtful,
            "latency": latency,
            "usage": usage,
            "looked_at": (*snapshot.looked_at, about_requests, about_latency, about_usage),
        }
    )


async def _requests(
    snapshot: Snapshot, metrics: Metrics, window_s: float, starved: Sequence[str]
) -> tuple[dict[str, Traffic], dict[str, Traffic], dict[str, Traffic], str]:
    """The counters, what they grew by, and what of that only the starved pods counted."""
    known = {service.ref.key for service in snapshot.services}
    try:
        traffic = await _traffic(metrics, known, requests(COUNTED), requests(FAILED))
        recent = await _traffic(metrics, known, recent_requests(COUNTED, window_s), recent_requests(FAILED, window_s))
        of_them = [recent_requests(said_by(each, starved), window_s) for each in (COUNTED, FAILED)]
        doubtful = await _traffic(metrics, known, *of_them) if starved else {}
    except MetricsUnavailable as failure:
        return {}, {}, {}, f"not read: request metrics ({failure})"
    return traffic, recent, doubtful, f"request metrics of {len(traffic)} Services"


async def _traffic(metrics: Metrics, known: set[str], counted: str, failed: str) -> dict[str, Traffic]:
    """Both counters by Service; one without a failure has no series of them, and that is a zero."""
    total = await _by_name(metrics, counted, "service")
    errors = await _by_name(metrics, failed, "service")
    return {
        name: Traffic(requests=count, errors=errors.get(name, 0.0)) for name, count in total.items() if name in known
    }


async def _latency(
    snapshot: Snapshot, metrics: Metrics, window_s: float, starved: Sequence[str]
) -> tuple[dict[str, Latency], str]:
    """How long answers take in the window, and took at their best in the spans before it.

    The best: a fault may have begun in one of them, and what was fast in any is slow now.
    """
    known = {service.ref.key for service in snapshot.services}
    try:
        now, *before = await asyncio.gather(
            _by_name(metrics, average_s(window_s, but=starved), "service"),
            *(_by_name(metrics, average_s(span * window_s, ago * window_s), "service") for span, ago in BEFORE),
        )
    except MetricsUnavailable as failure:
        return {}, f"not read: latencies ({failure})"
    found = {
        name: Latency(now_s=now[name], before_s=min(earlier[name] for earlier in before if name in earlier))
        for name in known & now.keys()
        if any(name in earlier for earlier in before)
    }
    return found, f"latencies of {len(found)} Services"


async def _usage(snapshot: Snapshot, metrics: Metrics, window_s: float) -> tuple[dict[str, Usage], str]:
    try:
        cores = await _by_name(metrics, cpu_cores(window_s), "pod")
        memory = await _by_name(metrics, MEMORY_BYTES, "pod")
        waited = await _by_name(metrics, throttled(window_s), "pod")
    except MetricsUnavailable as failure:
        return {}, f"not read: CPU and memory metrics ({failure})"
    known = {pod.ref.key for pod in snapshot.pods}
    found = {
        name: Usage(cpu_cores=cores[name], memory_bytes=memory[name], throttled=waited.get(name, 0.0))
        for name in cores.keys() & memory.keys() & known
    }
    return found, f"CPU and memory metrics of {len(found)} Pods"


async def _by_name(metrics: Metrics, expression: str, label: str) -> dict[str, float]:
    """Values by `namespace/name`; series without both labels are about nothing that a snapshot holds."""
    return {
        f"{series.labels['namespace']}/{series.labels[label]}": series.value
        for series in await metrics.query(expression)
        if "namespace" in series.labels and label in series.labels
    }


def _duration(window_s: float) -> str:
    """A PromQL duration: whole seconds where it is whole, else milliseconds, for it knows no fractions."""
    return f"{int(window_s)}s" if window_s == int(window_s) else f"{round(window_s * 1000)}ms"
