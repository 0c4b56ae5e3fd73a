"""NKeys: the Ed25519 keys by which NATS knows its users, and by which Primum's services sign what they say."""

import base64
import binascii
import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_APART: Final = "take it from the one whose it is not, in the keyring and its seed, and run `primum bus keys`"
_PUBLIC: Final = 0o644
_READ: Final = stat.S_IROTH | stat.S_IWOTH
_REMEMBERED: Final = 8_192
"""Signatures, at most; half as many at least. A storm's facts are read back by who wrote them; else what was just read
is read again."""
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
        self._newer, self._older = set[bytes](), set[bytes]()

    def has(self, owner: Owner, public: str) -> bool:
        return _public(public) in self._keys.get(owner, ())

    def fits(self, owner: Owner, data: bytes, signature: bytes) -> bool:
        """Whether a key of `owner` made this signature. What was found good once is not computed again."""
        mark = _mark(owner, data, signature)
        if mark in self._newer or mark in self._older:
            return True
        if not any(_verifies(key, data, signature) for key in self._keys.get(owner, ())):
            return False
        self._remember(mark)
        return True

    def made(self, owner: Owner, data: bytes, signature: bytes) -> None:
        """Take a signature of our own for granted."""
        self._remember(_mark(owner, data, signature))

    def _remember(self, mark: bytes) -> None:
        self._newer.add(mark)
        if len(self._newer) >= _REMEMBERED // 2:  # two sets take less than an ordered dict
            self._newer, self._older = set(), self._newer


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
    except PrimumError as error:
        raise PrimumError(f"{path}: {error.args[0]}", advice=ADVICE) from error


def load_keyring(path: Path | None) -> Keyring:
    """Read everybody's public keys: `{"gateway": ["U…"], …}`. Raises PrimumError."""
    if path is None:
        raise PrimumError("no keyring is given (PRIMUM_KEYRING)", advice=ADVICE)
    known = public_keys(path)
    try:
        return Keyring({Owner(name): keys for name, keys in known.items() if name != OPERATOR})
    except PrimumError as error:
        raise PrimumError(f"{path}: {error.args[0]}", advice=ADVICE) from error
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
    _must_be_told_apart(path, said)
    return {name: tuple(keys) for name, keys in said.items()}


def _must_be_told_apart(path: Path, keys: Mapping[str, Iterable[str]]) -> None:
    """Who has another's key may say what the other may."""
    holders = dict[str, str]()
    for name, known in keys.items():
        for key in known:
            if holders.setdefault(key, name) != name:
                raise PrimumError(f"{path}: {holders[key]} and {name} have the same key", advice=_APART)


def seed_file(folder: Path, name: str) -> Path:
    """Where a service's seed lies in a folder of keys."""
    return folder / f"{name}.nk"


def make(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """Make the keys that a folder lacks, each readable by its user alone; return everybody's public keys.

    What is there is kept: a keyring with two keys of one service is a rotation under way. Raises OSError, PrimumError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = dict(public_keys(folder / KEYRING)) if (folder / KEYRING).exists() else {}
    known = dict(before)
    for name in HOLDERS_OF_KEYS:
        path = seed_file(folder, name)
        if not path.exists():
            _make_seed(path)
        public = load_key(path).public
        known[name] = known.get(name, ()) if public in known.get(name, ()) else (public, *known.get(name, ()))
    _must_be_told_apart(folder, known)
    if known != before:  # a folder that has everything may be one that cannot be written
        with _whole(folder / KEYRING, json.dumps(known, indent=2)) as fresh:
            fresh.chmod(_PUBLIC)
            fresh.rename(folder / KEYRING)
    return known


def lost(folder: Path) -> Sequence[str]:
    """Name those whom the keyring knows and whose seed is gone: `make` makes them another. Raises PrimumError."""
    known = public_keys(folder / KEYRING) if (folder / KEYRING).exists() else {}
    return [name for name in known if not seed_file(folder, name).exists()]


def exposed(seed: Path | None, keyring: Path | None) -> Iterator[str]:
    """Say what is wrong if others may read a seed, or write the keyring: whoever can is believed as its service."""
    for path, bits, done, mode in ((seed, _READ, "read", "600"), (keyring, stat.S_IWOTH, "written", "644")):
        if path is not None and path.exists() and path.stat().st_mode & bits:
            yield f"{path} can be {done} by every user of this machine: chmod {mode} it"


def _make_seed(path: Path) -> None:
    with _whole(path, Key.new().seed) as fresh, contextlib.suppress(FileExistsError):
        path.hardlink_to(fresh)  # unlike a rename, not over one that somebody else made meanwhile


@contextlib.contextmanager
def _whole(path: Path, text: str) -> Iterator[Path]:
    """Write a file beside `path` that only its user may read, to be put there: a full disk leaves no half of it."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    fresh = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


def _unreadable(path: Path, error: Exception) -> PrimumError:
    why = error.strerror if isinstance(error, OSError) else error
    return PrimumError(f"{path} cannot be read ({why})", advice=ADVICE)
