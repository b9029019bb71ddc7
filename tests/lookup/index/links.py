"""Tags and links for tests, and a table spelled out slot by slot."""

from collections.abc import Iterable
from datetime import date

import numpy as np

from crypto.tag import TAG_SIZE, Tag
from lookup.index import layout
from lookup.index.layout import Link, days_of
from lookup.index.placing import Chunk
from lookup.index.reader import Probe, TableReader, make_decoys
from lookup.index.writer import Table

LEAP_DAY = days_of(date(2024, 2, 29))
DECOYS = make_decoys([0, 1])
HOMES = layout.homes_for(layout.MIN_CAPACITY)


def tag_at(home: int, number: int = 0, homes: int = HOMES) -> Tag:
    """A tag with this home: number 0, 1, ... in the order of slots."""
    top = -(-(home << 32) // homes)
    return Tag(top.to_bytes(4, "big") + number.to_bytes(TAG_SIZE - 4, "big"))


def link_of(number: int, category: int = 0) -> Link:
    """A link with a handle of its own."""
    handle = number.to_bytes(layout.HANDLE_SIZE, "big")
    return Link(handle, LEAP_DAY, layout.NO_DAY, 11_323, 1023, category, test=False)


def chunk_of(pairs: Iterable[tuple[Tag, Link]]) -> Chunk:
    """What `Table.fill` takes."""
    pairs = list(pairs)
    tags = b"".join(tag for tag, _ in pairs)
    bodies = b"".join(layout.pack_body(link) for _, link in pairs)
    return (
        np.frombuffer(tags, dtype=np.uint8).reshape(-1, TAG_SIZE),
        np.frombuffer(bodies, dtype=np.uint8).reshape(-1, layout.BODY.size),
    )


def places(slots: Iterable[bytes], homes: int) -> dict[int, bytes]:
    """Slot number to slot: the definition in layout.py, by its words."""
    taken: dict[int, bytes] = {}
    for slot in sorted(slots):
        place = layout.home_of(slot, homes)
        while place in taken:
            place += 1
        taken[place] = slot
    return taken


def fits(slots: Iterable[bytes], homes: int) -> bool:
    """Whether each slot lies in its window."""
    return all(
        place < layout.home_of(slot, homes) + layout.WINDOW
        for place, slot in places(slots, homes).items()
    )


def spelled_out(slots: Iterable[bytes], homes: int) -> bytes:
    """All slots of a table."""
    taken = places(slots, homes)
    return b"".join(
        taken.get(place, layout.EMPTY_SLOT) for place in range(layout.slot_count(homes))
    )


def slots_of(table: Table) -> bytes:
    """All slots that a table's file has."""
    return table.path.read_bytes()[layout.HEADER_SIZE :]


def links_of(probe: Probe) -> tuple[Link, ...]:
    """What a probe found."""
    return tuple(
        Link(handle, since, until, answer_until, who & 0x3FF, who >> 10 & 0xF, who >> 14 & 1 == 1)
        for handle, since, until, answer_until, who in (probe.read(DECOYS) if probe.found else ())
    )


def links(reader: TableReader, tag: Tag) -> tuple[Link, ...]:
    """One lookup, checked."""
    probe = reader.probe(tag)
    found = links_of(probe)
    reader.check(probe)
    return found
