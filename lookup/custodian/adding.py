"""Adding and changing records.

Invariants:

* (authority, source reference) names one record. Adding what is already there, in the same words,
  changes nothing and says so: an authority that is not sure may send again.
* A new version has a new DEK and a new blob, and the old one is destroyed with the epoch.
* Callers hear of a change when it is durable and every worker answers by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from crypto.aead import Sealed
from crypto.record import Dek, seal_payload
from keys.entry import EntryId, Kind, Put, new_entry_id, new_entry_ids
from keys.pages import BlobChange
from lookup.custodian.custody import Custody, Edit
from lookup.custodian.draft import Draft
from lookup.custodian.record import Record, make_body
from lookup.custodian.writer import Prepare, Prepared
from lookup.errors import Conflict, PreconditionFailed, RecordNotFound, Unavailable

T = TypeVar("T")

ADDED: Final = "added"
UPDATED: Final = "updated"
UNCHANGED: Final = "unchanged"


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a draft."""

    result: str
    record_id: EntryId
    version: int


def add(draft: Draft) -> Prepare[Stored]:
    """Add a record. Raises Conflict if its source has a record that says something else."""

    def prepare(custody: Custody) -> Prepared[Stored]:
        old = custody.by_source(draft.source)
        if old is not None and not old.body.says(draft):
            raise Conflict(
                "this authority and source reference name a record that says something else:"
                " change it with PUT, or import it"
            )
        return _one(_step(custody, draft, old, new_entry_id(Kind.RECORD)))

    return prepare


def change(record_id: EntryId, draft: Draft, expected: int) -> Prepare[Stored]:
    """Make a draft the next version of a record.

    Raises RecordNotFound, PreconditionFailed when `expected` is not its version, and Conflict when
    the draft's source is another record's.
    """

    def prepare(custody: Custody) -> Prepared[Stored]:
        old = custody.record(record_id)
        if old is None:
            raise RecordNotFound("there is no such record")
        if old.version != expected:
            raise PreconditionFailed(f"expected version {expected}, the record is at {old.version}")
        if custody.sources.get(draft.source, record_id) != record_id:
            raise Conflict("the source reference is another record's")
        return _one(_step(custody, draft, old, record_id))

    return prepare


def add_or_change(drafts: Sequence[Draft]) -> Prepare[list[Stored]]:
    """Store drafts in one commit, whatever was there before. Their sources must differ."""

    def prepare(custody: Custody) -> Prepared[list[Stored]]:
        found = [(draft, custody.by_source(draft.source)) for draft in drafts]
        ids = new_entry_ids(len(drafts))
        steps = [
            _step(custody, draft, old, fresh)
            for (draft, old), fresh in zip(found, ids, strict=True)
        ]
        return _prepared(steps, [step.stored for step in steps])

    return prepare


@dataclass(frozen=True, slots=True)
class _Step:
    """What one draft does; `edit` is None when it changes nothing."""

    stored: Stored
    edit: Edit | None
    blob: Sealed | None
    touches: tuple[bytes, ...]


def _step(custody: Custody, draft: Draft, old: Record | None, fresh: EntryId) -> _Step:
    """Return what a draft does; a new record is named `fresh`."""
    if old is not None and old.body.says(draft):
        return _Step(Stored(UNCHANGED, old.id, old.version), None, None, (old.id, draft.source))
    if old is None and custody.damaged:
        # Its record may be on one of them; a second one of the same source would never be found.
        raise Unavailable("pages are damaged: restore them, then add what is new")
    record_id = fresh if old is None else old.id
    version = 1 if old is None else old.version + 1
    dek = Dek.generate()
    body = make_body(draft, dek, () if old is None else old.body.links)
    new = Record(record_id, version, 0 if old is None else old.flags, body)
    blob = seal_payload(dek, draft.payload, custody.vault.id, record_id, version)
    stored = Stored(ADDED if old is None else UPDATED, record_id, version)
    return _Step(stored, Edit(record_id, old, new), blob, (record_id, draft.source))


def _one(step: _Step) -> Prepared[Stored]:
    return _prepared([step], step.stored)


def _prepared(steps: Sequence[_Step], answer: T) -> Prepared[T]:
    edits = tuple(step.edit for step in steps if step.edit is not None)
    return Prepared(
        answer=lambda _: answer,
        batch=tuple(Put(edit.new.entry()) for edit in edits if edit.new is not None),
        blobs=BlobChange(
            put=tuple(
                (step.stored.record_id, step.stored.version, step.blob)
                for step in steps
                if step.blob is not None
            ),
            delete=tuple((e.old.id, e.old.version) for e in edits if e.old is not None),
        ),
        edits=edits,
        touches=frozenset(name for step in steps for name in step.touches),
    )
