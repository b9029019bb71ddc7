"""Intents: what an epoch change has set out to do, so that a start can finish it.

    content = list of puts, removals, blobs to delete, slots to leave out, a new lock
    entry   = intent id (16) || part (2) || parts (2) || up to 4,000 bytes of content

Invariants:

* An intent is durable before anything is destroyed, and leaves in the same commit that does what
  it says. So a start that finds one goes forward: the outcome was decided when it was stored.
* It is as secret as what it moves: it lives in the map and is forgotten with the epoch.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from crypto.derive import Argon2Cost, Kek
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove, decode, new_entry_id
from keys.pages import SlotId
from keys.slot.lock import DatabaseKey, Lock

_PART = 4000
_HEAD = 20


class _Content(msgspec.Struct, array_like=True):
    puts: list[bytes]
    removals: list[tuple[int, bytes]]
    blobs: list[tuple[bytes, int]]
    leaving: list[bytes]
    lock: tuple[bytes, int, int, int, bytes] | None


@dataclass(frozen=True, slots=True)
class Intent:
    """One epoch change, decided."""

    id: bytes
    batch: Batch
    blobs: tuple[tuple[EntryId, int], ...] = ()
    leaving: frozenset[SlotId] = frozenset()
    lock: Lock | None = field(default=None, repr=False)

    @classmethod
    def make(
        cls,
        batch: Batch,
        blobs: tuple[tuple[EntryId, int], ...] = (),
        leaving: frozenset[SlotId] = frozenset(),
        lock: Lock | None = None,
    ) -> "Intent":
        """Return an intent with an id of its own."""
        return cls(secrets.token_bytes(16), batch, blobs, leaving, lock)

    def entries(self) -> Batch:
        """Return the puts that store this intent."""
        content = msgspec.msgpack.encode(
            _Content(
                puts=[step.entry.encode() for step in self.batch if isinstance(step, Put)],
                removals=[(s.kind, s.id) for s in self.batch if isinstance(s, Remove)],
                blobs=list(self.blobs),
                leaving=list(self.leaving),
                lock=_flatten(self.lock) if self.lock else None,
            )
        )
        parts = [content[at : at + _PART] for at in range(0, len(content), _PART)]
        return tuple(
            Put(Entry(Kind.INTENT, new_entry_id(Kind.INTENT), self._head(number, parts) + part))
            for number, part in enumerate(parts)
        )

    def _head(self, number: int, parts: list[bytes]) -> bytes:
        return self.id + number.to_bytes(2, "big") + len(parts).to_bytes(2, "big")


def parse_intents(entries: Iterable[Entry], database_key: DatabaseKey) -> list[Intent]:
    """Return the intents whose parts these entries are.

    An intent is stored by one commit, so all its parts are there or none.
    """
    parts: dict[bytes, dict[int, bytes]] = {}
    for entry in entries:
        number = int.from_bytes(entry.body[16:18], "big")
        parts.setdefault(entry.body[:16], {})[number] = entry.body[_HEAD:]
    return [
        _parse(intent_id, b"".join(found[number] for number in sorted(found)), database_key)
        for intent_id, found in parts.items()
    ]


def _parse(intent_id: bytes, raw: bytes, database_key: DatabaseKey) -> Intent:
    content = msgspec.msgpack.decode(raw, type=_Content)
    removals = (Remove(Kind(kind), EntryId(entry_id)) for kind, entry_id in content.removals)
    return Intent(
        intent_id,
        (*removals, *(Put(decode(encoded)) for encoded in content.puts)),
        tuple((EntryId(blob), version) for blob, version in content.blobs),
        frozenset(SlotId(slot) for slot in content.leaving),
        _unflatten(content.lock, database_key) if content.lock else None,
    )


def _flatten(lock: Lock) -> tuple[bytes, int, int, int, bytes]:
    cost = lock.cost
    return lock.salt, cost.passes, cost.memory_kib, cost.lanes, lock.kek.expose()


def _unflatten(flat: tuple[bytes, int, int, int, bytes], database_key: DatabaseKey) -> Lock:
    salt, passes, memory_kib, lanes, kek = flat
    return Lock(salt, Argon2Cost(passes, memory_kib, lanes), Kek(kek), database_key)
