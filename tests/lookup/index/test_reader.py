import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lookup.index.reader
from crypto.tag import Tag
from lookup.errors import IndexNotReady, IndexStale, IndexSuperseded
from lookup.index import layout
from lookup.index.errors import InvalidTable
from lookup.index.layout import HEADER_SIZE, SLOT_SIZE, WINDOW, Link
from lookup.index.reader import Probe, Probes, TableReader
from lookup.index.writer import Table
from tests.lookup.index.links import DECOYS, link_of, links, links_of, tag_at

TAG, ELSEWHERE = tag_at(100), tag_at(900)


@pytest.fixture(params=["ordered", "fenced"], autouse=True)
def _order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test also as on a machine that may swap loads."""
    monkeypatch.setattr(lookup.index.reader, "_ORDERED", request.param == "ordered")


class TestWhatAMissMeans:
    """G4: a worker that may be stale or incomplete says *could not check*."""

    def test_in_a_complete_table_no_record(self, table: Table, reader: TableReader) -> None:
        table.complete()
        reader.require_ready()
        assert links(reader, TAG) == ()

    def test_in_an_incomplete_table_could_not_check(
        self, table: Table, reader: TableReader
    ) -> None:
        """A hit is answered all the same."""
        table.add(ELSEWHERE, link_of(1))
        for _ in range(2):
            with pytest.raises(IndexNotReady):
                reader.probe(TAG)
            with pytest.raises(IndexNotReady):
                reader.require_ready()
            assert links(reader, ELSEWHERE) == (link_of(1),)
            table.complete()
            assert links(reader, TAG) == ()
            table.declare_incomplete()

    def test_in_a_superseded_table_could_not_check(self, table: Table, reader: TableReader) -> None:
        """Hits neither: the newer table may have lost that link."""
        table.add(ELSEWHERE, link_of(1))
        table.complete()
        before = [reader.probe(TAG), reader.probe(ELSEWHERE)]
        table.supersede()
        for tag in (TAG, ELSEWHERE):
            with pytest.raises(IndexSuperseded):
                reader.probe(tag)
        for probe in before:
            with pytest.raises(IndexSuperseded):
                reader.check(probe)
        with pytest.raises(IndexSuperseded):
            reader.require_ready()


CHANGES = {
    "an add": lambda t: t.add(TAG, link_of(2)),
    "a removal": lambda t: t.remove(TAG, link_of(1).handle),
    "a replacement": lambda t: t.replace(TAG, link_of(1).handle, link_of(1, category=9)),
}


class TestBetweenProbeAndAnswer:
    """G5: what was acknowledged before the answer leaves is in the answer."""

    @pytest.mark.parametrize("name", CHANGES)
    def test_a_change_of_the_answer_stops_it(
        self, table: Table, reader: TableReader, name: str
    ) -> None:
        table.add(TAG, link_of(1))
        table.complete()
        probe = reader.probe(TAG)
        CHANGES[name](table)
        with pytest.raises(IndexStale):
            reader.check(probe)

    def test_an_acknowledged_add_stops_no_record(self, table: Table, reader: TableReader) -> None:
        table.complete()
        probe = reader.probe(TAG)
        assert links_of(probe) == ()
        table.add(TAG, link_of(1))
        with pytest.raises(IndexStale):
            reader.check(probe)

    def test_a_change_elsewhere_does_not(self, table: Table, reader: TableReader) -> None:
        """Nor one that shifts this tag's slots, or adds a neighbour to its window."""
        table.add(TAG, link_of(1))
        table.complete()
        probes = [reader.probe(TAG), reader.probe(tag_at(105))]
        for other in (ELSEWHERE, tag_at(99, 1), tag_at(99, 2), tag_at(100, 1)):
            table.add(other, link_of(1))
        for probe in probes:
            reader.check(probe)

    def test_doubt_about_completeness_stops_no_record_only(
        self, table: Table, reader: TableReader
    ) -> None:
        table.add(TAG, link_of(1))
        table.complete()
        hit, miss = reader.probe(TAG), reader.probe(ELSEWHERE)
        table.declare_incomplete()
        reader.check(hit)
        with pytest.raises(IndexNotReady):
            reader.check(miss)


