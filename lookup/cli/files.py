"""Files that only this user can read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lookup import exits
from lookup.cli.console import fail


@contextmanager
def new_private_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file, mode 0600: at the end it is whole and durable, or it is not there.

    Ends the command when the path is taken or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fail(exits.CANNOT_CREATE, f"{path} cannot be made: {error.strerror}")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            fail(exits.CANNOT_CREATE, f"{path} cannot be written: {error.strerror}")
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
