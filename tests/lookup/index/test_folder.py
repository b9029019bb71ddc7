import errno
import os
import resource
from pathlib import Path

import pytest

import lookup.index.folder
from lookup.errors import IndexSuperseded
from lookup.index.errors import FolderUnsafe, IndexSpace
from lookup.index.folder import SUFFIX, filesystem_of, supersede_others
from lookup.index.reader import TableReader
from lookup.index.writer import Table
from tests.lookup.index.links import link_of, links, tag_at

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=64k
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
30 25 0:27 / /dev/shm rw,relatime - ramfs over\040it rw
31 25 0:270 / /a\040-\040b rw,relatime - tmpfs tmpfs rw
""".strip()


@pytest.mark.parametrize(
    ("major", "minor", "kind"),
    [
        (0, 23, "tmpfs"),
        (0, 27, "ramfs"),
        (0, 270, "tmpfs"),
        (254, 0, "ext4"),
        (0, 2, None),
        (27, 0, None),
    ],
)
def test_a_device_has_a_file_system(major: int, minor: int, kind: str | None) -> None:
    """By its number, of which no other's is a part; a mount over a mount is another device."""
    assert filesystem_of(os.makedev(major, minor), MOUNTS) == kind


def test_only_tmpfs_will_do(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags are never written to disk: not to ramfs either, which has no limit."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(lookup.index.folder, "_MOUNTS", mounts)
    for kind in ("ext4", "ramfs", "tmpfsx"):
        mounts.write_text(f"30 25 {number} / {folder} rw - {kind} source rw\n")
        with pytest.raises(FolderUnsafe, match=f"must be on tmpfs, not {kind}"):
            Table.create(folder, 1, 0)
    mounts.write_text("")
    with pytest.raises(FolderUnsafe, match="not unknown"):
        Table.create(folder, 1, 0)
    assert list(folder.iterdir()) == []


def test_a_missing_folder_is_made_private(folder: Path) -> None:
    """The last part of the path only."""
    table = Table.create(folder / "index", 1, 0)
    assert (folder / "index").stat().st_mode & 0o777 == 0o700
    table.close()
    with pytest.raises(FolderUnsafe, match="No such file"):
        Table.create(folder / "a" / "b", 1, 0)


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o740, 0o777])
def test_a_folder_open_to_others_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(FolderUnsafe, match="0700"):
        Table.create(folder, 1, 0)


def test_another_users_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(FolderUnsafe, match="another user"):
        Table.create(folder, 1, 0)


def test_a_linked_folder_or_a_file_is_refused(folder: Path) -> None:
    (folder / "link").symlink_to(folder)
    (folder / "file").touch()
    for path in (folder / "link", folder / "file"):
        with pytest.raises(FolderUnsafe, match="cannot be opened"):
            Table.create(path, 1, 0)


def test_no_room_is_said_at_once(folder: Path) -> None:
    """Not by SIGBUS at some later write; and nothing is left behind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(IndexSpace, match="no room for a table of 5"):
            Table.create(folder, 1, 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, IndexSpace), (errno.EIO, OSError)])
def test_a_full_tmpfs_and_other_causes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: type[Exception]
) -> None:
    """Only what room would cure is called a lack of room."""

    def fail(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(told):
        Table.create(folder, 1, 0)
    assert list(folder.iterdir()) == []


def test_what_a_dead_custodian_left_is_superseded(folder: Path, table: Table) -> None:
    """Its readers see it at their next look; the kept table and other files are left alone."""
    table.add(tag_at(5), link_of(1))
    old = TableReader(table.path)
    probe = old.probe(tag_at(5))
    (folder / f"cut-off{SUFFIX}").write_bytes(b"l")
    (folder / "notes").touch()
    new = Table.create(folder, 2, 0)
    new.complete()

    assert supersede_others(folder, keep=new.path) == 2

    with pytest.raises(IndexSuperseded):
        old.check(probe)
    reader = TableReader(new.path)
    assert links(reader, tag_at(5)) == ()
    assert {path.name for path in folder.iterdir()} == {"notes", new.path.name}
    assert supersede_others(folder, keep=new.path) == 0
    old.close()
    reader.close()
    new.close()
