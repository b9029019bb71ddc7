"""Where pages lie: what a store and a mirror must do, and the change they are given.

Two implementations of `Pages` exist, the store (pages, blobs, log) and the mirror (pages and log,
on another medium). A contract test holds both to this page.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NewType, Protocol

from crypto.aead import Sealed
from keys.entry import EntryId
from keys.log import Log, LogSource
from keys.page import Children, RootKey, VaultId, Version

SlotId = NewType("SlotId", bytes)


@dataclass(frozen=True, slots=True)
class StoredRoot:
    """The root page as it lies in storage, with the root key wrapped once per slot."""

    vault: VaultId
    version: Version
    sealed: Sealed
    wraps: Mapping[SlotId, Sealed]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a change makes of the tree in memory; storage never sees it."""

    root_key: RootKey
    root: Children
    interiors: Mapping[int, Children]

    def all(self) -> Iterator[Children]:
        """Yield root and interior pages."""
        yield self.root
        yield from self.interiors.values()


@dataclass(frozen=True, slots=True)
class Change:
    """One commit, computed: nothing has been written yet.

    `removes` says that something in it must be forgotten, so that only an epoch change may carry
    it (see `keys.epoch`); `pages` maps a page number to its new bytes, or to None: no such page.
    `log` are leaves to append; `log_anew` says that they are all that the log will hold.
    """

    before: Version
    root: StoredRoot
    pages: Mapping[int, Sealed | None]
    removes: bool
    opened: Opened = field(repr=False)
    log: tuple[bytes, ...] = ()
    log_anew: bool = False


@dataclass(frozen=True, slots=True)
class BlobChange:
    """Ciphertexts to add and to delete in the same transaction as a change of the map."""

    put: tuple[tuple[EntryId, int, Sealed], ...] = ()
    delete: tuple[tuple[EntryId, int], ...] = ()


NO_BLOBS = BlobChange()


class PageSource(Protocol):
    """Where single pages are read from."""

    def page(self, number: int) -> Sealed | None:
        """Return a page's bytes, or None."""
        ...

    def span(self, numbers: range) -> dict[int, Sealed]:
        """Return the pages with these numbers that are there: a tenth of the cost of one each."""
        ...


class Pages(PageSource, Protocol):
    """Storage of one map's pages. One writer at a time; reads see the last commit."""

    def root(self) -> StoredRoot | None:
        """Return the root, or None in a storage that never held one."""
        ...

    def pages(self) -> Iterator[tuple[int, Sealed]]:
        """Yield all pages by ascending number."""
        ...

    def commit(self, change: Change, blobs: BlobChange) -> None:
        """Make a change durable, all or nothing. A mirror leaves the blobs aside.

        Raises VersionConflict when the storage is not at `change.before`, or its log is not where
        this storage left it.
        """
        ...

    @property
    def log(self) -> Log:
        """The leaves that commits have appended."""
        ...

    def take_log(self, source: LogSource, *, anew: bool = False) -> None:
        """Make the log equal to another, in one transaction: go on from it, or write all of it.

        `anew` says that nothing of what is here is to be trusted. The leaves are hashed on their
        way. Raises LogForked when they do not give the source's root.
        """
        ...

    def checkpoint(self) -> None:
        """Return once everything committed lies, synced, where the next open reads it."""
        ...

    def repair(self, number: int, sealed: Sealed) -> None:
        """Put back the bytes of a damaged page, as the other storage holds them."""
        ...

    def replace(self, root: StoredRoot, pages: Iterable[tuple[int, Sealed]]) -> None:
        """Make this storage hold exactly this tree, in one transaction, whatever it held.

        The log stays as it is. `pages` comes from another storage: this one's are gone before the
        first is read.
        """
        ...
