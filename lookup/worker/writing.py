"""What writes the audit: makes groups of what waits, and keeps the next segment ready.

    entries wait → one group of all of them → one durable write → acknowledged, and the next group

Invariants:

* One group is on its way at a time. It is acknowledged after its write has returned, in its order.
* Any error is the end: no other write is begun. The one exception is a lack of room while the
  *next* segment is made ready: nothing rests on that yet.
* A change of target, and the end, take effect after what waited before them is written.
* Nothing here blocks. What may (making a segment, ending one) is a helper's (`helper.py`), and a
  group's write is the medium's (`medium.py`).

**No window.** A group is a round of lookups (`rounds.py`), so that nobody waits for others: one
lookup alone is durable after one write, 0.1 ms here, and at 32 connections a group has about 24
entries. A thread that gathered for half a millisecond, which was measured best before there were
rounds, took 6 us of CPU for each entry, half of it for passing the interpreter's lock to and fro,
and half a millisecond of everybody's time.
"""

import asyncio
import errno
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from lookup.audit.errors import FolderUnfit
from lookup.audit.folder import open_folder
from lookup.audit.segment import (
    BLOCK,
    HEADER_SIZE,
    MAX_GROUP,
    MAX_SEGMENT,
    MIN_SEGMENT,
    SEGMENT_SIZE,
    group_size,
)
from lookup.logs import log_defect
from lookup.worker.helper import Helper
from lookup.worker.medium import Medium
from lookup.worker.segments import Segment, Target

logger = logging.getLogger("lookup.worker.writing")

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ROOM_SECONDS: Final = 1.0
_EMPTY_GROUP: Final = group_size(())
_OF_EACH: Final = group_size((b"",)) - _EMPTY_GROUP


@dataclass(frozen=True, slots=True)
class Rules:
    """How the audit is written. Production has the defaults."""

    segment_size: int = SEGMENT_SIZE
    max_age: float = 300.0
    testing_only_tmpfs: bool = False

    def __post_init__(self) -> None:
        if not MIN_SEGMENT <= self.segment_size <= MAX_SEGMENT or self.segment_size % BLOCK:
            raise ValueError(f"a segment has {MIN_SEGMENT} to {MAX_SEGMENT} bytes, in whole blocks")


