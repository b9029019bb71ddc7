"""The worker's audit: no answer leaves before its entry is durable (G3).

    append → wait for the group before → one durable write → done(None), or done(AuditUnavailable)

Invariants:

* `done` is called exactly once for each append, never within it. It is called with None only after
  its entries are on the medium.
* Groups are acknowledged in the order of the appends, so a count says which.
* After any error of the medium nothing is acknowledged any more: every pending and later append is
  answered AuditUnavailable, the log says so, and `on_broken` is told, which ends the process.
* A hung medium does not hang the loop (but see direct.py): an append that waits for a second is
  answered AuditUnavailable, and so is every later one until the medium has caught up. Their entries
  may still become durable: an audit of an answer that was not given is no harm.
* What waits is bounded (`MAX_QUEUED`).

All of it is for the thread of the event loop. The writer is `writing.py`, its files are
`segments.py`, their bytes `lookup/audit`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from crypto.audit import AnswerKey, AuditPublicKey, WitnessKey
from lookup import handoff
from lookup.audit.entry import EntryMaker
from lookup.audit.segment import make_header
from lookup.errors import AuditUnavailable, ServiceError
from lookup.logs import log_defect
from lookup.worker.direct import DirectMedium
from lookup.worker.medium import Medium
from lookup.worker.segments import Target
from lookup.worker.writing import Rules, Writer

logger = logging.getLogger("lookup.worker.auditing")

Done = Callable[[ServiceError | None], None]

MAX_QUEUED: Final = 32 * 1_024 * 1_024
# An overdue append is found by a sweep, not by a timer of its own: after 1 to 1.25 s.
_SWEEP_SECONDS: Final = 0.25
_SWEEPS: Final = 4
_CLOSE_SECONDS: Final = 2.0
_NOT_YET: Final = "no custodian has said where to audit"


class Auditor:
    """Takes entries and says when they are durable."""

    def __init__(  # noqa: PLR0913  # whom it tells of what, besides what it needs
        self,
        slot: int,
        loop: asyncio.AbstractEventLoop,
        *,
        rules: Rules | None = None,
        medium: Medium | None = None,
        on_broken: Callable[[], None] | None = None,
        on_group: Callable[[int, int, int], None] | None = None,
    ) -> None:
        """`on_group` hears of a durable group: its entries, microseconds, how many still wait."""
        self._loop = loop
        self._on_broken = on_broken
        self._on_group = on_group
        self._audit: handoff.Audit | None = None
        self._target: Target | None = None
        self._maker: EntryMaker | None = None
        self._waiting: deque[tuple[int, Done]] = deque()  # in the order of the appends
        self._appended = 0  # entries, ever; in `_waiting` each done has the number of its last
        self._durable = 0  # how many of them are
        self._overdue = 0  # the number of the last one that was answered before it was durable
        self._queued = 0  # bytes that the writer still has
        self._marks: deque[int] = deque(maxlen=_SWEEPS)
        self._sweeper: asyncio.TimerHandle | None = None
        self._refusal: str | None = _NOT_YET  # why nothing is taken, or None
        self._broken = self._closed = False
        self._writer = Writer(
            slot,
            rules or Rules(),
            medium or DirectMedium(),
            acknowledge=self._acknowledge,
            fail=self._break_down,
        )

    @property
    def maker(self) -> EntryMaker:
        """What makes entries, under the keys in force. Raises AuditUnavailable before there are."""
        if self._maker is None:
            raise AuditUnavailable(_NOT_YET)
        return self._maker

    @property
    def healthy(self) -> bool:
        """Say whether an entry that is appended now may be expected to become durable."""
        return self._refusal is None

    def follow(self, audit: handoff.Audit, vault: bytes) -> None:
        """Use these keys and this folder from now on; what is queued is written nevertheless.

        Raises ValueError if a key is none; then all is as it was.
        """
        target = Target(AuditPublicKey(audit.public_key), vault, audit.folder, audit.demo)
        if self._broken or self._closed or (audit == self._audit and target == self._target):
            return
        maker = EntryMaker(WitnessKey(audit.witness_key), AnswerKey(audit.answer_key))
        if target != self._target:
            make_header(0, 0, vault, target.public_key)  # raises what the writer could not
            self._writer.follow(target)
        if self._audit is None:
            self._refusal = None
        self._audit, self._target, self._maker = audit, target, maker

    def append(self, entries: Sequence[bytes], done: Done) -> None:
        """Have entries written; `done` hears of all of them later, once, in this thread."""
        refusal = self._refusal
        if refusal is None and self._queued > MAX_QUEUED:
            refusal = "more waits for the audit's medium than may"
        if refusal is not None:
            self._loop.call_soon(done, AuditUnavailable(refusal))
            return
        self._queued += sum(map(len, entries))
        self._appended += len(entries)
        self._waiting.append((self._appended, done))
        self._writer.put(entries)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def close(self) -> None:
        """Write what is queued, end the segment, and wait for that, for two seconds at most."""
        if not self._closed:
            self._closed = True
            self._refusal = self._refusal or "this process ends"
            self._writer.finish()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._writer.ended.wait(), _CLOSE_SECONDS)

    def _acknowledge(self, count: int, size: int, microseconds: int) -> None:
        """So many of the oldest entries are durable, so long after the first of them came."""
        self._queued -= size
        before, self._durable = self._durable, self._durable + count
        if self._on_group is not None:
            self._on_group(count, microseconds, self._appended - self._durable)
        if before < self._overdue <= self._durable and not (self._broken or self._closed):
            self._refusal = None
            logger.warning("the audit's medium has caught up")
        self._answer(self._durable, None)

    def _break_down(self) -> None:
        """Nothing more will become durable."""
        self._broken = True
        self._refusal = "the audit's medium has failed"
        self._loop.call_soon(self._tell_broken)

    def _tell_broken(self) -> None:
        self._answer(self._appended, self._refusal)
        if self._on_broken is not None:
            self._on_broken()

    def _answer(self, last: int, problem: str | None) -> None:
        """Answer all whose last entry has at most this number."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= last:
            _, done = waiting.popleft()
            try:
                done(None if problem is None else AuditUnavailable(problem))
            except Exception as defect:  # noqa: BLE001  # one caller's must not be the others'
                log_defect("an answer that was audited", defect)

    def _sweep(self) -> None:
        """Answer what has waited for `_SWEEPS` sweeps."""
        if len(self._marks) == _SWEEPS and self._waiting and self._waiting[0][0] <= self._marks[0]:
            self._hang(self._marks[0])
        self._marks.append(self._appended)
        self._sweeper = None
        if self._waiting:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        else:
            self._marks.clear()

    def _hang(self, last: int) -> None:
        if self._refusal is None:
            self._refusal = "the audit's medium does not answer"
            logger.error("the audit's medium does not answer")
        self._overdue = last
        self._answer(last, "the audit's medium did not answer in time")


def require_keys(audit: handoff.Audit) -> None:
    """Raise ValueError for what `Auditor.follow` would not take."""
    WitnessKey(audit.witness_key)
    AnswerKey(audit.answer_key)
    make_header(0, 0, b"", AuditPublicKey(audit.public_key))
