"""What is written directly is on the medium, whole; where it cannot be, a thread writes it."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookup.audit.segment import BLOCK
from lookup.worker import direct
from lookup.worker.direct import DirectMedium
from tests.lookup.worker.audited import asking, audit_threads, fits, make_folder, numbers_in, run

SIZE = 8 * BLOCK


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, b"\xff" * SIZE, 0)
    yield descriptor
    os.close(descriptor)


def content(file: int) -> bytes:
    """What is in it, for whoever opens it anew: through the page cache."""
    return Path(f"/proc/self/fd/{file}").read_bytes()


def write(
    medium: DirectMedium, descriptor: int, *writes: tuple[bytes, int]
) -> list[Exception | None]:
    """Write one after another, in a loop; return what was heard of each."""

    async def play() -> list[Exception | None]:
        heard = []
        for data, offset in writes:
            written = asyncio.get_running_loop().create_future()
            medium.start_write(descriptor, data, offset, written.set_result)
            assert not written.done()
            heard.append(await asyncio.wait_for(written, 10))
        medium.end()
        return heard

    return asyncio.run(play())


def is_able(medium: DirectMedium) -> bool:
    """Say whether it still writes directly."""
    return medium._able  # nothing else tells, and nobody else asks


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK])
def test_whole_blocks_are_written_and_nothing_else(file: int, size: int) -> None:
    medium, data = DirectMedium(), os.urandom(size)
    assert write(medium, file, (data, BLOCK), (b"x", 7 * BLOCK)) == [None, None]
    end = BLOCK + -(-size // BLOCK) * BLOCK

    assert is_able(medium)
    found = content(file)
    assert found[:BLOCK] == b"\xff" * BLOCK
    assert found[BLOCK:end] == data.ljust(end - BLOCK, b"\0")
    assert found[end : 7 * BLOCK] == b"\xff" * (7 * BLOCK - end)
    assert found[7 * BLOCK :] == b"x".ljust(BLOCK, b"\0")


def test_nothing_of_a_longer_one_is_left_in_the_next(file: int) -> None:
    """There is one buffer; what was in it must not follow what is."""
    assert write(DirectMedium(), file, (b"a" * BLOCK * 2, 0), (b"b", 2 * BLOCK)) == [None, None]
    assert content(file)[2 * BLOCK : 3 * BLOCK] == b"b".ljust(BLOCK, b"\0")


def test_a_segment_can_be_ended_after_direct_writes(file: int) -> None:
    """In the page cache's way, with any number of bytes."""
    medium = DirectMedium()
    write(medium, file, (b"a", 0))
    medium.write(file, b"end", BLOCK)
    assert content(file)[BLOCK : BLOCK + 3] == b"end"


def test_no_thread_waits_for_the_medium(tmp_path: Path) -> None:
    """But for the one that makes segments."""
    names: set[str] = set()

    async def play() -> None:
        async with asking(make_folder(tmp_path), medium=DirectMedium()) as asker:
            asker.ask(200)
            await asker.settle()
            assert fits(asker.durable, 200)
            names.update(thread.name for thread in audit_threads())

    run(play)
    assert names == {"audit segments"}


def without_calls(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(direct, "_CALLS", None)


def forbidden(patch: pytest.MonkeyPatch) -> None:
    """A system call that there is not: what a sandbox answers."""
    patch.setattr(direct, "_CALLS", (100_000,) * 3)


def refused(patch: pytest.MonkeyPatch) -> None:
    """A file system without direct writes."""

    def refuse(_descriptor: int, *, on: bool) -> None:
        if on:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    patch.setattr(direct, "_set_direct", refuse)


def misaligned(patch: pytest.MonkeyPatch) -> None:
    """A medium whose blocks are larger: the kernel refuses the write itself."""
    patch.setattr(direct, "whole_blocks", lambda size: size)


@pytest.mark.parametrize("cannot", [without_calls, forbidden, refused, misaligned])
def test_where_it_cannot_be_a_thread_writes(
    cannot: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the first group on, and all of it."""
    cannot(monkeypatch)
    folder, medium = make_folder(tmp_path), DirectMedium()
    names: set[str] = set()

    async def play() -> None:
        async with asking(folder, medium=medium) as asker:
            for _ in range(30):
                asker.ask(20)
                await asker.settle()
            assert fits(asker.durable, 600)
            names.update(thread.name for thread in audit_threads())

    run(play)
    assert not is_able(medium)
    assert "audit" in names
    assert fits(numbers_in(folder), 600)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_an_error_is_told_and_not_tried_again(
    file: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel tells it: the result of the event, negative."""
    medium = DirectMedium()
    real, events = direct._libc.syscall, []

    class Failing:
        """The C library, whose events say something else."""

        def syscall(self, number: object, *arguments: object) -> int:
            done = real(number, *arguments)
            if getattr(number, "value", None) == direct._CALLS[2]:  # type: ignore[index]
                events.append(done)
                medium._queue._event.result = -code  # type: ignore[union-attr]
            return int(done)

    monkeypatch.setattr(direct, "_libc", Failing())
    (heard,) = write(medium, file, (b"a", 0))
    assert isinstance(heard, OSError)
    assert heard.errno == code
    assert events == [1]


def test_a_write_that_was_cut_short_goes_on(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the block where the kernel stopped."""
    medium, data = DirectMedium(), os.urandom(4 * BLOCK)
    real, cut = direct._libc.syscall, []

    class Short:
        """The C library, which submits one block of what was to be more."""

        def syscall(self, number: object, *arguments: object) -> int:
            if getattr(number, "value", None) == direct._CALLS[1]:  # type: ignore[index]
                iocb = medium._queue._iocb  # type: ignore[union-attr]
                whole, iocb.size = iocb.size, BLOCK
                done = real(number, *arguments)
                iocb.size = whole
                cut.append(whole)
                return int(done)
            return int(real(number, *arguments))

    monkeypatch.setattr(direct, "_libc", Short())
    assert write(medium, file, (data, BLOCK)) == [None]
    assert content(file)[BLOCK : 5 * BLOCK] == data
    assert cut == [4 * BLOCK, 3 * BLOCK, 2 * BLOCK, BLOCK]
