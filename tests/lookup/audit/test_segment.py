"""Segments: what was acknowledged is found again, and found as it was written."""

from hashlib import sha256
from itertools import chain
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.aead import InvalidCiphertext
from crypto.audit import AuditKey, GroupOpener, SegmentKey, public_of
from lookup.audit.entry import MAX_ENTRY
from lookup.audit.errors import InvalidSegment
from lookup.audit.segment import (
    END_SIZE,
    HEADER_SIZE,
    MAX_GROUP,
    START,
    Position,
    Read,
    group_size,
    make_end,
    make_group,
    make_header,
    open_header,
    parse_header,
    read_groups,
    require_torn,
    seal_group,
    split_group,
    whole_blocks,
)
from tests.lookup.audit.entries import make_entry

VAULT = b"v" * 16
AUDIT_KEY = AuditKey(b"k" * 32)
PUBLIC = public_of(AUDIT_KEY)
SIZE = 64 * 1_024
ENTRIES = [make_entry(count) for count in (1, 1, 2, 1, 5, 1)]


class Segment:
    """A segment in memory, with the places of its groups."""

    def __init__(self, *sizes: int, ended: bool = True) -> None:
        header, self.sealer = make_header(7, 1_800_000_000, VAULT, PUBLIC)
        self.bytes = bytearray(header)
        self.places: list[tuple[int, int]] = []
        entries = iter(ENTRIES)
        for size in sizes:
            self.add(make_group(self.sealer, [next(entries) for _ in range(size)]))
        if ended:
            self.add(make_end(self.sealer))
        self.bytes = self.bytes.ljust(SIZE, b"\0")
        self.opener = open_header(parse_header(self.read(0, HEADER_SIZE)), AUDIT_KEY, VAULT)

    def add(self, group: bytes) -> None:
        """Write it behind the others; its place is whole blocks."""
        begin, end = len(self.bytes), len(self.bytes) + whole_blocks(len(group))
        self.places.append((begin, end))
        self.bytes = (self.bytes + group).ljust(end, b"\0")

    def read(self, offset: int, size: int) -> bytes:
        """As a file is read."""
        return bytes(self.bytes[offset : offset + size])

    def open_and_read(self) -> tuple[list[bytes], bool]:
        """Read it as somebody who has nothing but the audit key."""
        header = parse_header(self.read(0, HEADER_SIZE))
        return entries_in(self.read, open_header(header, AUDIT_KEY, VAULT))

    def cut(self, at: int) -> bytes:
        """Take a group out and put zeros in its place."""
        begin, end = self.places[at]
        group, self.bytes[begin:end] = bytes(self.bytes[begin:end]), bytes(end - begin)
        return group


def entries_in(read: Read, opener: GroupOpener) -> tuple[list[bytes], bool]:
    """Read all, and be sure that nothing is missing: as the custodian does with the lock held."""
    reading = read_groups(read, opener)
    if not reading.ended:
        require_torn(read, opener, reading.stopped, SIZE)
    return [entry for group in reading.groups for entry in group.entries], reading.ended


def test_the_header_comes_back() -> None:
    segment = Segment()
    header = parse_header(segment.read(0, HEADER_SIZE))

    assert header.slot == 7
    assert header.made == 1_800_000_000
    assert header.segment == segment.sealer.segment
    assert segment.sealer.segment != Segment().sealer.segment


@given(st.lists(st.integers(1, 3), max_size=3), st.booleans())
def test_every_entry_comes_back_in_its_order(sizes: list[int], ended: bool) -> None:  # noqa: FBT001  # hypothesis draws it
    segment = Segment(*[min(size, 2) for size in sizes], ended=ended)
    count = sum(min(size, 2) for size in sizes)

    assert entries_in(segment.read, segment.opener) == (ENTRIES[:count], ended)


def test_a_group_says_how_much_room_it_takes() -> None:
    sealer = Segment().sealer

    assert group_size(ENTRIES) == len(make_group(sealer, ENTRIES))
    assert len(make_end(sealer)) == END_SIZE


