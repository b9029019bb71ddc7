"""The two storages of a vault's pages, both SQLCipher files.

`Mirror` keeps pages and log, on another medium. `Store` keeps the blobs and the audit chain too.
Both do what `keys.pages.Pages` says; tests/contracts holds them to it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import sqlcipher3

from crypto.aead import Sealed
from keys.entry import EntryId
from keys.errors import VersionConflict
from keys.log import LogSource
from keys.page import VaultId, Version
from keys.pages import BlobChange, Change, SlotId, StoredRoot
from lookup.custodian.store.chain import AuditChain
from lookup.custodian.store.cosigned import CosignedCheckpoints
from lookup.custodian.store.database import Database
from lookup.custodian.store.log import Log

# What SQLite gives back; the schema is STRICT, so each column has the type it was made with.
Row = tuple[Any, ...]


class Mirror:
    """Pages and log in a SQLCipher file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.log: Log = Log(database)

    def root(self) -> StoredRoot | None:
        """Return the root with its wraps, or None."""
        rows = self._rows("SELECT vault, epoch, sequence, sealed FROM root")
        if not rows:
            return None
        vault, epoch, sequence, sealed = rows[0]
        wraps = {
            SlotId(slot): Sealed(wrap) for slot, wrap in self._rows("SELECT slot, sealed FROM wrap")
        }
        return StoredRoot(VaultId(vault), Version(epoch, sequence), Sealed(sealed), wraps)

    def page(self, number: int) -> Sealed | None:
        """Return a page's bytes, or None."""
        rows = self._rows("SELECT sealed FROM page WHERE number = ?", (number,))
        return Sealed(rows[0][0]) if rows else None

    def span(self, numbers: range) -> dict[int, Sealed]:
        """Return the pages with these numbers."""
        within = "SELECT number, sealed FROM page WHERE number >= ? AND number < ?"
        return dict(self._rows(within, (numbers.start, numbers.stop)))

    def pages(self) -> Iterator[tuple[int, Sealed]]:
        """Yield all pages by number."""
        with self._database.reading() as connection:
            yield from connection.execute("SELECT number, sealed FROM page ORDER BY number")

    def commit(self, change: Change, blobs: BlobChange) -> None:
        """Make a change durable if the file is where the change began."""
        leaves = self.log.appending(change.log, anew=change.log_anew)
        with self._database.transaction() as connection:
            _write_root(connection, change)
            _write_pages(connection, change)
            self.log.write(connection, leaves, anew=change.log_anew)
            self._write_blobs(connection, blobs)
        self.log.stand_on(leaves, anew=change.log_anew)

    def take_log(self, source: LogSource, *, anew: bool = False) -> None:
        """Make the log equal to another."""
        self.log.take(source, anew=anew)

    def _write_blobs(self, connection: sqlcipher3.Connection, blobs: BlobChange) -> None:
        """Leave the blobs aside: a mirror has none."""

    def checkpoint(self) -> None:
        """Sync; see Database.checkpoint."""
        self._database.checkpoint()

    def repair(self, number: int, sealed: Sealed) -> None:
        """Put back a page's bytes."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO page (number, sealed) VALUES (?, ?)", (number, sealed)
            )

    def replace(self, root: StoredRoot, pages: Iterable[tuple[int, Sealed]]) -> None:
        """Hold exactly this tree."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM page")
            connection.executemany("INSERT INTO page (number, sealed) VALUES (?, ?)", pages)
            connection.execute("DELETE FROM root")
            _insert_root(connection, root)
            _write_wraps(connection, root)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> list[Row]:
        with self._database.reading() as connection:
            rows: list[Row] = connection.execute(statement, values).fetchall()
        return rows


class Store(Mirror):
    """Pages, log, blobs and the audit chain in a SQLCipher file."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.audit = AuditChain(database)
        self.cosigned = CosignedCheckpoints(database)

    def blob(self, record_id: EntryId, version: int) -> Sealed | None:
        """Return a blob's ciphertext, or None."""
        rows = self._rows(
            "SELECT sealed FROM blob WHERE id = ? AND version = ?", (record_id, version)
        )
        return Sealed(rows[0][0]) if rows else None

    def blob_names(self) -> Iterator[tuple[EntryId, int]]:
        """Yield id and version of every blob."""
        yield from self._database.connection.execute("SELECT id, version FROM blob")

    def _write_blobs(self, connection: sqlcipher3.Connection, blobs: BlobChange) -> None:
        # "OR REPLACE": an intent that is carried out again may find its blobs already there.
        connection.executemany(
            "INSERT OR REPLACE INTO blob (id, version, sealed) VALUES (?, ?, ?)", sorted(blobs.put)
        )
        connection.executemany("DELETE FROM blob WHERE id = ? AND version = ?", blobs.delete)


def _write_root(connection: sqlcipher3.Connection, change: Change) -> None:
    """Compare and swap: two custodians on one store cannot both succeed."""
    root, before = change.root, change.before
    if before.sequence == 0:
        if connection.execute("SELECT 1 FROM root").fetchone():
            raise VersionConflict("expected an empty storage, it holds a vault")
        _insert_root(connection, root)
    else:
        done = connection.execute(
            "UPDATE root SET epoch = ?, sequence = ?, sealed = ?"
            " WHERE vault = ? AND epoch = ? AND sequence = ?",
            (*root.version, root.sealed, root.vault, *before),
        )
        if done.rowcount != 1:
            raise VersionConflict(f"expected the storage at {before.epoch}.{before.sequence}")
    if root.version.epoch != before.epoch:
        _write_wraps(connection, root)


def _insert_root(connection: sqlcipher3.Connection, root: StoredRoot) -> None:
    connection.execute(
        "INSERT INTO root (only, vault, epoch, sequence, sealed) VALUES (1, ?, ?, ?, ?)",
        (root.vault, *root.version, root.sealed),
    )


def _write_wraps(connection: sqlcipher3.Connection, root: StoredRoot) -> None:
    connection.execute("DELETE FROM wrap")
    connection.executemany(
        "INSERT INTO wrap (slot, sealed) VALUES (?, ?)", list(root.wraps.items())
    )


def _write_pages(connection: sqlcipher3.Connection, change: Change) -> None:
    # Sorted, as the blobs are: neighbours share a page of the file while it is at hand.
    pages = sorted(change.pages.items())
    written = [(number, sealed) for number, sealed in pages if sealed is not None]
    gone = [(number,) for number, sealed in pages if sealed is None]
    connection.executemany("INSERT OR REPLACE INTO page (number, sealed) VALUES (?, ?)", written)
    connection.executemany("DELETE FROM page WHERE number = ?", gone)
