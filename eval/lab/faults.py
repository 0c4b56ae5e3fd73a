"""Ways the API server itself can fail, switched on by tests and by the demo's sabotage.

Whoever is under test meets each of them over HTTP, as the answer that a real API server, its load balancer or the
network would give.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from eval.lab.errors import ApiError

FLOW: Final = {
    "X-Kubernetes-Pf-Flowschema-Uid": "6a6a5d3e-1f6e-4b1c-9a53-5e8a2b7f0c11",
    "X-Kubernetes-Pf-Prioritylevel-Uid": "2f6d1c0a-7c55-4f0e-8d0b-0b8a4f6e9d22",
}
"""On every answer of a server with API Priority and Fairness: which schema the request fell under."""


@dataclass(frozen=True)
class Overloaded:
    """429 of API Priority and Fairness: plain text, no Status, and when to come back."""

    retry_after_s: int | None


@dataclass(frozen=True)
class Answered:
    """A Status instead of what was asked for."""

    error: ApiError


@dataclass(frozen=True)
class Reset:
    """No answer: the connection is reset."""


@dataclass(frozen=True)
class Aim:
    """Which requests: any verb (as RBAC knows them, and `evict`) and any resource where none is named.

    Every `every`th of them is hit, `times` in all (None: for ever). With `after` a request takes its effect first,
    and only the word of it is lost; with `late` it takes its effect only when the next write comes in.
    """

    verbs: Collection[str] = ()
    resources: Collection[str] = ()
    times: int | None = None
    every: int = 1
    after: bool = False
    late: bool = False


ANY: Final = Aim()


@dataclass
class Trouble:
    """A bad answer to the requests that it is aimed at; `met` counts those that got it."""

    answer: Overloaded | Answered | Reset
    aim: Aim
    met: int = 0
    came: int = 0

    def meets(self, verb: str, resource: str) -> bool:
        """Whether this request gets it; asking counts."""
        aim = self.aim
        if (aim.verbs and verb not in aim.verbs) or (aim.resources and resource not in aim.resources):
            return False
        if aim.times is not None and self.met >= aim.times:
            return False
        self.came += 1
        if self.came % aim.every:
            return False
        self.met += 1
        return True


_WORDS: Final = {
    500: ("", "etcdserver: leader changed"),
    502: ("", "Bad Gateway"),
    503: ("ServiceUnavailable", "apiserver is shutting down"),
    504: ("Timeout", "Timeout: request did not complete within requested timeout - context deadline exceeded"),
}


@dataclass
class Faults:
    """Switches. Resources are plural names (`pods`), verbs as RBAC knows them and `evict`; nothing is on at first."""

    forbidden: set[tuple[str, str]] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    dropped_managers: set[str] = field(default_factory=set)
    troubles: list[Trouble] = field(default_factory=list)
    compactions: int = 0

    def forbid(self, verb: str, resource: str) -> None:
        """Answer 403 to this verb (get, list, watch, create, patch, update, delete) on this resource."""
        self.forbidden.add((verb, resource))

    def hang(self, resource: str) -> None:
        """Never answer requests for this resource."""
        self.hanging.add(resource)

    def drop_writes(self, manager_prefix: str = "primum") -> None:
        """Answer these managers' writes as if they were done, and store nothing."""
        self.dropped_managers.add(manager_prefix)

    def drops(self, manager: str) -> bool:
        return any(manager.startswith(prefix) for prefix in self.dropped_managers)

    def overload(self, aim: Aim = ANY, *, retry_after_s: int | None = 1) -> Trouble:
        """Answer 429 as API Priority and Fairness does; None as `retry_after_s` leaves the header out."""
        return self._add(Overloaded(retry_after_s), aim)

    def fail(self, code: int, aim: Aim = ANY, *, retry_after_s: int | None = None) -> Trouble:
        """Answer with a Status of 500, 502, 503 or 504."""
        reason, message = _WORDS[code]
        details = {"retryAfterSeconds": retry_after_s} if retry_after_s else None
        return self._add(Answered(ApiError(code, reason, message, details)), aim)

    def reset(self, aim: Aim = ANY) -> Trouble:
        """Reset the connection instead of answering."""
        return self._add(Reset(), aim)

    def expire_pages(self, times: int) -> None:
        """Compact before a list is continued, so many times: its token is 410 then."""
        self.compactions = times

    def compacts(self) -> bool:
        """Whether this continued list finds its snapshot gone; asking counts."""
        self.compactions -= 1
        return self.compactions >= 0

    def trouble(self, verb: str, resource: str) -> Trouble | None:
        """What this request gets instead of its answer, if anything; asking counts."""
        return next((trouble for trouble in self.troubles if trouble.meets(verb, resource)), None)

    def _add(self, answer: Overloaded | Answered | Reset, aim: Aim) -> Trouble:
        trouble = Trouble(answer, aim)
        self.troubles.append(trouble)
        return trouble

    def heal(self) -> None:
        """Switch all of them off."""
        self.forbidden.clear()
        self.hanging.clear()
        self.dropped_managers.clear()
        self.troubles.clear()
        self.compactions = 0
