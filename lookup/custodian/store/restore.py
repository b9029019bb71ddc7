"""Restoring: a new store from whatever is left of the old one, and a rehearsal of it.

    pages   of the newest source that the slots at hand open and that opens to its last leaf
    blobs   of any age, from every source; what no key opens any more is left behind
    log     of whichever source, or published folder, has all that was seen of it (store/rescue.py)

A source is the mirror, a backup, or a damaged store.

Invariants:

* A source with a page that does not open is passed over before anything is changed: a restore
  ends with an epoch change, after which no other source opens.
* The new store takes its name when it is whole. A restore that was cut off is repeated with the
  same arguments: the mirror is filled before the epoch changes, and is always one of the sources.
* A rehearsal does the same in a scratch folder and leaves the epoch as it is. It writes to no
  slot, anchor, mirror or source.

It cannot put one tree together from two sources that are damaged in different places.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import sqlcipher3

from crypto.aead import InvalidCiphertext, Sealed
from keys.anchor import AnchorFile, AuditMark
from keys.entry import EntryId
from keys.errors import KeysError, NoSlotOpens, PageDamaged, WrongPassphrase
from keys.log import NOTHING_LOGGED, LogLoss, LogMark
from keys.opening import Keeping, unwrap
from keys.page import Version
from keys.restoring import Restored, restore_vault
from keys.slot import RootSlot
from keys.slot.lock import DatabaseKey
from keys.tree import Tree
from keys.vault import Vault
from lookup.custodian.store.backup import Progress, silent
from lookup.custodian.store.chain import (
    AuditChain,
    ChainBroken,
    Row,
    follow,
    insert_headers,
    insert_rows,
)
from lookup.custodian.store.database import Database, StoreError, connect, migrate
from lookup.custodian.store.pages import Mirror, Store
from lookup.custodian.store.rescue import Rescue
from lookup.private_file import sync_folder

_CHUNK: Final = 500
_UNREADABLE: Final = (StoreError, sqlcipher3.DatabaseError)

BlobName = tuple[EntryId, int]
Wanted = Callable[[Vault], Iterable[BlobName]]


@dataclass(frozen=True, slots=True)
class Held:
    """What is at hand besides the sources: the slots with their anchors, and what a lock gave.

    `published` is the folder into which the log was published, if there is one.
    """

    slots: Sequence[tuple[RootSlot, AnchorFile]]
    database_key: DatabaseKey
    clock: Callable[[], int]
    published: Path | None = None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What came back, and what did not.

    `restored` keys found their blob, `key_without_blob` did not; `blob_without_key` were left
    behind, because what they held has been forgotten. `source` gave the pages; newer ones could
    not, for the reason in `passed_over`. `lost_commits` were acknowledged once and are in no
    source; None: there was no anchor to count them by. `lost_audit` names the rows of the audit
    chain that are in no source; None: nothing can say which. Behind a gap that says as much the
    chain goes on. `log` says how far the log reaches now, and `lost_log` what it had been, where
    no copy has all of it and another has begun.
    """

    restored: int
    key_without_blob: int
    blob_without_key: int
    source: Path
    lost_commits: int | None
    epoch: int
    passed_over: tuple[tuple[Path, str], ...]
    lost_audit: range | None = range(0)
    log: LogMark = NOTHING_LOGGED
    lost_log: LogLoss | None = None


