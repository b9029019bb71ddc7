"""Which leaf a handle's record lies in: 10 bytes a link, however many there are.

    sorted by the first 8 bytes of the handle: these bytes, u64, and the number of the leaf, u16

Invariants:

* It is a hint. Whoever asks opens the leaf and compares the whole handle: eight bytes of two
  handles may be alike.
* What is forgotten is overwritten in place, with a copy of its neighbour: with eight bytes of a
  handle that is gone and every entry ever written, its lookups could be told apart after all.
"""

from array import array
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Looked through one by one, which takes 5 us; sorting them into ten million takes 100 ms.
_MOST_UNSORTED: Final = 10_000


class Handles:
    """The leaves of all links' records."""

    def __init__(self) -> None:
        self._keys: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._leaves: NDArray[np.uint16] = np.empty(0, dtype=np.uint16)
        self._new_keys = array("Q")
        self._new_leaves = array("H")

    def __len__(self) -> int:
        return len(self._keys) + len(self._new_keys)

    def note(self, handle: bytes, leaf: int) -> None:
        """Remember where a handle's record lies."""
        self._new_keys.append(_key(handle))
        self._new_leaves.append(leaf)

    def leaves_of(self, handle: bytes) -> set[int]:
        """Return the leaves that may hold the record: none, one, or by chance several."""
        self._keep_sorted()
        key = _key(handle)
        start, stop = self._places(key)
        unsorted = (self._new_leaves[at] for at in self._unsorted(key))
        return set(chain(self._leaves[start:stop].tolist(), unsorted))

    def forget(self, handle: bytes) -> None:
        """Overwrite what is known of a handle."""
        self._keep_sorted()
        key = _key(handle)
        for at in self._unsorted(key):
            self._new_keys[at] = 0
        start, stop = self._places(key)
        if stop < len(self._keys):
            key_of_neighbour, leaf = self._keys[stop], self._leaves[stop]
        elif start:
            key_of_neighbour, leaf = self._keys[start - 1], self._leaves[start - 1]
        else:
            key_of_neighbour, leaf = np.uint64(0), np.uint16(0)
        self._keys[start:stop] = key_of_neighbour
        self._leaves[start:stop] = leaf

    def _places(self, key: int) -> tuple[int, int]:
        wanted = np.uint64(key)
        start = int(np.searchsorted(self._keys, wanted, "left"))
        return start, int(np.searchsorted(self._keys, wanted, "right"))

    def _unsorted(self, key: int) -> list[int]:
        if not self._new_keys:
            return []
        new = np.frombuffer(self._new_keys, dtype=np.uint64)
        found: list[int] = np.flatnonzero(new == np.uint64(key)).tolist()
        return found

    def _keep_sorted(self) -> None:
        if len(self._new_keys) > _MOST_UNSORTED:
            self.sort()

    def sort(self) -> None:
        """Sort what was noted since the last time: once after a start, then now and then."""
        keys = np.concatenate((self._keys, np.frombuffer(self._new_keys, dtype=np.uint64)))
        leaves = np.concatenate((self._leaves, np.frombuffer(self._new_leaves, dtype=np.uint16)))
        order = np.argsort(keys, kind="stable")
        for old in (self._keys, self._leaves):
            old[:] = 0
        self._keys, self._leaves = keys[order], leaves[order]
        keys[:] = 0
        np.frombuffer(self._new_keys, dtype=np.uint64)[:] = 0
        self._new_keys, self._new_leaves = array("Q"), array("H")


def _key(handle: bytes) -> int:
    return int.from_bytes(handle[:8], "big")
