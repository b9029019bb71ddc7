"""What a start does with what it finds: nothing after a clean stop, else always forward."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from keys.anchor import AnchorFile
from keys.entry import Kind, Put, Remove
from keys.epoch import finish
from keys.errors import NoSlotOpens, WrongPassphrase
from keys.intent import Intent
from keys.opening import Keeping, look, open_vault, unwrap
from keys.pages import BlobChange, Change, Pages
from keys.slot.file import FileSlot
from keys.vault import Vault
from tests.keys.disks import Accidents, Crash, crash
from tests.keys.site import NEW, OLD, Place, Watched, lock_of, make_place, record

A = record(b"a")


def test_after_a_clean_stop_nothing_changes(place: Place) -> None:
    with place.opened() as vault:
        vault.commit((Put(A),))
        version = vault.version
    with place.opened() as vault:
        assert vault.version == version
        assert vault.started_with == ()
        assert vault.lagging == frozenset()


def test_an_unclean_stop_is_followed_by_an_epoch_change(place: Place) -> None:
    """G1: what was written and never committed must not stay readable."""
    with place.keeping() as keeping:
        version = open_vault(keeping).version
    with place.opened() as vault:
        assert vault.version.epoch == version.epoch + 1
        assert [done.epoch for done in vault.started_with] == [version.epoch + 1]


def test_a_clean_stop_counts_once(place: Place) -> None:
    """The anchors say *running* again before a start returns."""
    with place.opened():
        pass
    with place.keeping() as keeping:
        open_vault(keeping)
    with place.opened() as vault:
        assert len(vault.started_with) == 1


def test_a_store_without_a_vault(folder: Path) -> None:
    place = make_place(folder / "site")
    (place.folder / "store" / "vault.db").unlink()
    with place.keeping() as keeping, pytest.raises(NoSlotOpens, match="holds no vault"):
        open_vault(keeping)


class CutOff(Watched):
    """A storage that crashes at its second commit: before it, or after it."""

    def __init__(self, pages: Pages, *, after: bool) -> None:
        super().__init__(pages, Accidents(crash))
        self._after = after

    def commit(self, change: Change, blobs: BlobChange) -> None:
        if self.commits == 1 and not self._after:
            raise Crash
        super().commit(change, blobs)
        if self.commits == 2:
            raise Crash


def cut_off(place: Place, run: Callable[[Vault], object], *, after: bool) -> None:
    """Crash an epoch change: all slots are staged, the commit is done or is not."""
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A),))
        vault._state.store = CutOff(keeping.store, after=after)
        with pytest.raises(Crash):
            run(vault)


def change_passphrase(vault: Vault) -> None:
    vault.change_lock(lock_of(NEW))


def test_an_intent_is_carried_out_under_its_own_name(place: Place) -> None:
    """So that whoever asked can tell that it was done, however often it was tried."""
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A),))

        def withdraw() -> None:
            raise Crash

        with pytest.raises(Crash):
            vault.commit((Remove(Kind.RECORD, A.id),), withdraw=withdraw)
        (part,) = vault._state.tree.scan_leaf(keeping.store, Kind.INTENT, 0)
    with place.opened() as vault:
        assert [done.intent for done in vault.started_with] == [part.body[:16]]
        assert vault.get(Kind.RECORD, A.id) is None


def test_a_destruction_that_was_cut_off_keeps_its_name(two_slots: Place) -> None:
    """Its intent left the store with the commit; the slots' labels still say it."""
    intents: set[bytes] = set()

    def shred(vault: Vault) -> None:
        def withdraw() -> None:
            intents.update(entry.body[:16] for entry in vault.scan(Kind.INTENT))

        vault.commit((Remove(Kind.RECORD, A.id),), withdraw=withdraw)

    cut_off(two_slots, shred, after=True)
    with two_slots.opened() as vault:
        first, *_ = vault.started_with
        assert {first.intent} == intents
        assert len(first.confirmed) == 2


def test_two_intents_are_both_carried_out(place: Place) -> None:
    """None is stored while another waits; if it were, the first would not forget the second."""
    other = record(b"other", 9)
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A), Put(other)))
        state = vault._state
        intents = [Intent.make((Remove(Kind.RECORD, entry.id),)) for entry in (A, other)]
        for intent in intents:
            state.commit(state.plan(intent.entries()))
    waiting = place.copy(place.folder.parent / "waiting")
    with waiting.keeping() as keeping:
        root = keeping.store.root()
        assert root is not None
        found = look(keeping.store, root, unwrap(keeping, root))
        state = keeping.state(found.tree, found.anchor_key, None)
        finish(state, intents[0])
        assert {entry.body[:16] for entry in state.scan(Kind.INTENT)} == {intents[1].id}
    with place.opened() as vault:
        assert len(vault.started_with) == 2
        assert list(vault.scan(Kind.INTENT)) == []
        assert [vault.get(Kind.RECORD, entry.id) for entry in (A, other)] == [None, None]


