"""A7, the operator who rolls back: refused with the right word, and nothing is touched."""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crypto.aead import Sealed
from keys.anchor import Anchor, AnchorFile, AnchorKey
from keys.entry import Kind, Put, Remove
from keys.errors import (
    AnchorLost,
    KeysError,
    NoSlotOpens,
    OtherVault,
    PageDamaged,
    RolledBack,
    SlotUnknown,
)
from keys.opening import open_vault
from keys.page import Position
from keys.vault import Vault
from lookup.custodian.store.pages import Mirror
from tests.keys.site import DATABASE_KEY, Place, make_place, record

A, B = record(b"a", 7), record(b"b", 9)
LEAF_0, LEAF_A = Position(1, 0).number, Position(1, 7).number

Step = Callable[[Vault], object]
STORE, MIRROR, SLOT, ANCHOR = "store", "mirror", "slot-0/slot", "slot-0/anchor"


def add(vault: Vault) -> None:
    vault.commit((Put(record(b"new")), Put(record(b"new", 0))))


def shred(vault: Vault) -> None:
    vault.commit((Remove(Kind.RECORD, A.id),))


def put_back(place: Place, old: Place, *names: str) -> None:
    """Bring back what lay there before."""
    for name in names:
        here, there = place.folder / name, old.folder / name
        if there.is_dir():
            shutil.rmtree(here)
            shutil.copytree(there, here)
        else:
            shutil.copy(there, here)


@dataclass(frozen=True)
class Case:
    """What happens, then what is put back or changed; and how that is refused."""

    change: Callable[[Place, Place], object]
    error: type[KeysError]
    match: str
    steps: tuple[Step, ...] = (add,)
    slots: int = 1
    depth: int = 1


def brings_back(*names: str) -> Callable[[Place, Place], None]:
    return lambda place, old: put_back(place, old, *names)


def root_row(place: Place, old: Place) -> None:
    """The root's row alone is turned back; the mirror is whole."""
    with old.storages() as (store, _):
        root = store.root()
        assert root is not None
    with place.storages() as (store, _):
        store._database.connection.execute(
            "UPDATE root SET epoch = ?, sequence = ?, sealed = ?", (*root.version, root.sealed)
        )


def both_root_rows(place: Place, old: Place) -> None:
    root_row(place, old)
    shutil.copy(place.folder / "store" / "vault.db", place.folder / "mirror" / "mirror.db")


def in_both(change: Callable[[Mirror], None]) -> Callable[[Place, Place], None]:
    """Change store and mirror alike: whoever could repair one has nothing to repair it with."""

    def run(place: Place, _: Place) -> None:
        with place.storages() as both:
            for pages in both:
                change(pages)

    return run


def swap_pages(pages: Mirror) -> None:
    first, second = pages.page(LEAF_0), pages.page(LEAF_A)
    assert first is not None
    assert second is not None
    pages.repair(LEAF_0, second)
    pages.repair(LEAF_A, first)


def damage_root(pages: Mirror) -> None:
    pages._database.connection.execute("UPDATE root SET sealed = zeroblob(length(sealed))")


def damage_wraps(pages: Mirror) -> None:
    pages._database.connection.execute("UPDATE wrap SET sealed = zeroblob(length(sealed))")


def page_of_another_vault(place: Place, old: Place) -> None:
    other = make_place(old.folder.parent / "other")
    with other.storages() as (store, _):
        foreign = store.page(LEAF_0)
        assert foreign is not None
    in_both(lambda pages: pages.repair(LEAF_0, foreign))(place, old)


def an_older_page(place: Place, old: Place) -> None:
    with old.storages() as (store, _):
        older = store.page(LEAF_0)
        assert older is not None
    in_both(lambda pages: pages.repair(LEAF_0, older))(place, old)


def mirror_of_another_vault(place: Place, old: Place) -> None:
    put_back(place, make_place(old.folder.parent / "other"), MIRROR)


def slot_of_another_vault(place: Place, old: Place) -> None:
    other = make_place(old.folder.parent / "other")
    shutil.copytree(other.slot_folder(0), place.slot_folder(1))


def strange_slot(place: Place, _: Place) -> None:
    slot, _anchor = place.make_slot(1)
    slot.stage(1, bytes(16), keep=0, lock=None)


def staged_for_nothing(place: Place, _: Place) -> None:
    slot, _anchor = place.open_slot(place.slot_folder(0))
    slot.stage(2, b"an intent no one", keep=1, lock=None)


def ahead(place: Place, _: Place) -> None:
    with place.storages() as (_store, mirror):
        root = mirror.root()
        assert root is not None
        later = root.version._replace(sequence=root.version.sequence + 1)
        mirror.replace(replace(root, version=later), [(1, Sealed(b"x"))])


def lose_anchor(place: Place, _: Place) -> None:
    (place.folder / ANCHOR).unlink()


def tear_anchor(place: Place, _: Place) -> None:
    path = place.folder / ANCHOR
    raw = bytearray(path.read_bytes())
    raw[30] ^= 1
    raw[4096 + 30] ^= 1
    path.write_bytes(raw)


def forge_anchor(place: Place, _: Place) -> None:
    with place.storages() as (store, _mirror):
        root = store.root()
        assert root is not None
    forged = Anchor(place.vault, root.version, bytes(32), 0, closed=True, serial=99)
    (place.folder / ANCHOR).unlink()
    file = AnchorFile(place.disk, place.slot_folder(0))
    file.create()
    file.store(forged, AnchorKey(DATABASE_KEY.expose()))


