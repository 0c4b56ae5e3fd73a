"""The operator's work: the streams and the consumers of all services, made where missing, mended where different."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from shared.adapters.nats_connection import User, Watcher, close, connect_for_ever, words_of
from shared.bus import pull, streams
from shared.bus.settings import BusSettings
from shared.domain.errors import LedgerUnavailable
from shared.domain.events import Owner
from shared.ports.clock import Clock

_EVERY_S: Final = 1.0
"""Between two looks: so long a wiped server, or a consumer that somebody deleted, stays as it is."""
_TIMEOUT_S: Final = 5.0
_MENDED: Final = ("filter_subjects", "ack_wait", "max_ack_pending", "max_deliver")


@dataclass(frozen=True)
class Plan:
    """What a bus shall have."""

    keeping: streams.Keeping
    sources: Sequence[pull.Source]

    @classmethod
    def of(cls, settings: Mapping[Owner, BusSettings]) -> "Plan":
        """Return what services with these settings need."""
        first = next(iter(settings.values()))
        keeping = streams.Keeping(first.nats_replicas, first.heartbeat_ttl_s, first.activity_ttl_s)
        wanted = [source for owner, said in settings.items() for source in pull.sources_of(owner, said.ack_wait_s)]
        return cls(keeping, wanted)


async def set_up(connection: Client, plan: Plan) -> Sequence[str]:
    """Make what is missing, mend what differs, and say what that was. Raises LedgerUnavailable."""
    js = connection.jetstream(timeout=_TIMEOUT_S)
    try:
        return [*await streams.ensure(js, plan.keeping), *await _consumers(js, plan.sources)]
    except (nats.errors.Error, TimeoutError) as error:
        raise LedgerUnavailable(f"the streams could not be seen to ({words_of(error)})") from error


async def keep_up(url: str, user: User, plan: Plan, clock: Clock, say: Callable[[str], None]) -> None:
    """Set up again and again until cancelled: a wiped NATS heals. `say` is told what was done, and why not."""
    connection, said = Client(), ""
    try:
        await connect_for_ever(connection, url, user, Watcher(_nothing, _nothing, _nothing, say))
        while True:
            if connection.is_connected:
                try:
                    done, problem = await set_up(connection, plan), ""
                except LedgerUnavailable as error:
                    done, problem = [], str(error)
                for each in done:
                    say(each)
                if problem and problem != said:
                    say(problem)
                said = problem
            await clock.sleep(_EVERY_S)
    finally:
        await close(connection)


async def _consumers(js: JetStreamContext, sources: Iterable[pull.Source]) -> Sequence[str]:
    done = list[str]()
    known: dict[str, Mapping[str, ConsumerConfig]] = {}
    for source in sources:
        name = str(source.config.durable_name)
        if source.stream not in known:
            found = await js.consumers_info(source.stream)
            known[source.stream] = {info.name: info.config for info in found}
        there = known[source.stream].get(name)
        if there is None or _differs(source.config, there):
            await js.add_consumer(source.stream, source.config)
            done.append(f"{'made' if there is None else 'mended'} the consumer {name} on {source.stream}")
    return done


def _differs(wanted: ConsumerConfig, found: ConsumerConfig) -> bool:
    if set(wanted.filter_subjects or ()) != set(pull.filters(found)):
        return True
    return any(getattr(wanted, name) != getattr(found, name) for name in _MENDED if name != "filter_subjects")


def _nothing(_: str) -> None: ...