def test_nothing_is_committed_that_no_slot_could_open(place: Place) -> None:
    """G6: with the last slot's medium away, an epoch change waits; it does not lose the vault."""
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A),))
        away = place.slots()[0].rename(place.folder / "away")
        with pytest.raises(NoSlotOpens, match="nothing would open epoch 2"):
            vault.commit((Remove(Kind.RECORD, A.id),))
        assert vault.stopped
    away.rename(place.slot_folder(0))
    with place.opened() as vault:
        assert vault.get(Kind.RECORD, A.id) is None


def test_a_passphrase_change_that_took_no_effect_wants_the_old_one(place: Place) -> None:
    """And completes itself then: the intent has what it needs of the new one."""
    cut_off(place, change_passphrase, after=False)
    before = place.bytes()
    with place.keeping(NEW) as keeping, pytest.raises(WrongPassphrase, match="the old passphrase"):
        open_vault(keeping)
    assert place.bytes() == before
    with place.opened(OLD) as vault:
        assert vault.started_with
    with pytest.raises(WrongPassphrase, match="does not open the slot"), place.keeping(OLD):
        pass
    with place.opened(NEW) as vault:
        assert vault.started_with == ()


@pytest.mark.parametrize("first", [0, 1])
def test_the_advice_does_not_depend_on_the_slots_order(two_slots: Place, first: int) -> None:
    """One slot was staged under the new lock; the other has the old one and is reclaimed."""
    change = Intent.make((), lock=lock_of(NEW))
    with two_slots.keeping() as keeping:
        state = open_vault(keeping)._state
        state.commit(state.plan(change.entries()))
        keeping.slots[0][0].stage(2, change.id, keep=1, lock=change.lock)
    with two_slots.storages() as (store, mirror):
        pairs = [two_slots.open_slot(two_slots.slot_folder(0), NEW)]
        folder = two_slots.slot_folder(1)
        shut = FileSlot.reclaim(two_slots.disk, folder, pairs[0][0].lock)
        pairs.insert(first, (shut, AnchorFile(two_slots.disk, folder)))
        keeping = Keeping(store, mirror, pairs, pairs[0][0].lock.database_key, int)
        with pytest.raises(WrongPassphrase, match="with the old"):
            open_vault(keeping)
    with two_slots.opened(OLD) as vault:
        assert vault.lagging == frozenset()


def test_a_passphrase_change_that_took_effect_wants_the_new_one(place: Place) -> None:
    cut_off(place, change_passphrase, after=True)
    before = place.bytes()
    with place.keeping(OLD) as keeping, pytest.raises(WrongPassphrase, match="with the new one"):
        open_vault(keeping)
    assert place.bytes() == before
    with place.opened(NEW) as vault:
        assert vault.started_with


def test_a_slot_that_was_made_and_never_added_is_left_aside(place: Place) -> None:
    """Its folder may be configured before it is added; it holds nothing."""
    slot, _ = place.make_slot(1)
    with place.opened() as vault:
        assert len(list(vault.scan(Kind.SLOT))) == 1
        done = vault.purge().destruction
        assert done is not None
        assert slot.id not in dict(done.confirmed)


def test_a_lost_anchor_file_is_made_anew_beside_its_slot(two_slots: Place) -> None:
    """Where another anchor could vouch for the store."""
    lost = two_slots.slot_folder(1) / "anchor"
    lost.unlink()
    with two_slots.opened():
        assert lost.exists()
    (two_slots.slot_folder(0) / "slot").unlink()
    with two_slots.opened() as vault:
        assert len(vault.lagging) == 1


def test_a_mirror_that_is_behind_or_new_is_filled(place: Place) -> None:
    for lose in ("behind", "new"):
        with place.opened() as vault:
            vault.commit((Put(replace(A, flags=1)),))
        if lose == "new":
            (place.folder / "mirror" / "mirror.db").unlink()
        else:
            with place.storages() as (store, mirror):
                root = store.root()
                assert root is not None
                older = root.version._replace(sequence=root.version.sequence - 1)
                mirror.replace(replace(root, version=older), store.pages())
        with place.opened(), place.storages() as (store, mirror):
            assert mirror.root() == store.root()
            assert list(mirror.pages()) == list(store.pages())


def test_a_restart_under_a_running_floor(place: Place) -> None:
    """An epoch change can be told to go above every sequence that was ever seen."""
    with place.keeping() as keeping, closing(open_vault(keeping)) as vault:
        finish(vault._state, Intent.make(()), floor=500)
        assert vault.version.sequence == 501
        assert isinstance(vault, Vault)
