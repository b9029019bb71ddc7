"""Backups: the store as it stood at one commit, copied while the writer goes on.

    <folder>/backup.db      schema, database key, pages, blobs, audit chain and log of the store
    <folder>/backup.json    whose it is, where it stood and when: readable without any key

One file backs up both storages, for the mirror's pages equal the store's. A slot is never backed
up: an old copy of one, with the passphrase, opens every backup of its epoch.

Invariants:

* It holds sealed rows only: no slot, no passphrase, no key from outside the map.
* One read transaction on the store, one write transaction on the backup. A run that was cut off,
  by an error or by SIGKILL, leaves the backup of before: the next open rolls it back. The JSON is
  replaced afterwards, so it may name the backup before this one, never one that is not there.
* A rollback journal instead of a WAL: a finished backup is one file, and can be carried away.
* Rows that the backup has already are not written again, and what the store forgot is deleted.
* The audit chain and the log are copied on from where the backup's end; a backup with rows or
  entries that the store has lost keeps them, and is not written over.
* The folder is neither inside nor around a folder that it must survive or must not carry along.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import sqlcipher3

from keys.page import VaultId, Version
from keys.slot.lock import DatabaseKey
from lookup.custodian.store.database import StoreError, connect, key_clause, migrate, uri
from lookup.private_file import sync_folder

FILE_NAME: Final = "backup.db"
NOTE_NAME: Final = "backup.json"
_FORMAT: Final = "lacuna-backup/1"
_MAX_NOTE: Final = 4096
# Other threads get their turn between two chunks: 500 rows of 300 bytes take 5 ms.
_CHUNK: Final = 500

Progress = Callable[[int, int], None]


class BackupRefused(StoreError):
    """This folder cannot take this backup; what it holds stays as it is."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a finished backup says of itself. `time` is in seconds since 1970."""

    vault: VaultId
    version: Version
    time: int


class _Note(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    vault: str
    epoch: int
    sequence: int
    time: int


def silent(done: int, total: int) -> None:
    """Nobody watches."""


def back_up(  # noqa: PLR0913  # six facts that only the caller knows, all but two by name
    store: Path,
    key: DatabaseKey,
    *,
    folder: Path,
    apart_from: Iterable[Path],
    clock: Callable[[], int],
    progress: Progress = silent,
) -> Backup:
    """Bring the backup in `folder` up to the store's last commit, and return what it now is.

    `store` is the file, which the calling process may hold open; `apart_from` names the folders of
    store, mirror and slots. `progress` hears of rows done and of all rows; what it raises ends
    the run and leaves the backup of before. Raises BackupRefused or StoreError.
    """
    _refuse_near(folder, apart_from)
    try:
        with closing(_open(folder, key)) as connection:
            connection.execute(
                "ATTACH DATABASE ? AS store KEY ?", (uri(store, "ro"), key_clause(key))
            )
            with _transaction(connection):
                _refuse_other(connection, folder)
                _copy(connection, progress)
            vault, epoch, sequence = _root(connection, "main")
        made = Backup(VaultId(vault), Version(epoch, sequence), clock())
        _write_note(folder, made)
    except (sqlcipher3.DatabaseError, OSError) as error:
        raise StoreError(f"the backup to {folder} failed: {error}") from None
    return made


def read_note(folder: Path) -> Backup | None:
    """Return what the folder's last finished backup says of itself, or None. Raises StoreError."""
    try:
        with (folder / NOTE_NAME).open("rb") as file:
            raw = file.read(_MAX_NOTE + 1)
        note = msgspec.json.decode(raw, type=_Note)
        vault = VaultId(bytes.fromhex(note.vault))
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, ValueError):
        raise StoreError(f"{folder / NOTE_NAME} is not a backup's note") from None
    if note.format != _FORMAT or len(raw) > _MAX_NOTE:
        raise StoreError(f"{folder / NOTE_NAME} is not a note that this version can read")
    return Backup(vault, Version(note.epoch, note.sequence), note.time)


