"""`keys.slot.RootSlot`: what every slot does, whatever it is made of."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from crypto.aead import InvalidCiphertext, Sealed
from keys.disk import Disk
from keys.errors import SlotDamaged, SlotUnreachable
from keys.page import RootKey, VaultId
from keys.slot import DESTRUCTION, Held, RootSlot
from keys.slot.file import FileSlot
from keys.slot.lock import Passphrase
from tests.keys.site import BLOB_SIZE, NEW, OLD, lock_of

VAULT = VaultId(b"v" * 16)
ROOT_KEY = RootKey(bytes(range(32)))
INTENTS = [bytes((n,)) * 16 for n in range(10)]


@dataclass(frozen=True)
class Kit:
    """How one kind of slot is made, opened again, taken away and brought back."""

    make: Callable[[], RootSlot]
    reopen: Callable[[], RootSlot]
    take_away: Callable[[], object]
    bring_back: Callable[[], object]


def file_slot(folder: Path) -> Kit:
    here, away = folder / "slot", folder / "away"
    return Kit(
        lambda: FileSlot.create(Disk(), here, VAULT, lock_of(OLD), BLOB_SIZE),
        lambda: FileSlot.open(Disk(), here, Passphrase(OLD)),
        lambda: shutil.move(here, away),
        lambda: shutil.move(away, here),
    )


@pytest.fixture(params=[file_slot])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Kit:
    made: Kit = request.param(tmp_path)
    return made


@pytest.fixture
def slot(kit: Kit) -> RootSlot:
    """A slot at epoch 1."""
    made = kit.make()
    made.stage(1, INTENTS[1], keep=0, lock=None)
    return made


def epochs(slot: RootSlot) -> list[int]:
    return [key.epoch for key in slot.held()]


def test_a_new_slot_holds_nothing(kit: Kit) -> None:
    slot = kit.make()
    assert slot.held() == ()
    assert slot.vault == VAULT
    assert slot.id[:2] == b"\0\0", "it names a pinned entry"
    assert slot.letter in DESTRUCTION
    assert not slot.opens(0)


def test_a_slot_is_the_same_slot_again(kit: Kit, slot: RootSlot) -> None:
    again = kit.reopen()
    assert (again.id, again.vault, again.letter) == (slot.id, slot.vault, slot.letter)
    assert again.held() == (Held(1, INTENTS[1]),)


def test_what_a_key_wraps_opens_again(kit: Kit, slot: RootSlot) -> None:
    wrapped = slot.wrap(1, ROOT_KEY)
    for each in (slot, kit.reopen()):
        assert each.opens(1)
        assert each.unwrap(1, wrapped).expose() == ROOT_KEY.expose()


def test_a_changed_wrap_does_not_open(slot: RootSlot) -> None:
    wrapped = slot.wrap(1, ROOT_KEY)
    with pytest.raises(InvalidCiphertext):
        slot.unwrap(1, Sealed(wrapped[:-1] + bytes((wrapped[-1] ^ 1,))))


def test_staging_keeps_one_key_and_adds_one(kit: Kit, slot: RootSlot) -> None:
    """Durable and labelled before it returns."""
    wrapped = slot.wrap(1, ROOT_KEY)
    slot.stage(2, INTENTS[2], keep=1, lock=None)
    for each in (slot, kit.reopen()):
        assert each.held() == (Held(1, INTENTS[1]), Held(2, INTENTS[2]))
        assert each.opens(2)
        assert each.unwrap(1, wrapped).expose() == ROOT_KEY.expose()


@pytest.mark.parametrize("reopened", [False, True])
def test_a_key_that_may_have_wrapped_is_never_staged_again(
    kit: Kit, slot: RootSlot, *, reopened: bool
) -> None:
    """An epoch change that is tried again gets another key for the same epoch."""
    slot.stage(2, INTENTS[2], keep=1, lock=None)
    wrapped = slot.wrap(2, ROOT_KEY)
    slot = kit.reopen() if reopened else slot
    slot.stage(2, INTENTS[3], keep=1, lock=None)
    assert slot.held() == (Held(1, INTENTS[1]), Held(2, INTENTS[3]))
    with pytest.raises(InvalidCiphertext):
        slot.unwrap(2, wrapped)


def test_every_key_is_another(slot: RootSlot) -> None:
    """What one epoch's key wrapped opens under no other, whatever its label says."""
    old = slot.wrap(1, ROOT_KEY)
    for epoch in range(2, 9):
        slot.stage(epoch, INTENTS[epoch], keep=epoch - 1, lock=None)
        slot.destroy_all_but(epoch)
        with pytest.raises(InvalidCiphertext):
            slot.unwrap(epoch, old)


