"""The custodian's side of a table: filled once, then changed link by link.

Invariants:

* One process, one thread writes a table. All it holds of it besides the file is the number of
  links and the sequence.
* Slots and places are as layout.py defines them after every change, so that a table from which a
  link was removed equals, byte for byte, one that never had it: nothing to enlarge, sweep or mend.
* A change first finds its outcome, and raises before it has written anything. It is written
  between two values of the sequence, odd meanwhile, with the touched slots named in `change`;
  `replace` is one change: no reader sees neither link.
* A change is visible to every reader when its call returns; the caller may acknowledge it.
* A writer killed in a change leaves the sequence odd. Readers then cannot check at the few slots
  of that change, until a new custodian has built its own table; everywhere else they can.

Stores are ordered by fences (reader.py says of what they are made); writing can afford them.
"""

import os
from _thread import allocate_lock
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import numpy as np

from crypto.tag import TAG_SIZE, Tag
from lookup.index import layout, placing
from lookup.index.errors import (
    LinkExists,
    LinkNotFound,
    TableFull,
    TooManyLinks,
    WindowFull,
)
from lookup.index.folder import create_file
from lookup.index.layout import HEADER_SIZE, SLOT_SIZE, WINDOW, Link
from lookup.index.mapping import map_table

_LIVE, _COMPLETE, _SEQUENCE, _CHANGE = range(4)
_EMPTY: Final = np.frombuffer(layout.EMPTY_SLOT, dtype=np.uint8)
_BATCH: Final = 2**16  # slots copied at once: 2 MiB, which stay in a cache
_IDENTITY_OF_SLOT: Final = TAG_SIZE + layout.HANDLE_SIZE


