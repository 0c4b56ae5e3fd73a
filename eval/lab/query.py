"""Evaluates the PromQL subset over the stored series, at one instant."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    times, after = series.times, at - range_s
    if series.still_since_s <= after and times[-1] <= at and len(times) > 1 and times[-2] > after:
        return 0.0  # most series, most of the time: what fails seldom stands still
    known = series.grown
    if known is None or known[0] != at or known[1] != range_s or known[2] != times[-1]:
        known = series.grown = (at, range_s, times[-1], _increase(series, at, range_s))
    return known[3]


def _increase(series: Series, at: float, range_s: float) -> float | None:
    times, values = series.window(at - range_s, at)
    if len(times) < 2:
        return None
    grown = values[-1] - values[0]
    if series.fell_s > times[0]:  # the counter was reset
        grown += sum(before for before, after in pairwise(values) if after < before)
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
        self._grouped: dict[tuple[Selector, tuple[str, ...]], dict[Labels, list[Series]]] = {}
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
            self._grouped.clear()
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

    def _groups(self, selector: Selector, by: tuple[str, ...]) -> Mapping[Labels, list[Series]]:
        """What a selector finds, by the labels that an aggregation keeps: rules ask the same at every scrape."""
        selected = self._select(selector)
        if (selector, by) not in self._grouped:
            groups = self._grouped[selector, by] = {}
            for series in selected:
                groups.setdefault(series.by(by), []).append(series)
        return self._grouped[selector, by]

    def _samples(self, expr: Selector | Call, among: Iterable[Series], at: float) -> Iterator[tuple[Series, float]]:
        if isinstance(expr, Selector):
            yield from self._store.values(among, at - expr.offset_s)
            return
        for series in among:
            value = self._over_time(expr, series, at - expr.over.offset_s)
            if value is not None:
                yield series, value

    def _values(self, expr: Selector | Call, among: Iterable[Series], at: float) -> list[float]:
        """The samples alone. Rates of counters are nearly all that the lab computes: they take the short way."""
        if isinstance(expr, Selector) or expr.function == "max_over_time":
            return [value for _, value in self._samples(expr, among, at)]
        at, range_s = at - expr.over.offset_s, expr.over.range_s
        over_s = 1.0 if expr.function == "increase" else range_s
        return [grown / over_s for series in among if (grown := increase(series, at, range_s)) is not None]

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
                samples = self._samples(expr, self._select(expr), at)
                return {(("__name__", expr.name), *series.labels): value for series, value in samples}
            case Call():
                return {series.labels: value for series, value in self._samples(expr, self._select(expr.over), at)}
            case Aggregate():
                return self._aggregate(expr, at)
            case Binary():
                return self._binary(expr, self._value(expr.left, at), self._value(expr.right, at))

    def _aggregate(self, expr: Aggregate, at: float) -> Vector:
        groups: dict[Labels, list[float]] = {}
        if isinstance(expr.over, Selector | Call) and not (isinstance(expr.over, Selector) and expr.over.range_s):
            selector = expr.over if isinstance(expr.over, Selector) else expr.over.over
            for pairs, among in self._groups(selector, expr.by).items():
                if values := self._values(expr.over, among, at):
                    groups[pairs] = values
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
