"""G4, G6: a damaged page comes back from the mirror; what is damaged in both is said so."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.aead import Sealed
from keys.entry import Entry, Kind, Put, Remove
from keys.errors import PageDamaged
from keys.opening import open_vault
from keys.page import Position
from keys.pages import NO_BLOBS
from lookup.custodian.store.pages import Mirror
from tests.keys.disks import Accidents
from tests.keys.site import Place, Watched, make_place, record

A, B = record(b"a", 7), record(b"b", 9)


def damage(pages: Mirror, number: int) -> None:
    """Flip a bit."""
    sealed = pages.page(number)
    assert sealed is not None
    pages.repair(number, Sealed(sealed[:-1] + bytes((sealed[-1] ^ 1,))))


@pytest.fixture(params=[1, 2])
def filled(request: pytest.FixtureRequest, folder: Path) -> Place:
    return make_place(folder / "site", depth=request.param, first=(Put(A), Put(B)))


def numbers(place: Place, entry: Entry) -> list[int]:
    """Return the numbers of the pages on an entry's path, the leaf's last."""
    with place.storages() as (store, _):
        two_levels = max(number for number, _ in store.pages()) > 256
    if not two_levels:
        return [Position(1, entry.id[0]).number]
    leaf = int.from_bytes(entry.id[:2], "big")
    return [Position(1, entry.id[0]).number, Position(2, leaf).number]


def test_a_damaged_page_is_repaired_when_it_is_read(filled: Place) -> None:
    for number in numbers(filled, A):
        with filled.storages() as (store, mirror):
            whole = store.page(number)
            damage(store, number)
        with filled.opened() as vault:
            assert vault.get(Kind.RECORD, A.id) == A
            assert vault.started_with == ()
        with filled.storages() as (store, mirror):
            assert store.page(number) == mirror.page(number) == whole


def test_a_missing_page_is_put_back(filled: Place) -> None:
    number = numbers(filled, A)[-1]
    with filled.storages() as (store, _):
        store._database.connection.execute("DELETE FROM page WHERE number = ?", (number,))
    with filled.opened() as vault:
        vault.commit((Put(replace(A, flags=1)),))
        assert vault.get(Kind.RECORD, A.id) == replace(A, flags=1)


def test_damage_of_the_first_leaf_does_not_stop_a_start(filled: Place) -> None:
    """The vault's own entries lie in it."""
    with filled.storages() as (store, _):
        damage(store, Position(1, 0).number)
    with filled.opened() as vault:
        assert len(list(vault.scan(Kind.SLOT))) == 1


def test_damage_in_both_is_said_so_and_stays_where_it_is(filled: Place) -> None:
    """G4: all other entries are served; whoever reads this page hears *damaged*, not *nothing*."""
    number = numbers(filled, A)[-1]
    with filled.storages() as both:
        for pages in both:
            damage(pages, number)
    with filled.opened() as vault:
        for attempt in (
            lambda: vault.get(Kind.RECORD, A.id),
            lambda: vault.scan_leaf(Kind.RECORD, vault.leaf_of(A.id)),
            lambda: vault.commit((Put(replace(A, body=b"new")),)),
            lambda: vault.commit((Remove(Kind.RECORD, A.id),)),
        ):
            with pytest.raises(PageDamaged, match=f"page {number} does not open"):
                attempt()
        assert not vault.stopped, "nothing was written"
        assert vault.get(Kind.RECORD, B.id) == B
        assert vault.commit((Remove(Kind.RECORD, B.id),)).destruction


def test_a_damaged_root_comes_from_the_mirror(filled: Place) -> None:
    """And is written anew, for a root cannot be put back alone: an epoch change does it."""
    for statement in (
        "UPDATE root SET sealed = zeroblob(length(sealed))",
        "UPDATE wrap SET sealed = zeroblob(length(sealed))",
    ):
        with filled.storages() as (store, _):
            store._database.connection.execute(statement)
        with filled.opened() as vault:
            assert len(vault.started_with) == 1
            assert vault.get(Kind.RECORD, A.id) == A
        with filled.storages() as (store, mirror):
            assert store.root() == mirror.root()
        with filled.opened() as vault:
            assert vault.started_with == ()


def test_damaged_wraps_of_a_store_that_is_ahead(filled: Place) -> None:
    """Wraps live as long as an epoch: those of a mirror that is a commit behind are the same."""
    with filled.keeping() as keeping:
        vault = open_vault(keeping)
        change = vault._state.plan((Put(replace(A, flags=1)),))
        keeping.store.commit(change, NO_BLOBS)
    with filled.storages() as (store, _):
        store._database.connection.execute("UPDATE wrap SET sealed = zeroblob(length(sealed))")
    with filled.opened() as vault:
        assert vault.get(Kind.RECORD, A.id) == replace(A, flags=1)


def test_a_mirror_that_is_damaged_alone_harms_nobody(filled: Place) -> None:
    number = numbers(filled, A)[-1]
    with filled.storages() as (_, mirror):
        damage(mirror, number)
        mirror._database.connection.execute("UPDATE root SET sealed = zeroblob(length(sealed))")
    with filled.opened() as vault:
        assert vault.get(Kind.RECORD, A.id) == A
    with filled.storages() as (store, mirror):
        assert mirror.page(number) == store.page(number)


def test_the_only_whole_page_is_not_overwritten(filled: Place) -> None:
    """A mirror that is behind is filled from the store; not with the store's damage."""
    number = numbers(filled, B)[-1]
    with filled.storages() as (_, mirror):
        root, pages = mirror.root(), dict(mirror.pages())
        assert root is not None
    with filled.opened() as vault:
        vault.commit((Put(replace(A, flags=1)),))
    with filled.storages() as (store, mirror):
        mirror.replace(root, pages.items())
        damage(store, number)
    with filled.opened() as vault:
        assert vault.get(Kind.RECORD, B.id) == B
    with filled.storages() as (store, mirror):
        assert store.root() == mirror.root()
        assert store.page(number) == mirror.page(number) == pages[number]


def test_a_mirror_is_filled_although_a_page_is_damaged_in_both(filled: Place) -> None:
    number = numbers(filled, B)[-1]
    with filled.storages() as (store, mirror):
        root = mirror.root()
        assert root is not None
        damage(store, number)
        older = root.version._replace(sequence=root.version.sequence - 1)
        mirror.replace(replace(root, version=older), ())
    with filled.opened() as vault, pytest.raises(PageDamaged):
        vault.get(Kind.RECORD, B.id)
    with filled.storages() as (store, mirror):
        assert list(mirror.pages()) == list(store.pages())


def test_a_repair_that_fails_stops_the_vault(filled: Place) -> None:
    """After a failed sync, a later commit could succeed and mean nothing."""

    def fail() -> None:
        raise OSError(5, "Input/output error")

    number = numbers(filled, A)[-1]
    with filled.storages() as (store, _):
        damage(store, number)
    accidents = Accidents(fail)
    with filled.keeping() as keeping, closing(open_vault(keeping)) as vault:
        vault._state.store = Watched(keeping.store, accidents)
        accidents.at(1)
        with pytest.raises(OSError, match="Input/output"):
            vault.get(Kind.RECORD, A.id)
        assert vault.stopped
