"""The signature on a message: over its subject, what its headers say of it, and its body; a header of its own.

Messages that are made together may share one: then it is followed by the message's way to what is signed (`hash_tree`).
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from shared.adapters import hash_tree
from shared.adapters.nats_stream import Stored
from shared.adapters.nkey import ADVICE, Key, Keyring, load_key, load_keyring
from shared.domain.errors import PrimumError
from shared.domain.events import Owner

OWNER: Final = "primum-owner"
FOLLOWS: Final = "primum-follows"
SIGNATURE: Final = "primum-signature"
SIGNED: Final = ("ce-id", "ce-type", "ce-time", "ce-subject", OWNER, FOLLOWS)
"""The headers that are signed, in this order; one that is missing is signed as missing. The trace is not: it steers
nothing, and whoever carries a message on may add to it."""
_WHAT: Final = b"primum message 1"
_WHATS: Final = b"primum messages 1"
_SIGNATURE_BYTES: Final = 64
_MISSING: Final = (0xFFFF_FFFF).to_bytes(4, "big")


class Draft(NamedTuple):
    """A message that is to be signed."""

    subject: str
    headers: Mapping[str, str]
    body: bytes


class Seal:
    """One service's: it signs what the service says, and tells who signed what others say.

    Raises PrimumError if the keyring does not have that key for that service: nobody would believe it.
    """

    def __init__(self, owner: Owner, key: Key, keyring: Keyring) -> None:
        if not keyring.has(owner, key.public):
            raise PrimumError(f"the keyring does not have this key for the {owner}", advice=ADVICE)
        self.owner, self.key, self._keyring = owner, key, keyring

    def on(self, subject: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers with their owner and the signature of all."""
        said = {**headers, OWNER: str(self.owner)}
        data = signed_bytes(subject, said, body)
        signature = self.key.sign(data)
        self._keyring.made(self.owner, data, signature)
        return {**said, SIGNATURE: _printed(signature)}

    def on_what_others_read(self, drafts: Sequence[Draft]) -> Sequence[dict[str, str]]:
        """Return the headers of each, all with one signature, without remembering it.

        What this service does not read must not drive out what it does.
        """
        said = [{**draft.headers, OWNER: str(self.owner)} for draft in drafts]
        datas = [signed_bytes(draft.subject, each, draft.body) for draft, each in zip(drafts, said, strict=True)]
        if len(datas) == 1:
            return [{**said[0], SIGNATURE: _printed(self.key.sign(datas[0]))}]
        root, ways = hash_tree.grown(datas)
        signature = self.key.sign(_WHATS + root)
        return [{**each, SIGNATURE: _printed(signature + way)} for each, way in zip(said, ways, strict=True)]

    def signer(self, stored: Stored) -> Owner | None:
        """Who signed a message; None if it is not signed by whom it names."""
        return signer(self._keyring, stored)


def signer(keyring: Keyring, stored: Stored) -> Owner | None:
    """Who of a keyring signed a message; None if it is not signed by whom it names."""
    try:
        owner = Owner(stored.headers[OWNER])
        sealed = base64.b64decode(stored.headers[SIGNATURE], validate=True)
        signature, way = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
        data = signed_bytes(stored.subject, stored.headers, stored.data)
        if way:
            data = _WHATS + hash_tree.root(data, way)
    except (KeyError, ValueError, binascii.Error):
        return None
    return owner if keyring.fits(owner, data, signature) else None


def load(owner: Owner, nkey_file: Path | None, keyring: Path | None) -> Seal:
    """Read a service's seal from its files. Raises PrimumError, with what to do."""
    return Seal(owner, load_key(nkey_file), load_keyring(keyring))


def signed_bytes(subject: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes that are signed: each part with its length before it, so that none can lend to its neighbour."""
    parts = [_part(headers[name].encode()) if name in headers else _MISSING for name in SIGNED]
    return b"".join((_WHAT, _part(subject.encode()), *parts, _part(body)))


def _printed(signature: bytes) -> str:
    return base64.b64encode(signature).decode()


def _part(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
