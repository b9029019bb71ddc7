"""Taking segments in: from the files of workers into the store's audit chain.

Invariants:

* A group is in the chain exactly once, whenever either side dies: its segment and number are its
  key there, and a segment is removed only when all of it is durable and noted on the anchors.
* A worker is never waited for. What a living one has written whole is taken; the rest comes later.
* Nothing is removed that could hold an acknowledged entry: a segment only when its end was read,
  or when its writer has let go of the lock and what follows is what a crash leaves. Anything else
  is put aside, by the name of `*.damaged`, with an alarm.

A writer holds `flock(LOCK_EX)` on its file from the moment that it makes it. As the making takes
two calls, an empty file is left alone for a minute.
"""

import fcntl
import os
import re
import stat
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from crypto.aead import InvalidCiphertext
from crypto.audit import AuditKey, GroupOpener, SegmentId
from keys.vault import Vault
from lookup.audit.errors import InvalidSegment
from lookup.audit.segment import (
    FORMAT,
    HEADER_SIZE,
    START,
    Position,
    open_header,
    parse_header,
    read_groups,
    require_torn,
    with_slot,
)
from lookup.custodian.audit.alarms import Alarms
from lookup.custodian.audit.own_segment import SLOT
from lookup.custodian.store.chain import GAP, AuditChain, Group

LIAR: Final = SLOT - 1  # the slot of a worker that wrote the custodian's

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_LONG_EMPTY: Final = 60  # seconds
# Groups that are stored in one transaction, and kept in memory meanwhile.
_AT_ONCE: Final = 16 << 20
_PEEK: Final = 8  # bytes: a group's length and number, never both zero


class Taken(NamedTuple):
    """The entries of one row of the chain, as it was taken in."""

    row: int
    entries: list[bytes]

    def __repr__(self) -> str:
        return f"<Taken {self.row}>"


@dataclass(slots=True)
class _Segment:
    """A segment that is being read: where, and what opens it."""

    id: SegmentId
    header: bytes
    opener: GroupOpener
    at: Position
    taken: int


@dataclass(slots=True)
class _Harvest:
    """What one round has found: stored already, and not yet."""

    taken: list[Taken] = field(default_factory=list)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    entries: list[list[bytes]] = field(default_factory=list)
    size: int = 0

    def store(self, chain: AuditChain) -> None:
        """Make what was found durable, and forget it but for its entries."""
        if self.groups:
            last = chain.append(self.headers, self.groups).row
            rows = range(last - len(self.groups) + 1, last + 1)
            self.taken += map(Taken, rows, self.entries)
            self.headers, self.groups, self.entries, self.size = {}, [], [], 0


