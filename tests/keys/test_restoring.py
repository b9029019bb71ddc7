"""Restore: the newest source of the slots' epoch, no loss undecided, nothing shredded back."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keys.entry import Kind, Put, Remove
from keys.errors import (
    AnchorLost,
    NoSlotOpens,
    RolledBack,
    SlotUnknown,
    Stopped,
    WrongPassphrase,
)
from keys.opening import Keeping, open_vault
from keys.restoring import restore_vault
from keys.vault import Vault
from lookup.custodian.store.database import Database
from lookup.custodian.store.pages import Mirror, Store
from tests.keys.disks import Crash
from tests.keys.site import DATABASE_KEY, NEW, OLD, Place, lock_of, record

A, B, C = record(b"a", 1), record(b"b", 2), record(b"c", 3)


@pytest.fixture
def filled(place: Place) -> Place:
    """A site that holds A."""
    with place.opened() as vault:
        vault.commit((Put(A),))
    return place


@contextmanager
def fresh(place: Place, passphrase: bytes = OLD) -> Iterator[Keeping]:
    """Open the slots, with new and empty storages."""
    with (
        place.keeping(passphrase) as keeping,
        closing(Store(Database(place.folder / "new" / "vault.db", DATABASE_KEY))) as store,
        closing(Mirror(Database(place.folder / "new" / "mirror.db", DATABASE_KEY))) as mirror,
    ):
        yield replace(keeping, store=store, mirror=mirror)


@contextmanager
def source(place: Place, name: str = "mirror/mirror.db") -> Iterator[Mirror]:
    with closing(Mirror(Database(place.folder / name, DATABASE_KEY))) as mirror:
        yield mirror


def found(vault: Vault) -> list[bytes | None]:
    entries = [vault.get(Kind.RECORD, entry.id) for entry in (A, B, C)]
    return [entry.body if entry else None for entry in entries]


def test_a_lost_store_comes_back_from_its_mirror(filled: Place) -> None:
    """All of it; and what the mirror of before holds opens no more."""
    with fresh(filled) as keeping, source(filled) as mirror:
        before = mirror.root()
        assert before is not None
        restored = restore_vault(keeping, [mirror], accept_loss=False)
        with closing(restored.vault) as vault:
            assert (restored.source, restored.lost_commits, restored.counted) == (0, 0, True)
            assert found(vault) == [b"a", None, None]
            assert vault.version.epoch == before.version.epoch + 1
            assert keeping.store.root() == keeping.mirror.root()
            assert [key.epoch for key in keeping.slots[0][0].held()] == [vault.version.epoch]
        with closing(open_vault(keeping)) as vault:
            assert vault.started_with == ()


@pytest.mark.parametrize("filling", ["store", "mirror"])
def test_a_site_is_restored_in_place(filled: Place, filling: str) -> None:
    """The source may be what is to be filled: it is not emptied before it is read."""
    with filled.keeping() as keeping:
        here = keeping.store if filling == "store" else keeping.mirror
        with closing(restore_vault(keeping, [here], accept_loss=False).vault) as vault:
            assert found(vault)[0] == b"a"
            assert dict(keeping.store.pages()) == dict(keeping.mirror.pages()) != {}


def test_the_newest_source_counts(filled: Place, folder: Path) -> None:
    older = filled.copy(folder / "older")
    with filled.opened() as vault:
        vault.commit((Put(B),))
    with fresh(filled) as keeping, source(older) as old, source(filled) as new:
        with source(filled, "never/held.db") as empty:
            restored = restore_vault(keeping, [old, empty, new], accept_loss=False)
        assert restored.source == 2
        assert found(restored.vault) == [b"a", b"b", None]


def test_a_loss_is_accepted_by_a_person(filled: Place, folder: Path) -> None:
    """A7: the anchors count what was acknowledged since."""
    older = filled.copy(folder / "older")
    with filled.opened() as vault:
        vault.commit((Put(B),))
        vault.commit((Put(C),))
    with fresh(filled) as keeping, source(older) as old:
        before = filled.bytes()
        with pytest.raises(RolledBack, match="2 acknowledged commits are in no source"):
            restore_vault(keeping, [old], accept_loss=False)
        assert filled.bytes() == before
        restored = restore_vault(keeping, [old], accept_loss=True)
        with closing(restored.vault) as again:
            assert restored.lost_commits == 2
            assert found(again) == [b"a", None, None]
            assert again.version.sequence > vault.version.sequence, "above all that was ever seen"
        with closing(open_vault(keeping)) as again:
            assert again.started_with == ()


def test_without_an_anchor_nobody_knows_what_is_lost(filled: Place) -> None:
    (filled.slot_folder(0) / "anchor").unlink()
    with fresh(filled) as keeping, source(filled) as mirror:
        before = filled.bytes()
        with pytest.raises(AnchorLost, match="nothing can say what is lost"):
            restore_vault(keeping, [mirror], accept_loss=False)
        assert filled.bytes() == before
        restored = restore_vault(keeping, [mirror], accept_loss=True)
        assert (restored.lost_commits, restored.counted) == (0, False)
        restored.vault.close()
        with closing(open_vault(keeping)) as vault:
            assert found(vault)[0] == b"a"


def test_nothing_shredded_comes_back(filled: Place, folder: Path) -> None:
    """G1: a backup of an earlier epoch opens under no slot of today."""
    with filled.opened() as vault:
        vault.commit((Put(B),))
    older = filled.copy(folder / "older")
    with filled.opened() as vault:
        vault.commit((Remove(Kind.RECORD, A.id),))
    with fresh(filled) as keeping, source(older) as old, source(filled) as now:
        before = filled.bytes()
        with pytest.raises(NoSlotOpens, match="no source is of the slots' epoch"):
            restore_vault(keeping, [old], accept_loss=True)
        assert filled.bytes() == before
        restored = restore_vault(keeping, [old, now], accept_loss=False)
        assert found(restored.vault) == [None, b"b", None]


def test_what_was_cut_off_is_finished(filled: Place) -> None:
    """G6: the mirror holds the intent; the shred goes forward in the restored store too."""

    def withdraw() -> None:
        raise Crash

    with filled.keeping() as keeping, pytest.raises(Crash):
        open_vault(keeping).commit((Remove(Kind.RECORD, A.id),), withdraw=withdraw)
    with fresh(filled) as keeping, source(filled) as mirror:
        restored = restore_vault(keeping, [mirror], accept_loss=False)
        assert found(restored.vault) == [None, None, None]
        assert len(restored.vault.started_with) == 1


def test_a_rehearsal_touches_nothing(filled: Place) -> None:
    """Neither slots nor anchors; what it made can be read and closed, nothing else."""
    writers: list[Callable[[Vault], object]] = [
        lambda vault: vault.commit((Put(B),)),
        lambda vault: vault.commit((Remove(Kind.RECORD, A.id),)),
        Vault.purge,
        lambda vault: vault.change_lock(lock_of(NEW)),
    ]
    before = filled.bytes()
    with fresh(filled) as keeping, source(filled) as mirror:
        vault = restore_vault(keeping, [mirror], accept_loss=True, rehearse=True).vault
        assert found(vault) == [b"a", None, None]
        for attempt in writers:
            with pytest.raises(Stopped, match="a rehearsal writes nothing"):
                attempt(vault)
        assert not vault.stopped
        vault.close()
        vault.close()
        assert vault.stopped
    after = filled.bytes()
    assert {name: after[name] for name in before} == before
    with filled.opened() as vault:
        assert vault.started_with == ()


def test_the_wrong_passphrase_is_called_that(filled: Place) -> None:
    """And not "no source is of the slots' epoch", which would send people after older backups."""
    with filled.keeping() as keeping:
        slot, _ = keeping.slots[0]
        slot.stage(2, bytes(16), keep=1, lock=lock_of(NEW))
    with (
        fresh(filled, NEW) as keeping,
        source(filled) as mirror,
        pytest.raises(WrongPassphrase, match="the old passphrase"),
    ):
        restore_vault(keeping, [mirror], accept_loss=True)


def test_a_slot_that_the_source_does_not_know(filled: Place) -> None:
    slot, _ = filled.make_slot(1)
    slot.stage(1, bytes(16), keep=0, lock=None)
    with fresh(filled) as keeping, source(filled) as mirror, pytest.raises(SlotUnknown):
        restore_vault(keeping, [mirror], accept_loss=False)
