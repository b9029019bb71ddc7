"""The audit's keys, as the map keeps them.

    Kind.AUDIT_KEY    MessagePack of X25519 private key and witness key: for the vault's whole life
                      version, flags = low and high half of `told` (see notices.py)
    Kind.ANSWER_KEY   32 random bytes: for one epoch

Invariants:

* The answer key is renewed by every epoch change (`keys.entry.RENEWED`), so that answers which
  were sealed before a removal do not name what was removed.
* The witness key is not a secret to forget: without a link's handle, which goes with its record, a
  witness is 16 random bytes to whoever has the key.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import msgspec

from crypto.audit import AnswerKey, AuditKey, WitnessKey, public_of
from keys.entry import Batch, Entry, Kind, Put, new_entry_id
from keys.vault import Vault
from lookup.handoff import Audit

_HALF = 32


class _Body(msgspec.Struct, array_like=True):
    private: bytes
    witness: bytes


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """What opens segments and answers, and makes witnesses."""

    entry: Entry
    audit: AuditKey
    witness: WitnessKey
    answer: AnswerKey

    @classmethod
    def load(cls, vault: Vault) -> Self:
        """Read them from a vault; one that was made before there were audits gets them now."""
        if not list(vault.scan(Kind.AUDIT_KEY)):
            vault.commit(audit_entries())
        (entry,) = vault.scan(Kind.AUDIT_KEY)
        (answer,) = vault.scan(Kind.ANSWER_KEY)
        body = msgspec.msgpack.decode(entry.body, type=_Body)
        return cls(entry, AuditKey(body.private), WitnessKey(body.witness), AnswerKey(answer.body))

    @property
    def told(self) -> int:
        """The row of the chain up to which authorities have been told."""
        return self.entry.flags << _HALF | self.entry.version

    def with_told(self, row: int) -> "AuditKeys":
        """Return the same keys, after authorities were told of this row."""
        low = row & ((1 << _HALF) - 1)
        return replace(self, entry=replace(self.entry, version=low, flags=row >> _HALF))

    def handed_out(self, folder: Path, *, demo: bool) -> Audit:
        """Return what workers are told: nothing that opens a segment."""
        return Audit(
            public_key=public_of(self.audit),
            witness_key=self.witness.expose(),
            answer_key=self.answer.expose(),
            folder=str(folder),
            demo=demo,
        )

    def with_answer(self, renewed: Entry) -> "AuditKeys":
        """Return the same keys with the answer key of the next epoch."""
        return replace(self, answer=AnswerKey(renewed.body))


def audit_entries() -> Batch:
    """Return the keys of a new vault."""
    body = _Body(AuditKey.generate().expose(), WitnessKey.generate().expose())
    return (
        Put(Entry(Kind.AUDIT_KEY, new_entry_id(Kind.AUDIT_KEY), msgspec.msgpack.encode(body), 0)),
        Put(Entry(Kind.ANSWER_KEY, new_entry_id(Kind.ANSWER_KEY), AnswerKey.generate().expose())),
    )
