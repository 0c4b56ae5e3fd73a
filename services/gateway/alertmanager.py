"""Alertmanager's webhook, version 4, into alerts; lenient to what it may grow, precise about what cannot work.

The payload: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import hashlib
import json
import re
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import from_json

from shared.domain.alert import Alert
from shared.domain.errors import PrimumError
from shared.domain.ids import ClusterName, Fingerprint

VERSION: Final = "4"
MAX_ALERT_BYTES: Final = 512 * 1024
"""Half of what NATS takes in one message by default (1 MiB), so that its envelope and headers fit as well."""
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What may stand in a subject: a dot or a star would lose the alert or put it where another belongs."""
_NEVER: Final = 1
"""The year of Go's zero time, which Alertmanager writes for `no end yet`."""


class PayloadInvalid(PrimumError):  # noqa: N818 - named for what is wrong, as the domain's errors are
    """A webhook call that can never be taken, however often it is sent."""

    advice = "send what Alertmanager's webhook_config sends, version 4"


def _named_by_the_call(_: object, info: ValidationInfo) -> object:
    """Take the cluster that the call named: what an alert says of itself does not count."""
    return info.context


def _if_ever(moment: datetime | None) -> datetime | None:
    return None if moment is None or moment.year == _NEVER else moment


class _Posted(Alert):
    """One alert as Alertmanager writes it: read at once, for to make an alert of what was read takes as long again."""

    model_config = ConfigDict(extra="ignore")

    cluster: Annotated[ClusterName, BeforeValidator(_named_by_the_call)] = Field(
        default=ClusterName(""), validate_default=True
    )
    fingerprint: Annotated[Fingerprint, Field(pattern=rf"^({TOKEN.pattern})?$")] = Fingerprint("")
    labels: dict[str, str] = Field(min_length=1)
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: Annotated[AwareDatetime | None, AfterValidator(_if_ever)] = Field(default=None, alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")


class _Envelope(BaseModel):
    """What is around the alerts; `groupLabels` and the `common…` maps only repeat what each alert says."""

    model_config = ConfigDict(extra="ignore")

    version: str
    truncated_alerts: int = Field(default=0, ge=0, alias="truncatedAlerts")


class _Payload(_Envelope):
    """A call in which nothing is wrong."""

    version: Literal["4"]
    alerts: list[_Posted]


class _Doubtful(_Envelope):
    """Another one: each of its alerts is looked at by itself, so that one that is wrong keeps no other out."""

    alerts: list[object]


class Delivery(NamedTuple):
    """What one webhook call brought."""

    alerts: tuple[Alert, ...]
    refused: tuple[str, ...]
    """A sentence for each alert that can never be taken; the others are stored all the same."""
    truncated: int
    """How many the sender cut off by its own `max_alerts`."""


def parse(body: bytes, cluster: ClusterName) -> Delivery:
    """Return the alerts of a webhook call. Raises PayloadInvalid if there is nothing in it that could be stored."""
    if len(body) <= MAX_ALERT_BYTES:  # in a smaller one no alert can be too large
        try:
            payload = _Payload.model_validate_json(body, context=cluster)
        except ValidationError:  # what it is must be found one by one
            return _one_by_one(body, cluster)
        return Delivery(tuple(map(_named, payload.alerts)), (), payload.truncated_alerts)
    return _one_by_one(body, cluster)


def _one_by_one(body: bytes, cluster: ClusterName) -> Delivery:
    payload = _doubtful(body)
    alerts: list[Alert] = []
    refused: list[str] = []
    for index, posted in enumerate(payload.alerts):
        try:
            alert = _named(_Posted.model_validate(posted, context=cluster))
            _check_size(alert)
            alerts.append(alert)
        except ValidationError as error:
            refused.append(f"alert {index}: {in_words(error)}")
        except PayloadInvalid as error:
            refused.append(f"alert {index}: {error.args[0]}")
    return Delivery(tuple(alerts), tuple(refused), payload.truncated_alerts)


def cluster_named(name: str) -> ClusterName:
    """Return the cluster that a call names. Raises PayloadInvalid if that cannot be a cluster's name."""
    if not TOKEN.fullmatch(name):
        raise PayloadInvalid(
            f"{name[:80]!r} is no name of a cluster", advice="use letters, digits, - and _, at most 64 of them"
        )
    return ClusterName(name)


def _doubtful(body: bytes) -> _Doubtful:
    try:
        said = from_json(body)
    except ValueError as error:
        raise PayloadInvalid(f"the body is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise PayloadInvalid(f"the body is a JSON {type(said).__name__}, not an object")
    version = said.get("version")
    if version != VERSION:
        raise PayloadInvalid(f'the payload\'s version is {json.dumps(version)[:80]}, not "{VERSION}"')
    try:
        return _Doubtful.model_validate(said)
    except ValidationError as error:
        raise PayloadInvalid(f"the payload is not Alertmanager's: {in_words(error)}") from error


def _named(alert: Alert) -> Alert:
    """Give a name to what came without one: the same labels are the same alert, as in Prometheus."""
    return alert if alert.fingerprint else alert.model_copy(update={"fingerprint": _fingerprint(alert.labels)})


def _check_size(alert: Alert) -> None:
    if (size_bytes := len(alert.model_dump_json().encode())) > MAX_ALERT_BYTES:
        raise PayloadInvalid(f"it is {size_bytes} bytes long, the most is {MAX_ALERT_BYTES}")


def _fingerprint(labels: dict[str, str]) -> Fingerprint:
    return Fingerprint(hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16])


def in_words(error: ValidationError) -> str:
    """Say where each problem is and what it is, without the values: they may be large, or private."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{'.'.join(str(part) for part in problem['loc']) or 'it'}: {problem['msg']}" for problem in problems[:3]]
    more = len(problems) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")