class Intake:
    """Takes one folder's segments in. For the writer thread."""

    def __init__(
        self, folder: Path, vault: Vault, key: AuditKey, chain: AuditChain, alarms: Alarms
    ) -> None:
        self._folder = folder
        self._vault = vault
        self._key = key
        self._chain = chain
        self._alarms = alarms
        self._reading: dict[str, _Segment] = {}
        self._refused: set[str] = set()

    def take(self) -> list[Taken]:
        """Take in all that is durable by now; return it in the order of the chain.

        Raises StoreError or KeysError when what was read cannot be made durable.
        """
        names = self._names()
        for name in self._reading.keys() - names:
            del self._reading[name]
        self._refused &= names
        harvest = _Harvest()
        finished = [name for name in sorted(names - self._refused) if self._read(name, harvest)]
        harvest.store(self._chain)
        if harvest.taken:
            self._vault.note_audit(self._chain.mark())
        for name in finished:
            self._reading.pop(name, None)
            (self._folder / name).unlink(missing_ok=True)
        return harvest.taken

    def _names(self) -> set[str]:
        try:
            return {path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name)}
        except OSError as error:
            self._alarms.find_damage(f"the audit folder cannot be read: {error.strerror}")
            return set()

    def _read(self, name: str, harvest: _Harvest) -> bool:
        """Read a segment on; say whether nothing in it is left to be taken in, ever."""
        try:
            with closing(_File(self._folder / name)) as file:
                # Before reading: what is read with the lock held is all that there will ever be.
                abandoned = file.lock()
                segment = self._reading.get(name) or self._meet(name, file, abandoned=abandoned)
                if segment is None:
                    return abandoned and file.is_empty()
                ended = self._read_on(segment, file, harvest)
                if abandoned and not ended:
                    require_torn(file.read, segment.opener, segment.at, file.size)
                return ended or abandoned
        except FileNotFoundError:
            return False
        except OSError as error:
            self._refuse(name, f"a segment cannot be read: {error.strerror}")
        except InvalidSegment as error:
            self._refuse(name, f"a segment is damaged: {error}")
            self._put_aside(name)
        return False

    def _meet(self, name: str, file: "_File", *, abandoned: bool) -> _Segment | None:
        """Return a segment that is new to this process, or None while it has no header.

        The header is written before any group: one that is not whole and has nothing behind it is
        being written, or never was.
        """
        header = file.read(0, HEADER_SIZE)
        try:
            parsed = parse_header(header)
            opener = open_header(parsed, self._key, self._vault.id)
        except InvalidSegment:
            if abandoned and file.read(HEADER_SIZE, _PEEK).strip(b"\0"):
                raise
            return None
        except InvalidCiphertext:
            raise InvalidSegment("it was not sealed for this vault") from None
        if parsed.format != FORMAT:
            raise InvalidSegment(f"it is of format {parsed.format}: the version before reads it")
        if parsed.segment == GAP:
            raise InvalidSegment("it says that it is a gap: no worker of ours writes that")
        if parsed.slot == SLOT:
            header = with_slot(parsed, LIAR, self._key, self._vault.id)
            self._alarms.find_damage("a worker says that it is the custodian: look who runs it")
        segment = _Segment(parsed.segment, header, opener, START, self._chain.taken(parsed.segment))
        self._reading[name] = segment
        return segment

    def _read_on(self, segment: _Segment, file: "_File", harvest: _Harvest) -> bool:
        """Take what has come; say whether the end was among it."""
        while file.read(segment.at.offset, _PEEK).strip(b"\0"):
            reading = read_groups(file.read, segment.opener, segment.at)
            for group in reading.groups:
                if group.number >= segment.taken:
                    segment.taken = group.number + 1
                    harvest.headers[segment.id] = segment.header
                    harvest.groups.append(Group(segment.id, group.number, group.sealed))
                    harvest.entries.append(group.entries)
                    harvest.size += len(group.sealed)
            segment.at = reading.stopped
            if harvest.size >= _AT_ONCE:
                harvest.store(self._chain)
            if reading.ended or not reading.groups:
                return reading.ended
        return False

    def _refuse(self, name: str, why: str) -> None:
        """Leave a file alone until its name is gone, and say so once."""
        self._refused.add(name)
        self._alarms.find_damage(why)

    def _put_aside(self, name: str) -> None:
        path = self._folder / name
        with suppress(OSError):
            path.rename(path.with_name(f"{name}.damaged"))


class _File:
    """A segment's file, open for reading."""

    def __init__(self, path: Path) -> None:
        # A pipe in its place would keep us waiting for a writer, a link lead us elsewhere.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = os.open(path, flags)
        found = os.fstat(self._descriptor)
        self._time, self.size = found.st_mtime, found.st_size
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise InvalidSegment("it is not a file")

    def lock(self) -> bool:
        """Say whether its writer has let go of it; from then on it is ours."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there, less at the end."""
        return os.pread(self._descriptor, size, offset)

    def is_empty(self) -> bool:
        """Say whether nobody has written to it for so long that nobody will."""
        return time.time() - self._time > _LONG_EMPTY

    def close(self) -> None:
        """Close it, and let go of the lock."""
        os.close(self._descriptor)
