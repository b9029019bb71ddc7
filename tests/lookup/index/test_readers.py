"""Who reads a table: found by a custodian that never met them, and not left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lookup.index.folder
from lookup.errors import IndexSuperseded
from lookup.index.errors import ReaderUnknown
from lookup.index.folder import is_read, supersede_others
from lookup.index.mapping import find_reader
from lookup.index.reader import TableReader
from lookup.index.writer import Table
from tests.lookup.index.links import tag_at

ROOT = Path(__file__).parents[3]
READ = """
import sys
from pathlib import Path
from lookup.index.reader import TableReader

reader = TableReader(Path(sys.argv[1]))
print("reading", flush=True)
sys.stdin.readline()
reader.close()
print("closed", flush=True)
sys.stdin.readline()
"""


@contextmanager
def reading(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that reads a table until it gets a line, and lives on until it gets another."""
    with subprocess.Popen(
        [sys.executable, "-c", READ, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert hear(process) == "reading\n"
            yield process
        finally:
            process.kill()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def newer(folder: Path, table: Table) -> Iterator[Table]:
    """The table of the next custodian, in the folder of `table`."""
    made = Table.create(folder, table.generation + 1, 0)
    yield made
    made.close()


def test_a_reader_is_found_until_it_closes_the_table(table: Table) -> None:
    """Its process id; neither the writer nor this process's own readers count."""
    descriptor = os.open(table.path, os.O_RDWR)
    assert find_reader(descriptor) is None
    with reading(table.path) as process:
        assert find_reader(descriptor) == process.pid
        assert is_read(table.path)
        tell(process)
        assert hear(process) == "closed\n"
        assert find_reader(descriptor) is None
    os.close(descriptor)


def test_a_reader_that_dies_is_none(table: Table) -> None:
    with reading(table.path) as process:
        process.kill()
        process.wait()
        assert not is_read(table.path)


def test_readers_may_change_over_before_they_are_cut_off(
    folder: Path, table: Table, newer: Table
) -> None:
    """Until then the old table answers; so a restart is no outage."""
    reader = TableReader(table.path)
    table.complete()
    with reading(table.path) as process:
        begun = time.monotonic()
        superseding = threading.Thread(
            target=supersede_others, args=(folder, newer.path), kwargs={"change_over": 10}
        )
        superseding.start()
        time.sleep(0.1)
        assert not reader.probe(tag_at(1)).found
        tell(process)
        superseding.join()
        assert time.monotonic() - begun < 5
        assert process.poll() is None
    with pytest.raises(IndexSuperseded):
        reader.probe(tag_at(1))
    reader.close()


def test_a_stopped_reader_is_killed(folder: Path, table: Table, newer: Table) -> None:
    """G5: resumed, it could send an answer that it had decided on before."""
    with reading(table.path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        supersede_others(folder, newer.path, leave=0.1)
        assert process.wait() == -signal.SIGKILL
    assert not table.path.exists()


def test_a_reader_that_cannot_be_named_is_not_overlooked(
    folder: Path, table: Table, newer: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of another container: nothing is acknowledged beside it."""
    monkeypatch.setattr(lookup.index.folder, "find_reader", lambda _: 0)
    with pytest.raises(ReaderUnknown):
        supersede_others(folder, newer.path, leave=0)
    assert table.path.exists()


def test_a_table_that_is_refused_has_no_reader(table: Table) -> None:
    """Whoever could not open it must not be taken for one who answers from it."""
    table._memory[0:8] = b"another "
    code = READ.replace("reader = TableReader", "try: reader = TableReader").replace(
        "\nprint", '\nexcept Exception: print("refused", flush=True)\nprint', 1
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(table.path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert hear(process) == "refused\n"
        assert not is_read(table.path)
        process.kill()
