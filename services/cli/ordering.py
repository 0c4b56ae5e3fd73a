"""`approve`, `deny`, `take`, `pick`, `close`, `undo`, `pause`, `resume`: what a person decides."""

import sys
from collections.abc import Sequence

from services.cli import screen
from services.cli.looking import detail
from services.cli.reach import Gateway, me
from services.cli.runtime import as_json as document
from services.cli.said import Detail, Done, Plan, understood
from shared.domain.errors import PrimumError
from shared.domain.frozen import JsonObject


def approve(incident: str, by: str, *, yes: bool, as_json: bool) -> None:
    """Show what it would do, ask, and approve exactly that."""
    gateway, person = Gateway.find(), me(by)
    asked = understood(Detail, detail(gateway, incident))
    plan = _pending(asked)
    _agree(asked, plan, "approve this?", yes=yes, quiet=as_json)
    _order(gateway, asked, "approve", {"plan_hash": plan.hash, "by": person}, as_json=as_json)


def deny(incident: str, by: str, reason: str, *, as_json: bool) -> None:
    """Refuse the plan that waits."""
    gateway, person = Gateway.find(), me(by)
    asked = understood(Detail, detail(gateway, incident))
    body: JsonObject = {"plan_hash": _pending(asked).hash, "by": person, "reason": reason}
    _order(gateway, asked, "deny", body, as_json=as_json)


def take(incident: str, by: str, *, as_json: bool) -> None:
    """Take an incident over."""
    gateway, person = Gateway.find(), me(by)
    asked = understood(Detail, detail(gateway, incident))
    _order(gateway, asked, "take", {"by": person}, as_json=as_json)


def pick(incident: str, plan_hash: str, by: str, *, yes: bool, as_json: bool) -> None:
    """Have a plan carried out after all."""
    gateway, person = Gateway.find(), me(by)
    asked = understood(Detail, detail(gateway, incident))
    if not plan_hash:
        plan = _pending(asked)
        _agree(asked, plan, "have this done?", yes=yes, quiet=as_json)
        plan_hash = plan.hash
    _order(gateway, asked, "pick", {"plan_hash": plan_hash, "by": person}, as_json=as_json)


def close(incident: str, by: str, reason: str, *, as_json: bool) -> None:
    """End an incident."""
    gateway, person = Gateway.find(), me(by)
    asked = understood(Detail, detail(gateway, incident))
    _order(gateway, asked, "close", {"by": person, "reason": reason}, as_json=as_json)


def undo(transaction: str, by: str, reason: str, *, as_json: bool) -> None:
    """Take a transaction back."""
    said = Gateway.find().post(f"/api/transactions/{transaction}/undo", {"by": me(by), "reason": reason})
    _report(said, as_json=as_json)


def pause(reason: str, by: str, *, as_json: bool) -> None:
    """Begin nothing new. Raises PrimumError without a reason: everybody who looks will ask for it."""
    if not reason.strip():
        raise PrimumError("a pause needs its reason", advice="primum pause 'release in progress'")
    said = Gateway.find().post("/api/pause", {"reason": reason, "by": me(by)})
    print(document(said) if as_json else f"paused: {said['paused']}; go on with: primum resume")


def resume(by: str, *, as_json: bool) -> None:
    """Go on."""
    said = Gateway.find().post("/api/resume", {"by": me(by)})
    print(document(said) if as_json else "goes on")


def _pending(asked: Detail) -> Plan:
    if asked.plan is None:
        raise PrimumError(
            f"incident {asked.summary.id} has no plan that waits: it is {asked.summary.state}",
            advice=f"primum show {asked.summary.id}",
        )
    return asked.plan


def _agree(asked: Detail, plan: Plan, question: str, *, yes: bool, quiet: bool) -> None:
    """Show the plan and have the person say yes. Raises PrimumError without one, and where nobody can answer."""
    if not quiet:
        console = screen.console(to_stderr=True)
        shown: Sequence[object] = [asked.summary.title, "", *screen.cause_of(plan.cause), "", *screen.plan_of(plan)]
        for part in shown:
            console.print(part)
    if yes:
        return
    if not sys.stdin.isatty():
        raise PrimumError("nobody is here to answer", advice="look at the plan with `primum show`, then use --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise PrimumError("nothing was ordered", advice=f"refuse it with: primum deny {asked.summary.id}")


def _order(gateway: Gateway, asked: Detail, verb: str, body: JsonObject, *, as_json: bool) -> None:
    _report(gateway.post(f"/api/incidents/{asked.summary.id}/{verb}", body), as_json=as_json)


def _report(said: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print(document(said))
        return
    done = understood(Done, said)
    note = f"; {done.note}" if done.note else ""
    print(f"{done.summary.id} is {done.summary.state.replace('_', ' ')}: {done.summary.reason}{note}")
