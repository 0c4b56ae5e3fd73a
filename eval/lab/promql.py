"""A small, honest part of PromQL: what is parsed is answered as Prometheus answers it, the rest is refused.

Selectors with matchers and offset, rate, increase, max_over_time, sum, min, max, avg, count (by), arithmetic,
comparisons.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<duration>(?:\d+(?:ms|[smhd]))+)
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<symbol>=~|!~|!=|==|<=|>=|[-+*/(){}\[\],=<>])
    )""",
    re.VERBOSE,
)
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
RANGE_FUNCTIONS: Final = {"rate", "increase", "max_over_time"}
AGGREGATIONS: Final = {"sum", "min", "max", "avg", "count"}
COMPARISONS: Final = {"<", ">", "<=", ">=", "==", "!="}
_LEVELS: Final = (frozenset(COMPARISONS), frozenset({"+", "-"}), frozenset({"*", "/"}))


class PromqlError(Exception):
    """The expression is wrong, or beyond the subset; the message says where."""


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Matcher:
    """One `label op value`."""

    label: str
    op: str
    value: str


@dataclass(frozen=True)
class Selector:
    """A metric with matchers, and a range for functions over time (0 for an instant); `offset_s` looks back so far."""

    name: str
    matchers: tuple[Matcher, ...]
    range_s: float
    offset_s: float = 0.0


@dataclass(frozen=True)
class Call:
    """A function over the window of a range selector."""

    function: str
    over: Selector


@dataclass(frozen=True)
class Aggregate:
    """An aggregation `by` some labels."""

    op: str
    by: tuple[str, ...]
    over: "Expr"


@dataclass(frozen=True)
class Binary:
    """Arithmetic or a comparison; two vectors match on all labels, one to one."""

    op: str
    left: "Expr"
    right: "Expr"


Expr = Number | Selector | Call | Aggregate | Binary


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise PromqlError(f"parse error: unexpected character at {at + 1}: {text[at:].strip()[:1]!r}")
        at = found.end()
        kind = found.lastgroup or ""
        yield kind, found[kind]
    yield "end", ""


def _duration(text: str) -> float:
    return sum(int(count) * _UNIT_S[unit] for count, unit in re.findall(r"(\d+)(ms|[smhd])", text))


class _Parser:
    """Recursive descent, one method a rule."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def parse(self) -> Expr:
        expr = self._binary(0)
        if self._peek()[0] != "end":
            raise PromqlError(f"parse error: unexpected {self._peek()[1]!r}; this lab answers a subset of PromQL")
        return expr

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, text: str) -> bool:
        if self._peek() == ("symbol", text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise PromqlError(f"parse error: expected {text!r}, found {self._peek()[1]!r}")

    def _kind(self, kind: str) -> str:
        found, text = self._next()
        if found != kind:
            raise PromqlError(f"parse error: expected a {kind}, found {text!r}")
        return text

    def _binary(self, level: int) -> Expr:
        if level == len(_LEVELS):
            return self._primary()
        left = self._binary(level + 1)
        while self._peek()[0] == "symbol" and self._peek()[1] in _LEVELS[level]:
            op = self._next()[1]
            left = Binary(op, left, self._binary(level + 1))
        return left

    def _primary(self) -> Expr:
        kind, text = self._peek()
        if kind == "number":
            return Number(float(self._next()[1]))
        if self._take("-"):
            return Binary("-", Number(0.0), self._primary())
        if self._take("("):
            inner = self._binary(0)
            self._expect(")")
            return inner
        if kind == "name" and text in AGGREGATIONS:
            return self._aggregate()
        if kind == "name" and self._peek(1) == ("symbol", "("):
            return self._call()
        return self._selector()

    def _by(self) -> tuple[str, ...]:
        if self._peek() == ("name", "without"):
            raise PromqlError("parse error: `without` is beyond this lab's subset of PromQL, use `by`")
        if self._peek() != ("name", "by"):
            return ()
        self._next()
        self._expect("(")
        names: list[str] = []
        while not self._take(")"):
            names.append(self._kind("name"))
            if not self._take(","):
                self._expect(")")
                break
        return tuple(names)

    def _aggregate(self) -> Expr:
        op = self._next()[1]
        by = self._by()
        self._expect("(")
        over = self._binary(0)
        self._expect(")")
        return Aggregate(op, by or self._by(), over)

    def _call(self) -> Expr:
        function = self._next()[1]
        if function not in RANGE_FUNCTIONS:
            raise PromqlError(f"parse error: function {function!r} is beyond this lab's subset of PromQL")
        self._expect("(")
        over = self._selector()
        self._expect(")")
        if not over.range_s:
            raise PromqlError(f"parse error: expected type range vector in call to function {function!r}")
        return Call(function, over)

    def _selector(self) -> Selector:
        name = self._next()[1] if self._peek()[0] == "name" else ""
        matchers: list[Matcher] = []
        if self._take("{"):
            while not self._take("}"):
                matchers.append(self._matcher())
                if not self._take(","):
                    self._expect("}")
                    break
        named = [item.value for item in matchers if item.label == "__name__" and item.op == "="]
        if not name and not named:
            raise PromqlError(f"parse error: expected a metric name, found {self._peek()[1]!r}")
        range_s = 0.0
        if self._take("["):
            range_s = _duration(self._kind("duration"))
            self._expect("]")
        offset_s = 0.0
        if self._peek() == ("name", "offset"):
            self._next()
            offset_s = _duration(self._kind("duration"))
        rest = tuple(item for item in matchers if item.label != "__name__")
        return Selector(name or named[0], rest, range_s, offset_s)

    def _matcher(self) -> Matcher:
        label = self._kind("name")
        op = self._kind("symbol")
        if op not in {"=", "!=", "=~", "!~"}:
            raise PromqlError(f"parse error: {op!r} is no label matcher")
        value = re.sub(r"\\(.)", r"\1", self._kind("string")[1:-1])
        try:
            re.compile(value if "~" in op else "")
        except re.error as error:
            raise PromqlError(f"parse error: error parsing regexp: {error}") from error
        return Matcher(label, op, value)


def parse(text: str) -> Expr:
    """Return the expression's tree. Raises PromqlError for what is wrong or beyond the subset."""
    return _Parser(text).parse()
