"""The few calls that the service uses, and that none of them can do half of what it says."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.aead import Sealed
from keys.entry import OWN, Entry, EntryId, Kind, Put, Remove, new_entry_id
from keys.errors import (
    AnchorLost,
    EntryMissing,
    MirrorBehind,
    NoSlotOpens,
    OtherVault,
    Stopped,
    VersionConflict,
)
from keys.opening import Keeping, create_vault, new_vault_id, open_vault, slot_entry
from keys.pages import BlobChange
from keys.vault import Vault
from lookup.custodian.store.pages import Store
from tests.keys.disks import Accidents, crash
from tests.keys.site import OLD, Place, Watched, lock_of, make_place, record

A, B = record(b"a", 1), record(b"b", 2)
BLOB = BlobChange(put=((A.id, 1, Sealed(b"payload")),))


def test_what_is_put_is_found(place: Place) -> None:
    client = Entry(Kind.CLIENT, new_entry_id(Kind.CLIENT), b"client")
    with place.opened() as vault:
        receipt = vault.commit((Put(A), Put(B), Put(client)))
        assert receipt.destruction is None, "adding takes nothing away"
        assert receipt.version == vault.version
        assert vault.get(Kind.RECORD, A.id) == A
        assert vault.get(Kind.CLIENT, A.id) is None
        assert vault.get(Kind.RECORD, new_entry_id(Kind.RECORD)) is None
        assert list(vault.scan(Kind.CLIENT)) == [client]
        assert vault.scan_leaf(Kind.RECORD, vault.leaf_of(B.id)) == [B]
        assert vault.scan_bodies(Kind.RECORD, range(vault.leaves)) == [
            (each.id, each.body) for each in (A, B)
        ]
        assert vault.leaves == 256
        assert vault.id == place.vault
    with place.opened() as vault:
        assert vault.get(Kind.RECORD, B.id) == B


@pytest.mark.parametrize("depth", [1, 2])
def test_a_vault_has_the_depth_it_was_made_with(folder: Path, depth: int) -> None:
    place = make_place(folder / "deep", depth=depth, first=(Put(A),))
    with place.opened() as vault:
        assert vault.leaves == 256**depth
        assert vault.get(Kind.RECORD, A.id) == A


@pytest.mark.parametrize("depth", [1, 2])
def test_gathered_kinds_are_walked_without_the_records(folder: Path, depth: int) -> None:
    """All of them lie in the first 1/256 of the leaves."""
    steps = [Entry(Kind.STEP, new_entry_id(Kind.STEP), b"%d" % n) for n in range(50)]
    case = Entry(Kind.CASE, new_entry_id(Kind.CASE), b"case")
    place = make_place(folder / "deep", depth=depth, first=tuple(map(Put, (A, case, *steps))))
    with place.opened() as vault:
        assert {vault.leaf_of(step.id) < vault.leaves // 256 for step in steps} == {True}
        assert sorted(vault.scan(Kind.STEP), key=lambda e: e.id) == sorted(
            steps, key=lambda e: e.id
        )
        assert list(vault.scan(Kind.CASE)) == [case]
        assert vault.get(Kind.STEP, steps[0].id) == steps[0]


def test_unpinned_kinds_cannot_be_scanned_in_one_leaf(place: Place) -> None:
    """G4: whoever built an index from the first leaf would answer *no record* for the rest."""
    with place.opened() as vault, pytest.raises(ValueError, match="use scan_leaf"):
        vault.scan(Kind.RECORD)


@pytest.mark.parametrize("kind", sorted(OWN))
@pytest.mark.parametrize("put", [True, False])
def test_what_keeps_the_vault_alive_is_out_of_reach(place: Place, kind: Kind, *, put: bool) -> None:
    entry = Entry(kind, new_entry_id(kind), b"")
    step = Put(entry) if put else Remove(kind, entry.id)
    with place.opened() as vault, pytest.raises(ValueError, match="the vault's own"):
        vault.commit((step,))


@pytest.mark.parametrize(
    ("change", "forgets"),
    [
        ((Put(replace(A, flags=3)),), False),
        ((Put(replace(A, version=9)),), False),
        ((Put(A),), False),
        ((Put(B),), False),
        ((Put(replace(A, body=b"new")),), True),
        ((Remove(Kind.RECORD, A.id),), True),
        ((Put(B), Remove(Kind.RECORD, B.id)), True),
    ],
)
def test_the_removal_rule(place: Place, change: tuple[Put | Remove, ...], *, forgets: bool) -> None:
    """G1: an epoch change if, and only if, something must be forgotten."""
    with place.opened() as vault:
        vault.commit((Put(A),))
        before = vault.version
        receipt = vault.commit(change)
        assert (receipt.destruction is not None) == forgets
        assert vault.version.epoch - before.epoch == forgets
        assert vault.version.sequence > before.sequence


def test_a_blob_that_goes_is_forgotten_too(place: Place) -> None:
    with place.keeping() as keeping, closing(open_vault(keeping)) as vault:
        vault.commit((Put(A),), BLOB)
        receipt = vault.commit((), BlobChange(delete=((A.id, 1),)))
        assert receipt.destruction is not None
        assert isinstance(keeping.store, Store)
        assert list(keeping.store.blob_names()) == []


def test_what_cannot_be_removed_is_said_before_anything_is_written(place: Place) -> None:
    """An intent that can never be carried out would end the vault's life."""
    with place.opened() as vault:
        before = vault.version
        with pytest.raises(EntryMissing, match="no such RECORD entry"):
            vault.commit((Put(A), Remove(Kind.RECORD, B.id)), BLOB)
        assert vault.version == before
        assert vault.get(Kind.RECORD, A.id) is None
        assert not vault.stopped