def another_history(place: Place, old: Place) -> None:
    """As many commits from the same point, other ones: the anchors saw what this store did not."""
    with old.opened() as vault:
        add(vault)
    put_back(place, old, STORE, MIRROR)


CASES = {
    "the store, within an epoch": Case(brings_back(STORE), RolledBack, "its mirror at"),
    "store and mirror, within an epoch": Case(
        brings_back(STORE, MIRROR), RolledBack, "its anchor at"
    ),
    "store and mirror, across an epoch": Case(
        brings_back(STORE, MIRROR), RolledBack, "a slot has gone on to 2", (shred,)
    ),
    "store, mirror and anchor, across an epoch": Case(
        brings_back(STORE, MIRROR, ANCHOR), RolledBack, "a slot has gone on to 2", (shred,)
    ),
    "store and mirror, across two epochs": Case(
        brings_back(STORE, MIRROR), RolledBack, "a slot has gone on to 3", (shred, Vault.purge)
    ),
    "the store, across an epoch": Case(brings_back(STORE), RolledBack, "its mirror at", (shred,)),
    "store and mirror, with two slots": Case(
        brings_back(STORE, MIRROR), RolledBack, "a slot has gone on to 2", (shred,), slots=2
    ),
    "store and mirror, and one of two slots": Case(
        brings_back(STORE, MIRROR, SLOT), RolledBack, "the store forgot", (shred,), slots=2
    ),
    "the root's row": Case(root_row, RolledBack, "its mirror at"),
    "the root's row, two levels": Case(root_row, RolledBack, "its mirror at", depth=2),
    "the roots' rows of both": Case(both_root_rows, PageDamaged, "page 1 does not open"),
    "an old copy of the only slot": Case(brings_back(SLOT), NoSlotOpens, "holds 1", (shred,)),
    "an old copy of one of two slots": Case(
        brings_back(SLOT), RolledBack, "an old copy of it was put back", (shred,), slots=2
    ),
    "the mirror of another vault": Case(mirror_of_another_vault, OtherVault, "the mirror belongs"),
    "a slot of another vault": Case(slot_of_another_vault, OtherVault, "a slot belongs"),
    "a slot that nobody registered": Case(strange_slot, SlotUnknown, "not registered"),
    "a slot staged for no intent": Case(staged_for_nothing, RolledBack, "the store forgot"),
    "a mirror that is ahead": Case(ahead, RolledBack, "its mirror at"),
    "two pages swapped": Case(in_both(swap_pages), PageDamaged, "page 1 does not open"),
    "an older version of a page": Case(an_older_page, PageDamaged, "page 1 does not open"),
    "a page of another vault": Case(page_of_another_vault, PageDamaged, "page 1 does not open"),
    "the root's page damaged": Case(in_both(damage_root), PageDamaged, "page 0 does not open"),
    "the wraps damaged": Case(in_both(damage_wraps), NoSlotOpens, "no slot at hand opens"),
    "the anchor lost": Case(lose_anchor, AnchorLost, "no anchor verifies"),
    "the anchor torn, both copies": Case(tear_anchor, AnchorLost, "no anchor verifies"),
    "the anchor forged": Case(forge_anchor, AnchorLost, "no anchor verifies"),
    "another history of the same length": Case(another_history, RolledBack, "different content"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_refused_and_nothing_is_touched(case: Case, folder: Path) -> None:
    """Byte for byte; a person decides, and finds everything as it was."""
    place = make_place(folder / "site", slots=case.slots, depth=case.depth, first=(Put(A), Put(B)))
    old = place.copy(folder / "old")
    with place.opened() as vault:
        for step in case.steps:
            step(vault)
    case.change(place, old)
    before = place.bytes()
    with place.keeping() as keeping, pytest.raises(case.error, match=case.match):
        open_vault(keeping)
    assert place.bytes() == before


def test_a_slot_that_lagged_does_not_vouch_for_an_old_store(folder: Path) -> None:
    """It opens what was put back; the other slot knows better."""
    place = make_place(folder / "site", slots=2, first=(Put(A),))
    old = place.copy(folder / "old")
    shutil.move(place.slot_folder(1), place.folder / "away")
    with place.opened() as vault:
        shred(vault)
        vault.purge()
    shutil.move(place.folder / "away", place.slot_folder(1))
    put_back(place, old, STORE, MIRROR)
    before = place.bytes()
    with place.keeping() as keeping, pytest.raises(RolledBack, match="a slot has gone on to 3"):
        open_vault(keeping)
    assert place.bytes() == before


def test_everything_put_back_together_is_the_past_itself(place: Place, folder: Path) -> None:
    """The limit, said in THREAT-MODEL.md: nothing outside remembers that there was more."""
    old = place.copy(folder / "old")
    with place.opened() as vault:
        shred_first = record(b"soon forgotten")
        vault.commit((Put(shred_first),))
        vault.commit((Remove(Kind.RECORD, shred_first.id),))
    put_back(place, old, STORE, MIRROR, SLOT, ANCHOR)
    with place.keeping() as keeping, closing(open_vault(keeping)) as vault:
        assert vault.started_with == ()
