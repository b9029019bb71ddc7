"""The bytes of a table: what the writer and all readers agree on.

    file   = header page (4,096) || slot * slot_count
    slot   = tag 12 | handle 10 | since u16 | until u16 | answer_until u16 | who u16 | checksum u16
    who    = authority, 10 bits | category, 4 bits | test, 1 bit | honey, 1 bit
    days   = days since 2000-01-01; 65,535 says that there is none
    header = identity, at 0:  magic, version, generation, homes, capacity
             state, at 64:    live, complete, sequence, change: one aligned 8-byte word each

The *home* of a tag is `tag[:4] * homes >> 32`: it needs no power of two, and grows with the tag.
The *window* of a tag is the 32 slots from its home on. All slots of a tag lie in its window.

Invariants:

* **The slots are a function of the set of links, and of nothing else.** Slots are sorted by their
  bytes, each at the first place that is neither before its home nor taken by a smaller one
  (linear probing in sorted order; Blelloch and Golovin, FOCS 2007). Order of arrival, and links
  that came and went, leave no trace. In a table with holes, who holds a worker's memory would
  learn that a link was removed from this window, one of 40,000 at 1 M links. What remains is the
  sequence: how many changes there were.
* An empty slot is 0, 1, ... 31. Its tag belongs to no link: it is refused, which happens with
  probability 2**-96. Its checksum does not match, so that it is never read as a link. Were it 32
  zeros, one tag in six (those with a byte that is 0 modulo 64) would cost twice as much to search
  for: bytes.find skips ahead only where the next byte is not in the needle, modulo 64.
* The checksum covers the slot and is never 0. It finds torn and damaged slots, not forged ones:
  who can write the table needs no forgery.
* `live` and `complete` are true with exactly one value out of 2**64: a page of zeros and a
  flipped bit read as the cautious answer.
* Words are native: the file never leaves the machine, nor outlives its boot.

Placement was chosen by simulation (3 to 10 tables each, every twentieth link on the tag of another
one), at 1 M | 10 M links; "beyond" is the expected number of links of a table beyond a window of
32 slots, extrapolated from the tail:

    sorted, load 0.500     furthest slot 13 | 15    beyond 2e-9 | 8e-9
    sorted, load 0.625     furthest slot 19 | 20    beyond 6e-5 | 3e-4
    sorted, load 0.700     furthest slot 24 | 26    beyond 4e-3 | 6e-2
    32 aligned slots, load 0.4                      full windows 0 to 3 | 2 to 7
    32 aligned slots, load 0.5                      full windows 11 to 19 | 167 to 180
    2 x 16 slots, the emptier, load 0.6             refused 1 of 1 M, 44 of 1 M more changes

The shares do not drift with changes, since places do not depend on them. `FULL_LOAD` is 5/8: 51
bytes for each link of a full table, 77 just after growing one by half.
"""

from collections.abc import Sequence
from datetime import date
from struct import Struct
from struct import error as StructError  # noqa: N812  # a class, whatever its name
from typing import Final, NamedTuple

from crypto.tag import TAG_SIZE, Tag

SLOT_SIZE: Final = 32
WINDOW: Final = 32
WINDOW_SIZE: Final = WINDOW * SLOT_SIZE

# Added to 200,000 simulated full tables, 16 links of one tag overflowed no window of any.
MAX_LINKS_PER_TAG: Final = 16

FULL_LOAD: Final = (5, 8)
MIN_CAPACITY: Final = 4_096
MAX_CAPACITY: Final = 2**30

HEADER_SIZE: Final = 4_096
MAGIC: Final = b"lacuna-i"
FORMAT: Final = 1
IDENTITY: Final = Struct("8s4Q")
STATE: Final = Struct("4Q")
STATE_OFFSET: Final = 64
LIVE: Final = int.from_bytes(b"is live.", "big")
COMPLETE: Final = int.from_bytes(b"is whole", "big")

HANDLE_SIZE: Final = 10
BODY: Final = Struct(f"<{HANDLE_SIZE}s4H")
EMPTY_SLOT: Final = bytes(range(SLOT_SIZE))
EMPTY_TAG: Final = EMPTY_SLOT[:TAG_SIZE]
CHECKED_SIZE: Final = TAG_SIZE + BODY.size
CHECKSUM_MODULUS: Final = 65_521

NO_DAY: Final = 0xFFFF
FIRST_DAY: Final = date(2000, 1, 1)
LAST_DAY: Final = date.fromordinal(FIRST_DAY.toordinal() + NO_DAY - 1)
FIRST_ORDINAL: Final = FIRST_DAY.toordinal()

_SLOT: Final = Struct(f"<{TAG_SIZE}x{HANDLE_SIZE}s5H")
_TOP: Final = Struct(f">I{TAG_SIZE - 4}x")
_AUTHORITIES: Final = 2**10
_CATEGORIES: Final = 2**4
_TEST: Final = 1 << 14
_HONEY: Final = 1 << 15


# Handle, since, until, answer_until and `who` of a link, as a slot has them.
Fields = tuple[bytes, int, int, int, int]


class InvalidSlot(ValueError):
    """A slot is torn or damaged: its checksum does not match."""


