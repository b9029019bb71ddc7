"""Lookups in flight, counted for the custodian in this worker's pass page.

    entered   number of the last lookups that have begun
    left      number up to which every lookup's answer was taken by the kernel or thrown away

Lookups that begin together share a number.

Invariants:

* A lookup is counted as begun before it reads anything of the table.
* `left` passes a number only when no lookup up to it is in flight, in whatever order they end.
  Two counters that are only compared would let a later lookup stand in for an earlier one.
* A lookup that begins ends, whatever happens in between: a round enters for all of its lookups,
  and each `Turn` leaves.

What the kernel has taken has left: it may still be under way to the hospital, also later than an
acknowledged removal, as a letter is that was posted. What this process still holds has not.

**Order.** The custodian changes the table and then reads `entered`; a worker writes `entered` and
then reads the table. Each must see one of the other's writes, so a barrier stands between write
and read: a held lock that is released and taken again, as in `lookup/index/reader.py`.
"""

from _thread import allocate_lock

from lookup.handoff import PassPage


class Passage:
    """Numbers lookups. For one thread, that of the event loop."""

    def __init__(self, page: PassPage) -> None:
        self._page = page
        self._barrier = allocate_lock()
        self._barrier.acquire()
        self._entered = 0
        self._in_flight: dict[int, int] = {}  # in the order of their numbers

    def enter(self, count: int = 1) -> int:
        """So many lookups begin; return the number that they share."""
        self._entered = number = self._entered + 1
        self._in_flight[number] = count
        self._page.write_entered(number)
        self._barrier.release()
        self._barrier.acquire()
        return number

    def leave(self, number: int) -> None:
        """The answer to one lookup of this number is no longer in this process."""
        count = self._in_flight[number]
        if count > 1:
            self._in_flight[number] = count - 1
        else:
            del self._in_flight[number]
            self._page.write_left(next(iter(self._in_flight), self._entered + 1) - 1)
