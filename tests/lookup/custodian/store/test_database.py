"""One SQLCipher file: encrypted, durable, of one schema, and refused where it is not ours to read.

Nothing here opens a file with the standard library's `sqlite3` in this process: that would destroy
the WAL of one that is open. A subprocess does.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path

import pytest
import sqlcipher3

from crypto.aead import Sealed
from keys.page import VaultId, Version
from keys.pages import StoredRoot
from keys.slot.lock import DatabaseKey
from lookup.custodian.store.database import (
    Database,
    MediumFailed,
    StoreError,
    connect,
    migrate,
    migrations,
)
from lookup.custodian.store.pages import Store

KEY, OTHER = DatabaseKey(bytes(range(32))), DatabaseKey(bytes(32))
MARKER = b"a marker that nobody would write by accident"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "vault.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path, KEY)) as opened:
        yield opened


def put(database: Database, body: bytes) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO page (number, sealed) VALUES (1, ?)", (body,))


def rows(database: Database) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = database.connection.execute(
        "SELECT number, sealed FROM page"
    ).fetchall()
    return found


def python(code: str, *arguments: Path) -> str:
    """Run code in another process; return what it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_new_file_is_its_owners_alone(database: Database) -> None:
    assert database.path.stat().st_mode & 0o777 == 0o600
    assert database.path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["plain.db", "with blank.db", "odd#%3F?name.db", "ü.db"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        with closing(Database(tmp_path / name, KEY)):
            assert [p.name for p in tmp_path.iterdir() if p.suffix == ".db"] == [name]


def test_what_was_committed_is_found_again(path: Path) -> None:
    with closing(Database(path, KEY)) as database:
        put(database, MARKER)
    with closing(Database(path, KEY)) as database:
        assert rows(database) == [(1, MARKER)]


def test_a_commit_survives_the_process(path: Path) -> None:
    """G6: it is in the WAL, synced, when `transaction` ends; nothing needs to be closed."""
    code = (
        "import os, sys; from pathlib import Path; from keys.slot.lock import DatabaseKey;"
        "from lookup.custodian.store.database import Database;"
        "database = Database(Path(sys.argv[1]), DatabaseKey(bytes(range(32))));"
        "transaction = database.transaction();"
        "transaction.__enter__().execute('INSERT INTO page VALUES (1, ?)', (b'kept',));"
        "transaction.__exit__(None, None, None);"
        "database.connection.execute('BEGIN');"
        "database.connection.execute('INSERT INTO page VALUES (2, ?)', (b'aborted',));"
        "os._exit(0)"
    )
    python(code, path)
    with closing(Database(path, KEY)) as database:
        assert rows(database) == [(1, b"kept")]


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("temp_store", 2),
        ("cipher_use_hmac", "1"),
        ("user_version", len(migrations())),
    ],
)
def test_what_durability_and_secrecy_rest_on(
    database: Database, pragma: str, value: str | int
) -> None:
    assert database.connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_no_column_is_clear_but_names_and_numbers(database: Database) -> None:
    """What a thief with the database key learns without any other: ARCHITECTURE.md lists it."""
    tables = database.connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ).fetchall()
    columns = {
        table: [row[1] for row in database.connection.execute(f"PRAGMA table_info({table})")]
        for (table,) in tables
    }
    assert columns == {
        "audit_group": ["row", "segment", "number", "head", "sealed"],
        "audit_segment": ["id", "header"],
        "blob": ["id", "version", "sealed"],
        "log_cosignature": ["witness", "checkpoint"],
        "log_entry": ["position", "leaf"],
        "log_tile": ["level", "number", "hashes"],
        "page": ["number", "sealed"],
        "root": ["only", "vault", "epoch", "sequence", "sealed"],
        "wrap": ["slot", "sealed"],
    }


def test_neither_file_nor_wal_shows_anything(path: Path) -> None:
    """A2: without the key there are no rows, no names of tables, not even SQLite's own header."""
    search = (
        "import pathlib, sys; files = list(pathlib.Path(sys.argv[1]).iterdir());"
        "words = b'a marker', b'SQLite format', b'CREATE TABLE', b'sealed';"
        "print(len(files), [w for file in files for w in words if w in file.read_bytes()])"
    )
    with closing(Database(path, KEY)) as database:
        put(database, MARKER)
        assert python(search, path.parent) == "3 []", "file, WAL and its index"
        database.checkpoint()
        assert python(search, path.parent) == "3 []"
    assert python(search, path.parent) == "1 []"


