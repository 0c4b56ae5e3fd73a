"""What a service writes down when a handler fails."""

import io
import json
import logging

import pytest
import structlog

from shared.bus.log import configure
from shared.bus.settings import ServiceSettings


def fails(bearer: str) -> None:
    """A bug with a secret at hand."""
    raise ValueError(f"{len(bearer)} characters")


def test_a_traceback_says_where_and_not_what_the_variables_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token, or whatever an alert says, is in some frame's variables; it must not get into the log."""
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    log = configure("gateway", ServiceSettings())
    try:
        fails("s3cret")
    except ValueError:
        log.exception("a handler failed")
    line = json.loads(said.getvalue())
    assert line["exception"][0]["frames"][-1]["name"] == "fails"
    assert "s3cret" not in said.getvalue()


def test_every_line_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that of an adapter which knows no service, and that of a library."""
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    configure("gateway", ServiceSettings()).warning("its own")
    structlog.get_logger().warning("an adapter's")
    logging.getLogger("library").warning("a library's")
    assert [json.loads(line)["service"] for line in said.getvalue().splitlines()] == ["gateway"] * 3
