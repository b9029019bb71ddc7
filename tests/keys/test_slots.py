"""Several slots: any of them opens the vault; who lags is said; who comes back is given a key."""

import shutil
from contextlib import closing

import pytest

from keys.anchor import AnchorFile
from keys.entry import LEAVING, EntryId, Kind, Put, Remove
from keys.epoch import Destruction
from keys.errors import EntryMissing, LastSlot, NoSlotOpens, SlotUnreachable, WrongPassphrase
from keys.opening import Keeping, open_vault, slot_entry
from keys.pages import NO_BLOBS, Pages, SlotId
from keys.slot.file import FileSlot
from keys.vault import Receipt, Vault
from tests.keys.disks import Accidents, Crash, crash
from tests.keys.site import NEW, OLD, Place, Watched, lock_of, record

A = record(b"a")


class Away:
    """A slot's medium that can be taken away and brought back."""

    def __init__(self, place: Place, number: int) -> None:
        self._here, self._there = place.slot_folder(number), place.folder / f"away-{number}"
        self.id = place.open_slot(self._here)[0].id

    def take(self) -> None:
        self._here.rename(self._there)

    def bring_back(self) -> None:
        self._there.rename(self._here)


@pytest.fixture
def second(two_slots: Place) -> Away:
    return Away(two_slots, 1)


def destruction(receipt: Receipt) -> Destruction:
    assert receipt.destruction is not None
    return receipt.destruction


def confirmed(done: Destruction) -> set[SlotId]:
    return {slot for slot, _ in done.confirmed}


def shred(vault: Vault) -> Destruction:
    vault.commit((Put(A),))
    return destruction(vault.commit((Remove(Kind.RECORD, A.id),)))


def held(place: Place, number: int, passphrase: bytes = OLD) -> list[int]:
    return [key.epoch for key in place.open_slot(place.slot_folder(number), passphrase)[0].held()]


@pytest.mark.parametrize("lost", [0, 1])
def test_each_slot_opens_the_vault_alone(two_slots: Place, lost: int) -> None:
    with two_slots.opened() as vault:
        vault.commit((Put(A),))
    shutil.rmtree(two_slots.slot_folder(lost))
    with two_slots.opened() as vault:
        assert vault.get(Kind.RECORD, A.id) == A
        assert len(vault.lagging) == 1, "it is away, so it cannot show what it holds"


def test_a_slot_that_is_away_lags_and_service_goes_on(two_slots: Place, second: Away) -> None:
    """Whoever has it and an old backup can read on; every destruction says so."""
    with two_slots.opened() as vault:
        assert shred(vault).lagging == ()
        second.take()
        for _ in range(2):
            done = shred(vault)
            assert done.lagging == (second.id,)
            assert len(done.confirmed) == 1
        assert vault.lagging == {second.id}
        assert vault.confirmed == done.confirmed


def test_a_slot_that_comes_back_while_the_vault_runs(two_slots: Place, second: Away) -> None:
    """The next epoch change gives it a key and destroys what it held."""
    with two_slots.opened() as vault:
        second.take()
        shred(vault)
        second.bring_back()
        assert held(two_slots, 1) == [1]
        done = shred(vault)
        assert done.lagging == ()
        assert second.id in confirmed(done)
        assert held(two_slots, 1) == [done.epoch]
        assert vault.lagging == frozenset()


def test_a_slot_that_comes_back_at_a_start(two_slots: Place, second: Away) -> None:
    second.take()
    with two_slots.opened() as vault:
        shred(vault)
    second.bring_back()
    with two_slots.opened() as vault:
        (done,) = vault.started_with
        assert second.id in confirmed(done)
        assert vault.lagging == frozenset()
        assert held(two_slots, 1) == [vault.version.epoch]
        assert vault.confirmed == done.confirmed
    with two_slots.opened() as vault:
        assert vault.started_with == ()
        assert vault.confirmed == done.confirmed


def test_a_slot_that_went_away_in_the_middle(two_slots: Place, second: Away) -> None:
    """It has the new key and still the old one: it lags until it confirms."""
    with two_slots.opened() as vault:
        vault.commit((Put(A),))
        vault._state.mirror = Taking(vault._state.mirror, second)
        done = destruction(vault.commit((Remove(Kind.RECORD, A.id),)))
        assert done.lagging == (second.id,)
        assert vault.lagging == {second.id}
        second.bring_back()
        assert held(two_slots, 1) == [1, 2]
    with two_slots.opened() as vault:
        (finished,) = vault.started_with
        assert finished.intent == done.intent, "the same destruction, now confirmed"
        assert finished.lagging == ()
        assert held(two_slots, 1) == [2]


