"""Kubernetes quantities: read as numbers, written the way the server stores them."""

import functools
from fractions import Fraction
from typing import Final

_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
MIB: Final = 1024 * 1024


def _split(text: str) -> tuple[Fraction, str]:
    suffix = text.lstrip("+-.0123456789")
    number = text[: len(text) - len(suffix)]
    if suffix not in _BINARY and suffix not in _DECIMAL:
        raise ValueError(f"unable to parse quantity's suffix: {text!r}")
    return Fraction(number), suffix


@functools.lru_cache(maxsize=1024)
def parse(quantity: str | float) -> float:
    """Return the quantity in cores or bytes. Raises ValueError for what is no quantity."""
    number, suffix = _split(str(quantity))
    scale = Fraction(1024) ** _BINARY[suffix] if suffix in _BINARY else Fraction(1000) ** _DECIMAL[suffix]
    return float(number * scale)


def _fold(value: Fraction, base: int, names: dict[int, str]) -> str:
    power = 0
    while value and value % base == 0 and power + 1 in names:
        value /= base
        power += 1
    while value.denominator != 1 and power - 1 in names:
        value *= base
        power -= 1
    return f"{int(value)}{names[power]}"


@functools.lru_cache(maxsize=1024, typed=True)
def canonical(quantity: str | float) -> str:
    """Return the quantity as the server stores it: `0.5` is `500m`, `1024Mi` is `1Gi`."""
    number, suffix = _split(str(quantity))
    if suffix in _BINARY:
        value = number * Fraction(1024) ** _BINARY[suffix]
        if value.denominator == 1:
            return _fold(value, 1024, {0: "", **{power: name for name, power in _BINARY.items()}})
        return _fold(value, 1000, {power: name for name, power in _DECIMAL.items()})
    value = number * Fraction(1000) ** _DECIMAL[suffix]
    return _fold(value, 1000, {power: name for name, power in _DECIMAL.items()})


def written(resource: str, amount: float) -> str:
    """An amount of `requests.cpu`, `memory`, `pods` as the server writes a sum of such."""
    name = resource.rpartition(".")[2]
    if name == "cpu":
        return canonical(f"{round(amount * 1000)}m")
    whole = int(amount)
    return canonical(f"{whole // 1024}Ki") if name == "memory" and whole % 1024 == 0 else str(whole)
