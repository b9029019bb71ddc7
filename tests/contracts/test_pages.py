"""`keys.pages.Pages`: what every storage of a map's pages does, whatever it is made of."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from crypto.aead import Sealed
from crypto.merkle import Frontier, Hash, leaf_hash
from keys.entry import EntryId
from keys.errors import LogForked, VersionConflict
from keys.log import grown
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


LEAVES = tuple(b"leaf %d" % number for number in range(600))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root as RFC 6962 defines it, recursively."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    if not leaves:
        return sha256().digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def test_a_log_is_empty_at_first(site: Site) -> None:
    assert site.pages.log.size == 0
    assert site.pages.log.root(0) == root_of(())
    assert site.pages.log.root(1) is None
    assert site.pages.log.frontier() == Frontier()
    assert list(site.pages.log.leaves(0)) == []


def test_a_commit_appends_its_leaves(site: Site) -> None:
    """In their order, at once and after the next open; with every former root still known."""
    site.pages.commit(replace(FIRST, log=LEAVES[:1]), NO_BLOBS)
    site.pages.commit(replace(SECOND, log=LEAVES[1:300]), NO_BLOBS)
    site.pages.commit(replace(THIRD, log=LEAVES[300:]), NO_BLOBS)
    for _ in ("at once", "after the next open"):
        log = site.pages.log
        assert log.size == 600
        assert tuple(log.leaves(0)) == LEAVES
        assert tuple(log.leaves(598)) == LEAVES[598:]
        assert log.frontier() == grown(Frontier(), LEAVES)
        for size in (0, 1, 255, 256, 257, 511, 512, 600):
            assert log.root(size) == root_of(LEAVES[:size])
        assert log.root(601) is None
        site.reopen()


def test_a_log_can_begin_anew(site: Site) -> None:
    """In the transaction of the commit that says so."""
    site.pages.commit(replace(FIRST, log=LEAVES), NO_BLOBS)
    assert site.pages.log.root(256) == root_of(LEAVES[:256])
    site.pages.commit(replace(SECOND, log=LEAVES[300:], log_anew=True), NO_BLOBS)
    for _ in ("at once", "after the next open"):
        assert tuple(site.pages.log.leaves(0)) == LEAVES[300:]
        assert site.pages.log.root(256) == root_of(LEAVES[300:556])
        site.reopen()


def test_what_was_not_committed_is_not_in_the_log(site: Site) -> None:
    """Nor in what the storage remembers of it."""
    site.pages.commit(replace(FIRST, log=LEAVES[:2]), NO_BLOBS)
    with pytest.raises(VersionConflict):
        site.pages.commit(replace(THIRD, log=LEAVES[2:]), NO_BLOBS)
    broken: Any = {1: b"new", 2: "not bytes"}
    with pytest.raises(Exception, match="cannot store TEXT"):
        site.pages.commit(replace(SECOND, pages=broken, log=LEAVES[2:]), NO_BLOBS)
    site.pages.commit(replace(SECOND, log=LEAVES[2:3]), NO_BLOBS)
    for _ in ("at once", "after the next open"):
        assert tuple(site.pages.log.leaves(0)) == LEAVES[:3]
        assert site.pages.log.root(3) == root_of(LEAVES[:3])
        site.reopen()


class Leaves:
    """A log that is a list."""

    def __init__(self, leaves: Sequence[bytes], root: bytes | None = None) -> None:
        self._leaves = leaves
        self._root = root
        self.size = len(leaves)

    def root(self, size: int) -> Hash | None:
        """Return the root, or a lie."""
        if self._root is None and size > self.size:
            return None
        return Hash(self._root or root_of(self._leaves[:size]))

    def leaves(self, start: int) -> Iterator[bytes]:
        yield from self._leaves[start:]


BEFORE = {
    "nothing": (),
    "its beginning": LEAVES[:257],
    "all of it": LEAVES,
    "more": (*LEAVES, b"more"),
    "another": (b"another",),
    "another, longer": tuple(b"another %d" % n for n in range(1200)),
}


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_a_log_is_taken_from_another(site: Site, before: tuple[bytes, ...], *, anew: bool) -> None:
    site.pages.commit(replace(FIRST, log=before), NO_BLOBS)
    site.pages.take_log(Leaves(LEAVES), anew=anew)
    for _ in ("at once", "after the next open"):
        assert tuple(site.pages.log.leaves(0)) == LEAVES
        assert [site.pages.log.root(n) for n in (256, 600)] == [
            root_of(LEAVES[:256]),
            root_of(LEAVES),
        ]
        assert site.pages.log.root(601) is None
        site.reopen()
    assert site.pages.root() == FIRST.root
    site.pages.commit(replace(SECOND, log=(b"next",)), NO_BLOBS)
    assert tuple(site.pages.log.leaves(599)) == (LEAVES[599], b"next")


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_a_log_that_is_not_its_roots_is_not_taken(site: Site, before: tuple[bytes, ...]) -> None:
    """Not even its beginning."""
    site.pages.commit(replace(FIRST, log=before), NO_BLOBS)
    with pytest.raises(LogForked, match="not its root's"):
        site.pages.take_log(Leaves(LEAVES, bytes(32)))
    for _ in ("at once", "after the next open"):
        assert tuple(site.pages.log.leaves(0)) == before
        assert site.pages.log.root(len(before)) == root_of(before)
        site.reopen()
