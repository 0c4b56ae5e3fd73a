"""Evaluates the PromQL subset over the stored series, at one instant."""

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final

from eval.lab.promql import (
    COMPARISONS,
    Aggregate,
    Binary,
    Call,
    Expr,
    Matcher,
    Number,
    PromqlError,
    Selector,
    parse,
)
from eval.lab.series import Labels, Series, SeriesStore

Vector = dict[Labels, float]
Value = float | Vector
_OPERATORS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_NAN: Final = float("nan")
_parsed = lru_cache(maxsize=256)(parse)


def _divide(one: float, other: float) -> float:
    if other:
        return one / other
    return _NAN if one == 0 else float("inf") if one > 0 else float("-inf")


def _apply(op: str, one: float, other: float) -> float:
    return _divide(one, other) if op == "/" else float(_OPERATORS[op](one, other))


def _fits(matcher: Matcher, pairs: Mapping[str, str]) -> bool:
    found = pairs.get(matcher.label, "")
    match matcher.op:
        case "=":
            return found == matcher.value
        case "!=":
            return found != matcher.value
        case "=~":
            return re.fullmatch(matcher.value, found) is not None
        case _:
            return re.fullmatch(matcher.value, found) is None


def increase(series: Series, at: float, range_s: float) -> float | None:
    """A counter's growth over the window, extrapolated to its edges as Prometheus does; None under two samples.

    It is remembered: what asks for the failed requests asks for all of them, too, and both sides of a rule do.
    """
    asked = (at, range_s, series.times[-1])
    if series.grown is None or series.grown[0] != asked:
        series.grown = (asked, _increase(series, at, range_s))
    return series.grown[1]


def _increase(series: Series, at: float, range_s: float) -> float | None:
    times, values = series.window(at - range_s, at)
    if len(times) < 2:
        return None
    grown = values[-1] - values[0]
    for before, after in pairwise(values):
        if after < before:  # the counter was reset
            grown += before
    sampled_s = times[-1] - times[0]
    gap_s = sampled_s / (len(times) - 1)
    start_s, end_s = times[0] - (at - range_s), at - times[-1]
    start_s = gap_s / 2 if start_s >= gap_s * 1.1 else start_s
    if grown > 0:
        start_s = min(start_s, sampled_s * values[0] / grown)  # it cannot have been below zero
    end_s = gap_s / 2 if end_s >= gap_s * 1.1 else end_s
    return grown * (sampled_s + start_s + end_s) / sampled_s


class QueryEngine:
    """Answers expressions; selections are remembered until a series is born or dies."""

    def __init__(self, store: SeriesStore) -> None:
        self._store = store
        self._selected: dict[Selector, list[Series]] = {}
        self._generation = -1
        self._answers: dict[str, Value] = {}
        self._asked = (0.0, 0)

    def instant(self, text: str, at: float) -> Value:
        """The value at a time, in wall-clock seconds; who asks again before the next scrape gets the same one.

        Raises PromqlError.
        """
        if self._asked != (at, self._store.scrapes):
            self._answers.clear()
            self._asked = (at, self._store.scrapes)
        if text not in self._answers:
            self._answers[text] = self._value(_parsed(text), at)
        return self._answers[text]

    def _select(self, selector: Selector) -> list[Series]:
        if self._generation != self._store.generation:
            self._selected.clear()
            self._generation = self._store.generation
        found = self._selected.get(selector)
        if found is None:
            found = [
                series
                for series in self._store.family(selector.name)
                if all(_fits(matcher, dict(series.labels)) for matcher in selector.matchers)
            ]
            self._selected[selector] = found
        return found

    def _samples(self, expr: Selector | Call, at: float) -> list[tuple[Series, float]]:
        if isinstance(expr, Selector):
            return list(self._store.values(self._select(expr), at - expr.offset_s))
        found: list[tuple[Series, float]] = []
        for series in self._select(expr.over):
            value = self._over_time(expr, series, at - expr.over.offset_s)
            if value is not None:
                found.append((series, value))
        return found

    def _over_time(self, call: Call, series: Series, at: float) -> float | None:
        if call.function == "max_over_time":
            _, values = series.window(at - call.over.range_s, at)
            return max(values, default=None)
        grown = increase(series, at, call.over.range_s)
        return grown if grown is None or call.function == "increase" else grown / call.over.range_s

    def _value(self, expr: Expr, at: float) -> Value:
        match expr:
            case Number(value=value):
                return value
            case Selector(range_s=range_s) if range_s:
                raise PromqlError("an instant query cannot return a range vector in this lab: wrap it in rate()")
            case Selector():
                return {(("__name__", expr.name), *series.labels): value for series, value in self._samples(expr, at)}
            case Call():
                return {series.labels: value for series, value in self._samples(expr, at)}
            case Aggregate():
                return self._aggregate(expr, at)
            case Binary():
                return self._binary(expr, self._value(expr.left, at), self._value(expr.right, at))

    def _aggregate(self, expr: Aggregate, at: float) -> Vector:
        groups: dict[Labels, list[float]] = {}
        if isinstance(expr.over, Selector | Call) and not (isinstance(expr.over, Selector) and expr.over.range_s):
            for series, value in self._samples(expr.over, at):
                groups.setdefault(series.by(expr.by), []).append(value)
        else:
            inner = self._value(expr.over, at)
            if isinstance(inner, float):
                raise PromqlError(f"expected type instant vector in aggregation {expr.op!r}, got scalar")
            for pairs, value in inner.items():
                groups.setdefault(tuple(pair for pair in pairs if pair[0] in expr.by), []).append(value)
        return {pairs: _fold(expr.op, values) for pairs, values in groups.items()}

    def _binary(self, expr: Binary, left: Value, right: Value) -> Value:
        compares = expr.op in COMPARISONS
        if isinstance(left, float) and isinstance(right, float):
            if compares:
                raise PromqlError("comparisons between scalars must use the bool modifier, which this lab lacks")
            return _apply(expr.op, left, right)
        pairs: list[tuple[Labels, float, float, float]]
        if isinstance(right, float):
            pairs = [(labels, value, right, value) for labels, value in _vector(left).items()]
        elif isinstance(left, float):
            pairs = [(labels, left, value, value) for labels, value in right.items()]
        else:
            others = _nameless(right)
            mine = left if compares else _nameless(left)
            pairs = [
                (labels, value, others[key], value)
                for labels, value in mine.items()
                if (key := _without_name(labels)) in others
            ]
        if compares:
            return {labels: kept for labels, one, other, kept in pairs if _apply(expr.op, one, other)}
        return {_without_name(labels): _apply(expr.op, one, other) for labels, one, other, _ in pairs}


def _vector(value: Value) -> Vector:
    return value if isinstance(value, dict) else {}


def _fold(op: str, values: list[float]) -> float:
    match op:
        case "sum":
            return sum(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "avg":
            return sum(values) / len(values)
        case _:
            return float(len(values))


def _without_name(pairs: Labels) -> Labels:
    return pairs[1:] if pairs and pairs[0][0] == "__name__" else pairs


def _nameless(vector: Vector) -> Vector:
    return {_without_name(pairs): value for pairs, value in vector.items()}
