"""Adding and changing records.

Invariants:

* (authority, source reference) names one record. Adding what is already there, in the same words,
  changes nothing and says so: an authority that is not sure may send again.
* A new version has a new DEK and a new blob, and the old one is destroyed with the epoch.
* What is sent again of a destroyed record, or is behind its feed's cursor, is refused: fencing.py.
* What is sent about a record under a case is parked, mostly: see parking.py. So is what a feed says
  of a record that a case has changed: see detaching.py.
* Callers hear of a change when it is durable and every worker answers by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from crypto.aead import Sealed
from crypto.record import Dek, seal_payload
from keys.entry import Batch, EntryId, Kind, Put, new_entry_id, new_entry_ids
from keys.pages import NO_BLOBS, BlobChange
from keys.vault import Receipt
from lookup.cases.standing import NEW_CATEGORY, NEW_CHILD, NEW_DATES, NEW_RECORD, Standing
from lookup.custodian.cases.case import Case, Signed, escalation
from lookup.custodian.cases.remedy import stored_payload
from lookup.custodian.custody import Custody, Edit
from lookup.custodian.records.detaching import NO_CASE, attached, is_detached, reduced
from lookup.custodian.records.draft import Draft
from lookup.custodian.records.fencing import Feed
from lookup.custodian.records.parking import Parked, park
from lookup.custodian.records.record import Body, Record, make_body, names_of, with_lost
from lookup.custodian.retention.reviewing import noted
from lookup.custodian.writer import Prepare, Prepared
from lookup.errors import Conflict, PreconditionFailed, RecordNotFound, Unavailable

T = TypeVar("T")

ADDED: Final = "added"
UPDATED: Final = "updated"
UNCHANGED: Final = "unchanged"
PARKED: Final = "parked"
DETACHED: Final = "detached"
FENCED: Final = "fenced"
REPLAYED: Final = "replayed"

MOST_ESCALATIONS: Final = 64  # of one case, before those that repeat are left out

_REFUSED: Final = {
    FENCED: "the record of this source reference was destroyed: a new concern has a new one",
    REPLAYED: "the feed has come further than this cursor: what is new has a newer one",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a draft."""

    result: str
    record_id: EntryId
    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A draft that is fenced or replayed: there is no record of it."""

    result: str


def add(draft: Draft) -> Prepare[Stored]:
    """Add a record. Raises Conflict if its source has a record that says something else."""

    def prepare(custody: Custody) -> Prepared[Stored]:
        old = custody.by_source(draft.source)
        if old is not None and not old.body.says(draft):
            raise Conflict(
                "this authority and source reference name a record that says something else:"
                " change it with PUT, or import it"
            )
        (step,) = _steps(custody, [draft], [old], [new_entry_id(Kind.RECORD)])
        return _one(custody, step)

    return prepare


def change(record_id: EntryId, draft: Draft, expected: int) -> Prepare[Stored]:
    """Make a draft the next version of a record.

    Raises RecordNotFound, PreconditionFailed when `expected` is not its version, and Conflict when
    the draft's source is another record's, or one too many for a record that had many.
    """

    def prepare(custody: Custody) -> Prepared[Stored]:
        old = custody.record(record_id)
        if old is None:
            raise RecordNotFound("there is no such record")
        if old.body.authority != draft.authority:
            raise Conflict("a record stays its authority's: another one sends its own")
        if old.version != expected:
            raise PreconditionFailed(f"expected version {expected}, the record is at {old.version}")
        if old.body.source != draft.source and _keeps_reference(custody, old):
            raise Conflict(
                "a record under a case, or detached by one, keeps its authority and source"
                " reference: end the case, or have officers attach the record"
            )
        if custody.sources.get(draft.source, record_id) != record_id:
            raise Conflict("the source reference is another record's")
        (step,) = _steps(custody, [draft], [old], [record_id])
        return _one(custody, step)

    return prepare


def _keeps_reference(custody: Custody, record: Record) -> bool:
    return custody.docket.open_case_of(record.id) is not None or is_detached(record)


def add_or_change(drafts: Sequence[Draft]) -> Prepare[list[Stored | Refused]]:
    """Store drafts in one commit, whatever was there before. Their sources must differ."""

    def prepare(custody: Custody) -> Prepared[list[Stored | Refused]]:
        found = [(draft, custody.by_source(draft.source)) for draft in drafts]
        ids, olds = new_entry_ids(len(drafts)), [old for _, old in found]
        steps = _steps(custody, drafts, olds, ids)
        return _prepared(custody, steps, [step.stored for step in steps])

    return prepare


def resume_drafts(custody: Custody, parked: Sequence[tuple[EntryId, Draft]]) -> Prepared[None]:
    """Return what stores drafts of records that were let in before, and were parked until now."""
    steps = [
        _step(custody, replace(draft, source_ref=record.body.source_ref), record, record_id)
        for record_id, draft in parked
        for record in (custody.record(record_id),)
        if record is not None
    ]
    return _prepared(custody, steps, None)


@dataclass(frozen=True, slots=True)
class _Step:
    """What one draft does; `edit` is None when the record stays as it is.

    `batch` and `blobs` are of what is parked and unparked, `escalates` the cases to be looked at
    again; `feeds`, of the first of a batch, says how far the feeds have come with it.
    """

    stored: Stored | Refused
    touches: tuple[bytes, ...]
    edit: Edit | None = None
    blob: Sealed | None = None
    batch: Batch = ()
    blobs: BlobChange = NO_BLOBS
    parked: Parked | None = None
    unparked: Parked | None = None
    escalates: tuple[tuple[Case, str], ...] = ()
    feeds: tuple[Feed, ...] = ()


def _steps(
    custody: Custody,
    drafts: Sequence[Draft],
    olds: Sequence[Record | None],
    ids: Sequence[EntryId],
) -> list[_Step]:
    """Return what drafts do, in their order, of which none that is fenced or replayed does."""
    fences, now = custody.fences, custody.moment()
    cursors: dict[str, int] = {}
    steps = []
    for draft, old, fresh in zip(drafts, olds, ids, strict=True):
        if draft.cursor is not None:
            if draft.cursor <= cursors.get(draft.authority, fences.cursor(draft.authority)):
                steps.append(_Step(Refused(REPLAYED), (draft.source,)))
                continue
            cursors[draft.authority] = draft.cursor
        known = old is not None and old.body.source == draft.source
        if not known and fences.holds(draft.authority, draft.source_ref, now):
            steps.append(_Step(Refused(FENCED), (draft.source,)))
        else:
            steps.append(_step(custody, draft, old, fresh))
    moved = tuple(fences.moved(authority, cursor) for authority, cursor in cursors.items())
    if moved:
        names = tuple(feed.authority.encode() for feed in moved)
        steps[0] = replace(steps[0], feeds=moved, touches=steps[0].touches + names)
    return steps


def _step(custody: Custody, draft: Draft, old: Record | None, fresh: EntryId) -> _Step:
    """Return what a draft does; a new record is named `fresh`."""
    if old is None:
        if custody.damaged:
            # Its record may be on one of them; a second one of its source would never be found.
            raise Unavailable("pages are damaged: restore them, then add what is new")
        cases = custody.docket.watching(draft.identifiers)
        return _stored(custody, draft, None, fresh, [(case, NEW_RECORD) for case in cases])
    case = custody.docket.open_case_of(old.id)
    if is_detached(old):
        return _of_detached(custody, draft, old, case)
    if case is not None:
        return _kept_aside(custody, draft, old, case)
    if old.body.says(draft):
        return _Step(Stored(UNCHANGED, old.id, old.version), (old.id, draft.source))
    return _stored(custody, draft, old, old.id, _watching(custody, draft, old))


def _watching(custody: Custody, draft: Draft, old: Record) -> list[tuple[Case, str]]:
    """Return the cases of children whom a record comes to name."""
    new = set(draft.identifiers) - set(names_of(old))
    cases = custody.docket.watching(new) if new else []
    return [(case, NEW_RECORD) for case in cases if old.id not in case.record_ids]


def _of_detached(custody: Custody, draft: Draft, old: Record, case: Case | None) -> _Step:
    """Return what a draft does about a detached record; a feed that was put right attaches it.

    If it has a cursor, which was never set back: of any other one this may be an old sending, and
    the next one, too.
    """
    if case is None and custody.fences.is_new(draft) and old.body.says(draft):
        edit, stored = Edit(old.id, old, attached(old)), Stored(UNCHANGED, old.id, old.version)
        parked = custody.lot.parked.get(old.id)
        removed, gone = ((), NO_BLOBS) if parked is None else parked.removal()
        touches = (old.id, draft.source)
        return _Step(stored, touches, edit, batch=removed, blobs=gone, unparked=parked)
    vault, store = custody.vault, custody.store
    taken = reduced(draft, old, lambda: stored_payload(vault, store, old))
    step = _kept_aside(custody, taken, old, case)
    if isinstance(step.stored, Stored) and set(taken.identifiers) != set(draft.identifiers):
        # It does not name just whom the record does; that is not taken, whatever else was.
        return replace(step, stored=replace(step.stored, result=DETACHED))
    return step


def _kept_aside(custody: Custody, draft: Draft, old: Record, case: Case | None) -> _Step:
    """Return what a draft does about a record that a case names, or that is detached.

    It is kept aside, mostly.
    """
    case_id = NO_CASE if case is None else case.id
    touches = (old.id, draft.source, case_id) if case else (old.id, draft.source)
    before = custody.lot.parked.get(old.id)
    if before is None and old.body.says(draft):
        return _Step(Stored(UNCHANGED, old.id, old.version), touches)
    parked = Stored(PARKED, old.id, old.version)
    waiting = None if before is None else _waiting(custody, before)
    comes = _body(draft, old)
    more = custody.told(comes) - custody.told(old.body)
    longer = custody.answered_until(comes) > custody.answered_until(old.body)
    hiding = custody.hiding.get(old.id)
    # Not by a recall: what comes takes that back.
    hidden = hiding is not None and hiding.restricted and custody.instead[old.id] is None
    shows = (bool(more) or longer) and not hidden
    if waiting is not None and replace(waiting, cursor=draft.cursor) == draft and not shows:
        return _Step(parked, touches)
    removed, gone = ((), NO_BLOBS) if before is None else before.removal()
    escalates = (
        [] if case is None else _escalating(custody, case, draft, old, None if shows else waiting)
    )
    if shows:
        step = _stored(custody, draft, old, old.id, [*escalates, *_watching(custody, draft, old)])
        return replace(step, batch=removed, blobs=gone, unparked=before)
    kept, batch, blobs = park(custody.vault, case_id, old.id, draft)
    return _Step(
        parked,
        touches,
        batch=batch + removed,
        blobs=BlobChange(blobs.put, gone.delete),
        parked=kept,
        escalates=tuple(escalates),
    )


def _waiting(custody: Custody, parked: Parked) -> Draft | None:
    return parked.draft(custody.vault, custody.store, custody.catalogue, custody.classes)


def _escalating(
    custody: Custody, case: Case, draft: Draft, old: Record, waiting: Draft | None
) -> list[tuple[Case, str]]:
    """Return the case if a draft says what neither the record says, nor what waits already."""
    before = old.body if waiting is None else _body(waiting, old)
    comes = _body(draft, old)
    if comes.category != before.category:
        return [(case, NEW_CATEGORY)]
    if custody.told(comes) - custody.told(before) - custody.told(old.body):
        return [(case, NEW_CHILD)]
    if (comes.since, comes.until, comes.answer_until) != (
        before.since,
        before.until,
        before.answer_until,
    ):
        return [(case, NEW_DATES)]
    return []


def _body(draft: Draft, old: Record) -> Body:
    return make_body(draft, Dek(old.body.dek), old.body.links)


def _stored(
    custody: Custody,
    draft: Draft,
    old: Record | None,
    record_id: EntryId,
    escalates: Sequence[tuple[Case, str]] = (),
) -> _Step:
    """Return what makes a draft a record's next version."""
    version = 1 if old is None else old.version + 1
    dek = Dek.generate()
    former = custody.fences.former(old, draft)
    body = make_body(draft, dek, () if old is None else old.body.links, former)
    body = body if old is None else with_lost(body, old.body)
    flags = 0 if old is None else noted(old.flags, custody.today())
    new = Record(record_id, version, flags, body)
    return _Step(
        Stored(ADDED if old is None else UPDATED, record_id, version),
        (record_id, draft.source, *(case.id for case, _ in escalates)),
        Edit(record_id, old, new),
        seal_payload(dek, draft.payload, custody.vault.id, record_id, version),
        escalates=tuple(escalates),
    )


