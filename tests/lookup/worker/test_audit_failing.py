"""G3, when the audit's medium fails, is full, does not answer, or is none that may be used."""

import asyncio
import errno
import os
import threading
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lookup.audit.errors import FolderUnfit
from lookup.audit.folder import open_folder
from lookup.errors import AuditUnavailable
from lookup.worker import auditing, writing
from lookup.worker.medium import Medium
from tests.lookup.worker.audited import (
    VAULT,
    Failing,
    asking,
    audit_threads,
    files_in,
    fits,
    hand_over,
    make_folder,
    numbers_in,
    run,
    until,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


class TestFailing:
    """A medium that fails is never believed again; the worker says so and ends."""

    @pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
    @pytest.mark.parametrize("half", [False, True])
    @pytest.mark.parametrize("writes", [0, 1, 7])
    def test_nothing_is_acknowledged_from_then_on(
        self,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
        error: int,
        half: bool,  # noqa: FBT001  # a parameter of the test
        writes: int,
    ) -> None:
        """Pending and later appends fail; what was acknowledged is there."""
        medium = Failing(error, half=half)
        told: list[None] = []

        async def play() -> None:
            broken = partial(told.append, None)
            async with asking(folder, medium=medium, on_broken=broken) as asker:
                asker.ask()
                await asker.settle()
                await asyncio.sleep(0.05)  # the next segment is ready
                assert asker.auditor.healthy
                medium.left = writes
                while asker.auditor.healthy:
                    asker.ask(3)
                    await asyncio.sleep(0.002)
                await asker.settle()
                asked = asker.asked
                asker.ask(2)
                asker.auditor.follow(hand_over(folder, answer=b"b"), VAULT)
                asker.ask(2)
                await asker.settle()
                failed = list(asker.failed)
                assert failed[-4:] == list(range(asked, asked + 4))
                assert fits(sorted(asker.durable + failed), asked + 4)
                assert all(isinstance(each, AuditUnavailable) for each in asker.failed.values())
                durable[:] = asker.durable

        durable: list[int] = []
        run(play)
        assert told == [None]
        assert set(durable) <= set(numbers_in(folder))
        assert f"has failed: {os.strerror(error)}" in caplog.text
        assert str(folder) not in caplog.text

    def test_a_medium_that_takes_less_than_it_was_given_is_given_the_rest(
        self, folder: Path
    ) -> None:
        class Short(Medium):
            def _write_some(self, descriptor: int, view: memoryview, offset: int) -> int:
                return super()._write_some(descriptor, view[: max(1, len(view) // 3)], offset)

        async def play() -> None:
            async with asking(folder, medium=Short()) as asker:
                asker.ask(100)
                await asker.settle()
                assert fits(asker.durable, 100)

        run(play)
        assert fits(numbers_in(folder), 100)

    def test_a_medium_that_takes_nothing_has_failed(self, folder: Path) -> None:
        class Nothing(Medium):
            def _write_some(self, *_: object) -> int:
                return 0

        async def play() -> None:
            async with asking(folder, medium=Nothing()) as asker:
                asker.ask()
                await asker.settle()
                assert list(asker.failed) == [0]

        run(play)

    def test_where_the_kernel_cannot_write_through_it_syncs(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also then a failing sync is the end: it is not tried again."""
        synced: list[int] = []
        real = os.fdatasync

        def refuse(*_: object) -> int:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        def fdatasync(descriptor: int) -> None:
            synced.append(descriptor)
            if failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(descriptor)

        failing = False
        monkeypatch.setattr(os, "pwritev", refuse)
        monkeypatch.setattr(os, "fdatasync", fdatasync)

        async def play() -> None:
            nonlocal failing
            async with asking(folder, medium=Medium()) as asker:
                asker.ask(10)
                await asker.settle()
                await asyncio.sleep(0.05)
                failing = True
                before = len(synced)
                asker.ask(10)
                await asker.settle()
                assert fits(asker.durable, 10)
                assert len(asker.failed) == 10
                assert len(synced) == before + 1

        run(play)
        assert set(range(10)) <= set(numbers_in(folder))

    def test_a_defect_is_a_failure_too(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> bytes:
            raise ZeroDivisionError

        monkeypatch.setattr("lookup.worker.segments.make_group", fail)

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask(3)
                await asker.settle()
                assert len(asker.failed) == 3
                assert not asker.auditor.healthy

        run(play)
        assert "ZeroDivisionError" in caplog.text


class TestFull:
    """No room for the next segment is no failure while this one has some."""

    def test_the_room_that_there_is_is_used(self, folder: Path) -> None:
        full = threading.Event()

        class Full(Medium):
            def create(self, folder: int, name: str, size: int) -> int | None:
                if full.is_set():
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().create(folder, name, size)

        async def play() -> None:
            async with asking(folder, medium=Full()) as asker:
                await until(lambda: len(files_in(folder)) == 1)
                full.set()
                asker.ask(20)
                await asker.settle()
                await asyncio.sleep(0.1)
                asker.ask(20)
                await asker.settle()
                assert asker.auditor.healthy
                full.clear()
                await asyncio.sleep(writing.NO_ROOM_SECONDS + 0.2)
                asker.ask(300)
                await asker.settle()
                assert fits(asker.durable, 340)
                full.set()
                await asyncio.sleep(0.1)
                while asker.auditor.healthy:
                    asker.ask(20)
                    await asker.settle()
                durable[:] = asker.durable

        durable: list[int] = []
        run(play)
        assert len(durable) > 340
        assert set(durable) <= set(numbers_in(folder))

    def test_a_file_that_there_is_no_room_for_is_taken_away(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", refuse)

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask()
                await asker.settle()
                assert list(asker.failed) == [0]

        run(play)
        assert list(folder.iterdir()) == []

    def test_what_waits_is_bounded(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Above the bound an append fails, and the others do not."""
        monkeypatch.setattr(auditing, "MAX_QUEUED", 10 * 492)

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask(20)
                await asker.settle()
                assert asker.durable == list(range(11))
                assert list(asker.failed) == list(range(11, 20))
                asker.ask(5)
                await asker.settle()
                assert asker.durable[-5:] == list(range(20, 25))

        run(play)


class TestHung:
    """A medium that does not answer must not take the worker with it."""

    class Hanging(Medium):
        """Waits before each write while it is told to."""

        def __init__(self) -> None:
            super().__init__()
            self.free = threading.Event()
            self.free.set()

        def write(self, descriptor: int, data: bytes, offset: int) -> None:
            self.free.wait(30)
            super().write(descriptor, data, offset)

    def test_an_append_is_answered_after_a_second(self, folder: Path) -> None:
        """And later ones at once, until the medium has caught up; the loop goes on meanwhile."""
        medium = self.Hanging()

        async def play() -> None:
            async with asking(folder, medium=medium) as asker:
                asker.ask(5)
                await asker.settle()
                medium.free.clear()
                begun = time.monotonic()
                asker.ask(5)
                await asyncio.sleep(0.6)
                assert not asker.failed  # the loop runs, and nobody is told too early
                asker.ask(5)
                await until(lambda: len(asker.failed) == 5)
                assert 0.95 < time.monotonic() - begun < 1.9
                assert not asker.auditor.healthy
                begun = time.monotonic()
                asker.ask(2)
                await until(lambda: len(asker.failed) >= 7)
                assert time.monotonic() - begun < 0.2
                await asker.settle()
                assert sorted(asker.failed) == list(range(5, 17))
                medium.free.set()
                await until(lambda: asker.auditor.healthy)
                asker.ask(5)
                await asker.settle()
                assert asker.durable == [*range(5), *range(17, 22)]

        run(play)
        written = set(numbers_in(folder))
        assert written == {*range(15), *range(17, 22)}

    def test_closing_does_not_wait_for_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(auditing, "_CLOSE_SECONDS", 0.1)
        medium = self.Hanging()

        async def play() -> None:
            async with asking(folder, medium=medium) as asker:
                asker.ask()
                await asker.settle()
                medium.free.clear()
                asker.ask()
                await asyncio.sleep(0.05)
            medium.free.set()
            await asker.settle()
            await until(lambda: not audit_threads())

        run(play)
        assert fits(numbers_in(folder), 2)


class TestFolder:
    """Where segments may lie."""

    def test_it_must_be_private_and_lasting(self, folder: Path, tmp_path: Path) -> None:
        os.close(open_folder(folder, fleeting_too=True))
        (tmp_path / "link").symlink_to(folder)
        (tmp_path / "file").touch()
        for wrong in ("missing", "link", "file"):
            with pytest.raises(FolderUnfit, match="cannot be opened"):
                open_folder(tmp_path / wrong, fleeting_too=True)
        folder.chmod(0o750)
        with pytest.raises(FolderUnfit, match="mode 0700"):
            open_folder(folder, fleeting_too=True)

    def test_tmpfs_is_refused(self) -> None:
        """What it acknowledges the next power cut takes away."""
        with TemporaryDirectory(dir="/dev/shm") as name:
            with pytest.raises(FolderUnfit, match="must not be on tmpfs"):
                open_folder(Path(name))
            os.close(open_folder(Path(name), fleeting_too=True))

    def test_somebody_elses_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)

        with pytest.raises(FolderUnfit, match="another user"):
            open_folder(folder, fleeting_too=True)

    def test_a_worker_without_one_audits_nothing(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder.chmod(0o755)

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask()
                await asker.settle()
                assert list(asker.failed) == [0]
                assert not asker.auditor.healthy

        run(play)
        assert "mode 0700" in caplog.text
