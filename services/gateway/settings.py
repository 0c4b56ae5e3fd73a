"""The gateway's settings, from PRIMUM_… in the environment."""

from pydantic import Field, SecretStr

from shared.bus.settings import Seconds, ServiceSettings
from shared.bus.streams import CLAIM_TTL_S
from shared.domain.policy import Mode


class GatewaySettings(ServiceSettings):
    """Beside what every service has: the token, the limits of a call, and where messages go."""

    token: SecretStr = SecretStr("")
    """What callers must bear; without one the gateway listens on loopback only."""
    max_body_bytes: int = Field(default=4 * 1024 * 1024, gt=0)
    max_intake_bytes: int = Field(default=16 * 1024 * 1024, gt=0)
    """Bodies of alerts under way, of all callers together; who finds no room is answered 503 and sends again."""
    store_timeout_s: Seconds = 3
    """How long a call may take to be stored before it is answered 503; while one has waited for a third of this, new
    ones are refused at once."""
    read_timeout_s: Seconds = 10
    """How long a caller may take to send its body."""
    mode: Mode = Mode.OBSERVE
    """Shown in the status; the mitigator is who keeps to it."""
    public_url: str = ""
    """How people reach this gateway; it goes into messages. Empty: the address that it listens on."""
    notify_url: str = ""
    """A generic webhook that takes what needs a person. Empty: it is logged."""
    notify_timeout_s: float = Field(default=10, gt=0, lt=CLAIM_TTL_S)
    """How long it may take a message; a gateway's claim to tell it outlasts that."""
    undo_late_s: Seconds = 900
    """A person is told of an undo that takes longer: its cluster does not answer, or a lock is somebody else's."""
