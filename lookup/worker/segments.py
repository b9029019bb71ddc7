"""A segment as its writer has it: made ready, filled, ended.

    made ready → append … → ended
                          → removed, if nothing was appended
                          → abandoned, if the medium fails

Invariants:

* It is filled only once its zeros, its header and its name are durable, so that appending changes
  nothing but bytes that are there. The header is written last.
* The lock is held from before the first byte until nothing more will be written.
* One group is written at a time, each to blocks of its own. There is always room for the end mark.

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
    make_end,
    make_group,
    make_header,
    whole_blocks,
)
from lookup.worker.medium import Medium, Written

# What is written of zeros at once: as long on the medium as two or three groups, which may have to
# wait for it (0.19 ms here; 64 KiB: 0.12 ms, but three times the CPU for a segment).
SLICE: Final = 256 * 1_024
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
    """One file. `make_ready` and `finish` may block, `append` does not."""

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
        self._offset = HEADER_SIZE
        self.since: float | None = None  # when the first group was appended

    @classmethod
    def make_ready(
        cls, medium: Medium, folder: int, size: int, slot: int, target: Target
    ) -> "Segment":
        """Make a file of a random name, lock it, and fill it with zeros and a header.

        Where that fails nothing is left of it.
        """
        for _ in range(_ATTEMPTS):
            header, sealer = make_header(slot, int(time.time()), target.vault, target.public_key)
            segment = cls(medium, folder, size, header, sealer)
            descriptor = medium.create(folder, segment._name, size)
            if descriptor is not None:
                segment._descriptor = descriptor
                segment._prepare()
                return segment
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def _prepare(self) -> None:
        try:
            for start in range(HEADER_SIZE, self._size, SLICE):
                zeros = bytes(min(SLICE, self._size - start))
                self._medium.write(self._descriptor, zeros, start)
            self._medium.write(self._descriptor, self._header, 0)
            self._medium.sync(self._descriptor)
            self._medium.sync(self._folder)
        except OSError:
            with suppress(OSError):  # it has failed already
                self.finish()
            raise

    def has_room(self, size: int) -> bool:
        """Say whether a group of this size fits."""
        return self._offset + whole_blocks(size) + whole_blocks(END_SIZE) <= self._size

    def append(self, entries: Sequence[bytes], written: Written) -> None:
        """Make a group of entries durable; `written` hears when that is so, or why it is not."""
        group = make_group(self._sealer, entries)
        if not self.has_room(len(group)):
            raise ValueError("the segment has no room for this group")
        offset, self._offset = self._offset, self._offset + whole_blocks(len(group))
        if self.since is None:
            self.since = time.monotonic()
        self._medium.start_write(self._descriptor, group, offset, written)

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
