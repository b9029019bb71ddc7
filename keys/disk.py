"""All file I/O of this package, so that tests can record, drop and fail every single write.

Invariants:

* What returned from `create` or `overwrite` is on the medium, as far as the kernel can tell.
* `overwrite` writes in place: it never creates, renames, truncates or extends, for the bytes that
  were there before are what it is called to destroy. A file that became shorter is an error.
* An error of a write or a sync is raised and never retried: after a failed fsync the kernel may
  have dropped the pages, so a second one could succeed and mean nothing (Rebello et al., "Can
  applications recover from fsync failures?", USENIX ATC 2020). Callers stop.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Disk:
    """The real thing; tests subclass it."""

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from the medium rather than from memory where that works."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Advice, not a guarantee: tmpfs, for one, has no medium behind its pages.
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
            parts = []
            while size and (part := os.pread(descriptor, size, offset)):
                parts.append(part)
                offset, size = offset + len(part), size - len(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int:
        """Return a file's length."""
        return path.stat().st_size

    def create(self, path: Path, data: bytes) -> None:
        """Make a file (0600) that did not exist, with its folder (0700) where that is missing.

        It takes its name when it is whole: what a crash or an error leaves is not in the way.
        """
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self.make_folder(path.parent)
        unfinished = path.with_name(f"{path.name}.unfinished")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(unfinished, flags, 0o600)
        with _naming(path):
            try:
                self._write(descriptor, data, 0)
                self._sync(descriptor)
            finally:
                os.close(descriptor)
        unfinished.rename(path)
        self.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """Make a folder (0700) where it is missing, and what it lies in; their names are synced."""
        if not path.is_dir():
            self.make_folder(path.parent)
            with suppress(FileExistsError):  # made meanwhile, or a file: whoever uses it will see
                path.mkdir(mode=0o700)
            self.sync_folder(path.parent)

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        """Write within an existing file, in place, and sync."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        with _naming(path):
            try:
                if os.fstat(descriptor).st_size < offset + len(data):
                    raise OSError(errno.EIO, "the file is shorter than it was made")
                self._write(descriptor, data, offset)
                self._sync_data(descriptor)
            finally:
                os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with _naming(path):
            try:
                self._sync(descriptor)
            finally:
                os.close(descriptor)

    def _write(self, descriptor: int, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written

    def _sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def _sync_data(self, descriptor: int) -> None:
        os.fdatasync(descriptor)  # without the times: in place, nothing else changes


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors say which file they are about: those of calls on descriptors do not."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
