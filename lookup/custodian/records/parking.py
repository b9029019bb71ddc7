"""Parking: what a feed sends about a record while a case about it is open, or it is detached.

Invariants:

* A record under a case stays as its requester and approvers saw it: what is sent about it is kept
  aside, sealed under a key that leaves with the case, and becomes the record's next version when
  the case ends without a destruction.
* What would answer for a child that nobody answers for yet is never kept aside, unless two officers
  have restricted the record: then it is, and an alarm is raised. One officer who opens a case hides
  no plan that comes later, and no second child that a record comes to name.
* Another category or child, and another record of the same child, escalate the case: what was
  signed of it is void. The same again, as a feed sends it each night, changes nothing.
* Of one record the newest sending is kept; the one before is forgotten with the epoch.
* A record under a case keeps its source reference, by which what was parked finds it again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from crypto.aead import InvalidCiphertext
from crypto.record import Dek, seal_payload, unseal_payload
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove, new_entry_id
from keys.pages import BlobChange
from keys.vault import Vault
from lookup.catalogue import Catalogue
from lookup.custodian.records.draft import Draft, InvalidRecord, encode_draft, parse_draft
from lookup.custodian.store.pages import Store
from lookup.retention.classes import Classes


class _Body(msgspec.Struct, array_like=True):
    case: bytes
    record: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Parked:
    """What was sent about a record, kept aside."""

    id: EntryId
    case: EntryId
    record: EntryId
    key: Dek

    def removal(self) -> tuple[Batch, BlobChange]:
        """Return what takes it out of map and store."""
        return (Remove(Kind.PARKED, self.id),), BlobChange(delete=((self.id, 1),))

    def draft(
        self, vault: Vault, store: Store, catalogue: Catalogue, classes: Classes
    ) -> Draft | None:
        """Return what was sent, or None where it was lost, or is none by the rules of now."""
        blob = store.blob(self.id, 1)
        if blob is None:
            return None
        try:
            raw = unseal_payload(self.key, blob, vault.id, self.id, 1)
            return parse_draft(raw, catalogue, classes, kept=True)
        except (InvalidCiphertext, InvalidRecord):
            return None


class Aside(NamedTuple):
    """What is parked, and how it gets into map and store."""

    parked: Parked
    batch: Batch
    blobs: BlobChange


@dataclass(slots=True)
class Lot:
    """All that is parked, by record."""

    parked: dict[EntryId, Parked] = field(default_factory=dict)

    def of(self, case_id: EntryId) -> list[Parked]:
        """Return what waits for a case."""
        return [each for each in self.parked.values() if each.case == case_id]

    def about(self, record_ids: Iterable[EntryId]) -> list[Parked]:
        """Return what waits for these records, whatever has become of its case."""
        return [self.parked[each] for each in record_ids if each in self.parked]

    def drop(self, gone: Sequence[Parked]) -> None:
        """Forget what has left the map."""
        for each in gone:
            self.parked.pop(each.record, None)


def park(vault: Vault, case_id: EntryId, record_id: EntryId, draft: Draft) -> Aside:
    """Return what keeps a draft aside."""
    parked = Parked(new_entry_id(Kind.PARKED), case_id, record_id, Dek.generate())
    body = _Body(case_id, record_id, parked.key.expose())
    entry = Entry(Kind.PARKED, parked.id, msgspec.msgpack.encode(body))
    blob = seal_payload(parked.key, encode_draft(draft), vault.id, parked.id, 1)
    return Aside(parked, (Put(entry),), BlobChange(put=((parked.id, 1, blob),)))


def load_lot(vault: Vault) -> Lot:
    """Read what is parked in a vault."""
    lot = Lot()
    for entry in vault.scan(Kind.PARKED):
        body = msgspec.msgpack.decode(entry.body, type=_Body)
        record_id = EntryId(body.record)
        lot.parked[record_id] = Parked(entry.id, EntryId(body.case), record_id, Dek(body.key))
    return lot
