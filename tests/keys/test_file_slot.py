"""Class D: what a file slot leaves on its medium, and what it does when the medium is not sound."""

import errno
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from keys.disk import Disk
from keys.errors import SlotDamaged, SlotUnreachable, SlotUnwilling
from keys.page import RootKey, VaultId
from keys.slot.file import HEADER_SIZE, FileSlot
from keys.slot.lock import Passphrase
from tests.keys.disks import FailingDisk, RecordingDisk, StubbornDisk
from tests.keys.site import BLOB_SIZE, OLD, lock_of

VAULT = VaultId(b"v" * 16)
ROOT_KEY = RootKey(bytes(range(32)))
AREA = HEADER_SIZE + BLOB_SIZE


def make(folder: Path, disk: Disk | None = None) -> FileSlot:
    """Return a slot at epoch 1."""
    slot = FileSlot.create(disk or Disk(), folder, VAULT, lock_of(OLD), BLOB_SIZE)
    slot.stage(1, b"1" * 16, keep=0, lock=None)
    return slot


def change(slot: FileSlot, epoch: int) -> None:
    slot.stage(epoch, bytes((epoch,)) * 16, keep=epoch - 1, lock=None)
    slot.destroy_all_but(epoch)


def reopen(folder: Path, disk: Disk | None = None) -> FileSlot:
    return FileSlot.open(disk or Disk(), folder, Passphrase(OLD))


def blobs(content: bytes) -> list[bytes]:
    return [content[at + HEADER_SIZE : at + AREA] for at in (0, AREA)]


def alter(folder: Path, at: int, data: bytes) -> None:
    Disk().overwrite(folder / "slot", at, data)


def test_no_sector_of_an_old_blob_is_left(tmp_path: Path) -> None:
    """G1: every blob that was ever part of a key is overwritten, all of it, in place."""
    disk = RecordingDisk()
    slot = make(tmp_path, disk)
    before = (tmp_path / "slot").stat()
    keys = [blobs((tmp_path / "slot").read_bytes())[0]]
    for epoch in range(2, 6):
        change(slot, epoch)
        now = (tmp_path / "slot").read_bytes()
        assert not any(key[at : at + 64] in now for key in keys for at in range(0, BLOB_SIZE, 64))
        keys.append(blobs(now)[(epoch + 1) % 2])
    after = (tmp_path / "slot").stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


def test_no_blob_is_ever_part_of_two_keys(tmp_path: Path) -> None:
    """Not after a restart, and not when an epoch is tried again."""
    slot = make(tmp_path)
    used: list[bytes] = []
    for epoch in range(2, 8):
        for _ in range(3):
            slot.stage(epoch, b"%016d" % len(used), keep=epoch - 1, lock=None)
            content = (tmp_path / "slot").read_bytes()
            (area,) = (n for n, h in enumerate(slot._headers()) if h and h.epoch == epoch)
            used.append(blobs(content)[area])
            slot = reopen(tmp_path)
        slot.destroy_all_but(epoch)
    assert len(set(used)) == len(used) == 18


def test_the_database_key_is_found_with_either_area_torn(tmp_path: Path) -> None:
    slot = make(tmp_path)
    wrapped = slot.wrap(1, ROOT_KEY)
    alter(tmp_path, AREA, b"torn")
    again = reopen(tmp_path)
    assert again.unwrap(1, wrapped).expose() == ROOT_KEY.expose()
    change(again, 2)
    assert [key.epoch for key in reopen(tmp_path).held()] == [2]


def test_a_torn_label_costs_the_key_that_nobody_used(tmp_path: Path) -> None:
    """Torn while it was staged: that key wrapped nothing, and its blob is not used again."""
    slot = make(tmp_path)
    spare = blobs((tmp_path / "slot").read_bytes())[1]
    slot.stage(2, b"2" * 16, keep=1, lock=None)
    alter(tmp_path, AREA + 20, b"torn")
    again = reopen(tmp_path)
    assert [key.epoch for key in again.held()] == [1]
    again.stage(2, b"3" * 16, keep=1, lock=None)
    assert spare not in (tmp_path / "slot").read_bytes()


