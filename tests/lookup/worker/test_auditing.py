"""G3: no answer before its audit entry is durable, and what a worker does if it cannot be."""

import asyncio
import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Final

import pytest

from crypto.aead import InvalidCiphertext
from crypto.audit import AnswerKey, AuditKey, WitnessKey, WitnessMaker
from lookup.audit.entry import find_witness, open_answers
from lookup.audit.folder import open_folder
from lookup.audit.segment import HEADER_SIZE, MAGIC, MAX_SEGMENT, MIN_SEGMENT
from lookup.errors import AuditUnavailable, ServiceError
from lookup.worker import segments
from lookup.worker.auditing import Auditor
from lookup.worker.medium import Medium
from lookup.worker.writing import Rules
from tests.lookup.worker.audited import (
    AUDIT_KEY,
    HEAD,
    SMALL,
    VAULT,
    Call,
    Recording,
    asking,
    end_of,
    files_in,
    find_segments,
    fits,
    hand_over,
    make_folder,
    numbers_in,
    run,
    until,
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

    def test_what_was_appended_at_once_is_acknowledged_at_once(self, folder: Path) -> None:
        """Also where it takes several groups, and segments."""

        async def play() -> None:
            async with asking(folder) as asker:
                for count in (1, 200, 3, 900):
                    asker.ask_at_once(count)
                    asker.ask()
                await asker.settle()
                assert fits(asker.durable, 1_108)

        run(play)
        assert fits(numbers_in(folder), 1_108)

    def test_an_answer_is_never_given_within_append(self, folder: Path) -> None:
        """Else a caller would be entered anew before its own call returns."""

        async def play() -> None:
            heard: list[ServiceError | None] = []
            async with asking(folder) as asker:
                entry = asker.auditor.maker.make(HEAD, [[]])
                asker.auditor.append([entry], heard.append)
                assert heard == []
                asker.ask()
                await asker.settle()
            asker.auditor.append([entry], heard.append)
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
                asker.auditor.append([asker.auditor.maker.make(HEAD, [[]])], fail)
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
                await until(lambda: any(files_in(folder)))

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


def has_header(path: Path) -> bool:
    """Say whether a file is ready."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


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

    def test_it_is_filled_only_once_it_is_durable(self, folder: Path) -> None:
        """Zeros, header, size and name: a power cut finds every segment that has a group."""
        medium = Recording()

        async def play() -> None:
            async with asking(folder, medium=medium) as asker:
                for _ in range(100):
                    asker.ask(20)
                    await asker.settle()

        run(play)
        assert len(medium.finished) > 3
        for calls in medium.finished:
            header = calls.index(Call("write", 0, HEADER_SIZE))
            zeros, groups = calls[:header], calls[header + 3 :]
            assert [call.kind for call in calls[header + 1 : header + 3]] == ["file", "folder"]
            assert {call.kind for call in zeros} == {"zeros"}
            assert end_of(zeros, HEADER_SIZE) == SMALL.segment_size
            assert end_of(groups, HEADER_SIZE) <= SMALL.segment_size

    @pytest.mark.parametrize("size", [0, MIN_SEGMENT - 1, MAX_SEGMENT + 1])
    def test_it_holds_the_largest_entry_and_no_more_groups_than_have_numbers(
        self, size: int
    ) -> None:
        with pytest.raises(ValueError, match="a segment has"):
            Rules(segment_size=size)

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
                await until(lambda: any(map(has_header, files_in(folder))))
                for _ in range(COUNT // 8):
                    asker.ask(16)
                    await asker.settle()

        run(play)
        assert fits(numbers_in(folder), 2 * COUNT)
        assert longest == segments.SLICE

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
        within = open_folder(folder, fleeting_too=True)
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
            auditor.append([b"entry"], heard.append)
            await asyncio.sleep(0)
            assert isinstance(heard[0], AuditUnavailable)
            assert not auditor.healthy
            await auditor.close()

        run(play)
