"""`status`, `incidents`, `show`, `version`: what is asked and answered."""

import importlib.metadata
import sys

from services.cli import screen
from services.cli.reach import Gateway
from services.cli.runtime import as_json as document
from services.cli.said import Detail, Incidents, Status, Summary, understood
from shared.adapters.system import SystemClock
from shared.domain.errors import PrimumError
from shared.domain.frozen import JsonObject

_MOST = "1000"


def status(*, as_json: bool) -> None:
    """Print what each agent does, and what is open."""
    said = Gateway.find().get("/api/status")
    if as_json:
        print(document(said))
        return
    _print(*screen.status_of(understood(Status, said), SystemClock().now()))


def incidents(*, everything: bool, as_json: bool) -> None:
    """Print the incidents, newest first."""
    query = {} if everything else {"open": "true"}
    said = Gateway.find().get("/api/incidents", limit=_MOST, **query)
    if as_json:
        print(document(said))
        return
    none = "there never was one" if everything else "nothing is open"
    told = understood(Incidents, said)
    _print(*screen.unread(told.unread), *screen.incidents_of(told.incidents, SystemClock().now(), none=none))


def show(incident: str, *, as_json: bool) -> None:
    """Print everything about one incident."""
    gateway = Gateway.find()
    said = detail(gateway, incident)
    if as_json:
        print(document(said))
        return
    agents = understood(Status, gateway.get("/api/status")).agents
    _print(*screen.detail_of(understood(Detail, said), SystemClock().now(), agents))


def version(*, as_json: bool) -> None:
    """Print which Primum this is."""
    which = importlib.metadata.version("primum")
    python = ".".join(map(str, sys.version_info[:3]))
    print(document({"primum": which, "python": python}) if as_json else f"primum {which} (Python {python})")


def detail(gateway: Gateway, incident: str) -> JsonObject:
    """Ask for the incident that an id, or the beginning of one, means. Raises PrimumError if none or several do."""
    known = understood(Incidents, gateway.get("/api/incidents", limit=_MOST)).incidents
    return gateway.get(f"/api/incidents/{_meant(incident, known)}")


def _meant(incident: str, known: tuple[Summary, ...]) -> str:
    ids = [one.id for one in known]
    if incident in ids:
        return incident
    meant = [one for one in ids if one.startswith(incident) or one.partition("-")[2].startswith(incident)]
    match meant:
        case [one]:
            return one
        case []:
            raise PrimumError(f"there is no incident {incident}", advice="list them: primum incidents --all")
        case _:
            some = ", ".join(meant[:5])
            raise PrimumError(f"{incident} may mean {len(meant)} incidents ({some})", advice="write more of its id")


def _print(*shown: object) -> None:
    console = screen.console()
    for part in shown:
        console.print(part)
