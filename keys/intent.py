"""Intents: what an epoch change has set out to do, so that a start can finish it.

    content = steps in their order, blobs to delete, a new lock, leaves for the log
    entry   = intent id (16) || part (2) || parts (2) || up to 4,000 bytes of content

Invariants:

* An intent is durable before any slot is touched, and leaves in the same commit that does what
  it says. So a start that finds one goes forward: the outcome was decided when it was stored; and
  a slot that was staged for an intent that no store knows says that the store was rolled back.
* It is as secret as what it moves: it lives in the map and is forgotten with the epoch.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from crypto.derive import Argon2Cost, Kek
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove, decode, new_entry_id
from keys.slot.lock import DatabaseKey, Lock

_PART = 4000
_HEAD = 20


class _Content(msgspec.Struct, array_like=True):
    steps: list[bytes | tuple[int, bytes]]  # an entry to put, or the name of one to remove
    blobs: list[tuple[bytes, int]]
    lock: tuple[bytes, int, int, int, bytes] | None
    log: list[bytes] = []  # an older intent has none


@dataclass(frozen=True, slots=True)
class Intent:
    """One epoch change, decided."""

    id: bytes
    batch: Batch
    blobs: tuple[tuple[EntryId, int], ...] = ()
    lock: Lock | None = field(default=None, repr=False)
    log: tuple[bytes, ...] = ()

    @classmethod
    def make(
        cls,
        batch: Batch,
        blobs: tuple[tuple[EntryId, int], ...] = (),
        lock: Lock | None = None,
        log: tuple[bytes, ...] = (),
    ) -> "Intent":
        """Return an intent with an id of its own."""
        return cls(secrets.token_bytes(16), batch, blobs, lock, log)

    def entries(self) -> Batch:
        """Return the puts that store this intent."""
        content = msgspec.msgpack.encode(
            _Content(
                steps=[_flatten_step(step) for step in self.batch],
                blobs=list(self.blobs),
                lock=_flatten(self.lock) if self.lock else None,
                log=list(self.log),
            )
        )
        parts = [content[at : at + _PART] for at in range(0, len(content), _PART)]
        return tuple(
            Put(Entry(Kind.INTENT, new_entry_id(Kind.INTENT), self._head(number, parts) + part))
            for number, part in enumerate(parts)
        )

    def _head(self, number: int, parts: list[bytes]) -> bytes:
        return self.id + number.to_bytes(2, "big") + len(parts).to_bytes(2, "big")


def intent_id_of(entry: Entry) -> bytes:
    """Return the id of the intent whose part this entry is."""
    return entry.body[:16]


def parse_intents(entries: Iterable[Entry], database_key: DatabaseKey) -> list[Intent]:
    """Return the intents whose parts these entries are.

    An intent is stored by one commit, so all its parts are there or none.
    """
    parts: dict[bytes, dict[int, bytes]] = {}
    for entry in entries:
        number = int.from_bytes(entry.body[16:18], "big")
        parts.setdefault(intent_id_of(entry), {})[number] = entry.body[_HEAD:]
    return [
        _parse(intent_id, b"".join(found[number] for number in sorted(found)), database_key)
        for intent_id, found in parts.items()
    ]


def _parse(intent_id: bytes, raw: bytes, database_key: DatabaseKey) -> Intent:
    content = msgspec.msgpack.decode(raw, type=_Content)
    return Intent(
        intent_id,
        tuple(_unflatten_step(step) for step in content.steps),
        tuple((EntryId(blob), version) for blob, version in content.blobs),
        _unflatten(content.lock, database_key) if content.lock else None,
        tuple(content.log),
    )


def _flatten_step(step: Put | Remove) -> bytes | tuple[int, bytes]:
    return step.entry.encode() if isinstance(step, Put) else (step.kind, step.id)


def _unflatten_step(flat: bytes | tuple[int, bytes]) -> Put | Remove:
    if isinstance(flat, bytes):
        return Put(decode(flat))
    kind, entry_id = flat
    return Remove(Kind(kind), EntryId(entry_id))


def _flatten(lock: Lock) -> tuple[bytes, int, int, int, bytes]:
    cost = lock.cost
    return lock.salt, cost.passes, cost.memory_kib, cost.lanes, lock.kek.expose()


def _unflatten(flat: tuple[bytes, int, int, int, bytes], database_key: DatabaseKey) -> Lock:
    salt, passes, memory_kib, lanes, kek = flat
    return Lock(salt, Argon2Cost(passes, memory_kib, lanes), Kek(kek), database_key)
