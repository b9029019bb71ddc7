"""Rounds: lookups whose requests came in one turn of the event loop are made together.

    join … join → at the end of the turn: look all up → one append to the audit → … durable …
                → answer one after another

What many lookups share is then done once for all: the clock, the number in the passage, the
hand-over to the audit's thread and back. And the interpreter runs through them in one go, without a
system call between two of them, after each of which it is half as slow for a while. At 32
connections a round has 16 lookups, and the CPU of one fell by a third (bench/single.py).

Invariants:

* A lookup begins after it joined, in the same turn of the loop: nobody waits for a round to fill.
* Each turn hears once, why it failed or that it is audited; never within `join`.
* One lookup's failure is not the others'; what fails the audit fails all of the round.
* All of a round are counted as in flight before any of them reads the table.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from lookup.errors import InternalError, ServiceError
from lookup.logs import log_defect
from lookup.worker.answering import Desk, Moment, Turn
from lookup.worker.view import boot_clock, utc_day

Audited = Callable[[ServiceError | None], None]


class Rounds:
    """One worker's rounds, one after another. For the thread of the event loop."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._loop = loop
        self._joined: list[tuple[Turn, Audited]] = []

    def join(self, turn: Turn, audited: Audited) -> None:
        """Have a lookup made and audited; `audited` hears of it later."""
        if not self._joined:
            self._loop.call_soon(self._begin)
        self._joined.append((turn, audited))

    def _begin(self) -> None:
        joined, self._joined = self._joined, []
        try:
            moment = self._moment(len(joined))
        except ServiceError as error:
            _tell([audited for _, audited in joined], error)
            return
        entries: list[bytes] = []
        waiting: list[Audited] = []
        for turn, audited in joined:
            try:
                entries.append(turn.look_up(moment))
            except ServiceError as error:
                _tell((audited,), error)
            except Exception as defect:  # noqa: BLE001  # a defect must be told as one, whatever it is
                log_defect("a lookup", defect)
                _tell((audited,), InternalError())
            else:
                waiting.append(audited)
        if self._desk.auditor is None:
            _tell(waiting, None)
        elif entries:
            self._desk.auditor.append(entries, partial(_tell, waiting))

    def _moment(self, count: int) -> Moment:
        """Raises CustodianUnavailable or AuditUnavailable."""
        desk, now = self._desk, time.time()
        desk.standing.require_view(boot_clock())
        maker = None if desk.auditor is None else desk.auditor.maker
        return Moment(now, utc_day(now), desk.passage.enter(count), maker)


def _tell(waiting: Sequence[Audited], failure: ServiceError | None) -> None:
    for audited in waiting:
        try:
            audited(failure)
        except Exception as defect:  # noqa: BLE001  # one caller's must not be the others'
            log_defect("an answer that was audited", defect)