class TestWriterDiedInAChange:
    """The sequence stays odd for ever; `change` says where the slots may be wrong."""

    @pytest.fixture(autouse=True)
    def _died(self, table: Table) -> None:
        table.add(TAG, link_of(1))
        table.complete()
        change = table._changing(103, 104)
        change.__enter__()  # never left, as by a process that was killed

    @pytest.mark.parametrize("home", [103 - WINDOW + 1, 100, 103, 104])
    def test_touched_windows_cannot_be_checked(self, reader: TableReader, home: int) -> None:
        """Hits neither: of several links one could be missing."""
        with pytest.raises(IndexStale):
            reader.probe(tag_at(home))

    @pytest.mark.parametrize("home", [0, 103 - WINDOW, 105, 4_000])
    def test_the_others_can(self, reader: TableReader, home: int) -> None:
        assert links(reader, tag_at(home)) == ()


def test_a_window_that_never_stands_still_is_given_up(table: Table, reader: TableReader) -> None:
    """Bounded: ATTEMPTS windows are read, then it is could-not-check."""
    table.complete()
    memory = Recorder(reader)

    def change() -> None:
        table._sequence += 2
        table._state[2] = table._sequence

    memory.between = change
    with pytest.raises(IndexStale):
        reader.probe(TAG)
    assert len(memory.windows()) <= lookup.index.reader.ATTEMPTS + 1


def _nothing_happens() -> None:
    pass


class TestAChangeInTheMiddle:
    """What could happen between two instructions, made to happen."""

    def test_of_a_read(self, table: Table, reader: TableReader) -> None:
        """A link that moves from the half not yet read to the half just read is found."""
        for number in range(20):
            table.add(tag_at(100, number), link_of(number))
        table.complete()
        memory = Recorder(reader)

        def shift() -> None:
            memory.between = _nothing_happens
            table.remove(tag_at(100, 0), link_of(0).handle)

        def wait() -> None:
            memory.between = shift

        for number in range(1, 20):
            memory.cut = number
            # In the first read after a change, in the second, and in one of a settled table.
            for between, looks_first in ((shift, False), (wait, False), (shift, True)):
                if looks_first:
                    assert links(reader, ELSEWHERE) == ()
                memory.between = between
                assert links(reader, tag_at(100, number)) == (link_of(number),)
                table.add(tag_at(100, 0), link_of(0))

    def test_of_a_write(self, table: Table, reader: TableReader) -> None:
        """Half a change is not believed, whichever half a window shows; elsewhere all is well."""
        for number in range(1, 20):
            table.add(tag_at(100, number), link_of(number))
        table.add(ELSEWHERE, link_of(1))
        table.complete()
        memory = HalfWritten(table)
        found: list[tuple[Link, ...]] = []

        def look() -> None:
            found.extend(links(reader, tag) for tag in (ELSEWHERE, tag_at(68), tag_at(120)))
            for home in (69, 100, 119):
                with pytest.raises(IndexStale):
                    reader.probe(tag_at(home, 9))

        memory.look = look
        table.add(tag_at(100, 0), link_of(0))
        memory.look = _nothing_happens
        assert found == [(link_of(1),), (), ()]
        assert links(reader, tag_at(100, 9)) == (link_of(9),)


class HalfWritten:
    """Stands before a writer's memory and looks at it when half a change is written."""

    def __init__(self, table: Table) -> None:
        self.look: Callable[[], None] = _nothing_happens
        self._memory = table._memory
        table._memory = self  # type: ignore[assignment]  # it only slices

    def __setitem__(self, part: slice, image: bytes) -> None:
        half = len(image) // 2
        self._memory[part.start : part.start + half] = image[:half]
        self.look()
        self._memory[part.start + half : part.stop] = image[half:]

    def __getitem__(self, part: slice) -> bytes:
        return self._memory[part]

    def __len__(self) -> int:
        return len(self._memory)

    def close(self) -> None:
        self._memory.close()


class Recorder:
    """Stands before a reader's memory, notes what is read, lets something happen in between."""

    def __init__(self, reader: TableReader) -> None:
        self.read: list[slice] = []
        self.between: Callable[[], None] = _nothing_happens
        self.cut = 0
        self._memory = reader._memory
        reader._memory = self  # type: ignore[assignment]  # it only slices

    def __getitem__(self, part: slice) -> bytes:
        self.read.append(part)
        if part.start < HEADER_SIZE:
            return self._memory[part]
        middle = part.start + self.cut * SLOT_SIZE
        first = self._memory[part.start : middle]
        self.between()
        return first + self._memory[middle : part.stop]

    def windows(self) -> list[slice]:
        return [part for part in self.read if part.start >= HEADER_SIZE]

    def close(self) -> None:
        self._memory.close()