def restore(  # noqa: PLR0913  # where from, where to, with what: all but three by name
    sources: Sequence[Path],
    held: Held,
    wanted: Wanted,
    *,
    store: Path,
    mirror: Path,
    accept_loss: bool,
    progress: Progress = silent,
) -> RestoreReport:
    """Make a new store, fill the mirror, change the epoch, and leave the vault closed.

    `sources`, `store` and `mirror` are files. `wanted` names the blobs that an opened vault has
    keys for. Raises NoSlotOpens when no source is of the slots' epoch, PageDamaged or StoreError
    when those that are do not open to the last leaf, WrongPassphrase when that is the reason,
    RolledBack, AnchorLost or LogLost when commits or entries of the log would be lost, or might be,
    and `accept_loss` does not say that this was decided, StoreError when there is a store already
    or a medium fails.
    """
    if store.exists():
        raise StoreError(f"there is a store at {store}; a restore makes a new one")
    unfinished = store.with_name(f"{store.name}.unfinished")
    _remove(unfinished)
    given = [path for path in sources if path.resolve() != mirror.resolve()]
    if mirror.exists():
        given.insert(0, mirror)
    with _media_errors(), ExitStack() as stack:
        work = _Work(unfinished, mirror, given, held, stack)
        restored, report = work.run(wanted, progress, accept_loss=accept_loss, rehearse=False)
        restored.vault.close()
        work.empty_wal()
    _take_name(unfinished, store)
    return report


def rehearse(
    sources: Sequence[Path],
    held: Held,
    wanted: Wanted,
    *,
    scratch: Path,
    progress: Progress = silent,
) -> RestoreReport:
    """Return what `restore` would report if every loss were accepted. Raises what it raises.

    What an interrupted epoch change still has to remove counts as restored here: a restore
    finishes that change, a rehearsal does not.
    """
    with _media_errors(), ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rehearsal-", dir=scratch)))
        work = _Work(folder / "vault.db", folder / "mirror.db", sources, held, stack)
        restored, report = work.run(wanted, progress, accept_loss=True, rehearse=True)
        restored.vault.close()
    return report


@contextmanager
def _media_errors() -> Iterator[None]:
    """Call it a failure of the medium where the new store or the mirror cannot be written."""
    try:
        yield
    except (sqlcipher3.DatabaseError, OSError) as error:
        raise StoreError(f"the restore failed: {error}") from None


class _Reading(Database):
    """A source. Nothing is written, unless a backup must be rolled back or its schema is old."""

    def __init__(self, path: Path, key: DatabaseKey) -> None:
        self.path = path
        self._key = key
        try:
            self._connection = self._open("ro")
        except sqlcipher3.OperationalError:
            self._connection = self._open("rw")

    def reopen(self) -> None:
        """Read on after damage: SQLCipher refuses everything after a page that does not verify."""
        self._connection.close()
        self._connection = self._open("ro")

    def _open(self, mode: str) -> sqlcipher3.Connection:
        connection = connect(self.path, self._key, mode)
        try:
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


_NO_VAULT: Final = Version(0, 0)


@dataclass(slots=True)
class _Source:
    """A source, and what stands in the way of using its pages, as far as that was tried."""

    path: Path
    database: _Reading | None = None
    version: Version = _NO_VAULT
    trouble: Exception | None = None


