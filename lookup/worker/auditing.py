"""The worker's audit: no answer leaves before its entry is durable (G3).

    loop thread     append → queue …                       … done(None) or done(AuditUnavailable)
    writer thread            gather 0.5 ms → one group → one durable write → one call to the loop

Invariants:

* `done` is called exactly once for each append, in the loop's thread, never within `append`. It is
  called with None only after the entry's group is on the medium.
* Groups are acknowledged in the order of the appends, so a count says which.
* After any error of the medium nothing is acknowledged any more: every pending and later append is
  answered AuditUnavailable, the log says so, and `on_broken` is told, which ends the process. The
  one exception is a lack of room while the *next* segment is made ready: nothing rests on that yet.
* A hung medium does not hang the loop: an append that waits for a second is answered
  AuditUnavailable, and so is every later one until the medium has caught up. Their entries may
  still become durable: an audit of an answer that was not given is no harm.
* What waits is bounded (`MAX_QUEUED`).

**Why a window.** One durable write costs the same for one entry as for fifty, and what a group
costs besides is the hand-over between two threads. Measured at 32 requests in flight, CPU of both
threads per entry and latency: see `bench`. The window lies in the writer thread because the loop's
timers have steps of a millisecond.

**Segments.** The next one is written with zeros while the writer has nothing else to do, and, when
it never has, in slices within the window; so a change of segments costs an end mark.
"""

import asyncio
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from crypto.audit import AnswerKey, AuditPublicKey, WitnessKey
from lookup import handoff
from lookup.audit.entry import EntryMaker
from lookup.audit.errors import FolderUnfit
from lookup.audit.folder import open_folder
from lookup.audit.segment import (
    END_SIZE,
    HEADER_SIZE,
    MAX_GROUP,
    MAX_SEGMENT,
    MIN_SEGMENT,
    SEGMENT_SIZE,
    group_size,
    make_header,
)
from lookup.errors import AuditUnavailable, ServiceError
from lookup.logs import log_defect
from lookup.worker.medium import Medium
from lookup.worker.segments import Segment, Target

logger = logging.getLogger("lookup.worker.auditing")

Done = Callable[[ServiceError | None], None]

MAX_QUEUED: Final = 32 * 1_024 * 1_024
# An overdue append is found by a sweep, not by a timer of its own: after 1 to 1.25 s.
_SWEEP_SECONDS: Final = 0.25
_SWEEPS: Final = 4
_CLOSE_SECONDS: Final = 2.0
# What is made ready of the next segment at once: as long on the medium as two or three groups, and
# twice as much as the last group took, so that it is ready before this segment is full.
_SLICE: Final = 64 * 1_024
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM_SECONDS: Final = 1.0
_WAKE: Final = b""  # an entry is never empty
_NOT_YET: Final = "no custodian has said where to audit"


@dataclass(frozen=True, slots=True)
class Rules:
    """How the audit is written. Production has the defaults."""

    window: float = 0.000_5
    segment_size: int = SEGMENT_SIZE
    max_age: float = 300.0
    testing_only_tmpfs: bool = False

    def __post_init__(self) -> None:
        if not MIN_SEGMENT <= self.segment_size <= MAX_SEGMENT:
            raise ValueError(f"a segment has {MIN_SEGMENT} to {MAX_SEGMENT} bytes")


