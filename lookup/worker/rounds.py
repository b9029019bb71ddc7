"""Rounds: lookups whose requests came in one turn of the event loop are made together.

    join … join → look all up → one append to the audit → … durable … → make all answers → deliver

What many lookups share is then done once for all: the clock, the number in the passage, the group
of the audit. And the interpreter runs through them in one go, without a system call between two of
them, after each of which it is half as slow for a while. At 32 connections a round has about 24
lookups, and one costs half of the CPU that it costs alone (bench/single.py).

Invariants:

* A round begins when the one before is answered, and the loop has made a whole turn in which nobody
  joined, or `MAX_ROUND` have: nobody waits for others to come, only for those who are there. Who
  came earlier would wait for the audit's medium instead, which writes one group at a time.
* The bodies of a round are together no longer than a batch's may be, so that who asks for one token
  waits for one batch at most.
* Each asker hears once, why it failed or that it is audited; never within `join`.
* One lookup's failure is not the others'; what fails the audit fails all of the round.
* All of a round are counted as in flight before any of them reads the table.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from lookup.errors import InternalError, ServiceError
from lookup.logs import log_defect
from lookup.wire import MAX_BATCH_BODY
from lookup.worker.answering import Desk, Moment, Turn
from lookup.worker.view import boot_clock, utc_day

MAX_ROUND: Final = 64  # of 32 connections all fit in; 64 take about a millisecond


class Asker(Protocol):
    """Who waits for a lookup: hears once what became of it, and then delivers."""

    @property
    def turn(self) -> Turn:
        """The lookup."""

    def audited(self, failure: ServiceError | None) -> None:
        """It is audited, or failed."""

    def deliver(self) -> None:
        """All of the round have heard: let the answer leave."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One who is told, and delivers by itself."""

    turn: Turn
    tell: Callable[[ServiceError | None], None]

    def audited(self, failure: ServiceError | None) -> None:
        """Tell."""
        self.tell(failure)

    def deliver(self) -> None:
        """The telling was all."""


class Rounds:
    """One worker's rounds, one after another. For the thread of the event loop."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._loop = loop
        self._joined: list[Asker] = []
        self._seen = 0  # how many had joined a turn of the loop ago
        self._busy = False  # a round is about to begin, or is being audited

    def join(self, asker: Asker) -> None:
        """Have a lookup made and audited, in the next round."""
        self._joined.append(asker)
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._begin_soon)

    def _begin_soon(self) -> None:
        """Begin if in a whole turn of the loop nobody came."""
        if self._seen < len(self._joined) < MAX_ROUND:
            self._seen = len(self._joined)
            self._loop.call_soon(self._begin_soon)
        else:
            self._seen = 0
            self._begin()

    def _begin(self) -> None:
        joined = self._joined
        try:
            joined = self._take()
            self._look_up(joined)
        except ServiceError as error:
            self._end(joined, error)
        except Exception as defect:  # noqa: BLE001  # or no other round would ever begin
            log_defect("a round of lookups", defect)
            self._end(joined, InternalError())

    def _take(self) -> list[Asker]:
        """Take those of the next round: all, or the first ones with as many bytes as a batch."""
        joined, size = self._joined, 0
        for at, asker in enumerate(joined):
            size += asker.turn.size
            if size > MAX_BATCH_BODY and at:
                self._joined = joined[at:]
                return joined[:at]
        self._joined = []
        return joined

    def _look_up(self, joined: Sequence[Asker]) -> None:
        """Raises CustodianUnavailable or AuditUnavailable if none of them can be made."""
        moment = self._moment(len(joined))
        entries: list[bytes] = []
        waiting: list[Asker] = []
        for asker in joined:
            try:
                entries.append(asker.turn.look_up(moment))
            except ServiceError as error:
                # Without the frames, which would keep all of the round alive as long as the error.
                _tell((asker,), error.with_traceback(None))
            except Exception as defect:  # noqa: BLE001  # a defect must be told as one, whatever it is
                log_defect("a lookup", defect)
                _tell((asker,), InternalError())
            else:
                waiting.append(asker)
        if self._desk.auditor is None or not entries:
            self._end(waiting, None)
        else:
            self._desk.auditor.append(entries, partial(self._end, waiting))

    def _moment(self, count: int) -> Moment:
        desk, now = self._desk, time.time()
        desk.standing.require_view(boot_clock())
        maker = None if desk.auditor is None else desk.auditor.maker
        return Moment(now, utc_day(now), desk.passage.enter(count), maker)

    def _end(self, waiting: Sequence[Asker], failure: ServiceError | None) -> None:
        if failure is None:
            try:
                self._desk.standing.require_view(boot_clock())
            except ServiceError as error:
                failure = error
        _tell(waiting, failure)
        self._busy = bool(self._joined)
        if self._joined:
            self._loop.call_soon(self._begin_soon)


def _tell(waiting: Sequence[Asker], failure: ServiceError | None) -> None:
    """Have all answers made, then all delivered: nothing of the loop comes in between."""
    for asker in waiting:
        try:
            asker.audited(failure)
        except Exception as defect:  # noqa: BLE001  # a defect must be told as one, whatever it is
            log_defect("an answer", defect)
            asker.audited(InternalError())
    for asker in waiting:
        try:
            asker.deliver()
        except Exception as defect:  # noqa: BLE001  # one caller's must not be the others'
            log_defect("the delivery of an answer", defect)