def test_hit_and_miss_read_the_same(table: Table, reader: TableReader) -> None:
    """G2: state, one whole window, state; whatever is there."""
    table.add(tag_at(100, 1), link_of(1))
    for number in range(5):
        table.add(tag_at(100, 2), link_of(number))
    table.complete()
    links(reader, TAG)
    memory = Recorder(reader)

    read = []
    for tag in (tag_at(100), tag_at(100, 1), tag_at(100, 2)):
        memory.read.clear()
        links(reader, tag)
        read.append(memory.read.copy())

    assert read[0] == read[1] == read[2]
    start = HEADER_SIZE + 100 * SLOT_SIZE
    assert set(map(repr, memory.windows())) == {repr(slice(start, start + WINDOW * SLOT_SIZE))}


@pytest.mark.parametrize("byte", [12, 21, 22, 27, 28, 31])
def test_a_damaged_slot_is_no_answer(table: Table, reader: TableReader, byte: int) -> None:
    """The checksum does not match: could not check, not a wrong authority."""
    table.add(TAG, link_of(1))
    table.complete()
    at = HEADER_SIZE + 100 * SLOT_SIZE + byte
    table._memory[at] ^= 1
    with pytest.raises(IndexStale):
        links(reader, TAG)


def test_the_bytes_of_a_tag_elsewhere_are_not_that_tag(table: Table, reader: TableReader) -> None:
    """In a neighbour's handle and dates, before or behind the tag itself or without it."""
    handle = TAG[: layout.HANDLE_SIZE]
    since = int.from_bytes(TAG[layout.HANDLE_SIZE :], "little")
    posing = link_of(1)._replace(handle=handle, since=since)
    table.add(tag_at(101), posing)
    table.complete()
    assert links(reader, TAG) == ()
    table.declare_incomplete()
    with pytest.raises(IndexNotReady):
        reader.probe(TAG)
    table.add(TAG, link_of(2))
    assert links(reader, TAG) == (link_of(2),)
    table.add(tag_at(99, 1), posing)
    table.add(tag_at(99, 2), posing)
    assert links(reader, TAG) == (link_of(2),)


def test_the_tag_of_an_empty_slot_is_no_answer(table: Table, reader: TableReader) -> None:
    """It cannot be in the table, so neither can it be known to be absent."""
    table.complete()
    with pytest.raises(IndexStale):
        links(reader, Tag(layout.EMPTY_TAG))


def test_first_and_last_window(table: Table, reader: TableReader) -> None:
    """The last home has a whole window, too."""
    first, last = Tag(bytes(12)), Tag(b"\xff" * 12)
    expected: dict[Tag, tuple[Link, ...]] = {}
    for tag in (first, last):
        for number in range(layout.MAX_LINKS_PER_TAG):
            table.add(tag, link_of(number))
        expected[tag] = tuple(map(link_of, range(layout.MAX_LINKS_PER_TAG)))
    for number in range(layout.WINDOW - layout.MAX_LINKS_PER_TAG):
        table.add(Tag(b"\xff" * 11 + bytes([number])), link_of(number))
    table.complete()
    assert {tag: links(reader, tag) for tag in expected} == expected


def _other_magic(content: bytearray) -> None:
    content[0] ^= 1


def _other_format(content: bytearray) -> None:
    content[8] ^= 2


def _more_homes(content: bytearray) -> None:
    content[24] ^= 1


def _truncated(content: bytearray) -> None:
    del content[-1]


def _no_header(content: bytearray) -> None:
    del content[100:]


def _nothing(content: bytearray) -> None:
    content.clear()


@pytest.mark.parametrize(
    "spoil", [_other_magic, _other_format, _more_homes, _truncated, _no_header, _nothing]
)
def test_what_is_no_table_is_refused(
    table: Table, folder: Path, spoil: Callable[[bytearray], None]
) -> None:
    """Before a byte of it is believed: a short file would end the worker (SIGBUS)."""
    content = bytearray(table.path.read_bytes())
    spoil(content)
    path = folder / "spoilt"
    path.write_bytes(content)
    with pytest.raises(InvalidTable):
        TableReader(path)


def test_links_and_folders_are_refused(table: Table, folder: Path) -> None:
    link = folder / "link"
    link.symlink_to(table.path)
    with pytest.raises(OSError, match="symbolic"):
        TableReader(link)
    with pytest.raises(InvalidTable):
        TableReader(folder)