class Taking(Watched):
    """A mirror at whose first checkpoint a slot is taken away."""

    def __init__(self, mirror: Pages, slot: Away) -> None:
        super().__init__(mirror, Accidents(crash))
        self._slot: Away | None = slot

    def checkpoint(self) -> None:
        if self._slot:
            self._slot.take()
            self._slot = None
        super().checkpoint()


def test_an_unclean_start_after_a_slot_lagged_forgets_aborted_writes_too(
    two_slots: Place, second: Away
) -> None:
    """G1: letting the slot catch up is not enough; the store may hold writes that were cut off."""
    with two_slots.keeping() as keeping:
        vault = open_vault(keeping)
        vault._state.mirror = Taking(vault._state.mirror, second)
        vault.purge()
        version = vault.version
    second.bring_back()
    with two_slots.opened() as vault:
        assert [done.epoch for done in vault.started_with] == [version.epoch, version.epoch + 1]


def test_a_slot_is_added(place: Place) -> None:
    with place.opened() as vault:
        vault.commit((Put(A),))
        slot, anchor = place.make_slot(1)
        done = destruction(vault.add_slot(slot, anchor, slot_entry(slot, "safe")))
        assert slot.id in confirmed(done)
        assert {entry.body for entry in vault.scan(Kind.SLOT)} >= {b"Dsafe"}
    shutil.rmtree(place.slot_folder(0))
    with place.opened() as vault:
        assert vault.get(Kind.RECORD, A.id) == A, "the new slot and its anchor stand alone"


def test_the_first_slot_can_leave_once_there_is_a_second(place: Place) -> None:
    """Its anchor goes with it, and the other's goes on."""
    first = place.open_slot(place.slot_folder(0))[0].id
    with place.opened() as vault:
        slot, anchor = place.make_slot(1)
        vault.add_slot(slot, anchor, slot_entry(slot, "safe"))
        done = destruction(vault.remove_slot(first))
        assert first in confirmed(done)
        assert done.lost == ()
        assert [SlotId(entry.id) for entry in vault.scan(Kind.SLOT)] == [slot.id]
        assert held(place, 0) == []
        shred(vault)
    with place.opened() as vault:  # it is still at hand, empty: nobody minds
        assert vault.started_with == ()
        assert vault.lost == vault.lagging == frozenset()
    shutil.rmtree(place.slot_folder(0))
    with place.opened() as vault:
        assert vault.lagging == frozenset()


def test_a_slot_that_is_away_is_signed_off_as_lost(two_slots: Place, second: Away) -> None:
    """What it opens with an old backup stays true, so every later destruction names it."""
    second.take()
    with two_slots.opened() as vault:
        shred(vault)
        done = destruction(vault.remove_slot(second.id))
        assert (done.lagging, done.lost) == ((), (second.id,))
        assert shred(vault).lost == (second.id,)
        assert vault.lost == {second.id}
        assert vault.lagging == frozenset()
    with two_slots.opened() as vault:
        assert vault.lost == {second.id}
        assert vault.started_with == ()


def test_a_lost_slot_that_turns_up_is_destroyed_and_let_go(two_slots: Place, second: Away) -> None:
    second.take()
    with two_slots.opened() as vault:
        vault.remove_slot(second.id)
    second.bring_back()
    with two_slots.opened() as vault:
        assert vault.started_with
        assert held(two_slots, 1) == []
        assert vault.lost == frozenset()
        assert len(list(vault.scan(Kind.SLOT))) == 1
        assert shred(vault).lost == ()


def test_a_slot_that_is_lost_can_be_tried_again(two_slots: Place, second: Away) -> None:
    """Removing it once more, now that it is back, while the vault runs."""
    with two_slots.opened() as vault:
        second.take()
        assert destruction(vault.remove_slot(second.id)).lost == (second.id,)
        second.bring_back()
        done = destruction(vault.remove_slot(second.id))
        assert second.id in confirmed(done)
        assert len(list(vault.scan(Kind.SLOT))) == 1
        with pytest.raises(EntryMissing, match="no slot of this id"):
            vault.remove_slot(second.id)


@pytest.mark.parametrize("other", ["none", "away", "leaving"])
def test_the_last_slot_stays(two_slots: Place, second: Away, other: str) -> None:
    """G6: without one nothing opens the vault. Nothing is written either."""
    first = two_slots.open_slot(two_slots.slot_folder(0))[0].id
    if other == "away":
        second.take()
    with two_slots.opened() as vault:
        if other == "none":
            vault.remove_slot(second.id)
        elif other == "leaving":
            entry = vault.get(Kind.SLOT, EntryId(second.id))
            assert entry is not None
            flagged = type(entry)(entry.kind, entry.id, entry.body, entry.version, LEAVING)
            vault._commit(vault._plan((Put(flagged),)), NO_BLOBS)
        before = vault.version
        with pytest.raises(LastSlot):
            vault.remove_slot(first)
        assert vault.version == before
        assert not vault.stopped