class _Work:
    """One restore: a new store, a mirror, and the sources, open."""

    def __init__(
        self, new: Path, mirror: Path, given: Sequence[Path], held: Held, stack: ExitStack
    ) -> None:
        self._new = Database(new, held.database_key)
        stack.callback(self._new.close)
        mirrored = Mirror(Database(mirror, held.database_key))
        stack.callback(mirrored.close)
        self._store = Store(self._new)
        self._keeping = Keeping(
            self._store,
            mirrored,
            held.slots,
            held.database_key,
            held.clock,
            self._store.audit.head,
        )
        self._sources = [self._open(path, stack) for path in given]
        self._published = held.published

    def run(
        self, wanted: Wanted, progress: Progress, *, accept_loss: bool, rehearse: bool
    ) -> tuple[Restored, RestoreReport]:
        """Bring back the tree, then the blobs: an interrupted change may yet name other blobs."""
        source, store = self._newest_whole()
        rescue = self._rescue()
        restored = restore_vault(
            self._keeping, [store], accept_loss=accept_loss, rehearse=rehearse, rescue=rescue
        )
        for witness, note in rescue.cosigned.items():
            self._store.cosigned.keep(witness, note)
        self._bring_audit()
        lost_audit = self._close_gap(restored, rehearse=rehearse)
        found, missing, dropped = self._bring_blobs(source, wanted(restored.vault), progress)
        return restored, RestoreReport(
            restored=found,
            key_without_blob=missing,
            blob_without_key=dropped,
            source=source.path,
            lost_commits=restored.lost_commits if restored.counted else None,
            epoch=restored.vault.version.epoch,
            passed_over=tuple((s.path, str(s.trouble)) for s in self._sources if s.trouble),
            lost_audit=lost_audit,
            log=restored.vault.log,
            lost_log=restored.lost_log,
        )

    def empty_wal(self) -> None:
        """Move everything into the file itself, which is to be renamed."""
        busy, _, _ = self._new.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreError(f"{self._new.path} is in use by someone else")

    def _open(self, path: Path, stack: ExitStack) -> _Source:
        source = _Source(path)
        try:
            source.database = _Reading(path, self._keeping.database_key)
            stack.callback(source.database.close)
            stored = Store(source.database).root()
            source.version = stored.version if stored else source.version
        except _UNREADABLE as error:
            source.trouble = StoreError(f"{path} does not open: {error}")
        return source

    def _rescue(self) -> Rescue:
        """Gather what there is of the log, and what witnesses have said of it."""
        databases = [source.database for source in self._sources if source.database]
        rescue = Rescue(databases, self._published, self._keeping.clock)
        for database in databases:
            database.reopen()  # one that is damaged refuses everything after that
        return rescue

    def _newest_whole(self) -> tuple[_Source, Store]:
        """Return the newest source that opens to the last leaf. Raises what stands in the way."""
        for source in sorted(self._sources, key=lambda source: source.version, reverse=True):
            if source.database and not source.trouble:
                store = Store(source.database)
                try:
                    _open_wholly(store, self._keeping)
                except KeysError as error:
                    source.trouble = error
                except _UNREADABLE as error:
                    source.trouble = StoreError(f"{source.path} is damaged: {error}")
                    source.database.reopen()
                else:
                    return source, store
        raise self._why_none()

    def _why_none(self) -> Exception:
        """Return what a person can do most about: damage, the passphrase, or neither."""
        troubles = [source.trouble for source in self._sources if source.trouble]
        for kind in (PageDamaged, StoreError, WrongPassphrase):
            for trouble in troubles:
                if isinstance(trouble, kind):
                    return trouble
        return NoSlotOpens("no source is of the slots' epoch: each was made before the last change")

    def _bring_audit(self) -> None:
        """Copy the longest chain of the sources, as far as it verifies."""
        for database in (source.database for source in self._sources if source.database):
            sound = _sound_rows(database, self._store.audit.mark())
            while rows := list(islice(sound, _CHUNK)):
                with self._new.transaction() as connection:
                    insert_headers(connection, _read_headers(database, rows))
                    insert_rows(connection, rows)

    def _close_gap(self, restored: Restored, *, rehearse: bool) -> range | None:
        """Mark in the chain what anchors have seen of it and no source has; name those rows."""
        chain, seen = self._store.audit, restored.vault.audit
        at, lost = chain.mark(), range(0)
        if not restored.counted or chain.head(seen.row) != seen.head:
            lost = range(at.row + 1, seen.row + 1) if restored.counted else range(0)
            at = chain.mark_gap(seen if restored.counted else None)
        elif rehearse or at == seen:
            return lost
        if not rehearse:
            restored.vault.note_audit(at)
        return lost or None

    def _bring_blobs(
        self, first: _Source, names: Iterable[BlobName], progress: Progress
    ) -> tuple[int, int, int]:
        """Copy the wanted blobs, from the tree's own source first, then from newer to older."""
        connection = self._new.connection
        for table in ("wanted", "unwanted"):
            connection.execute(
                f"CREATE TEMP TABLE {table} (id BLOB, version INTEGER, PRIMARY KEY (id, version))"
                " WITHOUT ROWID"
            )
        connection.executemany("INSERT OR IGNORE INTO wanted (id, version) VALUES (?, ?)", names)
        (total,) = connection.execute("SELECT count(*) FROM wanted").fetchone()
        found = 0
        order = sorted(self._sources, key=lambda s: (s is first, s.version), reverse=True)
        for database in (source.database for source in order if source.database):
            for missing in self._missing():
                with self._new.transaction():
                    found += connection.executemany(
                        "INSERT INTO blob (id, version, sealed) VALUES (?, ?, ?)",
                        _read_blobs(database, missing),
                    ).rowcount
                progress(found, total)
            self._note_unwanted(Store(database))
        (dropped,) = connection.execute("SELECT count(*) FROM unwanted").fetchone()
        return found, total - found, dropped

    def _missing(self) -> Iterator[list[BlobName]]:
        """Yield the names of wanted blobs that no source has given yet, in chunks."""
        last: BlobName = (EntryId(b""), 0)
        while names := self._new.connection.execute(
            "SELECT w.id, w.version FROM wanted AS w WHERE (w.id, w.version) > (?, ?)"
            " AND NOT EXISTS (SELECT 1 FROM blob AS b WHERE b.id = w.id AND b.version = w.version)"
            " ORDER BY w.id, w.version LIMIT ?",
            (*last, _CHUNK),
        ).fetchall():
            yield names
            last = names[-1]

    def _note_unwanted(self, store: Store) -> None:
        with suppress(*_UNREADABLE):  # a damaged source: the count is what it yields
            self._new.connection.executemany(
                "INSERT OR IGNORE INTO unwanted (id, version) SELECT ?1, ?2 WHERE NOT EXISTS"
                " (SELECT 1 FROM wanted WHERE id = ?1 AND version = ?2)",
                store.blob_names(),
            )


