"""NKeys: the Ed25519 keys by which NATS knows its users, and by which Primum's services sign what they say."""

import base64
import binascii
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

import nacl.exceptions
import nacl.signing
import nkeys

from shared.domain.errors import PrimumError
from shared.domain.events import Owner

OPERATOR: Final = "operator"
"""The administrator: makes streams and consumers, and signs nothing that anybody believes."""
HOLDERS_OF_KEYS: Final = (*map(str, Owner), OPERATOR)
KEYRING: Final = "keyring.json"
ADVICE: Final = "make keys with `primum bus keys --out DIR`, and set PRIMUM_NKEY_FILE and PRIMUM_KEYRING"
_PRIVATE: Final = 0o600
_REMEMBERED: Final = 16_384
_RAW_BYTES: Final = 32


class Key:
    """One private key, from its seed (`SU…`). Raises PrimumError if it is none."""

    def __init__(self, seed: str) -> None:
        try:
            prefix, raw = nkeys.decode_seed(seed.strip().encode())
        except (nkeys.NkeysError, binascii.Error, ValueError) as error:
            raise PrimumError("this is no NKey seed", advice=ADVICE) from error
        if prefix != nkeys.PREFIX_BYTE_USER:
            raise PrimumError("this NKey seed is not a user's: those begin with SU", advice=ADVICE)
        self._key = nacl.signing.SigningKey(bytes(raw))

    @classmethod
    def new(cls, raw: bytes | None = None) -> "Key":
        """Make a key: by chance, or the one of these 32 bytes."""
        return cls(nkeys.encode_seed(raw or os.urandom(_RAW_BYTES), nkeys.PREFIX_BYTE_USER).decode())

    @property
    def seed(self) -> str:
        encoded: bytes = nkeys.encode_seed(bytes(self._key), nkeys.PREFIX_BYTE_USER)
        return encoded.decode()

    @cached_property
    def public(self) -> str:
        """The name of the key: `U…`, for anybody to see."""
        encoded: bytes = nkeys.from_seed(self.seed.encode()).public_key
        return encoded.decode()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data).signature


class Keyring:
    """Whose key is whose. A service may have several, so that a new one is known before the old one goes."""

    def __init__(self, keys: Mapping[Owner, Iterable[str]]) -> None:
        """Take the public keys. Raises PrimumError for what is none."""
        self._keys = {owner: tuple(map(_public, known)) for owner, known in keys.items()}
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def has(self, owner: Owner, public: str) -> bool:
        return _public(public) in self._keys.get(owner, ())

    def fits(self, owner: Owner, data: bytes, signature: bytes) -> bool:
        """Whether a key of `owner` made this signature. What was found good once is not computed again."""
        mark = _mark(owner, data, signature)
        if mark in self._known:
            return True
        if not any(_verifies(key, data, signature) for key in self._keys.get(owner, ())):
            return False
        self._remember(mark)
        return True

    def made(self, owner: Owner, data: bytes, signature: bytes) -> None:
        """Take a signature of our own for granted."""
        self._remember(_mark(owner, data, signature))

    def _remember(self, mark: bytes) -> None:
        self._known[mark] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _verifies(key: nacl.signing.VerifyKey, data: bytes, signature: bytes) -> bool:
    try:
        key.verify(data, signature)
    except (nacl.exceptions.BadSignatureError, ValueError):  # the latter: it is not 64 bytes
        return False
    return True


def _mark(owner: Owner, data: bytes, signature: bytes) -> bytes:
    return hashlib.blake2b(owner.encode() + signature + data, digest_size=24).digest()


def _public(name: str) -> nacl.signing.VerifyKey:
    try:
        raw = base64.b32decode(name)
        prefix, key, checksum = raw[0], raw[1:-2], raw[-2:]
        if prefix == nkeys.PREFIX_BYTE_USER and nkeys.crc16(bytearray(raw[:-2])).to_bytes(2, "little") == checksum:
            return nacl.signing.VerifyKey(key)
    except (binascii.Error, ValueError, IndexError, nacl.exceptions.CryptoError) as error:
        raise PrimumError(f"{name[:80]!r} is no public NKey of a user", advice=ADVICE) from error
    raise PrimumError(f"{name[:80]!r} is no public NKey of a user", advice=ADVICE)


# --- files


def load_key(path: Path | None) -> Key:
    """Read a seed. Raises PrimumError."""
    if path is None:
        raise PrimumError("no key is given (PRIMUM_NKEY_FILE)", advice=ADVICE)
    try:
        return Key(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def load_keyring(path: Path | None) -> Keyring:
    """Read everybody's public keys: `{"gateway": ["U…"], …}`. Raises PrimumError."""
    if path is None:
        raise PrimumError("no keyring is given (PRIMUM_KEYRING)", advice=ADVICE)
    try:
        return Keyring({Owner(name): keys for name, keys in public_keys(path).items() if name != OPERATOR})
    except ValueError as error:
        raise PrimumError(f"{path} is no keyring ({error})", advice=ADVICE) from error


def public_keys(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read the public keys of all, the operator's, too. Raises PrimumError."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(said, dict) or not all(
        isinstance(keys, list) and all(isinstance(key, str) for key in keys) for keys in said.values()
    ):
        raise PrimumError(f"{path} is no keyring", advice=ADVICE)
    return {name: tuple(keys) for name, keys in said.items()}


def seed_file(folder: Path, name: str) -> Path:
    """Where a service's seed lies in a folder of keys."""
    return folder / f"{name}.nk"


def make(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Make the keys that a folder lacks, each readable by its user alone; return everybody's public keys.

    What is there is kept: a keyring with two keys of one service is a rotation under way. Raises OSError, PrimumError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = dict(public_keys(folder / KEYRING)) if (folder / KEYRING).exists() else {}
    for name in HOLDERS_OF_KEYS:
        path = seed_file(folder, name)
        if not path.exists():
            _write_once(path, Key.new().seed)
        public = load_key(path).public
        known[name] = known.get(name, ()) if public in known.get(name, ()) else (public, *known.get(name, ()))
    fresh = (folder / KEYRING).with_suffix(".new")
    fresh.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    fresh.replace(folder / KEYRING)
    return known


def _write_once(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")


def _unreadable(path: Path, error: Exception) -> PrimumError:
    why = error.strerror if isinstance(error, OSError) else error
    return PrimumError(f"{path} cannot be read ({why})", advice=ADVICE)