def test_the_largest_group_is_read_and_a_larger_one_is_not_made() -> None:
    segment = Segment(ended=False)
    largest = [make_entry(1_000)] * 5
    del segment.bytes[HEADER_SIZE:]
    segment.add(make_group(segment.sealer, largest))

    assert group_size(largest) <= MAX_GROUP
    assert len(largest[0]) == MAX_ENTRY
    assert read_groups(segment.read, segment.opener).groups[0].entries == largest
    for wrong in ([], [*largest, make_entry(1_000)]):
        with pytest.raises(ValueError, match="a group holds"):
            make_group(segment.sealer, wrong)


def test_reading_goes_on_where_it_stopped() -> None:
    """Also at the end of what was asked for, and while the writer goes on writing."""
    segment = Segment(1, 2, ended=False)
    reading = read_groups(segment.read, segment.opener)
    assert not reading.ended
    assert [group.number for group in reading.groups] == [0, 1]
    assert reading.stopped == Position(segment.places[1][1], 2)
    assert read_groups(segment.read, segment.opener, reading.stopped).groups == []

    group = make_group(segment.sealer, ENTRIES[3:4])
    begin = reading.stopped.offset
    for written in range(len(group)):
        segment.bytes[begin : begin + written] = group[:written]
        again = read_groups(segment.read, segment.opener, reading.stopped)
        assert (again.groups, again.stopped, again.ended) == ([], reading.stopped, False)
    segment.bytes[begin : begin + len(group)] = group
    (found,) = read_groups(segment.read, segment.opener, reading.stopped).groups
    assert found.entries == split_group(segment.opener, 2, found.sealed) == ENTRIES[3:4]
    assert group.endswith(found.sealed)


@given(st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=1, max_size=9))
def test_a_group_comes_apart_as_it_was_put_together(counts: list[int]) -> None:
    """Whether all its entries are of one size, and can be cut at a stride, or not."""
    segment = Segment()
    entries = [make_entry(count) for count in counts]
    number, sealed = seal_group(segment.sealer, entries)

    assert split_group(segment.opener, number, sealed) == entries


@pytest.mark.parametrize("counts", [(1,), (1, 1, 1), (1, 2), (2, 1), (2,)])
@pytest.mark.parametrize("by", [-256, -1, 1, 256])
def test_a_length_that_is_wrong_is_no_group(counts: tuple[int, ...], by: int) -> None:
    segment = Segment()
    *first, last = [make_entry(count) for count in counts]
    parts = [(len(entry), entry) for entry in first] + [(len(last) + by, last)]
    plaintext = b"".join(pack(">I", length) + entry for length, entry in parts)

    with pytest.raises(InvalidSegment, match="each behind its length"):
        split_group(segment.opener, *segment.sealer.seal(plaintext))


def test_reading_takes_as_much_as_it_was_asked_for() -> None:
    segment = Segment(ended=False)
    del segment.bytes[HEADER_SIZE:]
    large = [make_entry(1_000)] * 4
    for _ in range(3):
        segment.add(make_group(segment.sealer, large))
    segment.add(make_end(segment.sealer))
    stopped = START
    found: list[bytes] = []
    for _ in range(3):
        reading = read_groups(segment.read, segment.opener, stopped, most=1)
        assert len(reading.groups) == 1
        stopped, found = reading.stopped, [*found, *reading.groups[0].entries]

    assert found == large * 3
    assert reading.ended or read_groups(segment.read, segment.opener, stopped).ended


