"""`keys.pages.Pages`: what every storage of a map's pages does, whatever it is made of."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.aead import Sealed
from keys.entry import EntryId
from keys.errors import VersionConflict
from keys.page import Children, RootKey, VaultId, Version
from keys.pages import NO_BLOBS, BlobChange, Change, Opened, Pages, SlotId, StoredRoot
from lookup.custodian.store.database import Database
from lookup.custodian.store.pages import Mirror, Store
from tests.keys.site import DATABASE_KEY

VAULT = VaultId(b"v" * 16)
SLOT, OTHER_SLOT = SlotId(b"s" * 16), SlotId(b"t" * 16)
OPENED = Opened(RootKey(bytes(32)), Children(), {})
ONE = BlobChange(put=((EntryId(b"r" * 16), 1, Sealed(b"blob")),))


def change(before: Version, after: Version, pages: dict[int, bytes | None]) -> Change:
    wraps = {SLOT: Sealed(b"wrap of epoch %d" % after.epoch)}
    root = StoredRoot(VAULT, after, Sealed(b"root %d" % after.sequence), wraps)
    return Change(before, root, pages, removes=False, opened=OPENED)  # type: ignore[arg-type]  # bytes for Sealed


FIRST = change(Version(0, 0), Version(1, 1), {300: b"c", 1: b"a", 2: b"b"})
SECOND = change(Version(1, 1), Version(1, 2), {2: b"B", 300: None, 4: b"d"})
THIRD = change(Version(1, 2), Version(2, 9), {1: None})


class Site:
    """One storage, closed and opened again at will."""

    def __init__(self, kind: Callable[[Database], Any], path: Path) -> None:
        self._kind, self._path = kind, path
        self._open()

    def _open(self) -> None:
        self._database = Database(self._path, DATABASE_KEY)
        self.pages: Pages = self._kind(self._database)

    def reopen(self) -> Pages:
        self.close()
        self._open()
        return self.pages

    def close(self) -> None:
        self._database.close()


@pytest.fixture(params=[Store, Mirror])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with closing(Site(request.param, tmp_path / "pages.db")) as made:
        yield made


def test_an_empty_storage_holds_nothing(site: Site) -> None:
    assert site.pages.root() is None
    assert site.pages.page(1) is None
    assert list(site.pages.pages()) == []


def test_a_commit_is_there_at_once_and_after_the_next_open(site: Site) -> None:
    site.pages.commit(FIRST, NO_BLOBS)
    for _ in ("at once", "after the next open"):
        assert site.pages.root() == FIRST.root
        assert list(site.pages.pages()) == [(1, b"a"), (2, b"b"), (300, b"c")]
        site.reopen()


def test_commits_follow_each_other(site: Site) -> None:
    """Pages are replaced, removed and left alone; wraps stay for an epoch."""
    for each in (FIRST, SECOND):
        site.pages.commit(each, NO_BLOBS)
    assert site.pages.root() == SECOND.root
    assert [site.pages.page(n) for n in (1, 2, 4, 300)] == [b"a", b"B", b"d", None]
    site.pages.commit(THIRD, NO_BLOBS)
    assert site.pages.root() == THIRD.root
    assert list(site.pages.pages()) == [(2, b"B"), (4, b"d")]


def test_the_wraps_of_another_epoch_are_gone(site: Site) -> None:
    wraps = {SLOT: Sealed(b"one"), OTHER_SLOT: Sealed(b"two")}
    site.pages.commit(replace(FIRST, root=replace(FIRST.root, wraps=wraps)), NO_BLOBS)
    site.pages.commit(change(Version(1, 1), Version(2, 2), {}), NO_BLOBS)
    root = site.pages.root()
    assert root is not None
    assert root.wraps == {SLOT: b"wrap of epoch 2"}


CONFLICTS = {
    "a vault is there already": FIRST,
    "an older commit": replace(THIRD, before=Version(1, 0)),
    "a later commit": THIRD,
    "another epoch": replace(SECOND, before=Version(2, 1)),
    "another vault": replace(SECOND, root=replace(SECOND.root, vault=VaultId(b"w" * 16))),
}


@pytest.mark.parametrize("conflicting", CONFLICTS.values(), ids=CONFLICTS)
def test_two_custodians_cannot_both_write(site: Site, conflicting: Change) -> None:
    """A7: a commit swaps the version that it was planned on, or does nothing at all."""
    site.pages.commit(FIRST, NO_BLOBS)
    with pytest.raises(VersionConflict):
        site.pages.commit(conflicting, ONE)
    assert site.pages.root() == FIRST.root
    assert list(site.pages.pages()) == [(1, b"a"), (2, b"b"), (300, b"c")]
    if isinstance(site.pages, Store):
        assert list(site.pages.blob_names()) == []
    site.pages.commit(SECOND, NO_BLOBS)


def test_a_commit_that_fails_half_way_did_nothing(site: Site) -> None:
    site.pages.commit(FIRST, NO_BLOBS)
    broken: Any = {1: b"new", 2: "not bytes"}
    with pytest.raises(Exception, match="cannot store TEXT"):
        site.pages.commit(replace(SECOND, pages=broken), ONE)
    assert site.pages.root() == FIRST.root
    assert site.pages.page(1) == b"a"
    site.pages.commit(SECOND, NO_BLOBS)


def test_a_checkpoint_returns_when_the_next_open_finds_everything(site: Site) -> None:
    site.pages.commit(FIRST, NO_BLOBS)
    site.pages.checkpoint()
    site.pages.checkpoint()
    assert site.reopen().root() == FIRST.root


def test_a_page_is_put_back(site: Site) -> None:
    site.pages.commit(FIRST, NO_BLOBS)
    site.pages.repair(2, Sealed(b"whole"))
    site.pages.repair(5, Sealed(b"missing"))
    assert list(site.reopen().pages()) == [(1, b"a"), (2, b"whole"), (5, b"missing"), (300, b"c")]
    assert site.pages.root() == FIRST.root


@pytest.mark.parametrize("before", [None, FIRST], ids=["empty", "full"])
def test_a_tree_is_replaced_as_a_whole(site: Site, before: Change | None) -> None:
    """Whatever was there; also another vault's tree."""
    if before:
        site.pages.commit(before, NO_BLOBS)
    root = replace(THIRD.root, vault=VaultId(b"w" * 16))
    site.pages.replace(root, iter([(7, Sealed(b"g")), (8, Sealed(b"h"))]))
    assert site.reopen().root() == root
    assert list(site.pages.pages()) == [(7, b"g"), (8, b"h")]


def test_a_tree_is_replaced_wholly_or_not_at_all(site: Site) -> None:
    def cut_off() -> Iterator[tuple[int, Sealed]]:
        yield 7, Sealed(b"g")
        raise OSError("the source is gone")

    site.pages.commit(FIRST, NO_BLOBS)
    with pytest.raises(OSError, match="the source is gone"):
        site.pages.replace(THIRD.root, cut_off())
    assert site.pages.root() == FIRST.root
    assert list(site.pages.pages()) == [(1, b"a"), (2, b"b"), (300, b"c")]


def test_the_store_keeps_blobs_and_the_mirror_leaves_them_aside(site: Site) -> None:
    """In one transaction with the pages; an intent that is carried out again may put them again."""
    name = (EntryId(b"r" * 16), 1)
    site.pages.commit(FIRST, ONE)
    site.pages.commit(SECOND, ONE)
    if isinstance(site.pages, Store):
        assert list(site.pages.blob_names()) == [name]
        assert site.pages.blob(*name) == b"blob"
        assert site.pages.blob(name[0], 2) is None
    site.pages.commit(THIRD, BlobChange(delete=(name,)))
    if isinstance(site.pages, Store):
        assert site.pages.blob(*name) is None
        assert list(site.pages.blob_names()) == []