class Link(NamedTuple):
    """What the index knows of a link: its handle, its days as slots count them, whom to ring.

    A `test` link is the canary's. A `honey` link is nobody's: to ask for it is an alarm, and the
    answer is *no record*.
    """

    handle: bytes
    since: int
    until: int
    answer_until: int
    authority: int
    category: int
    test: bool
    honey: bool = False

    def __repr__(self) -> str:
        return "<Link>"  # a handle is secret


def home_of(tag: bytes, homes: int) -> int:
    """Return the first slot of the window of a tag (or of the tag of a slot)."""
    return int.from_bytes(tag[:4], "big") * homes >> 32


def homes_for(capacity: int) -> int:
    """Return how many homes make a table full at this many links."""
    full, of = FULL_LOAD
    return capacity * of // full


def slot_count(homes: int) -> int:
    """Return how many slots a table has: the last home has a whole window too."""
    return homes + WINDOW - 1


def file_size(homes: int) -> int:
    """Return the length of a table's file."""
    return HEADER_SIZE + SLOT_SIZE * slot_count(homes)


def days_of(day: date) -> int:
    """Return a date as slots count days; below 0 or above the last, `pack_body` refuses it.

    Whoever accepts dates from outside refuses those first: moving a date would change an answer,
    leaving the link out would lose it.
    """
    return day.toordinal() - FIRST_ORDINAL


def pack_body(link: Link) -> bytes:
    """Return a slot's bytes between tag and checksum.

    Raises ValueError if a day, the handle, the authority or the category does not fit.
    """
    handle, since, until, answer_until, authority, category, test, honey = link
    if len(handle) != HANDLE_SIZE:
        raise ValueError(f"handles have {HANDLE_SIZE} bytes")
    if not (0 <= authority < _AUTHORITIES and 0 <= category < _CATEGORIES):
        raise ValueError(f"{_AUTHORITIES} authorities and {_CATEGORIES} categories have a number")
    who = who_of(authority, category, test=test, honey=honey)
    try:
        return BODY.pack(handle, since, until, answer_until, who)
    except StructError:
        raise ValueError(f"dates in the index lie between {FIRST_DAY} and {LAST_DAY}") from None


def checksum(checked: bytes) -> int:
    """Return the checksum of a slot's first 30 bytes, never 0.

    They are taken as one number modulo the largest prime below 2**16: any flipped bit changes it,
    a slot torn between two others passes with probability 2**-16, and numpy computes it as a
    product with a vector (placing.py).
    """
    return int.from_bytes(checked, "little") % CHECKSUM_MODULUS + 1


def pack_slot(tag: Tag, link: Link) -> bytes:
    """Return the slot of a link. Raises ValueError as `pack_body`, and for a tag it cannot have."""
    if len(tag) != TAG_SIZE:
        raise ValueError(f"tags have {TAG_SIZE} bytes")
    if tag == EMPTY_TAG:
        raise ValueError("the tag of an empty slot belongs to no link")
    return seal_slot(tag, pack_body(link))


def seal_slot(tag: bytes, body: bytes) -> bytes:
    """Return the slot of these bytes: with the checksum behind them."""
    checked = tag + body
    return checked + checksum(checked).to_bytes(2, "little")


def who_of(authority: int, category: int, *, test: bool, honey: bool) -> int:
    """Return the two bytes that say whom to ring, and about what."""
    return authority | category << 10 | (_TEST if test else 0) | (_HONEY if honey else 0)


def read_slot(slot: bytes) -> Fields:
    """Return handle, since, until, answer_until and `who` of a slot.

    Raises InvalidSlot if the checksum does not match.
    """
    handle, since, until, answer_until, who, stored = _SLOT.unpack(slot)
    if int.from_bytes(slot[:CHECKED_SIZE], "little") % CHECKSUM_MODULUS + 1 != stored:
        raise InvalidSlot("a slot does not match its checksum")
    return handle, since, until, answer_until, who


def read_slots(slots: bytes) -> list[Fields]:
    """Return the same of each of these slots, side by side. Raises InvalidSlot."""
    return [read_slot(slots[at : at + SLOT_SIZE]) for at in range(0, len(slots), SLOT_SIZE)]


def read_each(slots: Sequence[bytes]) -> list[Fields]:
    """Return the same of each of these slots. Raises InvalidSlot."""
    number, checked, modulus = int.from_bytes, slice(CHECKED_SIZE), CHECKSUM_MODULUS
    links = []
    for slot in slots:
        handle, since, until, answer_until, who, stored = _SLOT.unpack(slot)
        if number(slot[checked], "little") % modulus + 1 != stored:
            raise InvalidSlot("a slot does not match its checksum")
        links.append((handle, since, until, answer_until, who))
    return links


def unpack_slot(slot: bytes) -> Link:
    """Return the link in a slot. Raises InvalidSlot as `read_slot`."""
    handle, since, until, answer_until, who = read_slot(slot)
    authority, category = who & 0x3FF, who >> 10 & 0xF
    test, honey = who & _TEST != 0, who & _HONEY != 0
    return Link(handle, since, until, answer_until, authority, category, test, honey)
