"""Kubernetes quantities, by its own grammar."""

import pytest

from shared.domain.frozen import Json
from shared.domain.objects import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", 0.25),
        ("2", 2.0),
        (2, 2.0),
        (0.5, 0.5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("64Mi", 64 * 1024**2),
        ("1Gi", 1024**3),
        ("1.5Gi", 1.5 * 1024**3),
        ("128M", 128e6),
        ("1k", 1e3),
        ("2Ki", 2048),
        ("1E", 1e18),
        ("1Ei", 1024**6),
        ("1e3", 1e3),
        ("1E3", 1e3),
        ("12e-1", 1.2),
        ("100u", 1e-4),
        ("500000000n", 0.5),
        ("+1", 1.0),
        ("-1", -1.0),
    ],
)
def test_a_quantity_is_its_base_unit(text: Json, value: float) -> None:
    """Cores and bytes, whatever the suffix."""
    assert quantity(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "Mi", "1KB", "1 Gi", "64mi", "1K", "inf", "nan", "1_000", "1e", "0x10", None, True]
)
def test_what_is_no_quantity_is_refused(text: Json) -> None:
    """Also where Python would take it for a number."""
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)
