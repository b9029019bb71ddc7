"""G3: no answer before its audit entry is durable, and what a worker does if it cannot be."""

import asyncio
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

import pytest

from crypto.aead import InvalidCiphertext
from crypto.audit import AnswerKey, AuditKey, WitnessKey, WitnessMaker
from lookup.audit.entry import find_witness, open_answers
from lookup.audit.errors import FolderUnfit
from lookup.audit.folder import open_folder
from lookup.errors import AuditUnavailable, ServiceError
from lookup.worker import auditing
from lookup.worker.auditing import Auditor, Rules
from lookup.worker.medium import Medium
from tests.lookup.worker.audited import (
    AUDIT_KEY,
    HEAD,
    SMALL,
    VAULT,
    Failing,
    asking,
    files_in,
    find_segments,
    fits,
    hand_over,
    make_folder,
    numbers_in,
    run,
)

COUNT: Final = 2_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


class TestDurable:
    """What was acknowledged can be read back, each once and in its order."""

    def test_every_entry_that_was_acknowledged_is_in_a_segment(self, folder: Path) -> None:
        async def play() -> None:
            async with asking(folder) as asker:
                for _ in range(COUNT // 20):
                    asker.ask(20)
                    await asyncio.sleep(0)
                await asker.settle()
                assert fits(asker.durable, COUNT)

        run(play)
        segments = find_segments(folder)
        assert fits([number for each in segments for number in each.numbers], COUNT)
        assert len(segments) > COUNT * 492 / SMALL.segment_size > 3
        assert all(segment.ended for segment in segments)
        entry = segments[0].entries[0]
        assert open_answers(entry, AnswerKey(b"a" * 32)) == [[b"h" * 10]]
        assert find_witness(entry, b"h" * 10, WitnessMaker(WitnessKey(b"w" * 32))) == [0]

    def test_at_the_moment_it_is_acknowledged(self, folder: Path) -> None:
        """Read while the writer lives: a group lies there before anybody hears of it."""

        async def play() -> None:
            async with asking(folder) as asker:
                for count in range(1, 30):
                    asker.ask(count)
                    await asker.settle()
                    assert numbers_in(folder, live=True) == asker.durable

        run(play)

    def test_batches_and_single_entries_share_groups(self, folder: Path) -> None:
        """Of any length: also more at once than one group, or one segment, holds."""
        rules = Rules(segment_size=2 * 1_024 * 1_024, testing_only_tmpfs=True)

        async def play() -> None:
            async with asking(folder, rules) as asker:
                for _ in range(12):
                    asker.ask(tokens=1_000)
                    asker.ask(5)
                await asker.settle()
                assert fits(asker.durable, 72)

        run(play)
        assert fits(numbers_in(folder), 72)

    def test_an_answer_is_never_given_within_append(self, folder: Path) -> None:
        """Else a caller would be entered anew before its own call returns."""

        async def play() -> None:
            heard: list[ServiceError | None] = []
            async with asking(folder) as asker:
                entry = asker.auditor.maker.make(HEAD, [[]])
                asker.auditor.append(entry, heard.append)
                assert heard == []
                asker.ask()
                await asker.settle()
            asker.auditor.append(entry, heard.append)
            assert heard == [None]
            await asyncio.sleep(0)
            assert isinstance(heard[1], AuditUnavailable)

        run(play)

    def test_one_callers_defect_is_not_the_others(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_: ServiceError | None) -> None:
            raise ZeroDivisionError

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask()
                asker.auditor.append(asker.auditor.maker.make(HEAD, [[]]), fail)
                asker.ask()
                await asker.settle()
                assert fits(asker.durable, 2)

        run(play)
        assert "ZeroDivisionError" in caplog.text

    def test_closing_writes_what_is_queued(self, folder: Path) -> None:
        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask(50)
            await asker.settle()
            assert fits(asker.durable, 50)

        run(play)
        (segment,) = find_segments(folder)
        assert segment.ended
        assert fits(segment.numbers, 50)

    def test_nothing_is_left_of_a_worker_that_was_never_asked(self, folder: Path) -> None:
        async def play() -> None:
            async with asking(folder):
                await _until(lambda: any(files_in(folder)))

        run(play)
        assert list(folder.iterdir()) == []

    def test_two_workers_share_a_folder(self, folder: Path) -> None:
        async def play() -> None:
            async with asking(folder, slot=1) as one, asking(folder, slot=2) as two:
                for _ in range(50):
                    one.ask(10)
                    two.ask(10)
                    await asyncio.sleep(0)
                await one.settle()
                await two.settle()

        run(play)
        segments = find_segments(folder)
        for slot in (1, 2):
            numbers = [each.numbers for each in segments if each.slot == slot]
            assert fits(sum(numbers, []), 500)  # noqa: RUF017  # a few lists

    def test_segments_are_private_and_locked(self, folder: Path) -> None:
        """The lock tells the custodian that more may come."""

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask()
                await asker.settle()
                for path in files_in(folder):
                    assert path.stat().st_mode & 0o777 == 0o600
                    assert path.stat().st_size == SMALL.segment_size
                    with path.open("rb") as file, pytest.raises(BlockingIOError):
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        run(play)


class TestSegments:
    """When another begins."""

    def test_after_its_time_if_anything_is_in_it(self, folder: Path) -> None:
        rules = Rules(segment_size=SMALL.segment_size, max_age=0.05, testing_only_tmpfs=True)

        async def play() -> None:
            async with asking(folder, rules) as asker:
                for _ in range(3):
                    asker.ask()
                    await asker.settle()
                    await asyncio.sleep(0.15)
                await asyncio.sleep(0.2)
                assert len(files_in(folder)) == 4  # and one that is ready

        run(play)
        segments = find_segments(folder)
        assert [segment.numbers for segment in segments] == [[0], [1], [2]]
        assert all(segment.ended for segment in segments)

    def test_the_next_is_ready_before_this_one_is_full(self, folder: Path) -> None:
        """Also when the writer never has nothing to do: at most a slice between two groups."""
        longest = 0

        class Watching(Medium):
            def write(self, descriptor: int, data: bytes, offset: int) -> None:
                nonlocal longest
                if not any(data):
                    longest = max(longest, len(data))
                super().write(descriptor, data, offset)

        rules = Rules(segment_size=1_024 * 1_024, testing_only_tmpfs=True)

        async def play() -> None:
            async with asking(folder, rules, Watching()) as asker:
                await asyncio.sleep(0.1)
                for _ in range(COUNT // 8):
                    asker.ask(16)
                    await asyncio.sleep(0)
                    await asyncio.sleep(0.000_5)
                await asker.settle()

        run(play)
        assert fits(numbers_in(folder), 2 * COUNT)
        assert 0 < longest <= 4 * auditing._SLICE

    @pytest.mark.parametrize("removed", [False, True])
    def test_whoever_cleans_up_may_lock_a_file_that_is_not_locked_yet(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        removed: bool,  # noqa: FBT001  # a parameter of the test
    ) -> None:
        """And may have removed it when it lets go of it: then another file is made."""
        real = fcntl.flock
        seen: list[Path] = []
        others: list[BinaryIO] = []

        def flock(descriptor: int, operation: int) -> None:
            (path,) = folder.iterdir()
            if not seen:
                seen.append(path)
                others.append(path.open("rb"))
                real(others[0], fcntl.LOCK_EX)
                if removed:
                    path.unlink()
                    others[0].close()
            real(descriptor, operation)

        monkeypatch.setattr("fcntl.flock", flock)
        within = open_folder(folder, testing_only_tmpfs=True)
        medium = Medium()
        assert medium.create(within, "first", 100) is None
        for path in folder.iterdir():
            path.unlink()
        descriptor = medium.create(within, "second", 100)
        assert descriptor is not None
        medium.remove(within, "second", descriptor)
        assert list(folder.iterdir()) == []
        os.close(within)
        for file in others:
            file.close()

    def test_another_name_is_drawn_then(self, folder: Path) -> None:
        made: list[str] = []

        class Raced(Medium):
            def create(self, folder: int, name: str, size: int) -> int | None:
                made.append(name)
                return None if len(made) < 3 else super().create(folder, name, size)

        async def play() -> None:
            async with asking(folder, medium=Raced()) as asker:
                asker.ask()
                await asker.settle()

        run(play)
        assert fits(numbers_in(folder), 1)
        assert len(set(made)) == len(made) >= 3


class TestFollowing:
    """A view with other keys comes while answers wait."""

    def test_another_answer_key(self, folder: Path) -> None:
        """In every epoch change: nothing queued is lost, no segment is ended for it."""

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask(20)
                asker.auditor.follow(hand_over(folder, answer=b"b"), VAULT)
                asker.ask(20)
                await asker.settle()

        run(play)
        (segment,) = find_segments(folder)
        assert fits(segment.numbers, 40)
        for number, entry in enumerate(segment.entries):
            right, wrong = (b"a", b"b") if number < 20 else (b"b", b"a")
            assert open_answers(entry, AnswerKey(right * 32)) == [[b"h" * 10]]
            with pytest.raises(InvalidCiphertext):
                open_answers(entry, AnswerKey(wrong * 32))

    def test_another_public_key(self, folder: Path) -> None:
        """The old segment is ended; what was queued is readable to the old key or to the new."""
        other = AuditKey(b"o" * 32)

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask(20)
                await asker.settle()
                asker.ask(20)
                asker.auditor.follow(hand_over(folder, other), VAULT)
                asker.ask(20)
                await asker.settle()
                assert fits(asker.durable, 60)

        run(play)
        first, second = find_segments(folder, AUDIT_KEY, other)
        assert first.key is AUDIT_KEY
        assert second.key is other
        assert first.ended
        assert second.ended
        assert fits(first.numbers + second.numbers, 60)

    def test_another_folder(self, folder: Path, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)

        async def play() -> None:
            async with asking(folder) as asker:
                asker.ask(10)
                await asker.settle()
                asker.auditor.follow(hand_over(elsewhere), VAULT)
                asker.ask(10)
                await asker.settle()

        run(play)
        assert fits(numbers_in(folder), 10)
        assert numbers_in(elsewhere) == list(range(10, 20))

    def test_the_same_view_again_changes_nothing(self, folder: Path) -> None:
        async def play() -> None:
            async with asking(folder) as asker:
                maker = asker.auditor.maker
                asker.auditor.follow(hand_over(folder), VAULT)
                assert asker.auditor.maker is maker

        run(play)

    @pytest.mark.parametrize("public", [b"", bytes(32), b"k" * 31])
    def test_what_is_no_key_is_refused_and_the_old_ones_stay(
        self, folder: Path, public: bytes
    ) -> None:
        async def play() -> None:
            async with asking(folder) as asker:
                wrong = hand_over(folder)
                wrong = type(wrong)(public, wrong.witness_key, wrong.answer_key, wrong.folder)
                with pytest.raises(ValueError):  # noqa: PT011  # the library's own words
                    asker.auditor.follow(wrong, VAULT)
                asker.ask()
                await asker.settle()

        run(play)
        assert fits(numbers_in(folder), 1)

    def test_before_the_first_view_nothing_is_taken(self) -> None:
        async def play() -> None:
            auditor = Auditor(0, asyncio.get_running_loop())
            heard: list[ServiceError | None] = []
            with pytest.raises(AuditUnavailable):
                _ = auditor.maker
            auditor.append(b"entry", heard.append)
            await asyncio.sleep(0)
            assert isinstance(heard[0], AuditUnavailable)
            assert not auditor.healthy
            auditor.close()

        run(play)


async def _until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # what is waited for is in files
            await asyncio.sleep(0.005)


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
            async with asking(folder) as asker:
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
                await _until(lambda: len(files_in(folder)) == 1)
                full.set()
                asker.ask(20)
                await asker.settle()
                await asyncio.sleep(0.1)
                asker.ask(20)
                await asker.settle()
                assert asker.auditor.healthy
                full.clear()
                await asyncio.sleep(auditing._NO_ROOM_SECONDS + 0.2)
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
                await _until(lambda: len(asker.failed) == 5)
                assert 0.95 < time.monotonic() - begun < 1.9
                assert not asker.auditor.healthy
                begun = time.monotonic()
                asker.ask(2)
                await _until(lambda: len(asker.failed) >= 7)
                assert time.monotonic() - begun < 0.2
                await asker.settle()
                assert sorted(asker.failed) == list(range(5, 17))
                medium.free.set()
                await _until(lambda: asker.auditor.healthy)
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

        run(play)
        assert fits(numbers_in(folder), 2)


class TestFolder:
    """Where segments may lie."""

    def test_it_must_be_private_and_lasting(self, folder: Path, tmp_path: Path) -> None:
        os.close(open_folder(folder, testing_only_tmpfs=True))
        (tmp_path / "link").symlink_to(folder)
        (tmp_path / "file").touch()
        for wrong in ("missing", "link", "file"):
            with pytest.raises(FolderUnfit, match="cannot be opened"):
                open_folder(tmp_path / wrong, testing_only_tmpfs=True)
        folder.chmod(0o750)
        with pytest.raises(FolderUnfit, match="mode 0700"):
            open_folder(folder, testing_only_tmpfs=True)

    def test_tmpfs_is_refused(self) -> None:
        """What it acknowledges the next power cut takes away."""
        with TemporaryDirectory(dir="/dev/shm") as name:
            with pytest.raises(FolderUnfit, match="must not be on tmpfs"):
                open_folder(Path(name))
            os.close(open_folder(Path(name), testing_only_tmpfs=True))

    def test_somebody_elses_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)

        with pytest.raises(FolderUnfit, match="another user"):
            open_folder(folder, testing_only_tmpfs=True)

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