def _refuse_near(folder: Path, others: Iterable[Path]) -> None:
    mine = folder.resolve()
    for other in others:
        theirs = other.resolve()
        if mine.is_relative_to(theirs) or theirs.is_relative_to(mine):
            raise BackupRefused(f"the backup folder {folder} and {other} must lie apart")


def _open(folder: Path, key: DatabaseKey) -> sqlcipher3.Connection:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE_NAME
    path.touch(mode=0o600)
    connection = connect(path, key)
    try:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        # EXTRA syncs the folder too, once the journal is gone: only then is a commit durable.
        connection.execute("PRAGMA synchronous = EXTRA")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlcipher3.Connection) -> Iterator[None]:
    """Begin on both files at once: the store is attached for reading, so no writer waits."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _root(connection: sqlcipher3.Connection, schema: str) -> tuple[bytes, int, int]:
    row = connection.execute(
        f"SELECT vault, epoch, sequence FROM {schema}.root"  # noqa: S608  # our own two names
    ).fetchone()
    return row or (b"", 0, 0)


def _refuse_other(connection: sqlcipher3.Connection, folder: Path) -> None:
    vault, _, sequence = _root(connection, "store")
    backed_up, _, reached = _root(connection, "main")
    if not vault:
        raise BackupRefused("the store holds no vault")
    if backed_up and backed_up != vault:
        raise BackupRefused(f"{folder} holds the backup of another vault")
    if reached > sequence:
        raise BackupRefused(f"{folder} is at sequence {reached}, the store only at {sequence}")
    if not connection.execute(
        "SELECT NOT EXISTS (SELECT 1 FROM main.audit_group) OR EXISTS (SELECT 1 FROM"
        " (SELECT row, head FROM main.audit_group ORDER BY row DESC LIMIT 1) AS ours"
        " JOIN store.audit_group AS theirs ON theirs.row = ours.row AND theirs.head = ours.head)"
    ).fetchone()[0]:
        raise BackupRefused(f"{folder} holds rows of the audit chain that the store has lost")
    if connection.execute(
        "SELECT EXISTS (SELECT 1 FROM main.log_entry AS ours WHERE NOT EXISTS (SELECT 1 FROM"
        " store.log_entry AS theirs WHERE theirs.position = ours.position"
        " AND theirs.leaf = ours.leaf))"
    ).fetchone()[0]:
        raise BackupRefused(f"{folder} holds entries of the log that the store has lost")


def _copy(connection: sqlcipher3.Connection, progress: Progress) -> None:
    """Make the backup's tables equal the store's."""
    (at,) = connection.execute("SELECT coalesce(max(row), 0) FROM main.audit_group").fetchone()
    total = sum(
        connection.execute(f"SELECT count(*) FROM store.{table.name}").fetchone()[0]  # noqa: S608
        for table in _TABLES
    ) + _count_audit(connection, at)
    done = 0
    copies = *(table.copy(connection) for table in _TABLES), _copy_audit(connection, at)
    for chunks in (*copies, _copy_log(connection)):
        for copied in chunks:
            done += copied
            progress(done, total)
    connection.execute("DELETE FROM main.root")
    connection.execute(
        "INSERT INTO main.root (only, vault, epoch, sequence, sealed)"
        " SELECT only, vault, epoch, sequence, sealed FROM store.root"
    )
    connection.execute("DELETE FROM main.wrap")
    connection.execute("INSERT INTO main.wrap (slot, sealed) SELECT slot, sealed FROM store.wrap")


def _count_audit(connection: sqlcipher3.Connection, at: int) -> int:
    (rows,) = connection.execute(
        "SELECT count(*) FROM store.audit_group WHERE row > ?", (at,)
    ).fetchone()
    return int(rows)


def _copy_audit(connection: sqlcipher3.Connection, at: int) -> Iterator[int]:
    """Copy the audit chain on from a row; yield the rows copied in each chunk."""
    connection.execute(
        "INSERT OR IGNORE INTO main.audit_segment (id, header)"
        " SELECT id, header FROM store.audit_segment"
    )
    copied = -1
    while copied:
        copied = connection.execute(
            "INSERT INTO main.audit_group (row, segment, number, head, sealed)"
            " SELECT row, segment, number, head, sealed FROM store.audit_group"
            " WHERE row > ? ORDER BY row LIMIT ?",
            (at, _CHUNK),
        ).rowcount
        (at,) = connection.execute("SELECT coalesce(max(row), 0) FROM main.audit_group").fetchone()
        yield copied


def _copy_log(connection: sqlcipher3.Connection) -> Iterator[int]:
    """Copy the log on from where the backup's ends; yield 0 for each chunk: nobody counts it.

    What witnesses have cosigned goes along.
    """
    copied = -1
    while copied:
        (at,) = connection.execute(
            "SELECT coalesce(max(position), -1) FROM main.log_entry"
        ).fetchone()
        copied = connection.execute(
            "INSERT INTO main.log_entry (position, leaf) SELECT position, leaf FROM store.log_entry"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (at, _CHUNK),
        ).rowcount
        yield 0
    connection.execute(
        "INSERT OR IGNORE INTO main.log_tile (level, number, hashes)"
        " SELECT level, number, hashes FROM store.log_tile"
    )
    connection.execute(
        "INSERT OR REPLACE INTO main.log_cosignature (witness, checkpoint)"
        " SELECT witness, checkpoint FROM store.log_cosignature"
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of sealed rows, and how it is walked. All names in here are of our own schema."""

    name: str
    key: str
    same_key: str
    before_all: tuple[bytes | int, ...]

    def copy(self, connection: sqlcipher3.Connection) -> Iterator[int]:
        """Copy what differs, delete what is gone; yield the rows seen in each chunk."""
        at = self.before_all
        after = f"({self.key}) > ({', '.join('?' * len(at))})"
        until = f"({self.key}) <= ({', '.join('?' * len(at))})"
        while names := connection.execute(
            f"SELECT {self.key} FROM store.{self.name} WHERE {after}"  # noqa: S608
            f" ORDER BY {self.key} LIMIT {_CHUNK}",
            at,
        ).fetchall():
            span = (*at, *names[-1])
            connection.execute(
                f"DELETE FROM main.{self.name} WHERE {after} AND {until} AND ({self.key}) NOT IN"  # noqa: S608
                f" (SELECT {self.key} FROM store.{self.name} WHERE {after} AND {until})",
                span * 2,
            )
            connection.execute(
                f"INSERT OR REPLACE INTO main.{self.name} ({self.key}, sealed)"  # noqa: S608
                f" SELECT {self.key}, sealed FROM store.{self.name} AS theirs"
                f" WHERE {after} AND {until} AND NOT EXISTS (SELECT 1 FROM main.{self.name} AS ours"
                f" WHERE {self.same_key} AND ours.sealed = theirs.sealed)",
                span,
            )
            at = names[-1]
            yield len(names)
        connection.execute(f"DELETE FROM main.{self.name} WHERE {after}", at)  # noqa: S608


_TABLES: Final = (
    _Table("page", "number", "ours.number = theirs.number", (-1,)),
    # Version 0 and the empty id are never used. The ciphertexts are compared too: after a restore
    # a version's number may come back with other content.
    _Table(
        "blob", "id, version", "ours.id = theirs.id AND ours.version = theirs.version", (b"", 0)
    ),
)


def _write_note(folder: Path, made: Backup) -> None:
    note = _Note(_FORMAT, made.vault.hex(), *made.version, made.time)
    new = folder / f"{NOTE_NAME}.new"
    with new.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(note)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / NOTE_NAME)
    sync_folder(folder)
