"""Notices: who looked at which record, kept for its authority until that has been told.

    entry  = Kind.NOTICE, in one of the leaves whose first byte is 1 to 16
    body   = length u16 || MessagePack of a list of notices || zeros, always 4,096 bytes

Invariants:

* One notice for each record, client and encounter; without an encounter, for each request.
* Notices leave with their record, in the same epoch change. What was delivered leaves with the
  first purge a day later, and what nobody fetches after 90 days.
* A notice's number says its place in the audit chain. Numbers rise, and none is used twice.
* How many there are is hidden within 4 KiB, and where a batch lies does not depend on whose
  records it is about. A batch without a notice is as long as any other.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

import msgspec

from keys.entry import MAX_BODY, Batch, Entry, EntryId, Kind, Put, Remove, new_entry_id
from keys.errors import PageDamaged
from keys.vault import Vault

VISIT_SIZE: Final = 16
MOST_NOTICES: Final = 100_000
DAY: Final = 24 * 3_600
LONGEST: Final = 90 * DAY
_AREA: Final = range(1, 17)
_LENGTH: Final = Struct(">H")
_LEAVES_AT_ONCE: Final = 64


class Notice(msgspec.Struct, array_like=True, frozen=True):
    """One access. `visit` tells accesses of one encounter; `time` is in seconds since 1970."""

    number: int
    record: bytes
    visit: bytes
    time: int
    client: bytes
    purpose: int
    user: str
    role: str

    def __repr__(self) -> str:
        return "<Notice>"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Notice]).decode


def pack(notices: Iterable[Notice]) -> list[bytes]:
    """Return the bodies of as few entries as hold these notices; at least one."""
    bodies: list[list[Notice]] = [[]]
    size = _LENGTH.size + 5  # a list's own head
    for notice in notices:
        needed = len(_encode(notice))
        if size + needed > MAX_BODY:
            bodies.append([])
            size = _LENGTH.size + 5
        bodies[-1].append(notice)
        size += needed
    return [_body(body) for body in bodies]


def _body(notices: Sequence[Notice]) -> bytes:
    encoded = _encode(notices)
    return (_LENGTH.pack(len(encoded)) + encoded).ljust(MAX_BODY, b"\0")


def unpack(body: bytes) -> list[Notice]:
    """Return the notices of an entry."""
    (length,) = _LENGTH.unpack_from(body)
    return _decode(body[_LENGTH.size : _LENGTH.size + length])


def _new_id() -> EntryId:
    area = bytes((secrets.choice(_AREA),))
    return EntryId(area + new_entry_id(Kind.NOTICE)[1:])


@dataclass(frozen=True, slots=True)
class _Stored:
    """A batch that is stored: its last number, when it was, and what it says of whom."""

    last: int
    time: int
    visits: tuple[tuple[bytes, bytes], ...]  # record, visit


class Notices:
    """The notices of a vault: what is stored, and what waits to be. For the writer thread."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._waiting: list[Notice] = []
        self._visits: set[bytes] = set()
        self._stored: dict[EntryId, _Stored] = {}
        self._of: dict[bytes, set[EntryId]] = {}

    @property
    def waiting(self) -> int:
        """The number of notices that are not stored yet."""
        return len(self._waiting)

    def load(self) -> int:
        """Read what is stored; return the last number."""
        per_byte = self._vault.leaves // 256
        begin, end = _AREA.start * per_byte, _AREA.stop * per_byte
        for at in range(begin, end, _LEAVES_AT_ONCE):
            for entry_id, body in self._scan(range(at, min(at + _LEAVES_AT_ONCE, end))):
                self._remember(entry_id, unpack(body))
        return max((stored.last for stored in self._stored.values()), default=0)

    def _scan(self, leaves: range) -> list[tuple[EntryId, bytes]]:
        """Return what can be read; a damaged leaf waits for a restore."""
        try:
            return self._vault.scan_bodies(Kind.NOTICE, leaves)
        except PageDamaged:
            if len(leaves) == 1:
                return []
            return [found for index in leaves for found in self._scan(range(index, index + 1))]

    def __len__(self) -> int:
        return len(self._visits)

    def add(self, notice: Notice) -> bool:
        """Let a notice wait to be stored; say whether there was room. One visit counts once."""
        if notice.visit in self._visits:
            return True
        if len(self._visits) >= MOST_NOTICES:
            return False
        self._visits.add(notice.visit)
        self._waiting.append(notice)
        return True

    def store(self, also: Batch = ()) -> None:
        """Make what waits durable, in one commit with something else."""
        bodies = pack(self._waiting)
        entries = [Entry(Kind.NOTICE, _new_id(), body) for body in bodies]
        self._vault.commit((*map(Put, entries), *also))
        self._waiting = []
        for entry in entries:
            self._remember(entry.id, unpack(entry.body))

    def without(self, records: Collection[bytes]) -> Batch:
        """Return the steps that take the notices about these records out of their batches."""
        touched = set().union(*(self._of.get(record, ()) for record in records))
        return tuple(
            Put(replace(entry, body=_body(left)))
            for entry, notices in map(self._read, touched)
            for left in [[notice for notice in notices if notice.record not in records]]
        )

    def forget(self, records: Collection[bytes]) -> None:
        """Remember nothing of these records any more, nor of what waits about them."""
        self._drop(notice.visit for notice in self._waiting if notice.record in records)
        self._waiting = [notice for notice in self._waiting if notice.record not in records]
        for entry_id in set().union(*(self._of.pop(record, ()) for record in records)):
            stored = self._stored[entry_id]
            self._drop(visit for record, visit in stored.visits if record in records)
            left = tuple(pair for pair in stored.visits if pair[0] not in records)
            self._stored[entry_id] = replace(stored, visits=left)

    def after(self, number: int, most: int) -> list[Notice]:
        """Return the next stored notices behind this number."""
        found: list[Notice] = []
        later = [(s.last, entry_id) for entry_id, s in self._stored.items() if s.last > number]
        for _, entry_id in sorted(later):
            _, notices = self._read(entry_id)
            found += [notice for notice in notices if notice.number > number]
            if len(found) >= most:
                break
        return found[:most]

    def expired(self, delivered: int, now: int) -> Batch:
        """Return the steps that remove what need not be kept: old and delivered, or too old."""
        return tuple(
            Remove(Kind.NOTICE, entry_id)
            for entry_id, stored in self._stored.items()
            if stored.time < now - (DAY if stored.last <= delivered else LONGEST)
        )

    def drop(self, steps: Batch) -> None:
        """Remember nothing of batches that these steps have removed."""
        gone = {step.id for step in steps if isinstance(step, Remove)}
        for entry_id in gone:
            stored = self._stored.pop(entry_id)
            self._drop(visit for _, visit in stored.visits)
            for record, _ in stored.visits:
                self._of[record].discard(entry_id)
                if not self._of[record]:
                    del self._of[record]

    def _read(self, entry_id: EntryId) -> tuple[Entry, list[Notice]]:
        entry = self._vault.get(Kind.NOTICE, entry_id)
        if entry is None:
            raise AssertionError("unreachable: one thread stores and removes them")
        return entry, unpack(entry.body)

    def _remember(self, entry_id: EntryId, notices: Sequence[Notice]) -> None:
        last = max((notice.number for notice in notices), default=0)
        time = max((notice.time for notice in notices), default=0)
        visits = tuple((notice.record, notice.visit) for notice in notices)
        self._stored[entry_id] = _Stored(last, time, visits)
        self._visits.update(visit for _, visit in visits)
        for record, _ in visits:
            self._of.setdefault(record, set()).add(entry_id)

    def _drop(self, visits: Iterable[bytes]) -> None:
        self._visits.difference_update(list(visits))
