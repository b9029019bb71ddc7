import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lookup.index.reader
from crypto.tag import Tag
from lookup.errors import IndexStale, IndexSuperseded
from lookup.index import layout
from lookup.index.folder import supersede_others
from lookup.index.layout import WINDOW, Link, home_of
from lookup.index.reader import TableReader
from lookup.index.writer import Table
from tests.lookup.index.hammer import ABSENT, COMES_AND_GOES, STABLE, SWAPPED, SWAPS
from tests.lookup.index.links import HOMES, link_of, links_of

ROOT = Path(__file__).parents[3]
ROUNDS = 40


@contextmanager
def _hammering(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.lookup.index.hammer", str(folder), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _table_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def _verify_answer(tag: Tag, found: tuple[Link, ...]) -> None:
    """Only what was true of the tag at some moment of the hammering."""
    if tag in STABLE:
        assert found == STABLE[tag]
    elif tag == SWAPPED:
        assert found in {(SWAPS[0],), (SWAPS[1],)}
    elif tag in COMES_AND_GOES:
        assert found in {(), (link_of(COMES_AND_GOES[tag]),)}
    else:
        assert found == ()


def _look_at_all(reader: TableReader, seen: Counter[str]) -> list[Tag]:
    """Verify every answer; return the tags that could not be checked."""
    stale = []
    for tag in (*STABLE, SWAPPED, *COMES_AND_GOES, *ABSENT):
        try:
            found = links_of(reader.probe(tag))
        except IndexStale:
            seen["could not check"] += 1
            stale.append(tag)
            continue
        _verify_answer(tag, found)
        seen["known" if found else "no record"] += 1
    return stale


@pytest.mark.parametrize("machine", ["ordered", "fenced"])
def test_no_reader_sees_a_change_half_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    """100,000 shifting changes a second in the windows read: no false miss, nothing torn."""
    monkeypatch.setattr(lookup.index.reader, "_ORDERED", machine == "ordered")
    seen: Counter[str] = Counter()
    with _hammering(folder) as process:
        reader = TableReader(_table_of(process))
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            _look_at_all(reader, seen)
        reader.close()
    assert seen["known"] > 1_000
    assert seen["no record"] > 1_000
    assert seen["could not check"] < seen["known"]


def test_a_killed_writer_leaves_only_its_last_change_in_doubt(folder: Path) -> None:
    """G4, G6: at whatever moment it dies, what it did not touch is answered rightly for ever."""
    seen: Counter[str] = Counter()
    with _hammering(folder, str(ROUNDS)) as process:
        assert process.stdin is not None
        for _ in range(ROUNDS):
            reader = TableReader(_table_of(process))
            stale = _look_at_all(reader, seen)
            _verify_doubt(reader, stale)
            reader.close()
            process.stdin.write("\n")
            process.stdin.flush()
    assert seen["known"] > ROUNDS * len(STABLE) // 2


def _verify_doubt(reader: TableReader, stale: list[Tag]) -> None:
    """Only if the writer died in a change, and only for windows that reach into it."""
    header = reader._memory[: layout.HEADER_SIZE]
    _, _, sequence, change = layout.STATE.unpack_from(header, layout.STATE_OFFSET)
    if sequence % 2 == 0:
        assert stale == []
    for tag in stale:
        home = home_of(tag, HOMES)
        assert home <= change & 0xFFFF_FFFF
        assert change >> 32 < home + WINDOW


def test_the_next_custodian_supersedes_a_killed_ones_table(folder: Path) -> None:
    """A5, G4: its readers could go on for ever otherwise."""
    with _hammering(folder) as process:
        path = _table_of(process)
        reader = TableReader(path)
    table = Table.create(folder, 2, 0)
    supersede_others(folder, keep=table.path)
    for tag in STABLE:
        with pytest.raises(IndexSuperseded):
            reader.probe(tag)
    assert not path.exists()
    reader.close()
    table.close()
