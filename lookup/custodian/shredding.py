"""Shredding: destroying the keys of records.

Invariants:

* All records of one call share one epoch change, however many there are.
* A record that is not there is refused, and then none of the others is touched.
* What is returned says only what is true: which slots have shown that no earlier key is left, and
  which could not be reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keys.entry import EntryId, Kind, Remove
from keys.epoch import Destruction
from keys.pages import BlobChange
from keys.vault import Receipt
from lookup.custodian.custody import Custody, Edit
from lookup.custodian.writer import Prepare, Prepared
from lookup.errors import RecordNotFound

MAX_RECORDS: Final = 10_000


class Reason(StrEnum):
    """Why records are shredded: the grounds of UK GDPR Art 17(1), (a) to (g), and nothing else."""

    NO_LONGER_NECESSARY = "art-17-1-a"
    CONSENT_WITHDRAWN = "art-17-1-b"
    OBJECTION = "art-17-1-c"
    UNLAWFUL = "art-17-1-d"
    LEGAL_OBLIGATION = "art-17-1-e"
    CHILD_INFORMATION_SOCIETY = "art-17-1-f"
    MALICIOUS_ALLEGATION = "art-17-1-g"


@dataclass(frozen=True, slots=True)
class Shredded:
    """Records are gone; this is what the slots have said."""

    record_ids: tuple[EntryId, ...]
    destruction: Destruction


def shred(record_ids: Sequence[EntryId]) -> Prepare[Shredded]:
    """Destroy records. Raises RecordNotFound, naming how many are not there."""
    wanted = tuple(dict.fromkeys(record_ids))

    def prepare(custody: Custody) -> Prepared[Shredded]:
        found = [custody.record(record_id) for record_id in wanted]
        records = [record for record in found if record is not None]
        if len(records) < len(wanted):
            missing = len(wanted) - len(records)
            raise RecordNotFound(
                f"{missing} of {len(wanted)} records are not there; none was shredded"
            )

        def answer(receipt: Receipt | None) -> Shredded:
            if receipt is None or receipt.destruction is None:
                raise AssertionError("unreachable: a removal is always an epoch change")
            return Shredded(wanted, receipt.destruction)

        return Prepared(
            answer=answer,
            batch=tuple(Remove(Kind.RECORD, record.id) for record in records),
            blobs=BlobChange(delete=tuple((record.id, record.version) for record in records)),
            edits=tuple(Edit(record.id, record, None) for record in records),
            touches=frozenset(wanted) | {record.body.source for record in records},
        )

    return prepare