class TestTampering:
    """Who can write the folder, or a medium that lies: nothing acknowledged is lost in silence."""

    @given(st.data())
    def test_any_flipped_bit_is_refused(self, data: st.DataObject) -> None:
        segment = Segment(1, 2, 1)
        groups = (ENTRIES[:1], ENTRIES[1:3], ENTRIES[3:4])
        written = [
            range(begin, begin + group_size(group))
            for (begin, _), group in zip(segment.places, groups, strict=False)  # not the end
        ]
        at = data.draw(st.sampled_from([*range(HEADER_SIZE), *chain(*written)]))
        segment.bytes[at] ^= 1 << data.draw(st.integers(0, 7))

        with pytest.raises((InvalidSegment, InvalidCiphertext)):
            segment.open_and_read()

    @pytest.mark.parametrize("dropped", range(3))
    def test_a_dropped_group_is_refused(self, dropped: int) -> None:
        segment = Segment(1, 2, 1)
        segment.cut(dropped)

        with pytest.raises(InvalidSegment, match="damaged or missing"):
            entries_in(segment.read, segment.opener)

    @pytest.mark.parametrize("dropped", range(3))
    def test_also_when_the_gap_is_closed(self, dropped: int) -> None:
        segment = Segment(1, 2, 1)
        begin, end = segment.places[dropped]
        del segment.bytes[begin:end]

        with pytest.raises(InvalidSegment, match="damaged or missing"):
            entries_in(segment.read, segment.opener)

    @given(st.permutations(range(4)).filter(lambda order: order != [0, 1, 2, 3]))
    def test_reordered_groups_are_refused(self, order: list[int]) -> None:
        segment = Segment(1, 1, 1)
        parts = [segment.read(begin, end - begin) for begin, end in segment.places]
        segment.bytes[HEADER_SIZE : segment.places[-1][1]] = b"".join(parts[at] for at in order)

        with pytest.raises(InvalidSegment, match="damaged or missing"):
            entries_in(segment.read, segment.opener)

    @pytest.mark.parametrize("repeated", range(3))
    @pytest.mark.parametrize("renumbered", [False, True])
    def test_a_repeated_group_is_refused(self, repeated: int, renumbered: bool) -> None:  # noqa: FBT001  # a parameter of the test
        segment = Segment(1, 2, 1)
        begin, end = segment.places[repeated]
        again = bytearray(segment.read(begin, end - begin))
        if renumbered:
            again[4:8] = (repeated + 1).to_bytes(4, "big")
        segment.bytes[end:end] = again

        with pytest.raises(InvalidSegment, match="damaged or missing"):
            entries_in(segment.read, segment.opener)

    def test_an_end_cannot_be_forged(self) -> None:
        """Not by whoever lacks the segment key, and not from another place."""
        segment, other = Segment(1, 1, 1), Segment(1)
        cut = segment.cut(1)
        begin, _ = segment.places[1]
        ends = [
            b"\xff" * 4 + (1).to_bytes(4, "big") + bytes(16),
            b"\xff" * 4 + cut[4:],
            other.read(other.places[-1][0], END_SIZE),
            segment.read(segment.places[-1][0], END_SIZE),
        ]
        for end in ends:
            segment.bytes[begin : begin + len(end)] = end
            with pytest.raises(InvalidSegment, match="damaged or missing"):
                entries_in(segment.read, segment.opener)

    def test_groups_do_not_move_to_another_segment(self) -> None:
        segment, other = Segment(1, 1), Segment(1, 1)
        segment.bytes[HEADER_SIZE:] = other.bytes[HEADER_SIZE:]

        assert read_groups(segment.read, segment.opener).groups == []

    @pytest.mark.parametrize("at", [10, 30, 31])
    def test_what_the_header_says_is_bound_to_the_key(self, at: int) -> None:
        """Slot and time too, also by whoever computes the checksum anew."""
        segment = Segment(1)
        header = parse_header(segment.read(0, HEADER_SIZE))
        forged = {
            10: header._replace(slot=8),
            30: header._replace(made=header.made + 1),
            31: header._replace(segment=Segment().sealer.segment),
        }[at]

        with pytest.raises(InvalidCiphertext):
            open_header(forged, AUDIT_KEY, VAULT)

    def test_nor_does_it_open_for_another_vault_or_key(self) -> None:
        header = parse_header(Segment().read(0, HEADER_SIZE))

        with pytest.raises(InvalidCiphertext):
            open_header(header, AUDIT_KEY, b"w" * 16)
        with pytest.raises(InvalidCiphertext):
            open_header(header, AuditKey.generate(), VAULT)


