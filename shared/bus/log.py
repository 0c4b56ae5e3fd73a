"""Structured logs: one JSON object a line on stderr, with the service and, where there is one, the incident."""

import logging
import sys
from typing import Final, cast

import structlog
import structlog.tracebacks
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from shared.bus.settings import ServiceSettings

_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
"""Where it happened, without what the variables held: tokens, and whatever an alert or a pod's log says."""


def configure(service: str, settings: ServiceSettings) -> FilteringBoundLogger:
    """Make the service's logger, and let what libraries log go the same way."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _of(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Processor] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer(default=str)]
        if settings.log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*before, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _adopt_libraries(before, render)
    return cast("FilteringBoundLogger", structlog.get_logger())


def _of(service: str) -> Processor:
    """Name the service on every line, also of adapters and libraries, which do not know for whom they work."""

    def name(_: object, __: str, line: EventDict) -> EventDict:
        return {"service": service, **line}

    return name


def _adopt_libraries(before: list[Processor], render: list[Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    # httpx and its like tell of every call at INFO: what matters of it is in our own lines.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
