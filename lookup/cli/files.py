"""Files that commands read and make; what cannot be had ends the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lookup import exits, private_file
from lookup.cli.console import fail


@contextmanager
def new_private_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file as `lookup.private_file` does.

    Ends the command when the path is taken or cannot be written.
    """
    opened = False
    try:
        with private_file.new_private_file(path) as file:
            opened = True
            yield file
    except OSError as error:
        done = "written" if opened else "made"
        fail(exits.CANNOT_CREATE, f"{path} cannot be {done}: {error.strerror}")


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user can open, or end the command."""
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        fail(exits.CANNOT_CREATE, f"{path} cannot be made: {error.strerror}")


def read_file(path: Path, most: int, hint: str | None = None) -> bytes:
    """Return a file, and one byte more than it may have, or end the command."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        fail(exits.NO_INPUT, f"{path} cannot be read: {error.strerror}", hint)
