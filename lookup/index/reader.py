"""The worker's side of a table: one fixed window, and whether it may be believed.

    state, window, state again; then the tag is searched for in the window

Invariants:

* Each probe copies one slice of 32 slots and searches all of it, whatever is found there.
* A window is believed only if the state was the same before and after it was copied, and no
  change was under way in it: the sequence is odd during a change, and `change` says which slots
  it touches. So readers elsewhere go on while a change is under way, also for ever, when its
  writer was killed in it.
* After `ATTEMPTS` failures a probe raises IndexStale: could not check. It never waits.
* A superseded table answers nothing. A miss in an incomplete one is no answer; a hit is.
* A slot that does not match its checksum raises IndexStale.

**Order of loads.** x86 swaps neither two loads nor two stores (Intel SDM 3A 9.2.2, AMD64 APM 2
7.2). On other machines each probe has two fences, made of the one barrier that Python has: a held
lock, released and taken again. A release orders what is before it, an acquisition what is after
it, and the two are ordered by being atomic accesses to one word. That costs 0.3 us, therefore not
on x86.

**Between probe and answer.** `check` must be called just before the answer leaves. If anything
in the table has changed since, it probes again (any change moves the sequence; asking whether it
was in this window would cost as much) and raises IndexStale if the answer would now be another
one. So an add that was acknowledged before `check` is never answered with *no record*.

One reader belongs to one thread.
"""

import os
import stat
from _thread import allocate_lock
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Final

from crypto.tag import TAG_SIZE, Tag
from lookup.errors import IndexNotReady, IndexStale, IndexSuperseded
from lookup.index import layout
from lookup.index.errors import InvalidTable
from lookup.index.layout import (
    HEADER_SIZE,
    SLOT_SIZE,
    WINDOW,
    WINDOW_SIZE,
    Fields,
    InvalidSlot,
)
from lookup.index.mapping import announce_reader, map_table

# An attempt takes half a microsecond, a change of the writer's less than ten.
ATTEMPTS: Final = 100

_ORDERED: Final = os.uname().machine in {"x86_64", "i686"}
_STATE: Final = slice(layout.STATE_OFFSET, layout.STATE_OFFSET + layout.STATE.size)
_TOP: Final = Struct(f">I{TAG_SIZE - 4}x")
_DECOYS: Final = 256

Decoys = tuple[bytes, ...]  # 256 slots, one for each first byte of a tag


