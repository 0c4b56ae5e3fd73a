"""The Kubernetes API over HTTP: authentication, routing, faults, and errors as Status objects."""

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from eval.lab import discovery, verbs
from eval.lab.errors import ApiError, bad_request, forbidden, not_allowed
from eval.lab.faults import Faults
from eval.lab.kinds import BY_PLURAL, Kind, Obj
from eval.lab.store import Store, Writer, rehearse
from eval.lab.verbs import Target
from eval.lab.watch import Watches, WatchRequest

ReadLog = Callable[[Obj, Mapping[str, str]], str]
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
DEFAULT_WATCH_S: Final = 1800.0


def _json(body: Obj, code: int = 200) -> Response:
    return Response(json.dumps(body), code, media_type="application/json")


def _unknown_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def locate(group: str, version: str, path: str) -> Target:
    """What `/…/namespaces/NS/PLURAL/NAME/SUB` names. Raises ApiError 404."""
    parts = [part for part in path.split("/") if part]
    namespace = None
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    kind: Kind | None = BY_PLURAL.get((group, version, parts[0])) if parts else None
    known = kind and (len(parts) < 3 or any(parts[2] == name for name, _, _ in kind.subresources))
    if kind is None or not known or len(parts) > 3 or (len(parts) > 1 and kind.namespaced and namespace is None):
        raise _unknown_path()
    name, sub = [*parts[1:], "", ""][:2]
    return Target(kind, namespace if kind.namespaced else "", name, sub)


class Api:
    """The routes; `app` is the ASGI application."""

    def __init__(self, store: Store, faults: Faults, token: str, read_log: ReadLog, extra: list[Route]) -> None:
        self._store = store
        self._faults = faults
        self._token = token
        self._read_log = read_log
        self._closing = asyncio.Event()
        self._watches = Watches(store)
        self.app = Starlette(
            routes=[
                *extra,
                Route("/version", self._open(lambda _: discovery.VERSION)),
                Route("/readyz", self._ready),
                Route("/api", self._open(lambda _: discovery.core())),
                Route("/apis", self._open(lambda _: discovery.groups())),
                Route("/api/v1", self._open(lambda _: discovery.resources("", "v1"))),
                Route(
                    "/apis/{group}/{version}", self._open(lambda at: discovery.resources(at["group"], at["version"]))
                ),
                Route("/api/v1/{path:path}", self._resource, methods=METHODS),
                Route("/apis/{group}/{version}/{path:path}", self._resource, methods=METHODS),
                Route("/{path:path}", self._nowhere, methods=METHODS),
            ],
            exception_handlers={ApiError: self._refused},
        )

    def close(self) -> None:
        """End all watches, and let go of requests that a fault holds."""
        self._closing.set()
        self._watches.close()

    async def _refused(self, _request: Request, error: Exception) -> Response:
        if not isinstance(error, ApiError):
            raise error
        return _json(error.status(), error.code)

    async def _ready(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _nowhere(self, request: Request) -> Response:
        self._authenticate(request)
        raise _unknown_path()

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise ApiError(401, "Unauthorized", "Unauthorized")

    def _open(self, document: Callable[[Mapping[str, str]], Obj]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            self._authenticate(request)
            return _json(document(request.path_params))

        return answer

    async def _resource(self, request: Request) -> Response:
        self._authenticate(request)
        at = request.path_params
        target = locate(at.get("group", ""), at.get("version", "v1"), at["path"])
        if target.kind.plural in self._faults.hanging:
            await self._closing.wait()  # the client gives up first, or the lab closes
            raise ApiError(503, "ServiceUnavailable", "the lab is closing")
        raw = await request.body()
        self._admit(request, target)
        if request.method == "GET":
            return self._get(request, target)
        try:
            body = json.loads(raw) if raw else None
        except ValueError as error:
            raise bad_request(f"the body is not JSON: {error}") from error
        return self._write(request, target, body)

    def _admit(self, request: Request, target: Target) -> None:
        single = bool(target.name)
        wants_watch = request.query_params.get("watch", "").lower() in {"1", "true"}
        verb = {
            "GET": "get" if single else "watch" if wants_watch else "list",
            "POST": "create",
            "PUT": "update",
            "PATCH": "patch",
            "DELETE": "delete",
        }[request.method]
        if (verb, target.kind.plural) in self._faults.forbidden:
            raise forbidden(verb, target.kind, target.name)

    def _get(self, request: Request, target: Target) -> Response:
        query = request.query_params
        if query.get("watch", "").lower() in {"1", "true"}:
            wanted = WatchRequest(
                kind=target.kind.name,
                namespace=target.namespace if target.kind.namespaced else None,
                match=verbs.matcher(query, target.name),
                from_version=query.get("resourceVersion", ""),
                timeout_s=float(query.get("timeoutSeconds") or DEFAULT_WATCH_S),
                bookmarks=query.get("allowWatchBookmarks", "").lower() in {"1", "true"},
            )
            return StreamingResponse(self._watches.stream(wanted), media_type="application/json")
        if not target.name:
            listed = Target(target.kind, target.namespace if target.kind.namespaced else None)
            return _json(verbs.list_objects(self._store, listed, query))
        obj = self._store.get(target.kind.name, target.namespace or "", target.name)
        if target.subresource == "log":
            return PlainTextResponse(self._read_log(obj, query))
        if target.subresource:
            raise not_allowed(f"{target.subresource} is not readable")
        return _json(obj)

    def _write(self, request: Request, target: Target, body: Any) -> Response:
        verbs.refuse_unmodelled(target.kind)
        by = verbs.writer(request.query_params, request.headers.get("user-agent", ""))
        if self._faults.drops(by.manager):
            by = rehearse(by)
        match request.method, bool(target.name), target.subresource:
            case "POST", False, "":
                return _json(verbs.create(self._store, target, body, by), 201)
            case "POST", True, "eviction":
                return _json(verbs.evict(self._store, target, body, by), 201)
            case "PUT", True, "":
                return _json(self._replace(target, body, by))
            case "PATCH", True, "":
                content_type = request.headers.get("content-type", "")
                return _json(verbs.patch(self._store, target, body, content_type, by))
            case "DELETE", True, "":
                return _json(verbs.delete(self._store, target, request.query_params, body, by))
            case _:
                raise not_allowed("the server does not allow this method on the requested resource")

    def _replace(self, target: Target, body: Any, by: Writer) -> Obj:
        if not isinstance(body, dict):
            raise bad_request("the body of an update must be an object")
        return self._store.replace(target.kind.name, target.namespace or "", target.name, body, by)
