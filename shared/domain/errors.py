"""Every error that Primum raises on purpose; each says what the reader should do next."""


class PrimumError(Exception):
    """A failure that a person can act on. `advice` is the next thing to do; the CLI prints both on one line."""

    advice = ""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice or self.advice

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}: {self.advice}" if self.advice else message


class Retry(PrimumError):  # noqa: N818 - an instruction to the loop, named for what it does
    """A handler's word to the loop: this may work later; redeliver after `after_s` seconds."""

    def __init__(self, reason: str, *, after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Refuse(PrimumError):  # noqa: N818 - an instruction to the loop, named for what it does
    """A handler's word to the loop: this can never work; dead-letter it with the reason."""


class IllegalTransition(PrimumError):  # noqa: N818 - the term of the field
    """An event that the transition table does not know in this state; nothing has changed."""


class Conflict(PrimumError):  # noqa: N818 - the term of the field
    """Somebody appended first: fold again and decide again."""


class LedgerUnavailable(PrimumError):  # noqa: N818
    """The ledger did not answer, so nothing is known to be stored."""

    advice = "check that NATS is up and that PRIMUM_NATS_URL points at it"


class WrittenByNewer(LedgerUnavailable):
    """The incident's owner said something that this version cannot read: what it is now, it does not know."""

    advice = "let this Primum be as new as the newest that ran on this ledger; a newer replica acts meanwhile"


class ClusterUnavailable(PrimumError):  # noqa: N818
    """The Kubernetes API did not answer, or not in time."""

    advice = "check the kubeconfig (PRIMUM_KUBECONFIG, PRIMUM_KUBE_CONTEXT) and that the API server is reachable"


class ClusterForbidden(PrimumError):  # noqa: N818
    """The Kubernetes API refuses this identity (401 or 403)."""

    advice = "grant the missing permission to Primum's ServiceAccount, or use another context"


class MetricsUnavailable(PrimumError):  # noqa: N818
    """Prometheus did not answer. A failed query is never `no alerts`."""

    advice = "check PRIMUM_PROMETHEUS_URL"


class ObjectMissing(PrimumError):  # noqa: N818
    """The object is not in the cluster (404)."""


class ObjectMoved(PrimumError):  # noqa: N818
    """The object changed between our read and our write (409): read it again."""


class WriteRefused(PrimumError):  # noqa: N818
    """The API server refuses the write for good: a failed condition, an admission rule, an invalid value (422, 400)."""


class ChangeConflict(PrimumError):  # noqa: N818
    """A value is not what the change was made for; `path`, `expected` and `found` are on record."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(f"{path} is {found}, not {expected}")
        self.path, self.expected, self.found = path, expected, found


class RunbookInvalid(PrimumError):  # noqa: N818
    """A runbook breaks its contract: an unknown action, a bad expression, a missing field."""
