import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lookup.errors import IndexNotReady
from lookup.index import layout
from lookup.index.errors import (
    LinkExists,
    LinkNotFound,
    TableError,
    TableFull,
    TooManyLinks,
    WindowFull,
)
from lookup.index.reader import TableReader
from lookup.index.writer import Table
from tests.lookup.index.links import chunk_of, link_of, links, slots_of, tag_at

Step = Callable[[Table], None]

TAG = tag_at(40)


def test_a_removed_link_leaves_nothing(table: Table) -> None:
    """Every byte of every slot is as if it had never been there, its neighbours included."""
    for i in range(20):
        table.add(tag_at(38 + i // 4, i), link_of(i))
    before = slots_of(table)

    table.add(tag_at(39, 5), link_of(99))
    assert slots_of(table) != before
    table.remove(tag_at(39, 5), link_of(99).handle)

    assert slots_of(table) == before
    assert len(table) == 20


def test_a_replaced_link_is_never_missing(table: Table, reader: TableReader) -> None:
    """One change, with the same handle or another."""
    table.complete()
    table.add(TAG, link_of(1))
    for old, new in ((1, link_of(1, category=3)), (1, link_of(2)), (2, link_of(1))):
        sequence = table._sequence
        table.replace(TAG, link_of(old).handle, new)
        assert table._sequence == sequence + 2
        assert links(reader, TAG) == (new,)
    table.replace(TAG, link_of(1).handle, link_of(1))
    assert len(table) == 1


def test_sixteen_links_of_one_tag(table: Table, reader: TableReader) -> None:
    """All of them are found, in no telling order; a seventeenth is refused."""
    numbers = [3, 1, 2, *range(4, layout.MAX_LINKS_PER_TAG + 1)]
    for number in numbers:
        table.add(TAG, link_of(number))

    assert links(reader, TAG) == tuple(link_of(number) for number in sorted(numbers))
    with pytest.raises(TooManyLinks):
        table.add(TAG, link_of(99))


def _full_window(table: Table) -> None:
    for number in range(layout.WINDOW):
        table.add(tag_at(40, number + 1), link_of(number))


def _full_neighbour(table: Table) -> None:
    """Room for one more slot of home 40, but then the last of home 41 has none."""
    for number in range(layout.WINDOW - 1):
        table.add(tag_at(40, number + 1), link_of(number))
    for number in range(2):
        table.add(tag_at(41, number), link_of(number))


def _full_table(table: Table) -> None:
    table.fill([chunk_of((tag_at(i), link_of(i)) for i in range(table.capacity))])


def _one_link(table: Table) -> None:
    table.add(tag_at(41), link_of(1))


REFUSALS: dict[str, tuple[Step, Step, type[TableError]]] = {
    "window full": (_full_window, lambda t: t.add(TAG, link_of(99)), WindowFull),
    "neighbour's window full": (_full_neighbour, lambda t: t.add(TAG, link_of(99)), WindowFull),
    "table full": (_full_table, lambda t: t.add(tag_at(0, 9), link_of(9)), TableFull),
    "twice": (_one_link, lambda t: t.add(tag_at(41), link_of(1)), LinkExists),
    "remove none": (_one_link, lambda t: t.remove(TAG, link_of(1).handle), LinkNotFound),
    "remove other": (_one_link, lambda t: t.remove(tag_at(41), link_of(2).handle), LinkNotFound),
    "replace none": (
        _one_link,
        lambda t: t.replace(tag_at(41), link_of(2).handle, link_of(3)),
        LinkNotFound,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_change_changes_nothing(table: Table, name: str) -> None:
    """Not a slot, not the count; the sequence is even."""
    prepare, change, refusal = REFUSALS[name]
    prepare(table)
    before, count = slots_of(table), len(table)

    with pytest.raises(refusal):
        change(table)

    assert (slots_of(table), len(table)) == (before, count)
    assert table._sequence % 2 == 0


def test_replace_refuses_the_handle_of_another(table: Table) -> None:
    """One handle is one link."""
    table.add(TAG, link_of(1))
    table.add(TAG, link_of(2))
    with pytest.raises(LinkExists):
        table.replace(TAG, link_of(1).handle, link_of(2))


def test_a_full_table_grows(table: Table) -> None:
    """Into a new file with the same links, incomplete until the caller says so."""
    _full_table(table)
    table.complete()
    larger = table.grow(generation=2)
    reader = TableReader(larger.path)
    with pytest.raises(IndexNotReady):
        reader.probe(tag_at(0, 9))

    larger.add(tag_at(0, 9), link_of(9))
    larger.complete()

    assert (larger.generation, reader.generation) == (2, 2)
    assert larger.capacity == table.capacity * 3 // 2
    assert len(larger) == len(table) + 1
    assert all(links(reader, tag_at(n)) == (link_of(n),) for n in range(table.capacity))
    assert larger.load == pytest.approx(2 / 3, abs=0.001)
    reader.close()
    larger.close()


def test_a_superseded_table_takes_no_change(table: Table) -> None:
    """It would be acknowledged, and seen by nobody."""
    table.supersede()
    with pytest.raises(ValueError, match="superseded"):
        table.add(TAG, link_of(1))


def test_the_file_is_private_and_goes(folder: Path) -> None:
    """Mode 0600, whatever the umask; closing removes it."""
    umask = os.umask(0)
    try:
        table = Table.create(folder, 1, 0)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(table.path.stat().st_mode) == 0o600
    table.close(unlink=False)
    assert table.path.exists()
    table.path.unlink()


@pytest.mark.parametrize("capacity", [-1, layout.MAX_CAPACITY + 1])
def test_a_capacity_out_of_range_is_refused(folder: Path, capacity: int) -> None:
    with pytest.raises(ValueError, match="holds up to"):
        Table.create(folder, 1, capacity)


def test_errors_name_no_tag_and_no_handle(table: Table) -> None:
    """Messages say which rule; they may be logged."""
    table.add(TAG, link_of(1))
    with pytest.raises(TableError) as exists:
        table.add(TAG, link_of(1))
    with pytest.raises(TableError) as missing:
        table.remove(TAG, link_of(2).handle)
    assert str(exists.value) == "a tag has this handle already"
    assert str(missing.value) == "a tag has no link with this handle"
