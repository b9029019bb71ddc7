"""The tree: from an entry's id to its page, and from a batch to the pages of its commit.

A fixed-depth radix tree over the first bytes of the entry id: depth 1 gives 256 leaves, depth 2
gives 65,536. No splits, no moves: an entry's leaf follows from its id alone.

Invariants:

* Every page that `plan` writes below the root has a fresh key; a page it does not write keeps key
  and bytes. So what an earlier root page opens and the current one does not is exactly what was
  removed, replaced or aborted.
* `plan` changes nothing: `adopt` does, after the commit. A plan that is dropped leaves no trace.
* The root key and the keys of interior pages stay in memory; leaves are opened one at a time.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Self, TypeVar

from crypto.aead import InvalidCiphertext, Sealed
from keys.entry import Batch, Entry, EntryId, Kind, Put, body_of, decode
from keys.errors import EntryMissing, PageDamaged
from keys.page import (
    FANOUT,
    Children,
    PageKey,
    Position,
    RootKey,
    VaultId,
    Version,
    open_interior,
    open_leaf,
    open_root,
    scan_leaf,
    seal_interior,
    seal_leaf,
    seal_root,
)
from keys.pages import Change, Opened, PageSource, SlotId, StoredRoot

Leaf = dict[bytes, bytes]

T = TypeVar("T")


class Tree:
    """An opened map: reads entries, plans changes."""

    def __init__(self, stored: StoredRoot, opened: Opened, depth: int) -> None:
        self.stored = stored
        self.depth = depth
        self._opened = opened

    @classmethod
    def plant(cls, vault: VaultId, depth: int, root_key: RootKey) -> Self:
        """Return the tree of a vault that holds nothing and was never committed."""
        if depth not in {1, 2}:
            raise ValueError("a tree has one or two levels below its root")
        nothing = StoredRoot(vault, Version(0, 0), Sealed(b""), {})
        return cls(nothing, Opened(root_key, Children(), {}), depth)

    @classmethod
    def open(cls, pages: PageSource, stored: StoredRoot, root_key: RootKey) -> Self:
        """Open root and interior pages. Raises InvalidCiphertext or PageDamaged."""
        depth, root = open_root(root_key, stored.sealed, stored.vault, stored.version)
        interiors: dict[int, Children] = {}
        if depth == 2:
            for index in range(FANOUT):
                key = root.get(index)
                if key is not None:
                    interiors[index] = _open_interior(pages, stored.vault, index, key)
        return cls(stored, Opened(root_key, root, interiors), depth)

    @property
    def version(self) -> Version:
        """Epoch and sequence of the last commit."""
        return self.stored.version

    @property
    def vault(self) -> VaultId:
        """The vault's random id, bound into every page."""
        return self.stored.vault

    @property
    def root_key(self) -> RootKey:
        """What the slots wrap."""
        return self._opened.root_key

    def get(self, pages: PageSource, kind: Kind, entry_id: EntryId) -> Entry | None:
        """Return one entry, or None. Raises PageDamaged."""
        leaf = self.leaf(pages, self.leaf_of(entry_id))
        encoded = leaf.get(entry_id + bytes((kind,)))
        return None if encoded is None else decode(encoded)

    def scan_leaf(self, pages: PageSource, kind: Kind, index: int) -> Iterator[Entry]:
        """Yield the entries of a kind that lie in one leaf: the first for pinned kinds.

        Raises PageDamaged.
        """
        leaf = self.leaf(pages, index)
        return (decode(encoded) for key, encoded in leaf.items() if key[-1] == kind)

    def scan_bodies(
        self, pages: PageSource, kind: Kind, leaves: range
    ) -> list[tuple[EntryId, bytes]]:
        """Return id and body of the entries of a kind in these leaves: for walks over millions."""
        base = Position(self.depth, 0).number
        sealed = pages.span(range(base + leaves.start, base + leaves.stop))
        found: list[tuple[EntryId, bytes]] = []
        for index in leaves:
            scan = partial(scan_leaf, kind=kind)
            found += self._open_leaf(sealed.get(base + index), index, scan) or ()
        return found

    @property
    def leaves(self) -> int:
        """The number of leaves, empty ones included."""
        return FANOUT if self.depth == 1 else FANOUT * FANOUT

    def leaf_of(self, entry_id: EntryId) -> int:
        """Return the index of the leaf that an entry lies in, or would lie in."""
        return int.from_bytes(entry_id[: self.depth], "big")

    def leaf(self, pages: PageSource, index: int) -> Leaf:
        """Return a leaf's encoded entries, in order. Raises PageDamaged."""
        if self._leaf_key(index) is None:
            return {}
        sealed = pages.page(Position(self.depth, index).number)
        return self._open_leaf(sealed, index, open_leaf) or {}

    def _open_leaf(
        self,
        sealed: Sealed | None,
        index: int,
        opened: Callable[[PageKey, bytes, VaultId, Position], T],
    ) -> T | None:
        """Return what a leaf opens to, or None where there is no such leaf."""
        key = self._leaf_key(index)
        if key is None:
            return None
        position = Position(self.depth, index)
        if sealed is None:
            raise PageDamaged(position.number)
        try:
            return opened(key, sealed, self.vault, position)
        except InvalidCiphertext:
            raise PageDamaged(position.number) from None

    def plan(self, pages: PageSource, batch: Batch) -> Change:
        """Return the commit that carries a batch in this epoch.

        Raises PageDamaged, or EntryMissing when the batch removes what is not there.
        """
        version = Version(self.version.epoch, self.version.sequence + 1)
        return self._plan(pages, batch, version, self.root_key, self.stored.wraps)

    def plan_epoch(
        self,
        pages: PageSource,
        batch: Batch,
        root_key: RootKey,
        wraps: Mapping[SlotId, Sealed],
        floor: int = 0,
    ) -> Change:
        """Return the commit that carries a batch into the next epoch, under its root key.

        Its sequence lies above `floor`.
        """
        version = Version(self.version.epoch + 1, max(self.version.sequence, floor) + 1)
        return self._plan(pages, batch, version, root_key, wraps)

    def adopt(self, change: Change) -> None:
        """Stand where a committed change leads; overwrite the interior keys it replaced."""
        before, self._opened = self._opened, change.opened
        self.stored = change.root
        kept = {id(children) for children in self._opened.all()}
        for children in before.all():
            if id(children) not in kept:
                children.wipe()

    def wipe(self) -> None:
        """Overwrite the interior keys. Immutable key objects are beyond reach."""
        for children in self._opened.all():
            children.wipe()

    def _leaf_key(self, index: int) -> PageKey | None:
        if self.depth == 1:
            return self._opened.root.get(index)
        interior = self._opened.interiors.get(index // FANOUT)
        return None if interior is None else interior.get(index % FANOUT)

    def _plan(
        self,
        pages: PageSource,
        batch: Batch,
        version: Version,
        root_key: RootKey,
        wraps: Mapping[SlotId, Sealed],
    ) -> Change:
        leaves, removes = self._apply(pages, batch)
        written: dict[int, Sealed | None] = {}
        fresh = {index: self._write_leaf(index, leaf, written) for index, leaf in leaves.items()}
        root, interiors = self._write_interiors(fresh, written)
        sealed = seal_root(root_key, self.depth, root, self.vault, version)
        return Change(
            before=self.version,
            root=StoredRoot(self.vault, version, sealed, wraps),
            pages=written,
            removes=removes,
            opened=Opened(root_key, root, interiors),
        )

    def _apply(self, pages: PageSource, batch: Batch) -> tuple[dict[int, Leaf], bool]:
        """Return the leaves that a batch changes, as it leaves them, and whether it removes."""
        leaves: dict[int, Leaf] = {}
        removes = False
        for step in batch:
            name = step.entry if isinstance(step, Put) else step
            index, key = self.leaf_of(name.id), name.id + bytes((name.kind,))
            if index not in leaves:
                leaves[index] = self.leaf(pages, index)
            leaf = leaves[index]
            old = leaf.get(key)
            if isinstance(step, Put):
                leaf[key] = step.entry.encode()
                removes |= old is not None and body_of(old) != step.entry.body
            elif old is None:
                raise EntryMissing(f"there is no such {step.kind.name} entry to remove")
            else:
                del leaf[key]
                removes = True
        return leaves, removes

    def _write_leaf(
        self, index: int, leaf: Leaf, written: dict[int, Sealed | None]
    ) -> PageKey | None:
        position = Position(self.depth, index)
        if not leaf:
            written[position.number] = None
            return None
        key = PageKey.generate()
        entries = (leaf[name] for name in sorted(leaf))
        written[position.number] = seal_leaf(key, entries, self.vault, position)
        return key

    def _write_interiors(
        self, fresh: Mapping[int, PageKey | None], written: dict[int, Sealed | None]
    ) -> tuple[Children, Mapping[int, Children]]:
        root = self._opened.root.copy()
        if self.depth == 1:
            for index, key in fresh.items():
                root.set(index, key)
            return root, {}
        interiors = dict(self._opened.interiors)
        touched: dict[int, Children] = {}
        for index, key in fresh.items():
            parent = index // FANOUT
            if parent not in touched:
                old = interiors.get(parent)
                touched[parent] = Children() if old is None else old.copy()
            touched[parent].set(index % FANOUT, key)
        for parent, children in touched.items():
            root.set(parent, self._write_interior(parent, children, written))
            if children.any():
                interiors[parent] = children
            else:
                interiors.pop(parent, None)
        return root, interiors

    def _write_interior(
        self, index: int, children: Children, written: dict[int, Sealed | None]
    ) -> PageKey | None:
        position = Position(1, index)
        if not children.any():
            written[position.number] = None
            return None
        key = PageKey.generate()
        written[position.number] = seal_interior(key, children, self.vault, position)
        return key


def _open_interior(pages: PageSource, vault: VaultId, index: int, key: PageKey) -> Children:
    position = Position(1, index)
    sealed = pages.page(position.number)
    if sealed is None:
        raise PageDamaged(position.number)
    try:
        return open_interior(key, sealed, vault, position)
    except InvalidCiphertext:
        raise PageDamaged(position.number) from None
