from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.tag import TAG_SIZE, Tag
from lookup.index import layout, placing
from lookup.index.errors import LinkExists, TableFull, TooManyLinks, WindowFull
from lookup.index.layout import pack_slot
from lookup.index.writer import Table
from tests.lookup.index.links import (
    HOMES,
    chunk_of,
    fits,
    link_of,
    slots_of,
    spelled_out,
    tag_at,
)

CROWDED = st.builds(tag_at, st.integers(100, 130) | st.just(HOMES - 1), st.integers(0, 3))
PAIRS = st.lists(st.tuples(CROWDED, st.integers(0, 3)), unique=True, max_size=120)


@given(PAIRS, st.integers(1, 50))
def test_numpy_places_as_the_layout_says(pairs: list[tuple[Tag, int]], size: int) -> None:
    """Checksums, order and places of a filled table are those of the definition."""
    links = [(tag, link_of(number)) for tag, number in pairs]
    expected = [pack_slot(tag, link) for tag, link in links]
    slots = np.empty((len(links), layout.SLOT_SIZE), dtype=np.uint8)
    for start in range(0, len(links), size):
        placing.pack_slots(*chunk_of(links[start : start + size]), slots[start : start + size])

    order = placing.order_slots(slots)

    assert slots[order].tobytes() == b"".join(sorted(expected))
    if not fits(expected, HOMES):
        with pytest.raises(WindowFull):
            placing.place_slots(slots, order, HOMES)
        return
    image = np.tile(np.frombuffer(layout.EMPTY_SLOT, np.uint8), (layout.slot_count(HOMES), 1))
    image[placing.place_slots(slots, order, HOMES)] = slots[order]
    assert image.tobytes() == spelled_out(expected, HOMES)


def test_a_filled_table_equals_one_that_was_added_to(folder: Path, table: Table) -> None:
    """Whether links came at once or one by one, in whatever order, cannot be told."""
    links = [(tag_at(7 + i % 5, i % 7), link_of(i)) for i in range(30)]
    for tag, link in reversed(links):
        table.add(tag, link)

    filled = Table.create(folder, 2, 0)
    filled.fill([chunk_of(links[:11]), chunk_of([]), chunk_of(links[11:])])

    assert slots_of(filled) == slots_of(table)
    assert len(filled) == len(table) == len(links)
    filled.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_full_table_fits_its_windows(seed: int) -> None:
    """At a full load of 1 M links the furthest slot is 19 or so behind its home, of 31."""
    links = 1_000_000
    slots = np.zeros((links, layout.SLOT_SIZE), dtype=np.uint8)
    slots[:, :TAG_SIZE] = np.random.default_rng(seed).integers(0, 256, (links, TAG_SIZE), np.uint8)
    slots[: links // 20] = slots[links // 20 : links // 10]
    slots[: links // 20, TAG_SIZE] = 1
    homes = layout.homes_for(links)

    order = placing.order_slots(slots)
    places = placing.place_slots(slots, order, homes)

    tops = slots[order].view(">u4")[:, 0].astype(np.uint64)
    behind = places - (tops * np.uint64(homes) >> np.uint64(32)).astype(np.intp)
    assert behind.max() <= 24
    assert layout.file_size(homes) / links < 52


def test_too_much_is_refused_as_a_whole(table: Table) -> None:
    """A fill that raises has placed nothing."""
    one = tag_at(5)
    many = [(one, link_of(i)) for i in range(layout.MAX_LINKS_PER_TAG + 1)]
    crowd = [(tag_at(5, i), link_of(i)) for i in range(layout.WINDOW + 1)]
    more = [(tag_at(i), link_of(i)) for i in range(layout.MIN_CAPACITY + 1)]
    before = slots_of(table)

    for links, refusal in (
        ([*many[:2], many[0]], LinkExists),
        (many, TooManyLinks),
        (crowd, WindowFull),
        (more, TableFull),
    ):
        with pytest.raises(refusal):
            table.fill([chunk_of(links)])
    table.fill([chunk_of(many[1:])])
    assert len(table) == layout.MAX_LINKS_PER_TAG
    table.remove(one, many[1][1].handle)
    for _, link in many[2:]:
        table.remove(one, link.handle)
    assert slots_of(table) == before


def test_chunks_are_checked(table: Table) -> None:
    """Shapes, types and the tag of an empty slot; and a table is filled once."""
    tags, bodies = chunk_of([(tag_at(1), link_of(1)), (tag_at(2), link_of(2))])
    empty = np.frombuffer(layout.EMPTY_TAG * 2, dtype=np.uint8).reshape(2, -1)
    chunks: list[tuple[Any, Any]] = [
        (tags[:1], bodies),
        (tags, bodies[:, 1:]),
        (tags.astype(np.uint16), bodies),
        (empty, bodies),
    ]
    for chunk in chunks:
        with pytest.raises(ValueError, match=r"chunk|empty slot"):
            table.fill([chunk])
    table.fill([(tags, bodies)])
    with pytest.raises(ValueError, match="without links"):
        table.fill([(tags, bodies)])
