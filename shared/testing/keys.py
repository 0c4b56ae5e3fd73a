"""Keys for tests: always the same ones, so that no test waits for chance and every process of a test knows them."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from shared.adapters.nats_connection import User, inbox_prefix
from shared.adapters.nkey import HOLDERS_OF_KEYS, KEYRING, OPERATOR, Key, Keyring, seed_file
from shared.adapters.seal import Seal
from shared.bus.permissions import authorization
from shared.domain.events import Owner


@cache
def key_of(name: str) -> Key:
    """Return the key of a service or of the operator; any other name gives a key that nobody knows."""
    return Key.new(hashlib.sha256(name.encode()).digest())


def keyring() -> Keyring:
    """Return everybody's public keys; what one ledger verified another has not."""
    return Keyring({owner: [key_of(owner).public] for owner in Owner})


def seal_of(owner: Owner) -> Seal:
    """Return what a service signs with."""
    return Seal(owner, key_of(owner), keyring())


def operator() -> User:
    """Return who may make streams and consumers."""
    return User(OPERATOR, key_of(OPERATOR))


def users() -> str:
    """Return the part of a nats-server's configuration that knows them all."""
    return authorization({name: [key_of(name).public] for name in HOLDERS_OF_KEYS})


def write_keys(folder: Path) -> Path:
    """Write them as `primum bus keys` does, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in HOLDERS_OF_KEYS:
        seed_file(folder, name).touch(mode=0o600)
        seed_file(folder, name).write_text(key_of(name).seed)
    (folder / KEYRING).write_text(json.dumps({name: [key_of(name).public] for name in HOLDERS_OF_KEYS}))
    return folder


def settings_of(owner: Owner, folder: Path) -> dict[str, Any]:
    """Return what a service must be told of the keys in that folder."""
    return {"nkey_file": seed_file(folder, owner), "keyring": folder / KEYRING}


async def connect_as(name: str, url: str, **options: Any) -> Client:
    """Connect as a service or the operator, for a test to close."""
    seed, prefix = key_of(name).seed, inbox_prefix(name)
    return await nats.connect(url, nkeys_seed_str=seed, inbox_prefix=prefix, **options)
