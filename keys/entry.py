"""Entries: what a leaf page holds, and what a batch does to them.

    entry = kind (1) || id (16) || version (4) || flags (4) || length (2) || body

Invariants:

* (kind, id) names one entry. An id is random and says nothing; those of *pinned* kinds begin with
  two zero bytes, so that all of them lie in the first leaf and a start need not open the others.
  Those of *gathered* kinds begin with one, and lie in the first 1/256 of the leaves (where there
  are 256 leaves, in the first): they may grow many, and are walked without the records.
* Entries that arrive together share leaves: a leaf is written whole, and costs the same for one
  new entry as for many. That two ids begin alike says that they may have arrived in one batch.
* `version` and `flags` may change without an epoch change, `body` may not: whatever must be
  forgotten when it changes belongs into the body. Nothing secret goes into the other two.
* The body of a *renewed* kind is a random key that no epoch shares with another: whatever was
  sealed under the former one is forgotten with its epoch, whoever caused the change.
* A body is at most 4 KiB; larger content is a blob under a key that lives in an entry.

Numbers are big-endian. The numbers of kinds are part of the format: never reuse one.
"""

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from struct import Struct
from typing import Final, NewType

from keys.errors import EntryTooLarge

EntryId = NewType("EntryId", bytes)

ID_SIZE = 16
MAX_BODY = 4096
_HEAD = Struct(">B16sIIH")


class Kind(IntEnum):
    """What an entry is about."""

    RECORD = 1
    SLOT = 2
    ANCHOR_KEY = 3
    INTENT = 4
    POLICY = 5
    LOOKUP_KEY = 6
    CLIENT = 7
    OFFICER_TOKEN = 8  # the one bearer token of the first versions; no longer written
    AUDIT_KEY = 9
    ANSWER_KEY = 10
    NOTICE = 11
    LOG_KEY = 12
    OFFICER = 13
    GOVERNANCE = 14
    PROPOSAL = 15
    CASE = 16
    STEP = 17
    DESTROYED = 18
    CERTIFICATE = 19
    PARKED = 20
    FENCE = 21
    FENCE_KEY = 22
    FEED = 23
    RECALL = 24
    HOLD = 25
    SUPPLEMENT = 26
    SWEEP = 27


# How many entries that arrive together share a leaf. A site that imports a million writes its
# leaves once or twice each instead of sixteen times (bench/importing.py), and no leaf gets so long
# that a shred, which writes it anew, would notice.
NEIGHBOURS: Final = 16

_PREFIX: Final = 2
_random = random.SystemRandom()

_GATHERED = frozenset(
    {
        *(Kind.CASE, Kind.STEP, Kind.RECALL),
        *(Kind.DESTROYED, Kind.CERTIFICATE, Kind.PARKED, Kind.FENCE),
        Kind.SUPPLEMENT,
    }
)
_SPREAD = frozenset({Kind.RECORD, Kind.NOTICE})

# Every epoch change gives each of these entries a fresh body.
RENEWED: Final = frozenset({Kind.ANSWER_KEY})

# What only this package writes: a batch from outside that touched it could lose the whole vault.
OWN: Final = frozenset({Kind.SLOT, Kind.ANCHOR_KEY, Kind.INTENT})

# A flag of slot entries: this slot gets no more keys, and is unregistered once it has shown that
# it holds none. Until then it counts as lost.
LEAVING: Final = 1


def is_pinned(kind: Kind) -> bool:
    """Say whether entries of this kind all lie in the first leaf: few of each, read at start."""
    return kind not in _SPREAD | _GATHERED


def is_gathered(kind: Kind) -> bool:
    """Say whether entries of this kind all lie in the first 1/256 of the leaves."""
    return kind in _GATHERED


def new_entry_id(kind: Kind) -> EntryId:
    """Draw a random id; 112 random bits for pinned kinds, 120 for gathered, 128 for the others."""
    zeros = _zeros(kind)
    return EntryId(zeros + secrets.token_bytes(ID_SIZE - len(zeros)))


def new_entry_ids(count: int) -> list[EntryId]:
    """Draw ids for entries of no pinned kind that arrive together; their order is random."""
    prefixes = [secrets.token_bytes(_PREFIX) for _ in range(-(-count // NEIGHBOURS))]
    ids = [
        EntryId(prefixes[at // NEIGHBOURS] + secrets.token_bytes(ID_SIZE - _PREFIX))
        for at in range(count)
    ]
    _random.shuffle(ids)
    return ids


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Its body does not print: it holds keys and identifiers."""

    kind: Kind
    id: EntryId
    body: bytes = field(repr=False)
    version: int = 1
    flags: int = 0

    def __post_init__(self) -> None:
        if len(self.body) > MAX_BODY:
            raise EntryTooLarge(f"an entry holds at most {MAX_BODY} bytes, got {len(self.body)}")
        if len(self.id) != ID_SIZE or not self.id.startswith(_zeros(self.kind)):
            raise ValueError(f"not an id of a {self.kind.name} entry")
        if self.version >> 32 or self.flags >> 32:
            raise ValueError("version and flags have 32 bits")

    def renewed(self) -> "Entry":
        """Return the same entry with a fresh random body."""
        return replace(self, body=secrets.token_bytes(len(self.body)))

    def encode(self) -> bytes:
        """Return the entry as a leaf holds it."""
        head = _HEAD.pack(self.kind, self.id, self.version, self.flags, len(self.body))
        return head + self.body


@dataclass(frozen=True, slots=True)
class Put:
    """Add this entry, or replace the one of its kind and id."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the entry of this kind and id."""

    kind: Kind
    id: EntryId


Batch = tuple[Put | Remove, ...]


def _zeros(kind: Kind) -> bytes:
    """Return what the ids of a kind begin with."""
    if is_pinned(kind):
        return bytes(_PREFIX)
    return bytes(1) if is_gathered(kind) else b""


def decode_all(data: bytes | bytearray | memoryview) -> Iterator[tuple[bytes, bytes]]:
    """Yield (id || kind, encoded entry) for entries that stand one behind the other.

    The key sorts as a leaf does. The bytes come from `encode`, inside a seal: no bounds are
    checked here that the AEAD has not already vouched for.
    """
    view, at, end = memoryview(data), 0, len(data)
    while at < end:
        kind, entry_id, _, _, length = _HEAD.unpack_from(view, at)
        stop = at + _HEAD.size + length
        yield entry_id + bytes((kind,)), bytes(view[at:stop])
        at = stop


def bodies_of(data: bytes, kind: Kind) -> list[tuple[EntryId, bytes]]:
    """Return id and body of the entries of a kind, of those that stand one behind the other.

    For whoever walks over a million records: a third of the time of `decode_all` and `decode`.
    """
    found: list[tuple[EntryId, bytes]] = []
    at, end = 0, len(data)
    while at < end:
        its, entry_id, _, _, length = _HEAD.unpack_from(data, at)
        body = at + _HEAD.size
        at = body + length
        if its == kind:
            found.append((entry_id, data[body:at]))
    return found


def decode(encoded: bytes) -> Entry:
    """Return the entry of one `encode`."""
    kind, entry_id, version, flags, _ = _HEAD.unpack_from(encoded)
    return Entry(Kind(kind), EntryId(entry_id), encoded[_HEAD.size :], version, flags)


def body_of(encoded: bytes) -> bytes:
    """Return the part of an encoded entry that must be forgotten when it changes."""
    return encoded[_HEAD.size :]
