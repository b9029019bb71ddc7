"""Quotas: how many tokens a client may ask about, in a second and in a day, over all workers.

    rate = second of the monotonic clock (u32) || tokens in that second (u32)
    day  = UTC day since 1970 (u32) || tokens in that day (u32)

A request is answered while its second has room. What it takes beyond, as a batch of 1,000 does at
50 a second, is taken from the seconds that follow: its rate word then lies in the future, and until
that second has come nothing is answered. A day is never overdrawn: a request that does not fit into
what is left is refused whole.

Invariants:

* Each worker writes its own cell and sums all (lookup/cells.py), without a lock or a queue; in
  between it does nothing else. So a day's answers exceed the quota by at most one request for each
  *other* worker, where all read before any writes, and never again on that day. The same holds for
  the tokens that one second admits.
* What was taken is not given back, whatever becomes of the request: a caller who makes the service
  fail gains nothing.
* Seconds are those of the monotonic clock, which is one for all processes of a machine and is never
  set back. Days are UTC's; a clock that is set back over midnight begins the counting anew.
* A restarted worker goes on with its counts. A restart of the site, supervisor and all, begins
  anew, the day's quota too: cells live in memory alone.
"""

import time
from collections.abc import Callable
from typing import Final

from lookup.cells import WORDS, Cells
from lookup.errors import TooManyRequests
from lookup.handoff import Client
from lookup.worker.view import DAY_SECONDS

_COUNT: Final = 0xFFFF_FFFF
_TIME: Final = 32  # how far the time is shifted


class Account:
    """One client's counts, as one worker keeps them."""

    __slots__ = ("_cells", "_client", "_clock", "_mark", "_own", "_slot")

    def __init__(self, cells: Cells, slot: int, client: Client, clock: Callable[[], float]) -> None:
        self._cells = cells
        self._slot = slot
        self._own = slot * WORDS
        self._client = client
        self._mark = int(client.id[:16], 16)
        self._clock = clock

    def take(self, count: int, now: float) -> None:
        """Count so many tokens, or raise TooManyRequests and count none; `now` is since 1970."""
        client, mark, own = self._client, self._mark, self._own
        second, today = int(self._clock()), int(now) // DAY_SECONDS
        # Of a word whose time is this one, the tokens: all that is below the next time.
        rate_now, day_now = second << _TIME, today << _TIME
        row = self._cells.row(client.cell)
        own_used = own_today = used = used_today = 0
        for at in range(0, len(row), WORDS):
            if row[at] == mark:
                in_second, in_day = row[at + 1] - rate_now, row[at + 2] - day_now
                if in_second > _COUNT:
                    raise _too_fast(in_second >> _TIME)
                in_second = max(in_second, 0)
                in_day = in_day if 0 < in_day <= _COUNT else 0
                used, used_today = used + in_second, used_today + in_day
                if at == own:
                    own_used, own_today = in_second, in_day
        if used >= client.per_second:
            raise _too_fast(1)
        if used_today + count > client.per_day:
            raise TooManyRequests(
                "this client has used up its quota of the day",
                DAY_SECONDS - int(now) % DAY_SECONDS,
            )
        own_used += count
        over = used + count - client.per_second
        if over > 0:
            later = -(-over // client.per_second)
            rate_now += later << _TIME
            own_used = over - (later - 1) * client.per_second
        self._cells.write(
            client.cell, self._slot, mark, rate_now + own_used, day_now + own_today + count
        )


class Quotas:
    """Accounts for one worker slot. Raises ValueError for a slot that the cells do not have."""

    __slots__ = ("_cells", "_clock", "_slot")

    def __init__(
        self, cells: Cells, slot: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not 0 <= slot < cells.workers:
            raise ValueError(f"there are cells for {cells.workers} workers")
        self._cells = cells
        self._slot = slot
        self._clock = clock

    def account_of(self, client: Client) -> Account:
        """Return what counts for this client, as it is in the view of now."""
        return Account(self._cells, self._slot, client, self._clock)


def _too_fast(seconds: int) -> TooManyRequests:
    return TooManyRequests("this client asks faster than it may", seconds)