class TestCrashes:
    """What a writer that died leaves: all that it acknowledged."""

    @given(st.data())
    def test_a_torn_last_group_is_left_out(self, data: st.DataObject) -> None:
        """Whatever part of it reached the medium, also its end without its beginning."""
        segment = Segment(1, 2, 1, ended=False)
        begin, _ = segment.places[-1]
        size = group_size(ENTRIES[3:4])
        lost = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=size))
        for at in lost:
            segment.bytes[begin + at] ^= 0x80 if data.draw(st.booleans()) else 0xFF

        found, ended = entries_in(segment.read, segment.opener)
        assert found[:3] == ENTRIES[:3]
        assert not ended

    @pytest.mark.parametrize("sector", range(3))
    def test_in_whatever_order_its_sectors_were_written(self, sector: int) -> None:
        segment = Segment(1, ended=False)
        begin = segment.places[0][1]
        group = make_group(segment.sealer, ENTRIES[2:4])
        torn = bytearray(group)
        torn[sector * 512 : sector * 512 + 512] = bytes(
            len(group[sector * 512 : sector * 512 + 512])
        )
        segment.bytes[begin : begin + len(group)] = torn

        assert entries_in(segment.read, segment.opener) == (ENTRIES[:1], False)

    def test_more_than_one_group_is_never_torn(self) -> None:
        segment = Segment(1, ended=False)
        begin = segment.places[0][1]

        def read(offset: int, size: int) -> bytes:
            whole = segment.bytes.ljust(begin + MAX_GROUP, b"\0") + b"x"
            return bytes(whole[offset : offset + size])

        reading = read_groups(read, segment.opener)
        with pytest.raises(InvalidSegment, match="more follows"):
            require_torn(read, segment.opener, reading.stopped, begin + MAX_GROUP + 1)

    @pytest.mark.parametrize("size", [0, 100, HEADER_SIZE - 1, HEADER_SIZE])
    def test_a_header_that_was_not_written_whole_is_none(self, size: int) -> None:
        header = Segment().read(0, HEADER_SIZE)
        torn = header[:size] if size < HEADER_SIZE else header[: size // 2] + bytes(size // 2)

        with pytest.raises(InvalidSegment):
            parse_header(torn)


@pytest.mark.parametrize("plaintext", [b"x", b"\0\0\0\1x", b"\0\0\1\xec" + bytes(491), bytes(8)])
def test_what_was_sealed_and_is_no_group_is_refused(plaintext: bytes) -> None:
    """Only a defect of the writer's could make it; it must not look like a torn group."""
    segment = Segment(ended=False)
    number, sealed = segment.sealer.seal(plaintext.ljust(600, b"\0"))
    del segment.bytes[HEADER_SIZE:]
    segment.add(len(sealed).to_bytes(4, "big") + number.to_bytes(4, "big") + sealed)

    with pytest.raises(InvalidSegment):
        read_groups(segment.read, segment.opener)


def test_no_repr_shows_an_entry() -> None:
    segment = Segment(1)

    assert "Group 0" in repr(read_groups(segment.read, segment.opener))
    assert "entries" not in repr(read_groups(segment.read, segment.opener))


def test_another_format_is_refused() -> None:
    header = bytearray(Segment().read(0, HEADER_SIZE))
    for at, value in ((9, 0), (9, 3), (0, 0), (200, 1)):
        wrong = bytearray(header)
        wrong[at] = value
        wrong[-32:] = sha256(wrong[:-32]).digest()
        with pytest.raises(InvalidSegment):
            parse_header(bytes(wrong))


def test_headers_of_the_first_format_open_what_is_in_the_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its groups were sealed alike, and the chain keeps them without their places."""
    with monkeypatch.context() as patch:
        patch.setattr("lookup.audit.segment.FORMAT", 1)
        header, sealer = make_header(7, 1_800_000_000, VAULT, PUBLIC)
    group = make_group(sealer, ENTRIES[:2])
    parsed = parse_header(header)

    assert parsed.format == 1
    assert split_group(open_header(parsed, AUDIT_KEY, VAULT), 0, group[8:]) == ENTRIES[:2]
    with pytest.raises(InvalidCiphertext):
        open_header(parsed._replace(format=2), AUDIT_KEY, VAULT)


def test_a_segment_key_opens_what_was_sealed_under_it_alone() -> None:
    segment = Segment(1)
    other = GroupOpener(SegmentKey.generate(), segment.sealer.segment)

    assert read_groups(segment.read, other).groups == []