class Writer:
    """What has the segments. For the thread of the event loop."""

    def __init__(
        self,
        slot: int,
        rules: Rules,
        medium: Medium,
        acknowledge: Callable[[int, int, int], None],
        fail: Callable[[], None],
    ) -> None:
        """`acknowledge` hears of a durable group: its entries, their bytes, and microseconds."""
        self._slot = slot
        self._rules = rules
        self._medium = medium
        self._acknowledge = acknowledge
        self._tell_failure = fail
        self._helper = Helper("audit segments")
        self._waiting: deque[bytes | Target | None] = deque()  # None: finish
        self._since = 0.0  # when the first of them came
        self._target: Target | None = None
        self._folder = -1
        self._current: Segment | None = None
        self._next: Segment | None = None
        self._writing = False  # a group is on its way
        self._preparing = False  # the helper opens the folder, or makes the next segment
        self._needed = False  # nothing can be written until it has
        self._failed = False
        self.ended = asyncio.Event()
        self._most = min(MAX_GROUP, rules.segment_size - HEADER_SIZE - BLOCK)

    def put(self, entries: Sequence[bytes]) -> None:
        """Write these, none of them empty."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.extend(entries)
        self._go_on()

    def follow(self, target: Target) -> None:
        """Write to this target, once what waits now is written."""
        self._waiting.append(target)
        self._go_on()

    def finish(self) -> None:
        """Write what waits now, and end; `ended` is set then."""
        self._waiting.append(None)
        self._go_on()

    def _go_on(self) -> None:
        """Begin what is next, unless something is under way after which this is called again."""
        if self._failed or self._writing or not self._waiting:
            return
        try:
            if isinstance(self._waiting[0], bytes):
                self._write()
            elif not self._preparing:
                self._let_go()
                target = self._waiting.popleft()
                if isinstance(target, Target):
                    self._open(target)
                else:
                    self._end()
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing may be acknowledged
            self._fail(error)

    # Groups

    def _write(self) -> None:
        group, size = self._take()
        if self._current is None or not self._current.has_room(size):
            self._advance()
        if self._current is None or not self._current.has_room(size):
            self._waiting.extendleft(reversed(group))
            return
        begun, self._since = self._since, time.monotonic()
        if self._current.since is None:
            # A little later: loops have clocks of their own, in whole milliseconds.
            asyncio.get_running_loop().call_later(self._rules.max_age + 0.01, self._retire)
        self._writing = True
        self._current.append(group, partial(self._written, len(group), sum(map(len, group)), begun))

    def _take(self) -> tuple[list[bytes], int]:
        """Take as many entries as a group holds; return them and the size of the group."""
        group: list[bytes] = []
        size, waiting = _EMPTY_GROUP, self._waiting
        while waiting and isinstance(entry := waiting[0], bytes):
            size += len(entry) + _OF_EACH
            if size > self._most:
                size -= len(entry) + _OF_EACH
                break
            group.append(entry)
            waiting.popleft()
        return group, size

    def _written(self, count: int, size: int, begun: float, error: Exception | None) -> None:
        self._writing = False
        if error is not None or self._failed:
            self._fail(error)
            return
        self._retire()
        self._go_on()  # before others are told: the medium is busy while they answer
        self._acknowledge(count, size, int((time.monotonic() - begun) * 1e6))

    # Segments

    def _advance(self) -> None:
        """Let the next segment be the current one, if there is one; have another made."""
        if self._next is not None:
            self._end_current()
            self._current, self._next = self._next, None
        else:
            self._needed = True
        self._prepare()

    def _prepare(self) -> None:
        if self._target is None or self._next is not None or self._preparing or self._failed:
            return
        self._preparing = True
        making = (self._medium, self._folder, self._rules.segment_size, self._slot, self._target)
        self._helper.run(partial(Segment.make_ready, *making), self._prepared)

    def _prepared(self, segment: Segment | None, error: Exception | None) -> None:
        self._preparing = False
        self._next = segment
        if error is not None or self._failed:
            full = isinstance(error, OSError) and error.errno in _NO_ROOM
            if not full or self._needed or self._failed:
                self._fail(error)
                return
            logger.error("no room for the next segment of the audit")
            asyncio.get_running_loop().call_later(NO_ROOM_SECONDS, self._prepare)
        self._needed = False
        self._retire()
        self._go_on()

    def _retire(self) -> None:
        """End the current segment if it is old, and another can take its place."""
        current = self._current
        if current is None or current.since is None or self._next is None or self._writing:
            return
        if time.monotonic() - current.since >= self._rules.max_age:
            self._end_current()

    def _end_current(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            self._helper.run(current.finish, self._finished)

    def _finished(self, _: None, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)

    # Targets, and the end

    def _open(self, target: Target) -> None:
        self._preparing = True
        fleeting_too = target.demo or self._rules.testing_only_tmpfs

        def opened(descriptor: int | None, error: Exception | None) -> None:
            self._preparing = False
            if descriptor is None:
                self._fail(error)
            else:
                self._target, self._folder = target, descriptor
                self._prepare()
                self._go_on()

        self._helper.run(
            partial(open_folder, Path(target.folder), fleeting_too=fleeting_too), opened
        )

    def _let_go(self) -> None:
        """End what there is of segments."""
        self._end_current()
        if self._next is not None:
            self._helper.run(self._next.finish, self._finished)
        if self._folder >= 0:
            self._helper.run(partial(self._medium.close, self._folder), self._finished)
        self._next = self._target = None
        self._folder = -1

    def _end(self) -> None:
        self._helper.run(lambda: None, lambda *_: self.ended.set())
        self._end_threads()

    def _end_threads(self) -> None:
        self._helper.end()
        self._medium.end()

    def _fail(self, error: Exception | None) -> None:
        """Nothing more will be written."""
        if not self._failed:
            self._failed = True
            _tell(error)
            self.ended.set()
            self._tell_failure()
            self._end_threads()
        if not (self._writing or self._preparing):  # else a number may be another file's by then
            for segment in (self._current, self._next):
                if segment is not None:
                    segment.abandon()
            self._current = self._next = None


def _tell(error: Exception | None) -> None:
    if isinstance(error, OSError):
        logger.critical("the audit's medium has failed: %s", error.strerror)
    elif isinstance(error, FolderUnfit):
        logger.critical("%s", error)
    else:
        if error is not None:
            log_defect("the audit's writer", error)
        logger.critical("the audit is not written any more")