def make_decoys(whos: Sequence[int]) -> Decoys:
    """Return the links that misses read, of what links may say that is answered.

    They are of different days and different `who`, as real links are: wording the same each time
    would be quicker by what a cache saves, and so tell misses from hits. Their answer windows have
    ended.
    """
    return tuple(
        layout.seal_slot(
            bytes(TAG_SIZE),
            layout.BODY.pack(
                bytes(layout.HANDLE_SIZE),
                9_700 - 37 * n,
                layout.NO_DAY - n % 2,
                0,
                whos[n * len(whos) // _DECOYS],
            ),
        )
        for n in range(_DECOYS)
    )


class Probe:
    """What one look at the table found."""

    __slots__ = ("_slots", "_state", "_tag")

    def __init__(self, tag: Tag, state: bytes, slots: bytes) -> None:
        self._tag = tag
        self._state = state
        self._slots = slots

    @property
    def found(self) -> bool:
        """Whether there is a link; none: *no record*."""
        return bool(self._slots)

    def read(self, decoys: Decoys) -> list[Fields]:
        """Return the fields of each link of the tag (`layout.read_slot`), in no telling order.

        A miss reads a decoy: a link whose answer window has ended costs no more than no link.
        Raises IndexStale if a slot does not match its checksum.
        """
        slots = self._slots or decoys[self._tag[0]]
        try:
            if len(slots) == SLOT_SIZE:
                return [layout.read_slot(slots)]
            return layout.read_slots(slots)
        except InvalidSlot as error:
            raise IndexStale(str(error)) from None

    def __repr__(self) -> str:
        return "<Probe>"


class Probes:
    """What looks at the table for many tags found."""

    __slots__ = ("_slots", "_state", "_tags")

    def __init__(self, tags: Sequence[Tag], state: bytes, slots: Sequence[bytes]) -> None:
        self._tags = tags
        self._state = state
        self._slots = slots

    @property
    def found(self) -> list[bool]:
        """Whether there is a link, for each tag."""
        return [bool(slots) for slots in self._slots]

    def read(self, decoys: Decoys) -> tuple[list[Fields], dict[int, list[Fields]]]:
        """Return the first link of each tag; and, by their places, all links where there are more.

        A miss reads a decoy. Raises as `Probe.read`.
        """
        slots = [
            found or decoys[tag[0]] for found, tag in zip(self._slots, self._tags, strict=True)
        ]
        try:
            several = {
                place: layout.read_slots(found)
                for place, found in enumerate(slots)
                if len(found) > SLOT_SIZE
            }
            for place in several:
                slots[place] = slots[place][:SLOT_SIZE]
            return layout.read_each(slots), several
        except InvalidSlot as error:
            raise IndexStale(str(error)) from None

    def __repr__(self) -> str:
        return "<Probes>"


class TableReader:
    """A table, mapped read-only."""

    def __init__(self, path: Path) -> None:
        """Map the table. Raises InvalidTable, or OSError if there is no such file."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        self._descriptor: int | None = descriptor
        try:
            status = os.fstat(descriptor)
            _require_file(status)
            announce_reader(descriptor)  # before anything is read: folder.py looks for readers
            self._memory, self.locked = map_table(descriptor, status.st_size, writable=False)
            self.generation, self._homes = _parse_identity(self._memory[:HEADER_SIZE])
            _require_size(status.st_size, self._homes)
        except (InvalidTable, OSError):
            os.close(descriptor)
            raise
        self._settled = b""  # the last state seen that was live, complete and without a change
        self._fence = allocate_lock()
        self._fence.acquire()

    def probe(self, tag: Tag) -> Probe:
        """Look a tag up.

        Raises IndexSuperseded, IndexNotReady for a miss in an incomplete table, and IndexStale if
        the window did not stand still.
        """
        memory = self._memory
        home = _TOP.unpack(tag)[0] * self._homes >> 32  # layout.home_of, 80 ns faster
        start = HEADER_SIZE + SLOT_SIZE * home
        state = memory[_STATE]
        window = memory[start : start + WINDOW_SIZE]
        if state != self._settled or memory[_STATE] != state:
            state, window = self._settle(home)
        slots = _search(tag, window)
        if not slots and state != self._settled:
            _require_complete(state)
        return Probe(tag, state, slots)

    def probe_all(self, tags: Sequence[Tag]) -> Probes:
        """Look many tags up. Raises as `probe`.

        The state is read before the first and after the last: while it is the same, and settled,
        nothing has changed in between, and no window needs to be looked at twice.
        """
        memory, homes = self._memory, self._homes
        state = memory[_STATE]
        if state != self._settled:
            return self._probe_each(tags)
        found = []
        for tag, (top,) in zip(tags, _TOP.iter_unpack(b"".join(tags)), strict=True):
            start = HEADER_SIZE + SLOT_SIZE * (top * homes >> 32)
            found.append(_search(tag, memory[start : start + WINDOW_SIZE]))
        if memory[_STATE] != state:
            return self._probe_each(tags)
        return Probes(tags, state, found)

    def check(self, probe: Probe | Probes) -> None:
        """Return if the answer still stands; call it just before the answer leaves.

        Raises as `probe`, and IndexStale if the answer is another one by now.
        """
        if self._memory[_STATE] != probe._state and not self._finds_again(probe):  # noqa: SLF001  # only a reader reads a probe
            raise IndexStale("the answer has changed since it was looked up")

    def require_ready(self) -> None:
        """Return if a miss in this table is an answer; else raise as `probe` would."""
        state = self._memory[_STATE]
        if state != self._settled:
            _require_live(state)
            _require_complete(state)

    def close(self) -> None:
        """Unmap the table, and be its reader no more. Probing it afterwards raises ValueError."""
        self._memory.close()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _finds_again(self, probe: Probe | Probes) -> bool:
        if isinstance(probe, Probe):
            return self.probe(probe._tag)._slots == probe._slots  # noqa: SLF001  # as above
        return self.probe_all(probe._tags)._slots == probe._slots  # noqa: SLF001  # as above

    def _probe_each(self, tags: Sequence[Tag]) -> Probes:
        state = self._memory[_STATE]  # before the first: `check` then sees what changed in between
        return Probes(tags, state, [self.probe(tag)._slots for tag in tags])  # noqa: SLF001  # as above

    def _settle(self, home: int) -> tuple[bytes, bytes]:
        """Return a state and the window at that state."""
        start = HEADER_SIZE + SLOT_SIZE * home
        for _ in range(ATTEMPTS):
            state = self._memory[_STATE]
            self._order()
            window = self._memory[start : start + WINDOW_SIZE]
            self._order()
            if self._memory[_STATE] == state and self._stands_still(state, home):
                return state, window
        raise IndexStale("the index is being changed at this place")

    def _stands_still(self, state: bytes, home: int) -> bool:
        _require_live(state)
        _, complete, sequence, change = layout.STATE.unpack(state)
        if sequence % 2:
            first, last = change >> 32, change & 0xFFFF_FFFF
            return bool(last < home or home + WINDOW <= first)
        if _ORDERED and complete == layout.COMPLETE:
            self._settled = state  # elsewhere every probe comes here, to the fences
        return True

    def _order(self) -> None:
        if not _ORDERED:
            self._fence.release()
            self._fence.acquire()


def _search(tag: Tag, window: bytes) -> bytes:
    """Return the slots of a tag, which lie side by side; all of the window is looked at, once."""
    first = window.find(tag)
    if first < 0:
        first = WINDOW_SIZE  # a miss takes the same steps from here on, and finds nothing
    last = first
    while (other := window.find(tag, last + SLOT_SIZE)) >= 0:
        last = other
    if (first | last) % SLOT_SIZE:
        return _aligned(tag, window)
    return window[first : last + SLOT_SIZE]


def _aligned(tag: Tag, window: bytes) -> bytes:
    """Return the slots of a tag whose bytes occur elsewhere, too: by chance, one probe in 2**86."""
    slots = [window[at : at + SLOT_SIZE] for at in range(0, WINDOW_SIZE, SLOT_SIZE)]
    return b"".join(slot for slot in slots if slot.startswith(tag))


def _require_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_size < HEADER_SIZE:
        raise InvalidTable("file is not a table of the index")


def _parse_identity(header: bytes) -> tuple[int, int]:
    magic, version, generation, homes, _ = layout.IDENTITY.unpack_from(header)
    if magic != layout.MAGIC or version != layout.FORMAT:
        raise InvalidTable("file is not a table of this format")
    return generation, homes


def _require_size(size: int, homes: int) -> None:
    if size != layout.file_size(homes):
        raise InvalidTable("table has another length than its header says")


def _require_live(state: bytes) -> None:
    if layout.STATE.unpack(state)[0] != layout.LIVE:
        raise IndexSuperseded("a newer index has taken this one's place")


def _require_complete(state: bytes) -> None:
    if layout.STATE.unpack(state)[1] != layout.COMPLETE:
        raise IndexNotReady("the index is not complete")
