"""Entries: bounded, named by kind and id, and silent about what they hold."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.entry import (
    MAX_BODY,
    NEIGHBOURS,
    Entry,
    EntryId,
    Kind,
    bodies_of,
    body_of,
    decode,
    decode_all,
    is_gathered,
    is_pinned,
    new_entry_id,
    new_entry_ids,
)
from keys.errors import EntryTooLarge

RANDOM_ID = EntryId(bytes(range(16)))


@given(
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=MAX_BODY),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
def test_an_entry_comes_back_as_it_was(name: bytes, body: bytes, version: int, flags: int) -> None:
    entry = Entry(Kind.RECORD, EntryId(name), body, version, flags)
    assert decode(entry.encode()) == entry
    assert body_of(entry.encode()) == body


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_entries_stand_one_behind_the_other(bodies: list[bytes]) -> None:
    entries = [Entry(Kind.RECORD, new_entry_id(Kind.RECORD), body) for body in bodies]
    together = b"".join(entry.encode() for entry in entries)
    found = list(decode_all(together))
    assert [decode(encoded) for _, encoded in found] == entries
    assert [key for key, _ in found] == [entry.id + bytes((entry.kind,)) for entry in entries]
    assert bodies_of(together, Kind.RECORD) == [(entry.id, entry.body) for entry in entries]
    assert bodies_of(together, Kind.CLIENT) == []


@pytest.mark.parametrize("count", [0, 1, NEIGHBOURS, NEIGHBOURS + 1, 1_000])
def test_entries_that_arrive_together_share_leaves(count: int) -> None:
    """A leaf costs the same for one new entry as for many; the order of ids tells nothing."""
    ids = new_entry_ids(count)
    assert len(set(ids)) == count
    assert len({name[:2] for name in ids}) <= -(-count // NEIGHBOURS)
    if count == 1_000:
        assert [name[:2] for name in ids] != sorted(name[:2] for name in ids)
        assert {name[:2] for name in ids} != {name[:2] for name in new_entry_ids(count)}


def test_a_renewed_entry_differs_in_its_body_alone() -> None:
    entry = Entry(Kind.ANSWER_KEY, new_entry_id(Kind.ANSWER_KEY), b"k" * 32, 3, 4)
    renewed = entry.renewed()
    assert replace(renewed, body=entry.body) == entry
    assert renewed.body != entry.body
    assert len(renewed.body) == 32


def test_a_body_has_a_bound() -> None:
    Entry(Kind.RECORD, RANDOM_ID, bytes(MAX_BODY))
    with pytest.raises(EntryTooLarge, match="at most 4096 bytes, got 4097"):
        Entry(Kind.RECORD, RANDOM_ID, bytes(MAX_BODY + 1))


@pytest.mark.parametrize("kind", Kind)
def test_pinned_kinds_lie_in_the_first_leaf(kind: Kind) -> None:
    """Few of each, so that a start opens one leaf; ids are random all the same."""
    assert len({new_entry_id(kind) for _ in range(100)}) == 100
    assert is_pinned(kind) == (kind not in {Kind.RECORD, Kind.NOTICE} and not is_gathered(kind))
    if is_pinned(kind):
        assert new_entry_id(kind)[:2] == b"\0\0"
        with pytest.raises(ValueError, match="not an id of a"):
            Entry(kind, RANDOM_ID, b"")


@pytest.mark.parametrize("kind", [kind for kind in Kind if is_gathered(kind)])
def test_gathered_kinds_lie_in_the_first_of_256_parts(kind: Kind) -> None:
    """Many of each, and still apart from a million records."""
    ids = {new_entry_id(kind) for _ in range(1000)}
    assert {entry_id[0] for entry_id in ids} == {0}
    assert len({entry_id[1] for entry_id in ids}) > 100
    Entry(kind, EntryId(bytes(16)), b"")
    with pytest.raises(ValueError, match="not an id of a"):
        Entry(kind, EntryId(b"\x01" + bytes(15)), b"")


@pytest.mark.parametrize("wrong", [b"", bytes(15), bytes(17)])
def test_an_id_has_its_size(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="not an id of a RECORD entry"):
        Entry(Kind.RECORD, EntryId(wrong), b"")


@pytest.mark.parametrize(("version", "flags"), [(1 << 32, 0), (1, 1 << 32), (-1, 0), (1, -1)])
def test_numbers_that_do_not_fit_are_refused_at_once(version: int, flags: int) -> None:
    """Not when the page is written: by then an intent might be stored."""
    with pytest.raises(ValueError, match="32 bits"):
        Entry(Kind.RECORD, RANDOM_ID, b"", version, flags)


def test_an_entry_does_not_print_its_body() -> None:
    assert "secret" not in repr(Entry(Kind.RECORD, RANDOM_ID, b"secret"))