def test_sqlite_itself_does_not_open_it(path: Path) -> None:
    with closing(Database(path, KEY)) as database:
        put(database, MARKER)
    code = (
        "import sqlite3, sys\n"
        "try: sqlite3.connect(sys.argv[1]).execute('SELECT * FROM sqlite_master')\n"
        "except sqlite3.DatabaseError as error: print(error)"
    )
    assert python(code, path) == "file is not a database"
    with closing(Database(path, KEY)) as database:
        assert rows(database) == [(1, MARKER)]


def test_a_wrong_key_is_said_so_once(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By the error; SQLCipher would write lines of its own to stderr."""
    with closing(Database(path, KEY)) as database:
        put(database, MARKER)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="does not open: file is not a database") as caught:
        Database(path, OTHER)
    assert str(path) in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert path.read_bytes() == before


def test_another_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(StoreError, match="does not open"):
        Database(path, KEY)
    assert path.read_bytes().startswith(b"not a database")


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match="does not open: unable to open"):
        Database(path, KEY)


def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    with suppress(KeyboardInterrupt), database.transaction() as connection:
        connection.execute("INSERT INTO page (number, sealed) VALUES (1, ?)", (MARKER,))
        raise KeyboardInterrupt
    assert rows(database) == []
    put(database, MARKER)
    assert rows(database) == [(1, MARKER)]


def test_a_transaction_that_sqlite_has_ended_already(database: Database) -> None:
    """It rolls back by itself after some errors; that error is the one to hear of."""

    def put_twice() -> None:
        with database.transaction() as connection:
            for _ in range(2):
                connection.execute("INSERT OR ROLLBACK INTO page VALUES (1, ?)", (MARKER,))

    with pytest.raises(MediumFailed, match="UNIQUE"):
        put_twice()
    assert rows(database) == []


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    with closing(Database(path, KEY)) as database:
        put(database, MARKER)
        database.connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    known = len(migrations())
    with pytest.raises(StoreError, match=f"has schema 99, this version of lacuna knows {known}"):
        Database(path, KEY)
    assert path.read_bytes() == before


def test_an_older_schema_is_brought_up_to_date_step_by_step(path: Path) -> None:
    """A step that fails leaves what the steps before it made, and the next start goes on there."""
    path.parent.mkdir()
    first = "CREATE TABLE one (a INTEGER);"
    second = "ALTER TABLE one ADD COLUMN b INTEGER; INSERT INTO one VALUES (1, 2);"
    broken = "INSERT INTO one VALUES (3, 4); INSERT INTO nowhere VALUES (1);"
    with closing(connect(path, KEY)) as connection:
        migrate(connection, [first])
        connection.execute("INSERT INTO one VALUES (0)")
    with (
        closing(connect(path, KEY)) as connection,
        pytest.raises(sqlcipher3.OperationalError, match="nowhere"),
    ):
        migrate(connection, [first, second, broken])
    with closing(connect(path, KEY)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT a, b FROM one").fetchall() == [(0, None), (1, 2)]
        migrate(connection, [first, second, "INSERT INTO one VALUES (5, 6);"])
        migrate(connection, [first, second, "INSERT INTO one VALUES (5, 6);"])
        assert connection.execute("SELECT a FROM one").fetchall() == [(0,), (1,), (5,)]


def test_migrations_are_numbered_without_gaps() -> None:
    folder = files("lookup.custodian.store") / "schema"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    assert names == [f"{number:03}.sql" for number in range(1, len(migrations()) + 1)]


def test_a_file_that_the_medium_changed_is_told_with_what_to_do(path: Path) -> None:
    """SQLCipher's HMAC finds it; only a restore helps then, and the error says so."""
    with closing(Store(Database(path, KEY))) as store:
        pages = [(number, Sealed(b"x" * 3000)) for number in range(1, 200)]
        store.replace(StoredRoot(VaultId(bytes(16)), Version(1, 1), Sealed(b"r"), {}), pages)
    raw = bytearray(path.read_bytes())
    for at in range(20 * 4096 + 100, len(raw), 4096):
        raw[at] ^= 1
    path.write_bytes(raw)
    with closing(Store(Database(path, KEY))) as store, pytest.raises(StoreError, match="restore"):
        list(store.pages())
