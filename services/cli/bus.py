"""`bus keys|setup`: the keys of all services and a server's users; the streams and consumers on a NATS of one's own."""

import asyncio
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from services.cli import runtime
from shared.adapters import nkey
from shared.adapters.nats_connection import User, connected, open_to_all
from shared.bus.permissions import authorization
from shared.bus.settings import BusSettings
from shared.bus.setup import Plan, set_up
from shared.domain.errors import PrimumError
from shared.domain.events import Owner

USERS = "nats-authorization.conf"


def keys_in(data: Path) -> Path:
    """Where `primum up` looks for the keys of all, and makes those that are missing."""
    return data / "keys"


def keys(out: Path | None, *, as_json: bool) -> None:
    """Make the keys that a folder lacks, else that of `primum up`; write down who may do what. Raises PrimumError."""
    folder = out or _folder()
    try:
        known = nkey.make(folder)
        (folder / USERS).write_text(authorization(known), encoding="utf-8")
    except OSError as error:
        raise PrimumError(
            f"{folder} cannot be written ({error.strerror})", advice="choose another with --out"
        ) from error
    if as_json:
        print(runtime.as_json({name: list(public) for name, public in known.items()}))
        return
    print(f"seeds     {folder}/<service>.nk: each for its service alone (PRIMUM_NKEY_FILE)")
    print(f"keyring   {folder / nkey.KEYRING}: for all of them (PRIMUM_KEYRING)")
    print(f"users     {folder / USERS}: include it in nats-server's configuration")


def setup(url: str, key: Path | None, *, as_json: bool) -> None:
    """Make and mend streams and consumers; print what was done. Raises PrimumError."""
    done = asyncio.run(_set_up(url or runtime.nats_url(), operator(key), _settings()))
    if as_json:
        print(runtime.as_json({"done": done}))
    else:
        print("\n".join(done) or "everything is as it shall be")


def operator(key: Path | None = None) -> User:
    """Who speaks to the bus itself: by this key, else PRIMUM_OPERATOR_NKEY_FILE, else that of `primum up`.

    Raises PrimumError.
    """
    said = key or os.environ.get("PRIMUM_OPERATOR_NKEY_FILE")
    path = Path(said) if said else nkey.seed_file(_folder(), nkey.OPERATOR)
    try:
        return User(nkey.OPERATOR, nkey.load_key(path))
    except PrimumError as error:
        advice = "name the operator's key with PRIMUM_OPERATOR_NKEY_FILE"
        raise PrimumError(str(error.args[0]), advice=advice) from error


def _folder() -> Path:
    return keys_in(runtime.data_dir())


async def _set_up(url: str, user: User, settings: BusSettings) -> list[str]:
    async with connected(url, user) as connection:
        if (warning := open_to_all(connection)) is not None:
            print(f"warning: {warning}", file=sys.stderr)
        return list(await set_up(connection, Plan.of(dict.fromkeys(Owner, settings))))


def _settings() -> BusSettings:
    try:
        return BusSettings()
    except ValidationError as error:
        raise bad_setting(error) from error


def bad_setting(error: ValidationError) -> PrimumError:
    """Say of the first wrong setting which it is and why, not what it holds."""
    first = error.errors(include_url=False)[0]
    name = "_".join(("PRIMUM", *map(str, first["loc"]))).upper()
    return PrimumError(f"{name}: {first['msg'].removeprefix('Value error, ')}")
