"""A walk over all leaves of the map, in steps that keep nobody waiting.

Invariants:

* Each step takes some leaves more, fewer if they are full. Between two steps the writer is free:
  what changes behind a walk, it has seen as it was; what changes before it, it will see as it is.
* A leaf that opens neither in the store nor in the mirror is left out, and noted.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from keys.errors import PageDamaged

T = TypeVar("T")

# Changes and shreds wait for a step: at 10 us a record and lookup key, 10 ms.
_RECORDS_PER_STEP: Final = 1_000
_LEAVES_AT_ONCE: Final = 16


class Walk(Generic[T]):
    """Reads all leaves by `scan`, which raises PageDamaged; `at` is the first one not yet read."""

    def __init__(self, leaves: int, scan: Callable[[range], list[T]]) -> None:
        self.leaves = leaves
        self.at = 0
        self.damaged: list[int] = []
        self._scan = scan

    @property
    def is_over(self) -> bool:
        """Say whether all leaves were read."""
        return self.at >= self.leaves

    def step(self, most: int) -> list[T]:
        """Read some more leaves; return what is in them."""
        stop = min(self.at + most, self.leaves)
        found: list[T] = []
        while self.at < stop and len(found) < _RECORDS_PER_STEP:
            leaves = range(self.at, min(self.at + _LEAVES_AT_ONCE, stop))
            found += self._read(leaves)
            self.at = leaves.stop
        return found

    def _read(self, leaves: range) -> list[T]:
        try:
            return self._scan(leaves)
        except PageDamaged as damage:
            if len(leaves) == 1:
                self.damaged.append(damage.number)
                return []
            return [each for index in leaves for each in self._read(range(index, index + 1))]