class Table:
    """A table of the index, mapped for writing. Made by `create`; live and incomplete at first."""

    def __init__(self, path: Path, descriptor: int, generation: int, capacity: int) -> None:
        self.path = path
        self.generation = generation
        self.capacity = capacity
        self._links = 0
        self._sequence = 0
        self._homes = layout.homes_for(capacity)
        size = layout.file_size(self._homes)
        self._memory, self.locked = map_table(descriptor, size, writable=True)
        start = layout.STATE_OFFSET
        with memoryview(self._memory) as whole:
            self._state = whole[start : start + layout.STATE.size].cast("Q")
        self._fence = allocate_lock()
        self._fence.acquire()
        layout.IDENTITY.pack_into(
            self._memory, 0, layout.MAGIC, layout.FORMAT, generation, self._homes, capacity
        )
        self._slots()[:] = _EMPTY
        self._state[_LIVE] = layout.LIVE

    @classmethod
    def create(cls, folder: Path, generation: int, capacity_links: int) -> Self:
        """Create a table that is full with this many links (at least `layout.MIN_CAPACITY`).

        Give it a quarter more than there are links: 64 bytes for each. Raises FolderUnsafe if the
        folder is not private or not on tmpfs, IndexSpace if there is no room.
        """
        if not 0 <= capacity_links <= layout.MAX_CAPACITY:
            raise ValueError(f"a table holds up to {layout.MAX_CAPACITY} links")
        capacity = max(capacity_links, layout.MIN_CAPACITY)
        path, descriptor = create_file(folder, layout.file_size(layout.homes_for(capacity)))
        try:
            return cls(path, descriptor, generation, capacity)
        finally:
            os.close(descriptor)

    def __len__(self) -> int:
        return self._links

    @property
    def load(self) -> float:
        """How full the table is: 1 when only `grow` makes room for another link."""
        return self._links / self.capacity

    def fill(self, chunks: Iterable[placing.Chunk]) -> None:
        """Place many links at once, in a table that has none.

        A chunk is an array of tags, uint8 of shape (n, 12), and one of bodies as
        `layout.pack_body` makes them, uint8 of shape (n, 18). 75 bytes a link are held besides
        the table meanwhile. Raises LinkExists, TooManyLinks, TableFull or WindowFull, and
        ValueError for the tag of an empty slot.
        """
        if self._links:
            raise ValueError("only a table without links is filled")
        slots = np.empty((self.capacity, SLOT_SIZE), dtype=np.uint8)
        count = 0
        for tags, bodies in chunks:
            end = count + len(tags)
            if end > self.capacity:
                raise TableFull("the table was made for fewer links")
            placing.pack_slots(tags, bodies, slots[count:end])
            count = end
        self._place(slots[:count])

    def grow(self, generation: int) -> Self:
        """Return a table with the same links and room for half as many more, in a new file.

        The tags stay, and with them the index key. The new table is incomplete; this one stays as
        it is: the caller completes the one, hands it over, and supersedes the other.
        """
        larger = type(self).create(self.path.parent, generation, self.capacity * 3 // 2)
        slots = self._slots()
        taken = (slots != _EMPTY).any(axis=1)
        larger._place(slots[taken])  # noqa: SLF001  # a table of this class
        return larger

    def add(self, tag: Tag, link: Link) -> None:
        """Add a link.

        Raises LinkExists, TooManyLinks, TableFull (WindowFull, too: see `grow`), and ValueError
        for what a slot cannot hold.
        """
        slot = layout.pack_slot(tag, link)
        home, run = self._run(tag)
        _require_new(run, slot)
        if sum(other.startswith(tag) for other in run) == layout.MAX_LINKS_PER_TAG:
            raise TooManyLinks(f"a tag has {layout.MAX_LINKS_PER_TAG} links already")
        if self._links == self.capacity:
            raise TableFull("the table has as many links as it was made for")
        self._rewrite(home, run, [*run, slot])
        self._links += 1

    def remove(self, tag: Tag, handle: bytes) -> None:
        """Remove a link; nothing of it stays. Raises LinkNotFound."""
        home, run = self._run(tag)
        rest = _without(run, tag, handle)
        self._rewrite(home, run, rest)
        self._links -= 1

    def replace(self, tag: Tag, handle: bytes, link: Link) -> None:
        """Put a link in the place of the one with this handle, in one change.

        Raises LinkNotFound, LinkExists if the new handle is another link's, and ValueError for
        what a slot cannot hold.
        """
        slot = layout.pack_slot(tag, link)
        home, run = self._run(tag)
        rest = _without(run, tag, handle)
        _require_new(rest, slot)
        self._rewrite(home, run, [*rest, slot])

    def complete(self) -> None:
        """Say that every link is in the table: from now on a miss is an answer."""
        self._order()
        self._state[_COMPLETE] = layout.COMPLETE

    def declare_incomplete(self) -> None:
        """Say that links may be missing: from now on a miss is no answer."""
        self._state[_COMPLETE] = 0

    def supersede(self) -> None:
        """Say that another table has taken this one's place: it answers nothing any more."""
        self._state[_LIVE] = 0

    def close(self, *, unlink: bool = True) -> None:
        """Unmap the table, and remove its file; readers that map it keep their mapping."""
        self._state.release()
        self._memory.close()
        if unlink:
            self.path.unlink(missing_ok=True)

    def _run(self, tag: Tag) -> tuple[int, list[bytes]]:
        """Return the home of a tag and the slots from there to the first empty one."""
        home = layout.home_of(tag, self._homes)
        end = len(self._memory)
        run: list[bytes] = []
        for at in range(HEADER_SIZE + SLOT_SIZE * home, end, SLOT_SIZE):
            slot = self._memory[at : at + SLOT_SIZE]
            if slot == layout.EMPTY_SLOT:
                break
            run.append(slot)
        return home, run

    def _rewrite(self, home: int, old: list[bytes], new: list[bytes]) -> None:
        """Replace a run.

        What comes before a run's home does not depend on it; what comes after its end neither,
        since it can grow by no more than the empty slot there.
        """
        length = max(len(old), len(new))
        before = old + [layout.EMPTY_SLOT] * (length - len(old))
        after = self._laid_out(home, length, sorted(new))
        differ = [i for i in range(length) if before[i] != after[i]]
        if not differ:
            return
        first, last = differ[0], differ[-1]
        start = HEADER_SIZE + SLOT_SIZE * (home + first)
        image = b"".join(after[first : last + 1])
        with self._changing(home + first, home + last):
            self._memory[start : start + len(image)] = image

    def _laid_out(self, home: int, length: int, slots: list[bytes]) -> list[bytes]:
        places = [layout.EMPTY_SLOT] * length
        free = home
        for slot in slots:
            own = layout.home_of(slot, self._homes)
            place = max(own, free)
            if place - own >= WINDOW:
                raise WindowFull("a window of the table is full")
            places[place - home] = slot
            free = place + 1
        return places

    def _place(self, slots: placing.Bytes) -> None:
        order = placing.order_slots(slots)
        places = placing.place_slots(slots, order, self._homes)
        own = self._slots()
        with self._changing(0, len(own) - 1):
            for start in range(0, len(slots), _BATCH):
                batch = slice(start, start + _BATCH)
                own[places[batch]] = np.take(slots, order[batch], axis=0)
        self._links = len(slots)

    def _slots(self) -> placing.Bytes:
        own = np.frombuffer(self._memory, dtype=np.uint8, offset=HEADER_SIZE)
        return own.reshape(-1, SLOT_SIZE)

    @contextmanager
    def _changing(self, first: int, last: int) -> Iterator[None]:
        """Keep the sequence odd meanwhile. If the change fails, it stays odd: could not check."""
        if self._state[_LIVE] != layout.LIVE:
            raise ValueError("a superseded table is not changed: nobody would see it")
        self._state[_CHANGE] = first << 32 | last
        self._order()
        self._state[_SEQUENCE] = self._sequence + 1
        self._order()
        yield
        self._order()
        self._sequence += 2
        self._state[_SEQUENCE] = self._sequence

    def _order(self) -> None:
        self._fence.release()
        self._fence.acquire()


def _require_new(run: list[bytes], slot: bytes) -> None:
    if any(other[:_IDENTITY_OF_SLOT] == slot[:_IDENTITY_OF_SLOT] for other in run):
        raise LinkExists("a tag has this handle already")


def _without(run: list[bytes], tag: Tag, handle: bytes) -> list[bytes]:
    rest = [slot for slot in run if slot[:_IDENTITY_OF_SLOT] != tag + handle]
    if len(rest) == len(run):
        raise LinkNotFound("a tag has no link with this handle")
    return rest