def test_both_labels_torn(tmp_path: Path) -> None:
    make(tmp_path)
    alter(tmp_path, 0, b"torn")
    alter(tmp_path, AREA, b"torn")
    with pytest.raises(SlotDamaged, match="neither area"):
        reopen(tmp_path)


@pytest.mark.parametrize(
    ("at", "data"),
    [(0, b"NOTLACUN"), (8, b"\x02")],
    ids=["another file", "a format of tomorrow"],
)
def test_a_header_must_be_ours(tmp_path: Path, at: int, data: bytes) -> None:
    """Even with a digest that fits."""
    make(tmp_path)
    raw = bytearray((tmp_path / "slot").read_bytes())
    for area in (0, AREA):
        header = raw[area : area + HEADER_SIZE]
        length = next(
            n for n in range(80, 400) if sha256(header[:n]).digest() == header[n : n + 32]
        )
        header[at : at + len(data)] = data
        header[length : length + 32] = sha256(header[:length]).digest()
        raw[area : area + HEADER_SIZE] = header
    (tmp_path / "slot").write_bytes(raw)
    with pytest.raises(SlotDamaged, match="neither area"):
        reopen(tmp_path)


@pytest.mark.parametrize(
    ("size", "match"),
    [
        (0, "too short"),
        (100, "too short"),
        (2 * HEADER_SIZE, "too short"),
        (AREA + 2000, "not as long as"),
    ],
)
def test_a_file_that_was_cut_is_no_slot(tmp_path: Path, size: int, match: str) -> None:
    make(tmp_path)
    raw = (tmp_path / "slot").read_bytes()
    (tmp_path / "slot").write_bytes(raw[:size])
    with pytest.raises(SlotDamaged, match=match):
        reopen(tmp_path)


def test_a_file_that_is_cut_while_it_is_open(tmp_path: Path) -> None:
    slot = make(tmp_path)
    raw = (tmp_path / "slot").read_bytes()
    (tmp_path / "slot").write_bytes(raw[:-1])
    with pytest.raises(SlotDamaged, match="shorter than it was made"):
        slot.stage(2, b"2" * 16, keep=1, lock=None)


def test_a_key_is_made_of_what_the_medium_shows(tmp_path: Path) -> None:
    """G6: the medium was replaced by a copy of another day; a remembered blob would cost all."""
    slot = make(tmp_path)
    alter(tmp_path, AREA + HEADER_SIZE, b"other bytes than this process has ever seen")
    slot.stage(2, b"2" * 16, keep=1, lock=None)
    wrapped = slot.wrap(2, ROOT_KEY)
    assert reopen(tmp_path).unwrap(2, wrapped).expose() == ROOT_KEY.expose()


def test_the_key_of_now_must_be_there_before_the_next_is_made(tmp_path: Path) -> None:
    """G6: a label that was damaged meanwhile must not be taken for a free area."""
    slot = make(tmp_path)
    before = blobs((tmp_path / "slot").read_bytes())
    alter(tmp_path, 20, b"damaged")
    with pytest.raises(SlotDamaged, match="lost its key of epoch 1"):
        slot.stage(2, b"2" * 16, keep=1, lock=None)
    assert blobs((tmp_path / "slot").read_bytes()) == before


def test_two_labels_of_the_key_to_keep(tmp_path: Path) -> None:
    """It cannot happen; if it does, neither is destroyed on a guess."""
    slot = make(tmp_path)
    raw = (tmp_path / "slot").read_bytes()
    alter(tmp_path, AREA, raw[:HEADER_SIZE])
    with pytest.raises(SlotDamaged, match="both areas of the slot claim epoch 1"):
        slot.stage(2, b"2" * 16, keep=1, lock=None)


def stubborn(slot: FileSlot, disk: StubbornDisk, act: Callable[[], None]) -> None:
    disk.stubborn = True
    with pytest.raises(SlotUnwilling, match="does not read back"):
        act()
    assert slot.held()