class Auditor:
    """Takes entries from the loop's thread and says when they are durable."""

    def __init__(
        self,
        slot: int,
        loop: asyncio.AbstractEventLoop,
        *,
        rules: Rules | None = None,
        medium: Medium | None = None,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._on_broken = on_broken
        self._audit: handoff.Audit | None = None
        self._target: Target | None = None
        self._maker: EntryMaker | None = None
        self._waiting: deque[Done] = deque()  # in the order of the appends
        self._answered = 0  # how many were taken from it, ever
        self._overdue = 0  # how many of those the writer still has
        self._queued = 0  # bytes that the writer still has
        self._marks: deque[int] = deque(maxlen=_SWEEPS)
        self._sweeper: asyncio.TimerHandle | None = None
        self._refusal: str | None = _NOT_YET  # why nothing is taken, or None
        self._broken = self._closed = False
        self._writer = _Writer(self, slot, loop, rules or Rules(), medium or Medium())
        self._put = self._writer.queue.put

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
        target = Target(AuditPublicKey(audit.public_key), vault, audit.folder)
        if self._broken or self._closed or (audit == self._audit and target == self._target):
            return
        maker = EntryMaker(WitnessKey(audit.witness_key), AnswerKey(audit.answer_key))
        if target != self._target:
            make_header(0, 0, vault, target.public_key)  # raises what the writer could not
            self._writer.follow(target)
        if self._audit is None:
            self._refusal = None
            self._writer.start()
        self._audit, self._target, self._maker = audit, target, maker

    def append(self, entry: bytes, done: Done) -> None:
        """Have an entry written; `done` hears of it later, in this thread."""
        refusal = self._refusal
        if refusal is None and self._queued > MAX_QUEUED:
            refusal = "more waits for the audit's medium than may"
        if refusal is not None:
            self._loop.call_soon(done, AuditUnavailable(refusal))
            return
        self._queued += len(entry)
        self._waiting.append(done)
        self._put(entry)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def close(self) -> None:
        """Write what is queued, end the segment, and wait for that, for two seconds at most."""
        if not self._closed:
            self._closed = True
            self._refusal = self._refusal or "this process ends"
            self._writer.finish()
            if self._writer.is_alive():
                self._writer.join(_CLOSE_SECONDS)

    # What the writer has the loop call.

    def acknowledge(self, count: int, size: int) -> None:
        """So many of the oldest entries are durable."""
        self._queued -= size
        late = min(self._overdue, count)
        self._overdue -= late
        if late and not self._overdue and not (self._broken or self._closed):
            self._refusal = None
            logger.warning("the audit's medium has caught up")
        self._answer(count - late, None)

    def break_down(self) -> None:
        """Nothing more will become durable."""
        self._broken = True
        self._refusal = "the audit's medium has failed"
        self._answer(len(self._waiting), self._refusal)
        if self._on_broken is not None:
            self._on_broken()

    def _answer(self, count: int, problem: str | None) -> None:
        self._answered += count
        take = self._waiting.popleft
        for _ in range(count):
            done = take()
            try:
                done(None if problem is None else AuditUnavailable(problem))
            except Exception as defect:  # noqa: BLE001  # one caller's must not be the others'
                log_defect("an answer that was audited", defect)

    def _sweep(self) -> None:
        """Answer what has waited for `_SWEEPS` sweeps."""
        if len(self._marks) == _SWEEPS:
            late = self._marks[0] - self._answered
            if late > 0:
                self._hang(late)
        self._marks.append(self._answered + len(self._waiting))
        self._sweeper = None
        if self._waiting:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        else:
            self._marks.clear()

    def _hang(self, late: int) -> None:
        if self._refusal is None:
            self._refusal = "the audit's medium does not answer"
            logger.error("the audit's medium does not answer")
        self._overdue += late
        self._answer(late, "the audit's medium did not answer in time")


class _Writer(threading.Thread):
    """The thread that has the segments. It shares with the loop's thread only its two queues."""

    def __init__(
        self,
        auditor: Auditor,
        slot: int,
        loop: asyncio.AbstractEventLoop,
        rules: Rules,
        medium: Medium,
    ) -> None:
        super().__init__(name="audit", daemon=True)
        self.queue: SimpleQueue[bytes] = SimpleQueue()
        self._targets: deque[Target | None] = deque()  # None: finish
        self._auditor = auditor
        self._slot = slot
        self._loop = loop
        self._rules = rules
        self._medium = medium
        self._target: Target | None = None
        self._folder = -1
        self._current: Segment | None = None
        self._next: Segment | None = None
        self._not_before = 0.0  # when to make the next segment ready, after there was no room
        self._last_group = 0
        self._most = min(MAX_GROUP, rules.segment_size - HEADER_SIZE - END_SIZE)

    # For the loop's thread.

    def follow(self, target: Target) -> None:
        """Write to this target, once what is queued now is written."""
        self._targets.append(target)
        self.queue.put(_WAKE)

    def finish(self) -> None:
        """Write what is queued now, and end."""
        self._targets.append(None)
        self.queue.put(_WAKE)

    # In its own.

    def run(self) -> None:
        """Write until told to finish, or until the medium fails."""
        try:
            while self._turn():
                pass
        except OSError as error:
            self._fail(f"the audit's medium has failed: {error.strerror}")
        except FolderUnfit as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing may be acknowledged
            log_defect("the audit's writer", error)
            self._fail("the audit is not written any more")

    def _fail(self, fact: str) -> None:
        logger.critical("%s", fact)
        for segment in (self._current, self._next):
            if segment is not None:
                segment.abandon()
        self._tell(self._auditor.break_down)

    def _tell(self, call: Callable[..., None], *arguments: int) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
            self._loop.call_soon_threadsafe(call, *arguments)

    def _turn(self) -> bool:
        """Wait for something to do, and do it. Say whether to go on."""
        entries = self._gather()
        finishing = False
        while self._targets:
            target = self._targets.popleft()
            if target is None:
                finishing = True
                entries += self._drain()
            else:
                self._let_go()
                self._take(target)
        if entries:
            self._write(entries)
        if self._is_old():
            self._end_current()
        if finishing:
            self._let_go()
        return not finishing

    def _gather(self) -> list[bytes]:
        """Return what comes within the window after the first; nothing if something else is due."""
        try:
            first = self.queue.get(timeout=self._patience())
        except Empty:
            self._prepare()
            return []
        if not first:
            return self._drain()
        if self._rules.window:
            begun = time.monotonic()
            self._prepare()
            time.sleep(max(0.0, begun + self._rules.window - time.monotonic()))
        return [first, *self._drain()]

    def _drain(self) -> list[bytes]:
        take = self.queue.get_nowait
        return [entry for _ in range(self.queue.qsize()) if (entry := take())]

    def _patience(self) -> float | None:
        """How long to wait for an entry: not at all while a segment is to be made ready."""
        if self._target is not None and (self._next is None or not self._next.ready):
            return max(0.0, self._not_before - time.monotonic())
        if self._current is None or self._current.since is None:
            return None
        return max(0.0, self._current.since + self._rules.max_age - time.monotonic())

    def _is_old(self) -> bool:
        """Say whether the current segment is to be ended, and another can take its place."""
        if self._current is None or self._current.since is None:
            return False
        ready = self._next is not None and self._next.ready
        return ready and time.monotonic() - self._current.since >= self._rules.max_age

    def _prepare(self) -> None:
        """Make the next segment a little more ready, if it is not."""
        if self._target is None or time.monotonic() < self._not_before:
            return
        try:
            if self._next is None:
                self._next = self._create(self._target)
            elif not self._next.ready:
                self._next.prepare(max(_SLICE, 2 * self._last_group))
        except OSError as error:
            if error.errno not in _NO_ROOM or self._current is None:
                raise
            self._do_without()

    def _do_without(self) -> None:
        """Go on with the room that there is in the current segment; try again later."""
        logger.error("no room for the next segment of the audit")
        if self._next is not None:
            self._next.finish()
            self._next = None
        self._not_before = time.monotonic() + _NO_ROOM_SECONDS

    def _create(self, target: Target) -> Segment:
        return Segment.create(
            self._medium, self._folder, self._rules.segment_size, self._slot, target
        )

    def _write(self, entries: Sequence[bytes]) -> None:
        """Write groups, as large as may be, and acknowledge each."""
        at = 0
        while at < len(entries):
            group = _first_of(entries, at, self._most)
            if self._current is None or not self._current.has_room(group):
                self._advance()
            assert self._current is not None  # noqa: S101  # `_advance` has made it
            self._current.append(group)
            at += len(group)
            self._last_group = sum(map(len, group))
            self._tell(self._auditor.acknowledge, len(group), self._last_group)

    def _advance(self) -> None:
        """End the current segment and begin the next, made ready by now or not."""
        assert self._target is not None  # noqa: S101  # nothing is appended before the first
        if self._next is None:
            self._next = self._create(self._target)
        self._next.prepare_all()
        self._end_current()
        self._current, self._next = self._next, None

    def _end_current(self) -> None:
        if self._current is not None:
            self._current.finish()
            self._current = None

    def _take(self, target: Target) -> None:
        self._folder = open_folder(
            Path(target.folder), testing_only_tmpfs=self._rules.testing_only_tmpfs
        )
        self._target = target

    def _let_go(self) -> None:
        """End what there is of segments."""
        for segment in (self._current, self._next):
            if segment is not None:
                segment.finish()
        if self._folder >= 0:
            self._medium.close(self._folder)
        self._current = self._next = self._target = None
        self._folder = -1


def require_keys(audit: handoff.Audit) -> None:
    """Raise ValueError for what `Auditor.follow` would not take."""
    WitnessKey(audit.witness_key)
    AnswerKey(audit.answer_key)
    make_header(0, 0, b"", AuditPublicKey(audit.public_key))


def _first_of(entries: Sequence[bytes], at: int, most: int) -> Sequence[bytes]:
    """Return as many entries as a group of this size holds, from a place on."""
    rest = entries[at:] if at else entries
    if group_size(rest) <= most:
        return rest
    size, count = group_size(()), 0
    for entry in rest:
        size += group_size((entry,)) - group_size(())
        if size > most:
            break
        count += 1
    return rest[:count]
