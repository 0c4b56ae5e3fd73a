"""The HTTP interface: Alertmanager's webhook, incidents to read, orders to give."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from services.gateway import alertmanager, handlers, meters, orders, views
from services.gateway.answers import Problem, not_stored
from services.gateway.authority import check_bearer
from services.gateway.body import read
from services.gateway.intake import Intake, Take
from services.gateway.settings import GatewaySettings
from shared.domain.errors import LedgerUnavailable
from shared.domain.frozen import Frozen, JsonObject
from shared.domain.ids import IncidentId, TransactionId
from shared.ports.clock import Clock
from shared.ports.ledger import Activities, Inbox, Ledger

AnOrder = TypeVar("AnOrder", bound=Frozen)
_LONGEST_ORDER_BYTES: Final = 64 * 1024
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Api:
    """The handlers of the routes; each returns a success or raises Problem."""

    settings: GatewaySettings
    ledger: Ledger
    inbox: Inbox
    activities: Activities
    clock: Clock
    intake: Intake
    unread: Callable[[], Awaitable[str | None]]
    """Says what of the ledger counts for nothing as its keys are not known; None if there is nothing like that."""

    def routes(self) -> Sequence[BaseRoute]:
        """Every address that the gateway answers beside /alive, /ready and /metrics."""
        incident = "/api/incidents/{incident}"
        return [
            self._route("POST", "/webhooks/alertmanager", self.alertmanager),
            self._route("GET", "/api/status", self.status),
            self._route("GET", "/api/incidents", self.incidents),
            self._route("GET", incident, self.incident),
            self._route("POST", f"{incident}/approve", functools.partial(self.order, orders.Approve)),
            self._route("POST", f"{incident}/deny", functools.partial(self.order, orders.Deny)),
            self._route("POST", f"{incident}/take", functools.partial(self.order, orders.Take)),
            self._route("POST", f"{incident}/pick", functools.partial(self.order, orders.Pick)),
            self._route("POST", f"{incident}/close", functools.partial(self.order, orders.Close)),
            self._route("POST", "/api/transactions/{transaction}/undo", self.undo),
            self._route("POST", "/api/pause", self.pause),
            self._route("POST", "/api/resume", self.resume),
        ]

    # --- alerts

    async def alertmanager(self, request: Request) -> Response:
        """Answer 202 once every alert of the call is durable; what can never be stored keeps nobody out."""
        with self.intake.room() as take:
            return await self._stored(request, take)

    async def _stored(self, request: Request, take: Take) -> Response:
        began_s = self.clock.monotonic_s()
        body = await self._body(request, self.settings.max_body_bytes, take)
        try:
            cluster = alertmanager.cluster_named(request.query_params.get("cluster") or self.settings.cluster)
            delivery = alertmanager.parse(body, cluster)
        except alertmanager.PayloadInvalid as error:
            raise Problem(400, error.args[0], error.advice) from error
        async with self.intake.storing():
            await handlers.store(delivery.alerts, self.inbox)
        meters.STORING_S.observe(self.clock.monotonic_s() - began_s)
        meters.ALERTS_STORED.inc(len(delivery.alerts))
        meters.ALERTS_REFUSED.inc(len(delivery.refused))
        meters.ALERTS_TRUNCATED.inc(delivery.truncated)
        if delivery.refused:
            stored: JsonObject = {"stored": len(delivery.alerts), "refused": list(delivery.refused)}
            said = "; ".join(delivery.refused[:3])
            raise Problem(400, said, "mend what sends these; the other alerts of this call are stored", more=stored)
        return JSONResponse({"stored": len(delivery.alerts)}, 202)

    # --- looking

    async def status(self, _: Request) -> Response:
        """What each agent does now, what is open, and whether Primum is paused."""
        incidents = [await self.ledger.fold(incident) for incident in await self.ledger.open_incidents()]
        return JSONResponse(
            {
                "cluster": self.settings.cluster,
                "mode": self.settings.mode,
                "paused": await self.ledger.paused(),
                "unread": await self.unread(),
                "agents": views.agents(await self.activities.all()),
                "open": [views.summary(incident) for incident in incidents],
            }
        )

    async def incidents(self, request: Request) -> Response:
        """Incidents in short, newest first; `open=true` for those that are not over."""
        limit = _limit(request.query_params.get("limit", "100"))
        if request.query_params.get("open", "").lower() in ("true", "1"):
            listed = list(reversed(await self.ledger.open_incidents()))[:limit]
        else:
            listed = list(await self.ledger.incidents(limit=limit))
        summaries = [views.summary(await self.ledger.fold(incident)) for incident in listed]
        return JSONResponse({"incidents": summaries, "unread": await self.unread()})

    async def incident(self, request: Request) -> Response:
        """One incident with its timeline."""
        incident = await handlers.known(IncidentId(request.path_params["incident"]), self.ledger)
        history = await self.ledger.history(incident.id)
        return JSONResponse(views.detail(incident, history, await self.ledger.facts(incident.id)))

    # --- ordering

    async def order(self, kind: type[orders.Order], request: Request) -> Response:
        """Carry out an order about one incident."""
        order = await self._order(kind, request)
        return await self._obey(order, IncidentId(request.path_params["incident"]))

    async def undo(self, request: Request) -> Response:
        """Take a transaction back."""
        transaction = TransactionId(request.path_params["transaction"])
        order = (await self._order(orders.Undo, request)).but(transaction=transaction)
        return await self._obey(order, await handlers.incident_of(transaction, self.ledger))

    async def pause(self, request: Request) -> Response:
        """Begin nothing new, take back what is under way."""
        order = await self._order(orders.Pause, request)
        paused = f"{order.reason} (by {order.by})"
        await self.ledger.set_paused(paused)
        return JSONResponse({"paused": paused})

    async def resume(self, request: Request) -> Response:
        """Go on."""
        await self._order(orders.Resume, request)
        await self.ledger.set_paused(None)
        return JSONResponse({"paused": None})

    async def _obey(self, order: orders.Order, incident_id: IncidentId) -> Response:
        incident, note = await handlers.obey(order, incident_id, self.ledger, self.clock)
        return JSONResponse({"summary": views.summary(incident), "note": note})

    async def _order(self, kind: type[AnOrder], request: Request) -> AnOrder:
        body = await self._body(request, _LONGEST_ORDER_BYTES, lambda _: None)
        try:
            return kind.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise Problem(
                400, f"this is no {kind.__name__.lower()} order: {alertmanager.in_words(error)}", _EXAMPLES[kind]
            ) from error

    # --- what all of them share

    async def _body(self, request: Request, max_bytes: int, take: Take) -> bytes:
        return await read(request, take, max_bytes=max_bytes, timeout_s=self.settings.read_timeout_s)

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        async def answer(request: Request) -> Response:
            try:
                check_bearer(request, self.settings.token.get_secret_value())
                return await handler(request)
            except LedgerUnavailable as error:
                problem = not_stored(error)
            except Problem as error:
                problem = error
            meters.CALLS_REFUSED.labels(path, problem.reason).inc()
            return problem.answer()

        return Route(path, answer, methods=[method])


_EXAMPLES: dict[type[Frozen], str] = {
    orders.Approve: 'send {"plan_hash": "<as shown>", "by": "<you>"}',
    orders.Deny: 'send {"plan_hash": "<as shown>", "by": "<you>", "reason": "<why>"}',
    orders.Take: 'send {"by": "<you>"}',
    orders.Pick: 'send {"plan_hash": "<as shown>", "by": "<you>"}',
    orders.Close: 'send {"by": "<you>", "reason": "<why>"}',
    orders.Undo: 'send {"by": "<you>", "reason": "<why>"}',
    orders.Pause: 'send {"reason": "<why>", "by": "<you>"}',
    orders.Resume: 'send {"by": "<you>"}',
}


def _limit(said: str) -> int:
    if said.isdigit() and 1 <= int(said) <= 1000:
        return int(said)
    raise Problem(400, f"limit is {said[:20]!r}", "use a number from 1 to 1000")
