"""Trace context (W3C `traceparent`) on its way through the bus: continued where it came in, made where none is."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


@contextmanager
def continuing(headers: Mapping[str, str]) -> Iterator[None]:
    """Run the block inside the trace that these headers name, if they name one."""
    token = context.attach(_PROPAGATOR.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


def traceparent(incident: str, event: str) -> dict[str, str]:
    """Return the trace headers for an event.

    Outside any trace, the incident is the trace: its id is derived from the incident's, so that all its events meet.
    """
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    if not headers:
        trace_id, span_id = _trace_id(incident), _hex(f"{incident}/{event}", 16)
        headers["traceparent"] = f"00-{trace_id}-{span_id}-01"
    return headers


@functools.lru_cache(maxsize=256)
def _trace_id(incident: str) -> str:
    return _hex(incident, 32)


def _hex(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
