"""The Kubernetes API over HTTP: authentication, routing, faults, and errors as Status objects."""

import asyncio
import hmac
import json
import socket
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, assert_never, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from eval.lab import discovery, verbs
from eval.lab.errors import ApiError, bad_request, forbidden, not_allowed
from eval.lab.faults import FLOW, Answered, Faults, Overloaded, Reset, Trouble
from eval.lab.kinds import BY_PLURAL, Kind, Obj
from eval.lab.listing import list_objects
from eval.lab.store import Store, Writer, rehearse
from eval.lab.verbs import Target
from eval.lab.watch import Watches, WatchRequest

ReadLog = Callable[[Obj, Mapping[str, str]], str]
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
DEFAULT_WATCH_S: Final = 1800.0


def _json(body: Obj, code: int = 200) -> Response:
    return Response(json.dumps(body), code, media_type="application/json")


def _refusal(error: ApiError) -> Response:
    return Response(json.dumps(error.status()), error.code, error.headers, "application/json")


async def _reset(request: Request) -> Response:
    """Make the peer see ECONNRESET: with no time to linger, closing a socket sends RST instead of FIN."""
    transport = cast("Any", request.receive).__self__.transport  # uvicorn's; ASGI has no word for this
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()  # to nobody


async def _bad(trouble: Trouble, request: Request) -> Response:
    match trouble.answer:
        case Overloaded(retry_after_s=after_s):
            headers = {} if after_s is None else {"Retry-After": str(after_s)}
            return PlainTextResponse("Too many requests, please try again later.\n", 429, headers)
        case Answered(error=error):
            return _refusal(error)
        case Reset():
            return await _reset(request)
        case _:
            assert_never(trouble.answer)


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


def _watches(query: Mapping[str, str]) -> bool:
    return query.get("watch", "").lower() in {"1", "true"}


def _verb(request: Request, target: Target) -> str:
    """The verb as RBAC knows it; an eviction is a `create` there, and has its own name here."""
    if request.method == "GET":
        return "get" if target.name else "watch" if _watches(request.query_params) else "list"
    if target.subresource == "eviction":
        return "evict"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[request.method]


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from error


class Api:
    """The routes; `app` is the ASGI application."""

    def __init__(self, store: Store, faults: Faults, token: str, read_log: ReadLog, extra: list[Route]) -> None:
        self._store = store
        self._faults = faults
        self.token = token
        self._read_log = read_log
        self._closing = asyncio.Event()
        self._watches = Watches(store)
        self._late: list[Callable[[], Response]] = []
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
        return _refusal(error)

    async def _ready(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _nowhere(self, request: Request) -> Response:
        self._authenticate(request)
        raise _unknown_path()

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
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
        verb = _verb(request, target)
        if request.method != "GET":
            self._land()
        trouble = self._faults.trouble(verb, target.kind.plural)
        if trouble is not None and trouble.aim.late:
            self._late.append(partial(self._answered, request, target, verb, raw))
        if trouble is None or trouble.aim.after:
            answer = self._answered(request, target, verb, raw)
        if trouble is not None:
            answer = await _bad(trouble, request)
        answer.headers.update(FLOW)
        return answer

    def _land(self) -> None:
        """Carry out what was still under way inside the server when its client gave up."""
        late, self._late = self._late, []
        for carry_out in late:
            carry_out()

    def _answered(self, request: Request, target: Target, verb: str, raw: bytes) -> Response:
        try:
            if (verb, target.kind.plural) in self._faults.forbidden:
                raise forbidden(verb, target.kind, target.name)
            if request.method == "GET":
                return self._get(request, target)
            return self._write(request, target, _parsed(raw))
        except ApiError as error:
            return _refusal(error)

    def _get(self, request: Request, target: Target) -> Response:
        query = request.query_params
        if _watches(query):
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
            if "continue" in query and self._faults.compacts():
                self._store.compact()
            namespace = target.namespace if target.kind.namespaced else None
            return _json(list_objects(self._store, target.kind, namespace, query, verbs.matcher(query)))
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