def test_a_medium_that_keeps_old_bytes_is_noticed(tmp_path: Path) -> None:
    """Where it can be: what was written is read back, blob and label."""
    disk = StubbornDisk()
    slot = make(tmp_path, disk)
    stubborn(slot, disk, lambda: slot.stage(2, b"2" * 16, keep=1, lock=None))
    disk.stubborn = False
    slot.stage(2, b"2" * 16, keep=1, lock=None)
    stubborn(slot, disk, lambda: slot.destroy_all_but(2))
    stubborn(slot, disk, slot.destroy_all)


class LosingHeaders(Disk):
    """Takes blobs, and drops headers: the old label stays on the new blob."""

    losing = False

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        if not (self.losing and offset % AREA == 0):
            super().overwrite(path, offset, data)


@pytest.mark.parametrize("leave", [True, False])
def test_destruction_is_confirmed_by_looking(tmp_path: Path, *, leave: bool) -> None:
    disk = LosingHeaders()
    slot = make(tmp_path, disk)
    slot.stage(2, b"2" * 16, keep=1, lock=None)
    disk.losing = True
    with pytest.raises(SlotUnwilling, match="still shows a key"):
        slot.destroy_all() if leave else slot.destroy_all_but(2)


def test_a_medium_that_does_not_answer_is_out_of_reach(tmp_path: Path) -> None:
    """A read that fails tells nothing about what is there; the vault goes on with other slots."""

    class Mute(Disk):
        def read(self, *_: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    make(tmp_path)
    with pytest.raises(SlotUnreachable, match="out of reach: Input/output error"):
        reopen(tmp_path, Mute())


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("which", ["writes_left", "syncs_left"])
def test_a_write_that_fails_is_not_survived(tmp_path: Path, number: int, which: str) -> None:
    """Fail-stop: after it nobody knows what the medium holds, so it is no lagging slot's error."""
    disk = FailingDisk()
    slot = make(tmp_path, disk)
    disk.error = number
    setattr(disk, which, 0)
    with pytest.raises(OSError, match=os.strerror(number)):
        slot.stage(2, b"2" * 16, keep=1, lock=None)


class Vanishing(Disk):
    """Goes away at the n-th access, for one access."""

    left = 0

    def _pass(self, path: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))

    def read(self, path: Path, offset: int, size: int) -> bytes:
        self._pass(path)
        return super().read(path, offset, size)

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        self._pass(path)
        super().overwrite(path, offset, data)


@pytest.mark.parametrize("access", range(1, 12))
def test_a_slot_that_went_away_half_way_can_be_staged_again(tmp_path: Path, access: int) -> None:
    """Nothing is remembered of the attempt: the medium says where it stands."""
    disk = Vanishing()
    slot = make(tmp_path, disk)
    slot.stage(2, b"cut off" + bytes(9), keep=1, lock=None)
    disk.left = access
    with pytest.raises(SlotUnreachable):
        slot.stage(2, b"tried" + bytes(11), keep=1, lock=None)
    assert slot.opens(1)
    slot.stage(2, b"again" + bytes(11), keep=1, lock=None)
    wrapped = slot.wrap(2, ROOT_KEY)
    assert reopen(tmp_path).unwrap(2, wrapped).expose() == ROOT_KEY.expose()
    slot.destroy_all_but(2)
    assert [key.epoch for key in reopen(tmp_path).held()] == [2]


def test_a_locked_area_stays_locked(tmp_path: Path) -> None:
    """Reclaimed without its passphrase, a slot takes new keys and opens none of the old."""
    make(tmp_path)
    slot = FileSlot.reclaim(Disk(), tmp_path, lock_of(b"another passphrase"))
    assert not slot.opens(1)
    slot.stage(5, b"5" * 16, keep=4, lock=None)
    again = FileSlot.open(Disk(), tmp_path, Passphrase(b"another passphrase"))
    assert again.opens(5)
    assert [key.epoch for key in again.held()] == [5]