def test_a_probe_does_not_print(table: Table, reader: TableReader) -> None:
    """It holds a tag and handles."""
    table.add(TAG, link_of(1))
    assert repr(reader.probe(TAG)) == "<Probe>"
    assert isinstance(reader.probe(TAG), Probe)


def test_a_worker_needs_no_numpy() -> None:
    """31 MB and 140 ms for each worker."""
    code = "import sys, lookup.index.reader; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": "."})


def test_a_miss_unpacks_as_much_as_a_link_that_may_not_be_told(
    table: Table, reader: TableReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G2: never known costs what expired costs: one slot, checked and unpacked."""
    table.add(TAG, link_of(1))
    table.complete()
    unpacked: list[bytes] = []
    read = layout.read_slot

    def counted(slot: bytes) -> tuple[bytes, int, int, int, int]:
        unpacked.append(slot)
        return read(slot)

    monkeypatch.setattr(layout, "read_slot", counted)
    for tag in (TAG, ELSEWHERE):
        reader.probe(tag).read(DECOYS)
        assert list(map(len, unpacked)) == [SLOT_SIZE]
        unpacked.clear()


class TestMany:
    """A batch's probes say what one after another would."""

    TAGS = (TAG, ELSEWHERE, tag_at(100, 7), tag_at(1_500))

    @staticmethod
    def read(probes: Probes) -> list[list[layout.Fields]]:
        """The links of each tag, or none."""
        firsts, several = probes.read(DECOYS)
        return [
            several.get(place, [first]) if found else []
            for place, (found, first) in enumerate(zip(probes.found, firsts, strict=True))
        ]

    def alone(self, reader: TableReader) -> list[list[layout.Fields]]:
        """The same, one by one."""
        probes = [reader.probe(tag) for tag in self.TAGS]
        return [probe.read(DECOYS) if probe.found else [] for probe in probes]

    @pytest.mark.parametrize("settled", [True, False])
    def test_one_link_several_and_none(
        self, table: Table, reader: TableReader, *, settled: bool
    ) -> None:
        for number in range(3):
            table.add(TAG, link_of(number))
        table.add(tag_at(100, 7), link_of(9))
        table.complete()
        if settled:
            reader.probe(TAG)

        found = self.read(reader.probe_all(self.TAGS))
        assert list(map(len, found)) == [3, 0, 1, 0]
        assert found == self.alone(reader)

    def test_the_bytes_of_a_tag_elsewhere_are_not_that_tag(
        self, table: Table, reader: TableReader
    ) -> None:
        since = int.from_bytes(TAG[layout.HANDLE_SIZE :], "little")
        posing = link_of(1)._replace(handle=TAG[: layout.HANDLE_SIZE], since=since)
        table.add(tag_at(99, 1), posing)
        table.add(tag_at(101), posing)
        table.complete()
        reader.probe(ELSEWHERE)
        assert reader.probe_all([TAG]).found == [False]
        table.add(TAG, link_of(2))
        assert links(reader, TAG) == (link_of(2),)
        assert self.read(reader.probe_all(self.TAGS)) == self.alone(reader)

    def test_what_changes_in_between_is_seen(self, table: Table, reader: TableReader) -> None:
        table.complete()
        reader.probe(TAG)
        probes = reader.probe_all(self.TAGS)
        reader.check(probes)
        table.add(tag_at(2_000), link_of(1))
        reader.check(probes)
        table.add(ELSEWHERE, link_of(1))
        with pytest.raises(IndexStale):
            reader.check(probes)

    def test_a_change_while_they_are_made(self, table: Table, reader: TableReader) -> None:
        """They are made anew, and see it."""
        table.complete()
        reader.probe(TAG)
        recorder = Recorder(reader)
        recorder.between = lambda: (
            None if recorder.windows()[1:] else table.add(ELSEWHERE, link_of(1))
        )
        probes = reader.probe_all(self.TAGS)

        assert probes.found == [False, True, False, False]
        reader.check(probes)

    def test_a_damaged_slot_is_no_answer(self, table: Table, reader: TableReader) -> None:
        table.add(TAG, link_of(1))
        table.add(ELSEWHERE, link_of(1))
        table.add(ELSEWHERE, link_of(2))
        table.complete()
        for home in (100, 900):
            table._memory[HEADER_SIZE + home * SLOT_SIZE + 12] ^= 1
            with pytest.raises(IndexStale):
                reader.probe_all([tag_at(home)]).read(DECOYS)

    def test_they_do_not_print(self, table: Table, reader: TableReader) -> None:
        table.complete()
        assert repr(reader.probe_all(self.TAGS)) == "<Probes>"