def test_an_entry_that_comes_and_goes_in_one_batch(place: Place) -> None:
    with place.opened() as vault:
        vault.commit((Put(A), Remove(Kind.RECORD, A.id), Put(B)))
        assert (vault.get(Kind.RECORD, A.id), vault.get(Kind.RECORD, B.id)) == (None, B)


def test_a_destruction_says_what_was_shown(two_slots: Place) -> None:
    with two_slots.keeping() as keeping, closing(open_vault(keeping)) as vault:
        vault.commit((Put(A),))
        done = vault.commit((Remove(Kind.RECORD, A.id),)).destruction
        assert done is not None
        assert (done.epoch, done.time) == (vault.version.epoch, 1_000)
        assert set(done.confirmed) == {(slot.id, "D") for slot, _ in keeping.slots}
        assert done.lagging == done.lost == ()
        assert {key.intent for slot, _ in keeping.slots for key in slot.held()} == {done.intent}


def test_answers_are_withdrawn_between_decision_and_destruction(place: Place) -> None:
    """The intent is durable in store and mirror; no slot has been touched."""
    seen = []
    with place.keeping() as keeping, closing(open_vault(keeping)) as vault:
        vault.commit((Put(A),))
        before = keeping.slots[0][0].held()

        def withdraw() -> None:
            roots = [pages.root() for pages in (keeping.store, keeping.mirror)]
            seen.append((len(list(vault.scan(Kind.INTENT))), keeping.slots[0][0].held()))
            assert roots[0] == roots[1]

        vault.commit((Remove(Kind.RECORD, A.id),), withdraw=withdraw)
        vault.commit((Put(A),), withdraw=withdraw)
    assert seen == [(1, before)]


def test_a_removal_that_could_not_be_withdrawn_is_finished_at_the_next_start(place: Place) -> None:
    """It was decided; the vault stops, for answers may still leave."""

    def withdraw() -> None:
        raise TimeoutError

    with place.keeping() as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A),))
        with pytest.raises(TimeoutError):
            vault.commit((Remove(Kind.RECORD, A.id),), withdraw=withdraw)
        assert vault.stopped
        with pytest.raises(Stopped):
            vault.get(Kind.RECORD, A.id)
        vault.close()
    with place.opened() as vault:
        assert len(vault.started_with) == 1
        assert vault.get(Kind.RECORD, A.id) is None


WRITERS: dict[str, Callable[[Vault], object]] = {
    "commit": lambda vault: vault.commit((Put(A),)),
    "removal": lambda vault: vault.commit((), BlobChange(delete=((A.id, 1),))),
    "purge": Vault.purge,
    "lock": lambda vault: vault.change_lock(lock_of(OLD)),
    "read": lambda vault: vault.get(Kind.RECORD, A.id),
    "scan": lambda vault: vault.scan(Kind.CLIENT),
    "lagging": lambda vault: vault.lagging,
    "lost": lambda vault: vault.lost,
}


@pytest.mark.parametrize("attempt", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("end", [Vault.stop, Vault.close])
def test_a_vault_that_ended_does_nothing_more(
    place: Place, attempt: Callable[[Vault], object], end: Callable[[Vault], None]
) -> None:
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        end(vault)
        before = keeping.store.root()
        with pytest.raises(Stopped, match="start it again"):
            attempt(vault)
        assert vault.stopped
        assert keeping.store.root() == before


@pytest.mark.parametrize("point", range(1, 7))
def test_a_failed_write_stops_the_vault(place: Place, point: int) -> None:
    """Fail-stop: what is durable is unknown, and only a new start can tell."""

    def fail() -> None:
        raise OSError(5, "Input/output error")

    accidents = Accidents(fail)
    with place.keeping(accidents=accidents) as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A),))
        accidents.at(point)
        with pytest.raises(OSError, match="Input/output"):
            vault.commit((Remove(Kind.RECORD, A.id),))
        with pytest.raises(Stopped):
            vault.commit((Put(B),))
        before = place.slots()[0].joinpath("anchor").read_bytes()
        vault.close()
        assert place.slots()[0].joinpath("anchor").read_bytes() == before, "nothing ended well"
    with place.opened() as vault:
        assert vault.started_with
        assert vault.get(Kind.RECORD, B.id) is None


