"""The folder of the segments: private, and on a file system that outlives the machine's power.

Durable is what G3 is about: on tmpfs a write is acknowledged that the next power cut takes away.

A segment's file is named by its id in hex. Its writer holds flock(2) on it, exclusively, from
before its first byte for as long as it may write: whoever gets that lock knows that nothing more
comes, and may remove the file while it holds it. A file that has no whole header then was never
used. A writer that finds a file it has just made locked or removed makes another.
"""

import os
import stat
from pathlib import Path
from typing import Final

from lookup.audit.errors import FolderUnfit
from lookup.index.folder import filesystem_of

_MOUNTS: Final = Path("/proc/self/mountinfo")
_FLEETING: Final = frozenset({"tmpfs", "ramfs"})


def open_folder(folder: Path, *, fleeting_too: bool = False) -> int:
    """Open the folder of the segments; return its descriptor.

    Raises FolderUnfit if it is missing, a link, somebody else's, open to others, or in memory,
    which demonstrations and tests may allow.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise FolderUnfit(f"folder for the audit cannot be opened: {error.strerror}") from None
    try:
        _require_private(os.fstat(descriptor))
        if not fleeting_too:
            _require_lasting(os.fstat(descriptor).st_dev)
    except FolderUnfit:
        os.close(descriptor)
        raise
    return descriptor


def _require_private(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise FolderUnfit("folder for the audit belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise FolderUnfit("folder for the audit must have mode 0700")


def _require_lasting(device: int) -> None:
    kind = filesystem_of(device, _MOUNTS.read_text(errors="replace"))
    if kind in _FLEETING:
        raise FolderUnfit(f"folder for the audit must not be on {kind}")
