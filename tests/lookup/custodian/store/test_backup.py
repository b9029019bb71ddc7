"""Backups: consistent while the writer goes on; whole, or the one before; apart from the store."""

import json
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.entry import Kind
from keys.slot.lock import DatabaseKey
from lookup.custodian.store import backup
from lookup.custodian.store.backup import (
    FILE_NAME,
    NOTE_NAME,
    Backup,
    BackupRefused,
    back_up,
    read_note,
)
from lookup.custodian.store.chain import Group
from lookup.custodian.store.database import Database, StoreError, connect
from lookup.custodian.store.pages import Store
from tests.attacks.model import Living, Maker, adding, shredding
from tests.attacks.site import Site

ROOT = Path(__file__).parents[4]
TABLES = (
    *("root", "wrap", "page", "blob", "audit_segment", "audit_group"),
    *("log_entry", "log_tile", "log_cosignature"),
)
Rows = dict[str, list[tuple[object, ...]]]
EMPTY: Rows = {table: [] for table in TABLES}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def maker(site: Site) -> Maker:
    return Maker(site.vault_id)


def rows(file: Path, key: DatabaseKey) -> Rows:
    """Return everything in a database file."""
    connection = connect(file, key, "rw")
    try:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608
            for table in TABLES
        }
    finally:
        connection.close()


def same(site: Site, folder: Path) -> bool:
    """Say whether a backup holds what the store holds."""
    key = site.database_key
    return rows(folder / FILE_NAME, key) == rows(site.store, key)


def fill(site: Site, maker: Maker, count: int = 20) -> list[Living]:
    records = maker.make_many(count)
    site.vault.commit(*adding(*records))
    return records


def test_a_backup_holds_what_the_store_holds(site: Site, maker: Maker) -> None:
    """Every row, sealed as it is, and beside it whose it is and where it stood."""
    fill(site, maker)
    made = site.back_up("backup")
    assert same(site, site.folder / "backup")
    assert made == Backup(site.vault_id, site.vault.version, 1_800_000_000)
    assert read_note(site.folder / "backup") == made


def test_it_is_two_files_that_only_their_owner_reads(site: Site, maker: Maker) -> None:
    """No slot, no anchor, no WAL: a finished backup can be carried away as it is."""
    fill(site, maker)
    site.back_up("backup")
    folder = site.folder / "backup"
    assert {file.name for file in folder.iterdir()} == {FILE_NAME, NOTE_NAME}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600


def test_nothing_of_a_record_can_be_read_in_it(site: Site, maker: Maker) -> None:
    """Not even how many there are: the file is encrypted, and so is each row in it."""
    records = fill(site, maker)
    site.back_up("backup")
    content = b"".join(file.read_bytes() for file in (site.folder / "backup").iterdir())
    names = {bytes(living.record.id) for living in records}
    assert not [s for living in records for s in living.secrets() if s in content]
    assert not [name for name in names if name in content]