@pytest.mark.parametrize("reopened", [False, True])
def test_destroyed_is_gone(kit: Kit, slot: RootSlot, *, reopened: bool) -> None:
    """G1: the key of before is neither shown nor of use, on the medium as in memory."""
    slot.stage(2, INTENTS[2], keep=1, lock=None)
    slot = kit.reopen() if reopened else slot
    slot.destroy_all_but(2)
    for each in (slot, kit.reopen()):
        assert epochs(each) == [2]
        assert each.opens(2)
        assert not each.opens(1)


def test_destroying_can_be_repeated(slot: RootSlot) -> None:
    slot.stage(2, INTENTS[2], keep=1, lock=None)
    slot.destroy_all_but(2)
    slot.destroy_all_but(2)
    assert epochs(slot) == [2]


def test_nothing_is_destroyed_for_a_key_that_is_not_there(kit: Kit, slot: RootSlot) -> None:
    """G6: the vault would be lost if the old key went before the new one was seen."""
    with pytest.raises(SlotDamaged, match="lost its key of epoch 2"):
        slot.destroy_all_but(2)
    assert kit.reopen().opens(1)


def test_a_slot_that_leaves_holds_nothing(kit: Kit, slot: RootSlot) -> None:
    slot.stage(2, INTENTS[2], keep=1, lock=None)
    slot.destroy_all()
    for each in (slot, kit.reopen()):
        assert each.held() == ()
        assert not each.opens(1)
        assert not each.opens(2)


def test_a_slot_that_lagged_takes_the_next_key(kit: Kit, slot: RootSlot) -> None:
    """Its old key was good for an epoch long gone, and is destroyed on the way."""
    again = kit.reopen()
    again.stage(9, INTENTS[9], keep=8, lock=None)
    assert epochs(again) == [9]
    assert again.unwrap(9, again.wrap(9, ROOT_KEY)).expose() == ROOT_KEY.expose()
    assert slot.held() == again.held()


def test_a_new_lock_closes_over_the_new_key(kit: Kit, slot: RootSlot) -> None:
    """Until the old key is gone, the old passphrase opens that one and no other."""
    slot.stage(2, INTENTS[2], keep=1, lock=lock_of(NEW))
    old = kit.reopen()
    assert (old.opens(1), old.opens(2)) == (True, False)
    assert slot.unwrap(2, slot.wrap(2, ROOT_KEY)).expose() == ROOT_KEY.expose()


@pytest.mark.parametrize("prepared", [False, True])
def test_preparing_changes_nothing_but_time(slot: RootSlot, *, prepared: bool) -> None:
    for epoch in (2, 3):
        if prepared:
            slot.prepare()
            slot.prepare()
        slot.stage(epoch, INTENTS[epoch], keep=epoch - 1, lock=None)
        slot.destroy_all_but(epoch)
    assert epochs(slot) == [3]


def test_a_medium_that_is_away_is_said_so(kit: Kit, slot: RootSlot) -> None:
    """Everywhere, so that the vault can go on with its other slots; and it can come back."""
    kit.take_away()
    for attempt in (
        slot.held,
        lambda: slot.stage(2, INTENTS[2], keep=1, lock=None),
        lambda: slot.destroy_all_but(1),
        slot.destroy_all,
        kit.reopen,
    ):
        with pytest.raises(SlotUnreachable, match="out of reach"):
            attempt()
    kit.bring_back()
    slot.stage(2, INTENTS[2], keep=1, lock=None)
    slot.destroy_all_but(2)
    assert epochs(kit.reopen()) == [2]


def test_ids_are_random(tmp_path: Path) -> None:
    """Two slots of one vault are told apart by them."""
    made = {file_slot(tmp_path / str(n)).make().id for n in range(5)}
    assert len(made) == 5
