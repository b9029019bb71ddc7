"""A worker's auditor on a folder of the test's own, and what can be read back from there."""

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from crypto.aead import InvalidCiphertext
from crypto.audit import AuditKey, GroupOpener, public_of
from lookup.audit.entry import Entry, Head, parse_entry
from lookup.audit.errors import InvalidSegment
from lookup.audit.segment import (
    HEADER_SIZE,
    MIN_SEGMENT,
    START,
    Header,
    open_header,
    parse_header,
    read_groups,
    require_torn,
    whole_blocks,
)
from lookup.errors import ServiceError
from lookup.handoff import Audit
from lookup.worker.auditing import Auditor
from lookup.worker.medium import Medium
from lookup.worker.writing import Rules

VAULT: Final = b"v" * 16
AUDIT_KEY: Final = AuditKey(b"k" * 32)
HEAD: Final = Head(1, 0, b"c" * 14, b"r" * 16, b"user 7", b"nurse", b"")

# Several segments within a test.
SMALL: Final = Rules(segment_size=MIN_SEGMENT, testing_only_tmpfs=True)


def hand_over(
    folder: Path, key: AuditKey = AUDIT_KEY, witness: bytes = b"w", answer: bytes = b"a"
) -> Audit:
    """Return what a custodian says of the audit."""
    return Audit(
        public_key=public_of(key),
        witness_key=witness * 32,
        answer_key=answer * 32,
        folder=str(folder),
    )


def make_folder(path: Path) -> Path:
    """Make a folder as a custodian makes it."""
    folder = path / "audit"
    folder.mkdir(mode=0o700)
    return folder


class Asker:
    """Appends entries and remembers what became of each, by its number."""

    def __init__(self, auditor: Auditor) -> None:
        self.auditor = auditor
        self.durable: list[int] = []
        self.failed: dict[int, ServiceError] = {}
        self.asked = 0
        self._changed = asyncio.Event()

    def ask(self, count: int = 1, tokens: int = 1) -> None:
        """Append so many entries, which bear their numbers as their times."""
        for _ in range(count):
            number, self.asked = self.asked, self.asked + 1
            self.auditor.append([self._entry(number, tokens)], self._hear_of([number]))

    def ask_at_once(self, count: int) -> None:
        """The same in one append, as the lookups of a round are."""
        numbers = range(self.asked, self.asked + count)
        self.asked += count
        self.auditor.append([self._entry(each, 1) for each in numbers], self._hear_of(numbers))

    def _entry(self, number: int, tokens: int) -> bytes:
        return self.auditor.maker.make(HEAD._replace(time=number), [[b"h" * 10]] * tokens)

    def _hear_of(self, numbers: Sequence[int]) -> Callable[[ServiceError | None], None]:
        def done(error: ServiceError | None) -> None:
            for number in numbers:
                assert number not in self.durable
                assert number not in self.failed
                if error is None:
                    self.durable.append(number)
                else:
                    self.failed[number] = error
            self._changed.set()

        return done

    async def settle(self) -> None:
        """Wait until every append has been answered."""
        async with asyncio.timeout(30):
            while len(self.durable) + len(self.failed) < self.asked:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def asking(
    folder: Path,
    rules: Rules = SMALL,
    medium: Medium | None = None,
    slot: int = 0,
    on_broken: Callable[[], None] | None = None,
) -> AsyncIterator[Asker]:
    """Start an auditor that follows, and close it at the end."""
    loop = asyncio.get_running_loop()
    auditor = Auditor(slot, loop, rules=rules, medium=medium, on_broken=on_broken)
    auditor.follow(hand_over(folder), VAULT)
    try:
        yield Asker(auditor)
    finally:
        await auditor.close()


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that is seen from outside."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # what is waited for is in files
            await asyncio.sleep(0.005)


def run(play: Callable[[], Awaitable[None]]) -> None:
    """Run a play in a loop of its own; return when its threads are gone, which may take longer."""

    async def main() -> None:
        await play()

    asyncio.run(main())
    for thread in audit_threads():
        thread.join(30)


