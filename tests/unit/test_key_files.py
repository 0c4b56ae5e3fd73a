"""Keys as files: what is missing is made whole or not at all, and what is wrong with one is said with its name."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.adapters.nkey import (
    HOLDERS_OF_KEYS,
    KEYRING,
    exposed,
    load_key,
    load_keyring,
    lost,
    make,
    public_keys,
    seed_file,
)
from shared.adapters.seal import load
from shared.domain.errors import PrimumError
from shared.domain.events import Owner


def test_keys_that_are_there_are_not_touched(tmp_path: Path) -> None:
    """To make them twice is to make them once; a folder that has all of them may be one that cannot be written."""
    once = make(tmp_path)
    before = {path: path.stat() for path in (tmp_path, *tmp_path.iterdir())}
    assert make(tmp_path) == once
    assert {path: path.stat() for path in (tmp_path, *tmp_path.iterdir())} == before


def test_a_seed_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    """The keyring is for everybody to read, and for nobody else to write."""
    make(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.nk")} == {0o600}
    assert (tmp_path / KEYRING).stat().st_mode & 0o777 == 0o644


@contextmanager
def space_for(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond that size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size_bytes", [0, 10, 100], ids=["no seed", "half a seed", "half a keyring"])
def test_a_full_disk_leaves_no_half_of_a_key(tmp_path: Path, size_bytes: int) -> None:
    """Once there is space again the same command makes all of them."""
    with space_for(size_bytes), pytest.raises(OSError, match="File too large"):
        make(tmp_path)
    assert all(path.suffix == ".nk" and load_key(path) for path in tmp_path.iterdir())
    assert set(make(tmp_path)) == set(HOLDERS_OF_KEYS)


def test_a_seed_that_is_none_is_named(tmp_path: Path) -> None:
    """Six files look alike."""
    make(tmp_path)
    seed_file(tmp_path, "undo").write_text("")
    with pytest.raises(PrimumError, match=r"undo\.nk: this is no NKey seed"):
        make(tmp_path)


def test_a_public_key_that_is_none_is_said_with_its_file(tmp_path: Path) -> None:
    """So is whose it is not."""
    ring = tmp_path / KEYRING
    ring.write_text('{"undo": ["UBROKEN"]}')
    with pytest.raises(PrimumError, match=r"keyring\.json: 'UBROKEN' is no public NKey"):
        load_keyring(ring)


def test_two_services_with_one_key_are_refused(tmp_path: Path) -> None:
    """The detector's seed, copied to the gateway, would let the detector approve plans."""
    make(tmp_path)
    seed_file(tmp_path, "gateway").write_text(seed_file(tmp_path, "detector").read_text())
    before = (tmp_path / KEYRING).read_text()
    with pytest.raises(PrimumError, match="gateway and detector have the same key"):
        make(tmp_path)
    assert (tmp_path / KEYRING).read_text() == before

    shared = dict(public_keys(tmp_path / KEYRING))
    shared["gateway"] = shared["detector"]
    (tmp_path / KEYRING).write_text(json.dumps(shared))
    with pytest.raises(PrimumError, match="gateway and detector have the same key"):
        load_keyring(tmp_path / KEYRING)


def test_a_seed_that_went_is_replaced_and_the_old_key_stays_known(tmp_path: Path) -> None:
    """That is a rotation: both keys are the service's, the new one first."""
    old = make(tmp_path)["mitigator"]
    seed_file(tmp_path, "mitigator").rename(tmp_path / "old.nk")
    new = make(tmp_path)["mitigator"]
    assert len(new) == 2
    assert new[1:] == old
    for seed in ("old.nk", "mitigator.nk"):
        load(Owner.MITIGATOR, tmp_path / seed, tmp_path / KEYRING)


def test_a_key_that_the_keyring_does_not_have_is_no_use(tmp_path: Path) -> None:
    """Nobody would believe what it signs."""
    make(tmp_path)
    with pytest.raises(PrimumError, match="the keyring does not have this key for the undo"):
        load(Owner.UNDO, seed_file(tmp_path, "gateway"), tmp_path / KEYRING)


def test_what_others_can_read_or_write_is_said(tmp_path: Path) -> None:
    """A group may read a seed (a volume's), everybody may read the keyring."""
    make(tmp_path)
    seed, ring = seed_file(tmp_path, "undo"), tmp_path / KEYRING
    seed.chmod(0o640)
    assert list(exposed(seed, ring)) == []
    seed.chmod(0o604)
    ring.chmod(0o666)
    reads, writes = exposed(seed, ring)
    assert "undo.nk can be read by every user of this machine: chmod 600" in reads
    assert "keyring.json can be written by every user of this machine: chmod 644" in writes
    assert load_key(seed).seed not in reads


def test_a_seed_that_is_gone_is_named(tmp_path: Path) -> None:
    """Another key is made for it, which a NATS of one's own does not know: `primum up` says so before."""
    assert lost(tmp_path) == []
    make(tmp_path)
    assert lost(tmp_path) == []
    seed_file(tmp_path, "undo").unlink()
    assert lost(tmp_path) == ["undo"]
