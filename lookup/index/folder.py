"""The folder of the tables: private, and on tmpfs.

Tags are never written to disk, so a table on any other file system is refused. Which one a folder
is on is asked of the opened folder by its device number, in /proc/self/mountinfo: unlike a search
for the longest matching path, that cannot be misled by links, escapes or a mount over a mount.

Names are random: a file that was planted, or left by a dead custodian, is never opened as ours.
"""

import errno
import os
import secrets
import signal
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from lookup.index.errors import FolderUnsafe, IndexSpace, ReaderUnknown
from lookup.index.layout import HEADER_SIZE, STATE_OFFSET
from lookup.index.mapping import find_reader

SUFFIX: Final = ".table"
_MOUNTS: Final = Path("/proc/self/mountinfo")
_NOT_LIVE: Final = bytes(8)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT})
_PAUSE: Final = 0.005


def filesystem_of(device: int, mounts: str) -> str | None:
    """Return the type of the file system with this device number; None if none is mounted."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")  # proc_pid_mountinfo(5)
        if mount.split(" ", 3)[2] == wanted:
            return kind.split(" ", 1)[0]
    return None


def open_folder(folder: Path) -> int:
    """Open the folder of the tables, made if it is missing; return its descriptor.

    Raises FolderUnsafe if it is a link, somebody else's, open to others, or not on tmpfs.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise FolderUnsafe(f"folder for the index cannot be opened: {error.strerror}") from None
    try:
        _require_private(os.fstat(descriptor))
        _require_tmpfs(os.fstat(descriptor).st_dev)
    except FolderUnsafe:
        os.close(descriptor)
        raise
    return descriptor


def _require_private(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise FolderUnsafe("folder for the index belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise FolderUnsafe("folder for the index must have mode 0700")


def _require_tmpfs(device: int) -> None:
    kind = filesystem_of(device, _MOUNTS.read_text(errors="replace"))
    if kind != "tmpfs":
        raise FolderUnsafe(f"folder for the index must be on tmpfs, not {kind or 'unknown'}")


def create_file(folder: Path, size: int) -> tuple[Path, int]:
    """Create a file of this length under a random name, mode 0600; return path and descriptor.

    All its pages are allocated now: on a full tmpfs a later write would end the process (SIGBUS).
    Raises FolderUnsafe as `open_folder`, IndexSpace if there is no room.
    """
    name = secrets.token_hex(16) + SUFFIX
    within = open_folder(folder)
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=within)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            os.close(descriptor)
            os.unlink(name, dir_fd=within)
            if error.errno in _NO_ROOM:
                raise IndexSpace(f"tmpfs has no room for a table of {size} bytes") from None
            raise
    finally:
        os.close(within)
    return folder / name, descriptor


def is_read(path: Path) -> bool:
    """Say whether another process reads this table; nobody new can, once its file is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return find_reader(descriptor) is not None
    finally:
        os.close(descriptor)


def supersede_others(folder: Path, keep: Path, *, change_over: float = 0, leave: float = 2) -> int:
    """Mark every table in the folder but one as superseded and remove it; return how many.

    To be called once the kept table can be handed over, before any change is acknowledged. The
    readers of the others get `change_over` seconds to take the kept one instead. When this returns
    none is left: whoever still reads a marked table after `leave` seconds is killed, for it may
    have been stopped between its last look at the table and its answer. Raises ReaderUnknown.
    """
    with ExitStack() as opened:
        within = open_folder(folder)
        opened.callback(os.close, within)
        names = os.listdir(within)  # noqa: PTH208  # the folder that was checked, not its path
        others = [name for name in names if name.endswith(SUFFIX) and name != keep.name]
        tables = [opened.enter_context(_open_table(name, within)) for name in others]
        _await_free(tables, change_over)
        for table in tables:
            # `live` is the first word there; on tmpfs mappings see a write at once.
            if os.fstat(table).st_size >= HEADER_SIZE:
                os.pwrite(table, _NOT_LIVE, STATE_OFFSET)
        while not _await_free(tables, leave):
            for table in tables:
                _kill_reader(table)
        for name in others:
            os.unlink(name, dir_fd=within)
        return len(others)


@contextmanager
def _open_table(name: str, within: int) -> Iterator[int]:
    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _await_free(tables: Sequence[int], seconds: float) -> bool:
    """Say whether nobody reads any of these tables, at last after so many seconds."""
    deadline = time.monotonic() + seconds
    while any(find_reader(table) is not None for table in tables):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _kill_reader(table: int) -> None:
    pid = find_reader(table)
    if pid is None:
        return
    if pid == 0:
        raise ReaderUnknown("a process of another pid namespace reads a superseded table")
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            if find_reader(table) == pid:  # so it is this process, not one that got its number
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
