"""The thread that writes the audit: gathers, makes groups, makes the next segment ready.

    wait for an entry → gather for 0.5 ms → one group → one durable write → acknowledge

Invariants:

* A group is acknowledged after its write has returned, and in its order.
* Any error ends the thread, without another write. The one exception is a lack of room while the
  *next* segment is made ready: nothing rests on that yet.
* A change of target, and the end, take effect after what was queued before them is written.

**Why a window.** A durable write costs the same for one entry as for fifty, and so does what a
group costs besides, the hand-over between two threads. Measured while designing, CPU of both per
lookup at 32 in flight: 31 us with a group for whatever is there and fdatasync, 25 with this window
and RWF_DSYNC, 18 to 21 without an audit. The window lies in this thread because the event loop's
timers have steps of a millisecond.

**Segments.** The next one is written with zeros while there is nothing else to do, and, when there
always is, in slices within the window; so a change of segments costs an end mark.
"""

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

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
)
from lookup.logs import log_defect
from lookup.worker.medium import Medium
from lookup.worker.segments import Segment, Target

logger = logging.getLogger("lookup.worker.gathering")

# What is made ready of the next segment at once: as long on the medium as two or three groups, and
# twice as much as the last group took, so that it is ready before this segment is full.
SLICE: Final = 64 * 1_024
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ROOM_SECONDS: Final = 1.0
_WAKE: Final = ()


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


class Writer(threading.Thread):
    """The thread that has the segments. It shares with the loop's thread only its two queues."""

    def __init__(
        self,
        slot: int,
        rules: Rules,
        medium: Medium,
        acknowledge: Callable[[int, int, int], None],
        fail: Callable[[], None],
    ) -> None:
        super().__init__(name="audit", daemon=True)
        self.queue: SimpleQueue[Sequence[bytes]] = SimpleQueue()
        self._targets: deque[Target | None] = deque()  # None: finish
        self._slot = slot
        self._acknowledge = acknowledge
        self._tell_failure = fail
        self._rules = rules
        self._medium = medium
        self._target: Target | None = None
        self._folder = -1
        self._current: Segment | None = None
        self._next: Segment | None = None
        self._not_before = 0.0  # when to make the next segment ready, after there was no room
        self._last_group = 0
        self._begun = 0.0  # when the first entry of now was taken
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
        self._tell_failure()

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
        self._begun = time.monotonic()
        if not first:
            return self._drain()
        if self._rules.window:
            self._prepare()
            time.sleep(max(0.0, self._begun + self._rules.window - time.monotonic()))
        return [*first, *self._drain()]

    def _drain(self) -> list[bytes]:
        take = self.queue.get_nowait
        return [entry for _ in range(self.queue.qsize()) for entry in take()]

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
                self._next.prepare(max(SLICE, 2 * self._last_group))
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
        self._not_before = time.monotonic() + NO_ROOM_SECONDS

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
            microseconds = int((time.monotonic() - self._begun) * 1e6)
            self._acknowledge(len(group), self._last_group, microseconds)

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
            Path(target.folder), fleeting_too=target.demo or self._rules.testing_only_tmpfs
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
