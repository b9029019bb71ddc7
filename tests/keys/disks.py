"""Disks that remember, fail, tear and lose: what `keys.disk` is passed in for."""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from keys.disk import Disk


class Crash(BaseException):
    """The process is no more. Not an Exception: nothing may handle it."""


class Accidents:
    """Counts the points passed; at the one that was asked for, something happens."""

    def __init__(self, happen: Callable[[], None]) -> None:
        self._happen = happen
        self.passed = 0
        self._due = 0

    def at(self, point: int) -> None:
        """Let it happen at the n-th point from now; 0: never."""
        self.passed, self._due = 0, point

    @property
    def happened(self) -> bool:
        """Say whether the point was reached."""
        return 0 < self._due <= self.passed

    def point(self) -> None:
        """Pass a point."""
        self.passed += 1
        if self.passed == self._due:
            self._happen()


def crash() -> None:
    """End the process, in effect."""
    raise Crash


class RecordingDisk(Disk):
    """Keeps every version of every file's bytes, and counts the syncs."""

    def __init__(self) -> None:
        self.versions: defaultdict[str, list[bytes]] = defaultdict(list)
        self.synced = 0

    def create(self, path: Path, data: bytes) -> None:
        super().create(path, data)
        self.versions[path.name].append(path.read_bytes())

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        super().overwrite(path, offset, data)
        self.versions[path.name].append(path.read_bytes())

    def _sync(self, descriptor: int) -> None:
        super()._sync(descriptor)
        self.synced += 1

    def _sync_data(self, descriptor: int) -> None:
        super()._sync_data(descriptor)
        self.synced += 1


class TearingDisk(Disk):
    """Has an accident before a write, in its middle, before its sync, or after it."""

    def __init__(self, accidents: Accidents) -> None:
        self._accidents = accidents

    def _write(self, descriptor: int, data: bytes, offset: int) -> None:
        self._accidents.point()
        half = min(len(data) // 2, 100)  # within what a header or an anchor really uses
        super()._write(descriptor, data[:half], offset)
        self._accidents.point()
        super()._write(descriptor, data[half:], offset + half)

    def _sync(self, descriptor: int) -> None:
        self._accidents.point()
        super()._sync(descriptor)
        self._accidents.point()

    def _sync_data(self, descriptor: int) -> None:
        self._accidents.point()
        super()._sync_data(descriptor)
        self._accidents.point()


class FailingDisk(Disk):
    """Fails one write or sync with an error of the kernel's, and all that come after it."""

    def __init__(self) -> None:
        self.writes_left = self.syncs_left = -1
        self.error = 0

    def _write(self, descriptor: int, data: bytes, offset: int) -> None:
        self.writes_left -= 1
        if self.error and self.writes_left < 0 <= self.writes_left + 1:
            self._fail()
        super()._write(descriptor, data, offset)

    def _sync_data(self, descriptor: int) -> None:
        self.syncs_left -= 1
        if self.error and self.syncs_left < 0 <= self.syncs_left + 1:
            self._fail()
        super()._sync_data(descriptor)

    def _fail(self) -> None:
        raise OSError(self.error, os.strerror(self.error))


class ForgetfulDisk(Disk):
    """Has a write reach the medium when it is synced, never earlier: a power cut in each gap."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[tuple[bytes, int]]] = {}

    def _write(self, descriptor: int, data: bytes, offset: int) -> None:
        self._waiting.setdefault(descriptor, []).append((data, offset))

    def _sync(self, descriptor: int) -> None:
        self._flush(descriptor)
        super()._sync(descriptor)

    def _sync_data(self, descriptor: int) -> None:
        self._flush(descriptor)
        super()._sync_data(descriptor)

    def _flush(self, descriptor: int) -> None:
        for data, offset in self._waiting.pop(descriptor, ()):
            super()._write(descriptor, data, offset)


class StubbornDisk(Disk):
    """Takes every write and keeps the old bytes: what a medium with spare sectors may do."""

    def __init__(self) -> None:
        self.stubborn = False

    def _write(self, descriptor: int, data: bytes, offset: int) -> None:
        if not self.stubborn:
            super()._write(descriptor, data, offset)
