"""The only file I/O of the package: in place, synced, and failing loudly."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from keys.disk import Disk
from tests.keys.disks import FailingDisk, ForgetfulDisk, RecordingDisk


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    Disk().create(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_is_never_made_twice(tmp_path: Path) -> None:
    Disk().create(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        Disk().create(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_overwriting_changes_the_bytes_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file"
    Disk().create(path, b"0123456789")
    before = path.stat()
    Disk().overwrite(path, 4, b"abc")
    assert path.read_bytes() == b"0123abc789"
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)


def test_overwriting_neither_makes_nor_extends_a_file(tmp_path: Path) -> None:
    """What is to be destroyed lies where it lay; a file that got shorter lost something."""
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        Disk().overwrite(path, 0, b"x")
    Disk().create(path, b"0123")
    with pytest.raises(OSError, match="shorter than it was made") as caught:
        Disk().overwrite(path, 3, b"xy")
    assert caught.value.errno == errno.EIO
    assert path.read_bytes() == b"0123"


def test_reading_returns_what_there_is(tmp_path: Path) -> None:
    Disk().create(tmp_path / "file", b"0123456789")
    assert Disk().read(tmp_path / "file", 2, 3) == b"234"
    assert Disk().read(tmp_path / "file", 8, 100) == b"89"
    assert Disk().size(tmp_path / "file") == 10


def test_what_returned_survives_a_power_cut(tmp_path: Path) -> None:
    """The disk here forgets whatever was not synced: nothing returns before its sync."""
    disk = ForgetfulDisk()
    disk.create(tmp_path / "file", b"0123")
    assert (tmp_path / "file").read_bytes() == b"0123"
    disk.overwrite(tmp_path / "file", 0, b"ab")
    assert (tmp_path / "file").read_bytes() == b"ab23"


def test_a_new_files_name_is_synced_too(tmp_path: Path) -> None:
    disk = RecordingDisk()
    disk.create(tmp_path / "file", b"0123")
    assert disk.synced == 2
    disk.overwrite(tmp_path / "file", 0, b"ab")
    assert disk.synced == 3
    assert disk.versions["file"] == [b"0123", b"ab23"]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


WRITES = {"write": lambda disk: setattr(disk, "writes_left", 0)}
SYNCS = {"sync": lambda disk: setattr(disk, "syncs_left", 0)}


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("fail", [*WRITES.values(), *SYNCS.values()], ids=[*WRITES, *SYNCS])
def test_an_error_is_raised_and_nothing_stays_open(
    fail: Callable[[FailingDisk], None], number: int, tmp_path: Path
) -> None:
    """It is not retried either: after a failed sync a second one may succeed and mean nothing."""
    disk = FailingDisk()
    disk.create(tmp_path / "file", b"0123")
    disk.error = number
    fail(disk)
    before = descriptors()
    with pytest.raises(OSError, match=os.strerror(number)):
        disk.overwrite(tmp_path / "file", 0, b"ab")
    assert descriptors() == before