def _open_wholly(store: Store, keeping: Keeping) -> None:
    """Open a source's tree to its last leaf. Raises what says why that is not possible."""
    stored = store.root()
    if stored is None:
        raise NoSlotOpens("it holds no vault")
    try:
        tree = Tree.open(store, stored, unwrap(keeping, stored))
    except InvalidCiphertext:
        raise PageDamaged(0) from None
    for index in range(tree.leaves):
        tree.leaf(store, index)
    tree.wipe()


def _sound_rows(database: _Reading, mark: AuditMark) -> Iterator[Row]:
    """Yield what a source's audit chain has behind this point, as far as it verifies."""
    chain = AuditChain(database)
    try:
        if chain.head(mark.row) == mark.head:
            yield from follow(mark, chain.walk(mark.row))
    except ChainBroken:
        return
    except _UNREADABLE:
        database.reopen()


def _read_headers(database: _Reading, rows: Sequence[Row]) -> dict[bytes, bytes]:
    """Return the headers of these rows' segments, those that a source has and can read."""
    headers = {}
    for segment in dict.fromkeys(row.segment for row in rows):
        try:
            header = AuditChain(database).header(segment)
        except _UNREADABLE:
            database.reopen()
        else:
            if header is not None:
                headers[segment] = header
    return headers


def _read_blobs(database: _Reading, names: list[BlobName]) -> Iterator[tuple[EntryId, int, Sealed]]:
    """Yield those of the blobs that a source has and can read."""
    left = set(names)
    try:
        for row in database.connection.execute(
            "SELECT id, version, sealed FROM blob"
            " WHERE (id, version) >= (?, ?) AND (id, version) <= (?, ?)",
            (*names[0], *names[-1]),
        ):
            if row[:2] in left:
                left.remove(row[:2])
                yield row
    except _UNREADABLE:
        database.reopen()
        yield from _read_one_by_one(database, left)


def _read_one_by_one(
    database: _Reading, names: Iterable[BlobName]
) -> Iterator[tuple[EntryId, int, Sealed]]:
    for name in names:
        try:
            sealed = Store(database).blob(*name)
        except _UNREADABLE:
            database.reopen()
        else:
            if sealed is not None:
                yield (*name, sealed)


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _take_name(unfinished: Path, store: Path) -> None:
    unfinished.rename(store)
    sync_folder(store.parent)
