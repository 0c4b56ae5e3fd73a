"""Dead letters: what could not be handled, whole, with the reason; listed and sent again by a person."""

import base64
from collections.abc import Mapping, Sequence
from typing import Final

from nats.aio.client import Client
from pydantic import AwareDatetime, Field

from shared.adapters.nats_stream import NatsStream, Write
from shared.bus import streams, subjects
from shared.domain.errors import Refuse
from shared.domain.events import Owner
from shared.domain.frozen import Frozen
from shared.domain.ids import IncidentId

_SERVERS_OWN: Final = "nats-"
"""Headers of this prefix steer the server: sent again they would drop or schedule the message."""
_ABOUT: Final = "ce-subject"


class DeadLetter(Frozen):
    """One message as it was, who could not handle it, and why."""

    stream: str
    subject: str
    sequence: int
    """In its own stream."""
    service: Owner
    reason: str
    at: AwareDatetime
    headers: dict[str, str]
    data_base64: str
    number: int = Field(default=0, exclude=True)
    """In DEAD: what `retry` is given. 0 before it is there."""

    @classmethod
    def of(  # noqa: PLR0913 - a letter has that many lines
        cls,
        stream: str,
        subject: str,
        sequence: int,
        headers: Mapping[str, str],
        data: bytes,
        *,
        service: Owner,
        reason: str,
        at: AwareDatetime,
    ) -> "DeadLetter":
        return cls(
            stream=stream,
            subject=subject,
            sequence=sequence,
            service=service,
            reason=reason,
            at=at,
            headers={str(name): value for name, value in headers.items()},
            data_base64=base64.b64encode(data).decode(),
        )

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.data_base64)


class NatsDeadLetters:
    """The stream DEAD. Every method raises LedgerUnavailable when the server does not answer."""

    def __init__(self, connection: Client, timeout_s: float = 5.0) -> None:
        self._connection, self._timeout_s = connection, timeout_s
        self._js = connection.jetstream(timeout=timeout_s)
        self._dead = NatsStream(connection, streams.DEAD, timeout_s)

    async def bury(self, letter: DeadLetter) -> None:
        """Store a letter; the same message of the same service is stored once."""
        said = {"Nats-Msg-Id": f"{letter.service}-{letter.stream}-{letter.sequence}"}
        await self._dead.write(Write(subjects.dead(letter.stream), letter.model_dump_json().encode(), said))

    async def list(self) -> Sequence[DeadLetter]:
        """Return all letters, oldest first."""
        stored = await self._dead.after("primum.dead.>")
        return [DeadLetter.model_validate_json(each.data).but(number=each.sequence) for each in stored]

    async def retry(self, number: int) -> DeadLetter:
        """Send a letter again, and take it out of DEAD. Raises Refuse if there is none of that number.

        An alert goes back to its own subject. Anything else was a wake-up: the ledger holds its event already, so
        the service that could not handle it is woken for the incident.
        """
        stored = await self._dead.at(number)
        if stored is None:
            raise Refuse(f"there is no dead letter {number}", advice="list them: primum dead list")
        letter = DeadLetter.model_validate_json(stored.data)
        await self._send_again(letter)
        await self._js.delete_msg(streams.DEAD, number)
        return letter.but(number=number)

    async def _send_again(self, letter: DeadLetter) -> None:
        if letter.stream == streams.ALERTS:
            if not letter.subject.startswith(
                subjects.ALERTS
            ):  # a forged one must not make an operator say anything else
                raise Refuse(f"this letter says that {letter.subject[:200]} is an alert, which it is not")
            kept = {name: value for name, value in letter.headers.items() if not name.lower().startswith(_SERVERS_OWN)}
            stream, write = streams.ALERTS, Write(letter.subject, letter.data, kept)
        else:
            if (incident := letter.headers.get(_ABOUT)) is None:
                raise Refuse(f"this letter names no incident, so nobody can be woken for it ({letter.reason})")
            fired = subjects.fired(letter.service, IncidentId(incident))
            stream, write = streams.TIMERS, Write(fired, incident.encode(), {_ABOUT: incident})
        await NatsStream(self._connection, stream, self._timeout_s).write(write)