def test_a_mirror_that_lies_is_not_believed(place: Place) -> None:
    """G1: no key is destroyed before the mirror shows the new root."""

    class Lying(Watched):
        def root(self) -> None:
            return None

    with place.keeping() as keeping:
        vault = open_vault(keeping)
        vault._state.mirror = Lying(keeping.mirror, Accidents(crash))
        with pytest.raises(MirrorBehind):
            vault.purge()
        assert len(keeping.slots[0][0].held()) == 2


@pytest.mark.parametrize(
    "change", [(Put(B),), (Remove(Kind.RECORD, A.id),)], ids=["an addition", "a removal"]
)
def test_what_is_acknowledged_is_on_the_anchor(
    place: Place, change: tuple[Put | Remove, ...]
) -> None:
    """A7: whoever puts back a store from before it, is found out."""
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        vault.commit((Put(A),))
        receipt = vault.commit(change)
        anchor = keeping.slots[0][1].load(vault._state.anchor_key)
        assert anchor is not None
        assert (anchor.version, anchor.closed) == (receipt.version, False)


def test_a_commit_that_no_anchor_can_note_is_not_acknowledged(place: Place) -> None:
    """A7: else a store that forgot it could be put back unseen."""
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        (place.slots()[0] / "anchor").unlink()
        with pytest.raises(AnchorLost, match="no anchor can be written"):
            vault.commit((Put(A),))
        assert vault.stopped


def test_a_vault_that_cannot_say_that_it_closed_is_closed_all_the_same(place: Place) -> None:
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        (place.slots()[0] / "anchor").unlink()
        with pytest.raises(AnchorLost):
            vault.close()
        assert vault.stopped
        assert not vault._state.tree._opened.root.any(), "its keys are wiped"
        vault.close()


def test_closing_wipes_what_can_be_wiped(place: Place) -> None:
    with place.keeping() as keeping:
        vault = open_vault(keeping)
        opened = vault._state.tree._opened
        vault.close()
        assert not opened.root.any()


OVERTAKEN: dict[str, Callable[[Vault], object]] = {
    "an addition": lambda vault: vault.commit((Put(record(b"other", 9)),)),
    "an addition beside the other's": lambda vault: vault.commit((Put(record(b"other", 2)),)),
    "a removal": lambda vault: vault.commit((Remove(Kind.RECORD, A.id),)),
    "a purge": Vault.purge,
}


@pytest.mark.parametrize("attempt", OVERTAKEN.values(), ids=OVERTAKEN)
def test_two_custodians_on_one_store(place: Place, attempt: Callable[[Vault], object]) -> None:
    """A7: the one that was overtaken writes nothing, and touches no key."""
    with place.keeping() as one, place.keeping() as two:
        first = open_vault(one)
        first.commit((Put(A),))
        with closing(open_vault(two)) as second:
            second.commit((Put(B),))
            before = [pages.root() for pages in (two.store, two.mirror)], place.bytes()
            with pytest.raises(VersionConflict):
                attempt(first)
            assert ([pages.root() for pages in (two.store, two.mirror)], place.bytes()) == before


def test_a_custodian_that_was_overtaken_says_so_when_it_reads(place: Place) -> None:
    with place.keeping() as one, place.keeping() as two:
        first = open_vault(one)
        first.commit((Put(A),))
        with closing(open_vault(two)) as second:
            second.commit((Put(record(b"neighbour", 1)),))
            with pytest.raises(VersionConflict, match="not where this vault left it"):
                first.get(Kind.RECORD, A.id)


def test_an_idle_moment_is_used(two_slots: Place) -> None:
    with two_slots.opened() as vault:
        vault.prepare()
        assert vault.purge().destruction is not None


def test_a_vault_is_made_in_empty_storages_only(place: Place) -> None:
    before = place.bytes()
    with place.keeping() as keeping, pytest.raises(VersionConflict, match="one holds a vault"):
        create_vault(new_vault_id(), 1, keeping, ["again"], ())
    assert place.bytes() == before


def test_a_vault_needs_a_slot(folder: Path) -> None:
    place = Place(folder / "none", new_vault_id(), make_place(folder / "x").disk)
    with place.storages() as (store, mirror), pytest.raises(NoSlotOpens, match="needs a slot"):
        create_vault(
            place.vault, 1, Keeping(store, mirror, [], lock_of(OLD).database_key, int), [], ()
        )


def test_a_slot_of_another_vault_is_not_added(place: Place, folder: Path) -> None:
    other = Place(folder / "other", new_vault_id(), place.disk)
    slot, anchor = other.make_slot(0)
    with place.opened() as vault, pytest.raises(OtherVault):
        vault.add_slot(slot, anchor, slot_entry(slot, "foreign"))
    ours, ours_anchor = place.make_slot(1)
    with place.opened() as vault, pytest.raises(OtherVault):
        vault.add_slot(ours, ours_anchor, slot_entry(slot, "the entry of another"))


def test_a_labels_length_is_bounded(place: Place) -> None:
    slot, _ = place.make_slot(1)
    assert len(slot_entry(slot, "x" * 10_000).body) == 201
    assert slot_entry(slot, "cellar").id == EntryId(slot.id)
