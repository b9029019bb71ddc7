"""A segment as its writer has it: made ready, filled, ended.

    create → prepare until ready → append … → ended
                                 → removed, if nothing was appended
                                 → abandoned, if the medium fails

Invariants:

* It is filled only once its zeros, its header and its name are durable, so that appending changes
  nothing but bytes that are there. The header is written last.
* The lock is held from before the first byte until nothing more will be written.
* There is always room for the end mark.

Formats are those of `lookup/audit/segment.py`. Every method raises OSError as the medium does; the
segment is then of no further use.
"""

import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from crypto.audit import AuditPublicKey, GroupSealer
from lookup.audit.segment import (
    END_SIZE,
    HEADER_SIZE,
    group_size,
    make_end,
    make_group,
    make_header,
)
from lookup.worker.medium import Medium

_ATTEMPTS: Final = 8
_CLOSED: Final = -1


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """Whom segments are for, and where they lie; `folder` is a path, and of a demo on tmpfs too."""

    public_key: AuditPublicKey
    vault: bytes
    folder: str
    demo: bool = False


class Segment:
    """One file. For one thread."""

    def __init__(
        self, medium: Medium, folder: int, size: int, header: bytes, sealer: GroupSealer
    ) -> None:
        self._medium = medium
        self._folder = folder
        self._size = size
        self._header = header
        self._sealer = sealer
        self._name = sealer.segment.hex()
        self._descriptor = _CLOSED
        self._zeroed = HEADER_SIZE
        self._offset = HEADER_SIZE
        self.ready = False
        self.since: float | None = None  # when the first group was appended

    @classmethod
    def create(cls, medium: Medium, folder: int, size: int, slot: int, target: Target) -> "Segment":
        """Make the file, of a random name, and lock it; nothing can be appended yet."""
        for _ in range(_ATTEMPTS):
            header, sealer = make_header(slot, int(time.time()), target.vault, target.public_key)
            segment = cls(medium, folder, size, header, sealer)
            descriptor = medium.create(folder, segment._name, size)
            if descriptor is not None:
                segment._descriptor = descriptor
                return segment
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def prepare(self, size: int) -> None:
        """Write so many of the zeros; after the last ones all that is missing."""
        size = min(size, self._size - self._zeroed)
        self._medium.write(self._descriptor, bytes(size), self._zeroed)
        self._zeroed += size
        if self._zeroed == self._size:
            self._medium.write(self._descriptor, self._header, 0)
            self._medium.sync(self._descriptor)
            self._medium.sync(self._folder)
            self.ready = True

    def prepare_all(self) -> None:
        """As `prepare`, at once; to be avoided while somebody waits."""
        while not self.ready:
            self.prepare(self._size)

    def has_room(self, entries: Sequence[bytes]) -> bool:
        """Say whether the group of these entries fits."""
        return self._offset + group_size(entries) + END_SIZE <= self._size

    def append(self, entries: Sequence[bytes]) -> None:
        """Make a group of entries durable."""
        if not self.has_room(entries):
            raise ValueError("the segment has no room for this group")
        group = make_group(self._sealer, entries)
        self._medium.write(self._descriptor, group, self._offset)
        self._offset += len(group)
        if self.since is None:
            self.since = time.monotonic()

    def finish(self) -> None:
        """End the segment, or discard it if it is empty."""
        if self.since is not None:
            self._medium.write(self._descriptor, make_end(self._sealer), self._offset)
        # Whatever the medium says now, the number may be another file's a moment later.
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if self.since is None:
            self._medium.remove(self._folder, self._name, descriptor)
        else:
            self._medium.close(descriptor)

    def abandon(self) -> None:
        """Let go of it as it is: nothing more will be written."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            with suppress(OSError):  # it has failed already
                self._medium.close(descriptor)
