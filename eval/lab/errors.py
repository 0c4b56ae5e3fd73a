"""What the API server answers when it does not do what it was asked: Status objects, as a real 1.34 words them."""

from eval.lab.kinds import Kind, Obj


class ApiError(Exception):
    """A refusal with an HTTP code, Kubernetes' reason word and a message; `status()` is the body."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Obj:
        body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            body["details"] = self.details
        return body


def _details(kind: Kind, name: str) -> Obj:
    details: Obj = {"name": name, "kind": kind.plural}
    if kind.group:
        details["group"] = kind.group
    return details


def not_found(kind: Kind, name: str) -> ApiError:
    """404 for an object that is not there."""
    return ApiError(404, "NotFound", f'{kind.qualified} "{name}" not found', _details(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    """409 for a create of what exists."""
    return ApiError(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', _details(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> ApiError:
    """409 for a write against another version than the stored one."""
    reason = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {reason}'
    return ApiError(409, "Conflict", message, _details(kind, name))


def invalid(kind: Kind, name: str, field: str, why: str) -> ApiError:
    """422 that names the field at fault."""
    details = _details(kind, name)
    details["kind"] = kind.name
    details["causes"] = [{"reason": "FieldValueInvalid", "message": why, "field": field}]
    return ApiError(422, "Invalid", f'{kind.name}.{kind.group} "{name}" is invalid: {field}: {why}', details)


def unprocessable() -> ApiError:
    """422 with empty details: a failed `test`, a bad path; the server says no more than this."""
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, {})


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def not_allowed(what: str) -> ApiError:
    """405: the lab does not serve this verb here, and says so instead of pretending."""
    return ApiError(405, "MethodNotAllowed", what)


def forbidden(verb: str, kind: Kind, name: str, why: str = "") -> ApiError:
    """403, worded as RBAC words it."""
    reason = why or f'User "primum" cannot {verb} resource "{kind.plural}" in API group "{kind.group}"'
    message = f'{kind.qualified} "{name}" is forbidden: {reason}'
    return ApiError(403, "Forbidden", message, _details(kind, name))


def gone() -> ApiError:
    """410: a watch asked for a version older than the event log reaches."""
    return ApiError(410, "Expired", "too old resource version")