def _one(custody: Custody, step: _Step) -> Prepared[Stored]:
    """Return what one draft does. Raises Conflict for one that is fenced or replayed."""
    if isinstance(step.stored, Refused):
        raise Conflict(_REFUSED[step.stored.result])
    return _prepared(custody, [step], step.stored)


def _prepared(custody: Custody, steps: Sequence[_Step], answer: T) -> Prepared[T]:
    edits = tuple(step.edit for step in steps if step.edit is not None)
    signed = _escalations(custody, steps)

    def done(_: Receipt | None) -> T:
        for step in steps:
            if step.parked is not None:
                custody.lot.parked[step.parked.record] = step.parked
            if step.unparked is not None:
                custody.lot.drop([step.unparked])
            for feed in step.feeds:
                custody.fences.feeds[feed.authority] = feed
        for each in signed:
            custody.alarms.escalate(each.step.case.hex(), str(each.step.details["reason"]))
        return answer

    return Prepared(
        answer=done,
        batch=(
            *(Put(edit.new.entry()) for edit in edits if edit.new is not None),
            *(each for step in steps for each in step.batch),
            *(Put(feed.entry()) for step in steps for feed in step.feeds),
        ),
        blobs=BlobChange(
            put=(
                *(
                    (step.edit.id, step.edit.new.version, step.blob)
                    for step in steps
                    if step.edit is not None and step.edit.new is not None and step.blob is not None
                ),
                *(blob for step in steps for blob in step.blobs.put),
            ),
            delete=(
                *((e.old.id, e.old.version) for e in edits if e.old is not None and _is_new(e)),
                *(name for step in steps for name in step.blobs.delete),
            ),
        ),
        edits=edits,
        steps=signed,
        touches=frozenset(name for step in steps for name in step.touches),
    )


def _is_new(edit: Edit) -> bool:
    """Say whether an edit makes another version; one that only attaches a record does not."""
    return edit.old is None or edit.new is None or edit.new.version != edit.old.version


def _is_said(standing: Standing, reason: str) -> bool:
    """Say whether a case waits to be amended for this very reason, and has said such a lot.

    A step more would change nothing but who has seen it, which counts while they are few.
    """
    return reason in standing.unseen and len(standing.escalated) >= MOST_ESCALATIONS


def _escalations(custody: Custody, steps: Sequence[_Step]) -> tuple[Signed, ...]:
    """Return one step of the site's own for each case that something new concerns."""
    found = {
        case.id: (case, reason)
        for step in steps
        for case, reason in step.escalates
        if not _is_said(custody.docket.standing(case), reason)
    }
    at = custody.moment() if found else None
    return tuple(
        escalation(case, custody.office, custody.vault, reason, at)
        for case, reason in found.values()
        if at is not None
    )