def test_the_writer_goes_on_and_the_backup_stands_still(
    site: Site, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed between two chunks is in the next backup, not by halves in this one."""
    monkeypatch.setattr(backup, "_CHUNK", 5)
    first, *_ = fill(site, maker)
    before = rows(site.store, site.database_key)

    def write(_done: int, _total: int) -> None:
        site.vault.commit(*adding(maker.make()))
        if site.vault.get(Kind.RECORD, first.record.id):
            site.vault.commit(*shredding(first))

    back_up_with(site, write)
    assert rows(site.folder / "backup" / FILE_NAME, site.database_key) == before
    assert rows(site.store, site.database_key) != before


def back_up_with(site: Site, progress: backup.Progress) -> Backup:
    return back_up(
        site.store,
        site.database_key,
        folder=site.folder / "backup",
        apart_from=(),
        clock=lambda: 7,
        progress=progress,
    )


def test_the_next_run_writes_what_has_changed(site: Site, maker: Maker) -> None:
    """One record more and one fewer, of two hundred: a few pages of the file, not all."""
    records = fill(site, maker, 200)
    site.back_up("backup")
    before = (site.folder / "backup" / FILE_NAME).read_bytes()
    site.vault.commit(*adding(maker.make()))
    site.back_up("backup")
    after = (site.folder / "backup" / FILE_NAME).read_bytes()
    # SQLCipher encrypts a page anew each time it is written, so equal bytes were not written.
    pages = range(0, len(after), 4096)
    written = [at for at in pages if before[at : at + 4096] != after[at : at + 4096]]
    assert same(site, site.folder / "backup")
    assert len(written) < len(pages) / 3
    site.vault.commit(*shredding(*records[:5]))
    site.back_up("backup")
    assert same(site, site.folder / "backup")


def test_what_the_store_forgot_leaves_the_backup_too(site: Site, maker: Maker) -> None:
    """Also at both ends of the order in which rows are walked, and when nothing is left."""
    records = fill(site, maker)
    site.back_up("backup")
    in_order = sorted(records, key=lambda living: living.record.id)
    for gone in ([in_order[0], in_order[-1]], in_order[1:-1]):
        site.vault.commit(*shredding(*gone))
        site.back_up("backup")
        assert same(site, site.folder / "backup")


def test_a_row_that_came_back_with_other_content_is_copied(site: Site, maker: Maker) -> None:
    """After a restore, a version's number may be given again: a name alone says nothing."""
    fill(site, maker)
    site.back_up("backup")
    connection = connect(site.folder / "backup" / FILE_NAME, site.database_key)
    connection.execute("UPDATE blob SET sealed = x'00' WHERE id IN (SELECT id FROM blob LIMIT 3)")
    connection.execute("UPDATE page SET sealed = x'00' WHERE number = 1")
    connection.close()
    site.back_up("backup")
    assert same(site, site.folder / "backup")


def test_a_run_that_is_stopped_leaves_the_backup_before(
    site: Site, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the callback raises ends the run; the next one carries on."""
    monkeypatch.setattr(backup, "_CHUNK", 5)
    fill(site, maker)
    made = site.back_up("backup")
    before = rows(site.folder / "backup" / FILE_NAME, site.database_key)
    fill(site, maker)

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up_with(site, stop)
    assert rows(site.folder / "backup" / FILE_NAME, site.database_key) == before
    assert read_note(site.folder / "backup") == made
    site.back_up("backup")
    assert same(site, site.folder / "backup")


KILLED = """
import os, signal, sys
from pathlib import Path
from keys.slot.lock import DatabaseKey
from lookup.custodian.store import backup

backup._CHUNK = 5
store, folder, key = sys.stdin.read().split()

def die(done, total):
    if done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

backup.back_up(Path(store), DatabaseKey(bytes.fromhex(key)), folder=Path(folder), apart_from=(),
               clock=lambda: 8, progress=die)
"""


@pytest.mark.parametrize("earlier", [True, False], ids=["the second run", "the first run"])
def test_a_run_that_is_killed_leaves_the_backup_before(
    site: Site, maker: Maker, *, earlier: bool
) -> None:
    """SIGKILL in the middle: the file is rolled back when it is next opened; the note is old."""
    folder = site.folder / "backup"
    fill(site, maker)
    made = site.back_up("backup") if earlier else None
    before = rows(folder / FILE_NAME, site.database_key) if earlier else EMPTY
    # Enough that the pages do not fit into memory: the file itself is half overwritten.
    fill(site, maker, 3_000)
    key = site.database_key.expose().hex()
    ended = subprocess.run(
        [sys.executable, "-c", KILLED],
        input=f"{site.store}\n{folder}\n{key}",
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert ended.returncode == -9
    assert (folder / f"{FILE_NAME}-journal").stat().st_size > 0
    if earlier:
        assert site.rehearse([folder / FILE_NAME]).restored == 20
    assert rows(folder / FILE_NAME, site.database_key) == before
    assert read_note(folder) == made
    site.back_up("backup")
    assert same(site, folder)


REFUSED = {
    "the store's folder": ".",
    "inside the store's folder": "backup",
    "around the store's folder": "..",
    "by a detour": "../store/backup",
}


@pytest.mark.parametrize("place", REFUSED.values(), ids=REFUSED.keys())
def test_a_folder_that_is_not_apart_is_refused(site: Site, maker: Maker, place: str) -> None:
    """Inside it would be lost with what it should survive; around it, a slot could come along."""
    fill(site, maker)
    with pytest.raises(BackupRefused, match="must lie apart"):
        site.back_up(f"store/{place}")
    assert not list(site.folder.rglob(FILE_NAME))


def test_a_link_into_the_slot_is_refused(site: Site, maker: Maker) -> None:
    fill(site, maker)
    (slot,) = site.folders.values()
    (site.folder / "backup").symlink_to(slot)
    with pytest.raises(BackupRefused, match="must lie apart"):
        site.back_up("backup")


def test_the_backup_of_another_vault_is_not_overwritten(site: Site, maker: Maker) -> None:
    fill(site, maker)
    site.back_up("backup")
    connection = connect(site.folder / "backup" / FILE_NAME, site.database_key)
    connection.execute("UPDATE root SET vault = x'00'")
    connection.close()
    with pytest.raises(BackupRefused, match="another vault"):
        site.back_up("backup")


def test_a_backup_with_another_key_is_not_overwritten(site: Site, maker: Maker) -> None:
    fill(site, maker)
    site.back_up("backup")
    with pytest.raises(StoreError, match="failed"):
        back_up(
            site.store,
            DatabaseKey.generate(),
            folder=site.folder / "backup",
            apart_from=(),
            clock=lambda: 7,
        )
    assert same(site, site.folder / "backup")


def test_a_store_that_was_rolled_back_does_not_overwrite_its_future(
    site: Site, maker: Maker
) -> None:
    """The backup may be all that is left of it."""
    fill(site, maker)
    site.back_up("backup")
    connection = connect(site.folder / "backup" / FILE_NAME, site.database_key)
    connection.execute("UPDATE root SET sequence = sequence + 1")
    connection.close()
    with pytest.raises(BackupRefused, match="the store only at"):
        site.back_up("backup")


def test_an_empty_store_is_not_backed_up(site: Site) -> None:
    database = site.folder / "other" / "vault.db"
    Database(database, site.database_key).close()
    with pytest.raises(BackupRefused, match="no vault"):
        back_up(
            database,
            site.database_key,
            folder=site.folder / "backup",
            apart_from=(),
            clock=lambda: 7,
        )


def test_a_medium_that_fails_is_said_so(site: Site, maker: Maker) -> None:
    fill(site, maker)
    (site.folder / "backup").write_text("a file")
    with pytest.raises(StoreError, match=r"failed: .*exists"):
        site.back_up("backup")


NOTE = b'{"format":"lacuna-backup/1","vault":"00","epoch":1,"sequence":1,"time":1}'
NOTES = {
    "no JSON": b"\xff",
    "another shape": b"[]",
    "something more": NOTE.replace(b"{", b'{"more":1,'),
    "another format": NOTE.replace(b"backup/1", b"backup/2"),
    "no vault": NOTE.replace(b'"00"', b'"xy"'),
    "endless": NOTE + b" " * 5000,
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES.keys())
def test_a_note_is_read_strictly(tmp_path: Path, note: bytes) -> None:
    (tmp_path / NOTE_NAME).write_bytes(NOTE)
    assert read_note(tmp_path)
    (tmp_path / NOTE_NAME).write_bytes(note)
    with pytest.raises(StoreError):
        read_note(tmp_path)


def test_where_there_is_no_backup_there_is_no_note(tmp_path: Path) -> None:
    assert read_note(tmp_path) is None


def test_a_note_is_for_people_too(site: Site, maker: Maker) -> None:
    fill(site, maker)
    site.back_up("backup")
    note = json.loads((site.folder / "backup" / NOTE_NAME).read_text())
    assert note == {
        "format": "lacuna-backup/1",
        "vault": site.vault_id.hex(),
        "epoch": site.vault.version.epoch,
        "sequence": site.vault.version.sequence,
        "time": 1_800_000_000,
    }


def audit(site: Site, numbers: range, segment: bytes = b"s" * 16) -> None:
    """Take groups of a segment into the store's audit chain."""
    store = site.keeping.store
    assert isinstance(store, Store)
    groups = [Group(segment, number, secrets.token_bytes(600)) for number in numbers]
    site.vault.note_audit(store.audit.append({segment: b"header"}, groups))


def test_the_audit_chain_is_backed_up_and_carried_on(
    site: Site, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_CHUNK", 3)
    fill(site, maker)
    audit(site, range(7))
    site.back_up("backup")
    assert same(site, site.folder / "backup")
    audit(site, range(7, 9))
    audit(site, range(2), b"o" * 16)
    site.back_up("backup")
    assert same(site, site.folder / "backup")


@pytest.mark.parametrize("gap", [False, True])
def test_a_backup_with_rows_that_the_store_lost_is_not_written_over(
    site: Site, maker: Maker, *, gap: bool
) -> None:
    """A7: they may be the only ones left."""
    fill(site, maker)
    audit(site, range(7))
    site.back_up("backup")
    store = site.keeping.store
    assert isinstance(store, Store)
    store._database.connection.execute("DELETE FROM audit_group WHERE row > 3")
    if gap:
        store.audit.mark_gap(site.vault.audit)
    before = (site.folder / "backup" / FILE_NAME).read_bytes()
    with pytest.raises(BackupRefused, match="rows of the audit chain that the store has lost"):
        site.back_up("backup")
    assert (site.folder / "backup" / FILE_NAME).read_bytes() == before


def test_the_log_is_backed_up_and_carried_on(
    site: Site, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what witnesses have seen of it."""
    monkeypatch.setattr(backup, "_CHUNK", 100)
    fill(site, maker)
    store = site.keeping.store
    assert isinstance(store, Store)
    for leaves in (250, 250, 100):
        site.vault.commit((), log=tuple(b"leaf %d" % number for number in range(leaves)))
        store.cosigned.keep("a witness", b"checkpoint of %d" % leaves)
        site.back_up("backup")
        assert same(site, site.folder / "backup")


@pytest.mark.parametrize("change", ["DELETE FROM", "UPDATE"])
def test_a_backup_with_entries_that_the_store_lost_is_not_written_over(
    site: Site, maker: Maker, change: str
) -> None:
    fill(site, maker)
    site.vault.commit((), log=(b"one", b"two"))
    site.back_up("backup")
    store = site.keeping.store
    assert isinstance(store, Store)
    what = "log_entry SET leaf = x'00'" if change == "UPDATE" else "log_entry"
    store._database.connection.execute(f"{change} {what} WHERE position = 1")  # ours
    before = (site.folder / "backup" / FILE_NAME).read_bytes()
    with pytest.raises(BackupRefused, match="entries of the log that the store has lost"):
        site.back_up("backup")
    assert (site.folder / "backup" / FILE_NAME).read_bytes() == before
