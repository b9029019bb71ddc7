"""The log's key and its origin, as the map keeps them.

    Kind.LOG_KEY    MessagePack of Ed25519 seed and origin: for the vault's whole life
    origin          lacuna/<vault id>, then lacuna/<vault id>.2, .3 … for logs that were begun anew

Invariants:

* The origin is also the key's name, so a checkpoint of one log never verifies as another's.
* An origin is replaced in the same transaction that empties the log (`keys.restoring`): no size of
  one log is signed twice.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import msgspec

from crypto.checkpoint import InvalidCheckpoint, open_checkpoint
from crypto.note import InvalidNote, SigningKey, VerifierKey, is_key_name
from keys.entry import Batch, Entry, Kind, Put, new_entry_id
from keys.log import LogMark
from keys.page import VaultId
from keys.vault import Vault

MAX_ORIGIN: Final = 200
_NUMBERED: Final = re.compile(r"(.*)\.([1-9][0-9]*)", re.DOTALL)


class _Body(msgspec.Struct, array_like=True):
    seed: bytes
    origin: str


@dataclass(frozen=True, slots=True)
class LogKey:
    """What signs checkpoints."""

    entry: Entry
    origin: str
    signing: SigningKey

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Open the key's entry."""
        body = msgspec.msgpack.decode(entry.body, type=_Body)
        return cls(entry, body.origin, SigningKey(body.seed))

    @classmethod
    def load(cls, vault: Vault) -> Self:
        """Read it from a vault; one that was made before there was a log gets it now."""
        if not list(vault.scan(Kind.LOG_KEY)):
            vault.commit(log_key_entries(vault.id))
        (entry,) = vault.scan(Kind.LOG_KEY)
        return cls.of(entry)

    @property
    def verifier(self) -> VerifierKey:
        """What verifies its checkpoints."""
        return self.signing.verifier(self.origin)

    def succeeded(self) -> Entry:
        """Return the entry with the next origin."""
        body = _Body(self.signing.expose(), next_origin(self.origin))
        return Entry(
            Kind.LOG_KEY,
            self.entry.id,
            msgspec.msgpack.encode(body),
            self.entry.version,
            self.entry.flags,
        )


def log_key_entries(vault: VaultId, origin: str | None = None) -> Batch:
    """Return the key of a new log. Raises ValueError for what no origin can be."""
    origin = origin or f"lacuna/{vault.hex()}"
    if not is_key_name(origin) or len(origin) > MAX_ORIGIN:
        raise ValueError("an origin has neither spaces nor plus, and at most 200 characters")
    body = _Body(SigningKey.generate().expose(), origin)
    return (Put(Entry(Kind.LOG_KEY, new_entry_id(Kind.LOG_KEY), msgspec.msgpack.encode(body))),)


def next_origin(origin: str) -> str:
    """Return the origin of the log that follows this one."""
    numbered = _NUMBERED.fullmatch(origin)
    base, number = (numbered[1], int(numbered[2])) if numbered else (origin, 1)
    return f"{base}.{number + 1}"


def marks_in(notes: Iterable[bytes], key: LogKey) -> list[LogMark]:
    """Return what this log has signed, of notes that anybody may have put there."""
    marks = []
    for raw in notes:
        try:
            checkpoint = open_checkpoint(raw, key.origin, [key.verifier])
        except (InvalidNote, InvalidCheckpoint):
            continue
        marks.append(LogMark(checkpoint.size, checkpoint.root))
    return marks
