"""Many links at once: checksums, order and places of a whole table, in numpy.

Computes what layout.py defines; the tests compare the two byte by byte. Custodian only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto.tag import TAG_SIZE
from lookup.index.errors import LinkExists, TooManyLinks, WindowFull
from lookup.index.layout import (
    BODY,
    CHECKED_SIZE,
    CHECKSUM_MODULUS,
    EMPTY_TAG,
    HANDLE_SIZE,
    MAX_LINKS_PER_TAG,
    SLOT_SIZE,
    WINDOW,
)

Bytes = NDArray[np.uint8]
Chunk = tuple[Bytes, Bytes]
Order = NDArray[np.intp]

# Powers of 2**32: the product with a slot's words is congruent to the slot as one number. It is
# below 2**51, so it fits.
_WEIGHTS: Final = [np.uint64(pow(2**32, i, CHECKSUM_MODULUS)) for i in range(SLOT_SIZE // 4)]

_EMPTY_TOP: Final = int.from_bytes(EMPTY_TAG[:4], "big")
_TAG_TAIL: Final = np.uint64(8 * (16 - TAG_SIZE))
_HANDLE_TAIL: Final = np.uint64(8 * (24 - TAG_SIZE - HANDLE_SIZE))


def pack_slots(tags: Bytes, bodies: Bytes, slots: Bytes) -> None:
    """Write the slots of tags, shape (n, 12), and bodies, shape (n, 18).

    Raises ValueError for other shapes, and for the tag of an empty slot.
    """
    if tags.shape != (len(slots), TAG_SIZE) or bodies.shape != (len(slots), BODY.size):
        raise ValueError("a chunk has as many tags of 12 bytes as bodies of 18")
    if tags.dtype != np.uint8 or bodies.dtype != np.uint8:
        raise ValueError("chunks hold bytes")
    slots[:, :TAG_SIZE] = tags
    slots[:, TAG_SIZE:CHECKED_SIZE] = bodies
    suspects = np.flatnonzero(_tops(slots) == _EMPTY_TOP)
    if EMPTY_TAG in map(bytes, tags[suspects]):
        raise ValueError("the tag of an empty slot belongs to no link")
    checksums = slots.view("<u2")[:, -1]
    checksums[:] = 0
    words = slots.view("<u4")
    sums = np.zeros(len(slots), dtype=np.uint64)
    for column, weight in enumerate(_WEIGHTS):  # not `@`: it would start a thread per core
        sums += words[:, column] * weight
    checksums[:] = sums % np.uint64(CHECKSUM_MODULUS) + np.uint64(1)


def order_slots(slots: Bytes) -> Order:
    """Return the order of the slots by their bytes.

    Raises LinkExists if a tag has a handle twice, TooManyLinks if it has too many of them.
    """
    tops = _tops(slots)
    # Stable sorts of 16-bit numbers are radix sorts: a third of the time of one of 64 bits.
    order = np.argsort(tops.astype(np.uint16), kind="stable")
    order = order[np.argsort((tops >> 16).astype(np.uint16)[order], kind="stable")]
    equal = tops[order[1:]] == tops[order[:-1]]
    if equal.any():
        tied = np.append(equal, [False]) | np.append([False], equal)
        order[tied] = _order_all(slots, order[tied])
    return order


def _tops(slots: Bytes) -> NDArray[np.uint32]:
    return slots.view(">u4")[:, 0].astype(np.uint32)


def _order_all(slots: Bytes, chosen: Order) -> Order:
    """Order a few slots by all that matters of them: tag, then handle, three words in all."""
    words = slots[chosen].view(">u8")[:, :3].astype(np.uint64)
    rank = np.lexsort((words[:, 2], words[:, 1], words[:, 0]))
    words = words[rank]
    names = np.stack((words[:, 0], words[:, 1], words[:, 2] >> _HANDLE_TAIL), axis=1)
    if (names[1:] == names[:-1]).all(axis=1).any():
        raise LinkExists("a tag has the same handle twice")
    tags = np.stack((words[:, 0], words[:, 1] >> _TAG_TAIL), axis=1)
    if (tags[MAX_LINKS_PER_TAG:] == tags[:-MAX_LINKS_PER_TAG]).all(axis=1).any():
        raise TooManyLinks(f"a tag has more than {MAX_LINKS_PER_TAG} links")
    return chosen[rank]


def place_slots(slots: Bytes, order: Order, homes: int) -> NDArray[np.intp]:
    """Return the places of ordered slots. Raises WindowFull if one lies beyond its window.

    Slot i goes to the larger of its home and the place after slot i - 1; written out, that is i
    plus the largest of (home - index) up to i.
    """
    tops = _tops(slots)[order].astype(np.uint64)
    home = (tops * np.uint64(homes) >> np.uint64(32)).astype(np.intp)
    index = np.arange(len(home))
    places = index + np.maximum.accumulate(home - index)
    if (places - home >= WINDOW).any():
        raise WindowFull("a window of the table is full")
    return places