def audit_threads() -> list[threading.Thread]:
    """Return the threads of writers that have not ended."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("audit")]


class Found(NamedTuple):
    """One segment, as it was found."""

    slot: int
    key: AuditKey
    entries: list[Entry]
    ended: bool

    @property
    def numbers(self) -> list[int]:
        """The numbers that an Asker gave to the entries."""
        return [entry.head.time for entry in self.entries]


def find_segments(folder: Path, *keys: AuditKey, live: bool = False) -> list[Found]:
    """Read every segment in a folder, oldest first, whichever of the keys it is sealed to.

    It waits until its writer is gone, unless that is said to live. What is wrong is raised as what
    it is.
    """
    found = []
    for path in folder.iterdir():
        with path.open("rb") as file:
            if not live:
                fcntl.flock(file, fcntl.LOCK_EX)
            segment = _read(file.fileno(), keys or (AUDIT_KEY,), live=live)
            if segment is not None:
                found.append(segment)
    return sorted(found, key=lambda segment: segment.numbers[:1])


def _read(descriptor: int, keys: Sequence[AuditKey], *, live: bool) -> Found | None:
    def read(offset: int, size: int) -> bytes:
        return os.pread(descriptor, size, offset)

    try:
        header = parse_header(read(0, HEADER_SIZE))
    except InvalidSegment:
        assert not any(read(HEADER_SIZE, os.fstat(descriptor).st_size))
        return None  # its writer has not made it ready
    key, opener = _open(header, keys)
    entries: list[Entry] = []
    reading = read_groups(read, opener, START)
    while reading.groups:
        for group in reading.groups:
            entries += map(parse_entry, group.entries)
        if reading.ended:
            break
        reading = read_groups(read, opener, reading.stopped)
    if not (reading.ended or live):
        require_torn(read, opener, reading.stopped, os.fstat(descriptor).st_size)
    return Found(header.slot, key, entries, reading.ended)


def _open(header: Header, keys: Sequence[AuditKey]) -> tuple[AuditKey, GroupOpener]:
    *others, last = keys
    for key in others:
        with suppress(InvalidCiphertext):
            return key, open_header(header, key, VAULT)
    return last, open_header(header, last, VAULT)


def numbers_in(folder: Path, *, live: bool = False) -> list[int]:
    """Return the numbers of all entries in a folder, sorted."""
    segments = find_segments(folder, live=live)
    return sorted(number for segment in segments for number in segment.numbers)


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder."""
    return list(folder.iterdir())


class Failing(Medium):
    """Fails the n-th write from now with an error, and all after it, or writes half of it first."""

    def __init__(self, error: int = errno.EIO, *, half: bool = False) -> None:
        super().__init__()
        self.left: int | None = None
        self.error = error
        self.half = half

    def _write_some(self, descriptor: int, view: memoryview, offset: int) -> int:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                if self.half:
                    super()._write_some(descriptor, view[: len(view) // 2], offset)
                raise OSError(self.error, os.strerror(self.error))
        return super()._write_some(descriptor, view, offset)


class Call(NamedTuple):
    """A write of something or of zeros, from one place to another, or a sync of file or folder."""

    kind: str
    begin: int = 0
    end: int = 0


class Recording(Medium):
    """Remembers what was done to each file, until it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[list[Call]] = []
        self._open: dict[int, list[Call]] = {}

    def create(self, folder: int, name: str, size: int) -> int | None:
        descriptor = super().create(folder, name, size)
        if descriptor is not None:
            self._open[descriptor] = []
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        super().write(descriptor, data, offset)
        kind = "write" if any(data) else "zeros"
        self._open[descriptor].append(Call(kind, offset, offset + len(data)))

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        if descriptor in self._open:
            self._open[descriptor].append(Call("file"))
        else:
            for calls in self._open.values():
                calls.append(Call("folder"))

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        if descriptor in self._open:
            self.finished.append(self._open.pop(descriptor))


def end_of(calls: Sequence[Call], begin: int) -> int:
    """Return where writes end that follow each other block by block, from a place on."""
    for call in calls:
        if call.kind in {"write", "zeros"}:
            assert call.begin == whole_blocks(begin)
            begin = call.end
    return begin


def fits(numbers: Sequence[int], count: int) -> bool:
    """Say whether each of so many numbers is there once."""
    return list(numbers) == list(range(count))
