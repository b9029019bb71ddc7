"""Accidents: the process dies at the n-th point at which something reaches a medium.

A disk whose writes tear, databases and storages whose commits are cut off before, inside and
after. Whatever a storage is handed is written into a book first, also what never gets durable:
the time traveller may have seen it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlcipher3

from crypto.aead import Sealed
from keys.disk import Disk
from keys.pages import BlobChange, Change, StoredRoot
from lookup.custodian.store.database import Database
from lookup.custodian.store.pages import Mirror, Store
from lookup.demo.recover import Blob, Evidence, Root, Wrap


class Crash(BaseException):
    """The process is no more. Not an Exception: nothing may handle it."""


class Accidents:
    """Counts the points passed, and crashes at the one that was asked for."""

    def __init__(self) -> None:
        self.left = 0

    def point(self) -> None:
        """Crash here, if this is the point."""
        if self.due():
            raise Crash

    def due(self) -> bool:
        """Say whether this is the point, for whoever wants to do damage first."""
        self.left -= 1
        return self.left == 0

    def after(self, points: int) -> None:
        """Crash at the n-th point from now; 0: never."""
        self.left = points


class TearingDisk(Disk):
    """Writes can fail to begin, tear in the middle, or be the last thing that is done."""

    def __init__(self, accidents: Accidents) -> None:
        self._accidents = accidents

    def create(self, path: Path, data: bytes) -> None:
        super().create(path, data)
        self._accidents.point()

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        self._accidents.point()
        if self._accidents.due():
            super().overwrite(path, offset, data[: len(data) // 2])
            raise Crash
        super().overwrite(path, offset, data)
        self._accidents.point()


class CutOffDatabase(Database):
    """Transactions can be cut off right before their COMMIT."""

    accidents: Accidents

    @contextmanager
    def transaction(self) -> Iterator[sqlcipher3.Connection]:
        with super().transaction() as connection:
            yield connection
            self.accidents.point()


class Book:
    """Every sealed value that any storage was ever handed."""

    def __init__(self) -> None:
        self.evidence = Evidence()

    def note_root(self, root: StoredRoot) -> None:
        vault, version = root.vault, root.version
        self.evidence.roots.add(Root(vault, *version, root.sealed))
        for slot, sealed in root.wraps.items():
            self.evidence.wraps.add(Wrap(vault, version.epoch, slot, sealed))

    def note_page(self, number: int, sealed: Sealed) -> None:
        self.evidence.pages[number].add(sealed)

    def note(self, change: Change, blobs: BlobChange) -> None:
        self.note_root(change.root)
        for number, sealed in change.pages.items():
            if sealed is not None:
                self.note_page(number, sealed)
        self.evidence.blobs |= {Blob(*blob) for blob in blobs.put}


class RecordedMirror(Mirror):
    """A mirror that writes down what it is handed, and can be cut off around each commit."""

    book: Book
    accidents: Accidents

    def commit(self, change: Change, blobs: BlobChange) -> None:
        self.book.note(change, blobs)
        self.accidents.point()
        super().commit(change, blobs)
        self.accidents.point()

    def checkpoint(self) -> None:
        self.accidents.point()
        super().checkpoint()

    def repair(self, number: int, sealed: Sealed) -> None:
        self.book.note_page(number, sealed)
        super().repair(number, sealed)

    def replace(self, root: StoredRoot, pages: Iterable[tuple[int, Sealed]]) -> None:
        kept = list(pages)
        self.book.note_root(root)
        for number, sealed in kept:
            self.book.note_page(number, sealed)
        self.accidents.point()
        super().replace(root, kept)
        self.accidents.point()


class RecordedStore(RecordedMirror, Store):
    """The same with blobs."""
