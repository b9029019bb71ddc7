"""One SQLCipher file: how it is opened, and which schema it has.

Invariants:

* WAL and `synchronous=FULL`: what was committed is on the medium.
* One connection, used by one thread at a time; the module's `threadsafety` is 1.
* The file is never opened by the standard library's `sqlite3`, nor copied, by a process that has
  it open: closing any descriptor of it drops SQLite's locks, and a second SQLite in the process
  deletes the live WAL. Both lose commits.
* The schema's number is `user_version`. Migrations are the numbered files beside this module; a
  file from a newer version of lacuna is refused, unread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

import sqlcipher3

from keys.disk import Disk
from keys.slot.lock import DatabaseKey

MAX_WAL: Final = 64 << 20


class StoreError(Exception):
    """The file is not a vault's, is damaged, or the medium failed; the message says which."""


class MediumFailed(StoreError):
    """The medium failed or is full. What is durable is for the next start to find out."""


class Database:
    """An open SQLCipher file with the current schema."""

    def __init__(self, path: Path, key: DatabaseKey) -> None:
        self.path = path
        if not path.exists():
            Disk().make_folder(path.parent)
            path.touch(mode=0o600)
        try:
            self._connection = _connect(path, key)
            migrate(self._connection)
        except sqlcipher3.OperationalError as error:
            raise MediumFailed(f"{path} does not open: {error}") from None
        except sqlcipher3.DatabaseError as error:
            raise StoreError(f"{path} does not open: {error}") from None
        # The names of file and WAL. SQLite syncs them too, but not when that fails.
        Disk().sync_folder(path.parent)

    @property
    def connection(self) -> sqlcipher3.Connection:
        """For the statements of this package."""
        return self._connection

    @contextmanager
    def reading(self) -> Iterator[sqlcipher3.Connection]:
        """Read. Raises StoreError for a file that SQLCipher cannot make sense of any more."""
        try:
            yield self._connection
        except sqlcipher3.DatabaseError as error:
            raise StoreError(f"{self.path} cannot be read ({error}): see lacuna restore") from None

    @contextmanager
    def transaction(self) -> Iterator[sqlcipher3.Connection]:
        """Commit what is done inside, or roll all of it back. Raises MediumFailed."""
        with self._failing():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        if self.path.with_name(f"{self.path.name}-wal").stat().st_size > MAX_WAL:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Move what readers allow from the WAL into the file; the rest is synced in the WAL."""
        with self._failing():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlcipher3.Error as error:
            raise MediumFailed(f"{self.path}: {error}") from None

    def close(self) -> None:
        """Close; the last connection also empties the WAL."""
        self._connection.close()


def connect(path: Path, key: DatabaseKey, mode: str = "rwc") -> sqlcipher3.Connection:
    """Open a file with its key, in a mode of SQLite's URIs; its journal stays as it is."""
    connection = sqlcipher3.connect(
        uri(path, mode), uri=True, isolation_level=None, check_same_thread=False
    )
    # First of all: a wrong key must not write lines of its own to stderr.
    connection.execute("PRAGMA cipher_log_level = NONE")
    # A page's HMAC costs a third of a write with SQLCipher's own SHA-512; processors have
    # instructions for SHA-256. A default of the process, so that attached files have it too.
    connection.execute("PRAGMA cipher_default_hmac_algorithm = HMAC_SHA256").fetchall()
    connection.execute(f'PRAGMA key = "{key_clause(key)}"')
    connection.execute("PRAGMA busy_timeout = 5000")
    # FAST: zeroes what it writes anyway. All rows are sealed, so what a deleted one leaves behind
    # is covered by the destroyed keys; ON costs 10 us a row.
    connection.execute("PRAGMA secure_delete = FAST").fetchall()
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def uri(path: Path, mode: str) -> str:
    """Return the name by which SQLite opens a file, whatever characters its path has."""
    return f"{path.absolute().as_uri()}?mode={mode}"


def key_clause(key: DatabaseKey) -> str:
    """Return the key as SQLCipher takes it when it is not to be stretched."""
    return f"x'{key.expose().hex()}'"


def _connect(path: Path, key: DatabaseKey) -> sqlcipher3.Connection:
    connection = connect(path, key)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    # With SQLite's own 2 MB, an import batch spills its pages to the WAL again and again, and
    # checkpoints ten times: 61 us a row against 11 for blobs (bench/importing.py).
    connection.execute("PRAGMA cache_size = -65536")
    # SQLite's own checkpoints swallow errors; a WAL that is begun anew is cut to this size, so
    # that a larger one is one that is full.
    connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    connection.execute(f"PRAGMA journal_size_limit = {MAX_WAL}").fetchall()
    return connection


def migrations() -> list[str]:
    """Return the statements of each schema version, the first one first."""
    folder = files("lookup.custodian.store") / "schema"
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(folder / name).read_text() for name in found]


def migrate(connection: sqlcipher3.Connection, steps: list[str] | None = None) -> None:
    """Bring a file to the current schema, each step in a transaction of its own."""
    steps = migrations() if steps is None else steps
    (at,) = connection.execute("PRAGMA user_version").fetchone()
    if at > len(steps):
        raise StoreError(f"the store has schema {at}, this version of lacuna knows {len(steps)}")
    for number, statements in enumerate(steps[at:], start=at + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{statements}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
