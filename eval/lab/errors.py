"""What the API server answers when it does not do what it was asked: Status objects, as a real 1.34 words them."""

from eval.lab.kinds import Kind, Obj


class ApiError(Exception):
    """A refusal with an HTTP code, Kubernetes' reason word and a message; `status()` is the body."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None, more: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self._continue = more

    def status(self) -> Obj:
        body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self._continue} if self._continue else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:  # etcd's own errors come without one
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return {**body, "code": self.code}

    @property
    def headers(self) -> dict[str, str]:
        """A Status that says `retryAfterSeconds` says it as a header, too."""
        after_s = (self.details or {}).get("retryAfterSeconds")
        return {"Retry-After": str(after_s)} if after_s else {}


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


def gone(message: str, more: str = "") -> ApiError:
    """410: the version that was asked for is compacted away; `more` is the token of a list that goes on regardless."""
    return ApiError(410, "Expired", message, more=more)


def not_yet(version: int, current: int) -> ApiError:
    """504 for a version that is still to come: the server waits three seconds for it, then says so."""
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {version}, current: {current}"
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def bad_options(field: str, why: str) -> ApiError:
    """422 for parameters that exclude one another."""
    details = {
        "group": "meta.k8s.io",
        "kind": "ListOptions",
        "causes": [{"reason": "FieldValueForbidden", "message": why, "field": field}],
    }
    return ApiError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {field}: {why}', details)