def test_a_slot_leaves_when_another_has_taken_over_not_before(
    two_slots: Place, second: Away
) -> None:
    """It was decided that it leaves, then the other's medium died: it stays and opens the vault."""
    first = Away(two_slots, 0)
    with two_slots.keeping() as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A),))
        vault._state.clock = _crash
        with pytest.raises(Crash):
            vault.remove_slot(second.id)
    first.take()
    with two_slots.opened() as vault:
        assert vault.get(Kind.RECORD, A.id) == A
        assert held(two_slots, 1) == [vault.version.epoch]
        assert shred(vault).lost == ()
    first.bring_back()
    with two_slots.opened() as vault:
        assert held(two_slots, 0) == [vault.version.epoch]
        assert held(two_slots, 1) == []
        assert len(list(vault.scan(Kind.SLOT))) == 1


def _crash() -> int:
    raise Crash


def test_a_passphrase_changes_for_every_slot(two_slots: Place) -> None:
    with two_slots.opened() as vault:
        done = destruction(vault.change_lock(lock_of(NEW)))
        assert len(done.confirmed) == 2
    for number in range(2):
        with pytest.raises(WrongPassphrase):
            held(two_slots, number)
        assert held(two_slots, number, NEW) == [done.epoch]
    with two_slots.opened(NEW) as vault:
        shred(vault)
    with two_slots.opened(NEW) as vault:
        assert vault.started_with == ()


def test_a_slot_that_was_away_gets_the_new_passphrase(two_slots: Place, second: Away) -> None:
    """While the vault runs: whatever it holds, the next key is closed with the new one."""
    with two_slots.opened() as vault:
        second.take()
        assert destruction(vault.change_lock(lock_of(NEW))).lagging == (second.id,)
        second.bring_back()
        shred(vault)
    assert held(two_slots, 1, NEW) == [vault.version.epoch]


def test_nobody_has_to_remember_the_old_passphrase(two_slots: Place, second: Away) -> None:
    """A slot that missed the change is reclaimed at a start with the new one."""
    second.take()
    with two_slots.opened() as vault:
        vault.change_lock(lock_of(NEW))
    second.bring_back()
    with pytest.raises(WrongPassphrase), two_slots.opened(NEW):
        pass
    with two_slots.storages() as (store, mirror):
        slot, anchor = two_slots.open_slot(two_slots.slot_folder(0), NEW)
        folder = two_slots.slot_folder(1)
        reclaimed = FileSlot.reclaim(two_slots.disk, folder, slot.lock)
        assert reclaimed.id == second.id
        assert not reclaimed.opens(1)
        pairs = [(slot, anchor), (reclaimed, AnchorFile(two_slots.disk, folder))]
        keeping = Keeping(store, mirror, pairs, slot.lock.database_key, int)
        with closing(open_vault(keeping)) as vault:
            assert vault.lagging == frozenset()
    with two_slots.opened(NEW) as vault:
        assert vault.started_with == ()


def test_a_slot_whose_blob_was_damaged_is_given_a_new_key(two_slots: Place, second: Away) -> None:
    """Its label is fine, so it looks like one of two; a start notices that it opens nothing."""
    path = two_slots.slot_folder(1) / "slot"
    raw = bytearray(path.read_bytes())
    half = len(raw) // 2
    for at in (5000, half + 5000):
        raw[at] ^= 1
    path.write_bytes(raw)
    with two_slots.opened() as vault:
        assert second.id in confirmed(vault.started_with[0])
    shutil.rmtree(two_slots.slot_folder(0))
    with two_slots.opened():
        pass


def test_no_slot_at_hand(two_slots: Place, second: Away) -> None:
    """A slot that lags does not open the store of today, whatever it opened once."""
    second.take()
    with two_slots.opened() as vault:
        shred(vault)
    second.bring_back()
    shutil.rmtree(two_slots.slot_folder(0))
    before = two_slots.bytes()
    with (
        two_slots.keeping() as keeping,
        pytest.raises(NoSlotOpens, match="opens epoch 2; the newest here holds 1"),
    ):
        open_vault(keeping)
    assert two_slots.bytes() == before


def test_an_unreachable_slot_cannot_be_opened(two_slots: Place, second: Away) -> None:
    second.take()
    with pytest.raises(SlotUnreachable, match="No such file"):
        two_slots.open_slot(two_slots.slot_folder(1))
