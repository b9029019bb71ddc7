"""Detached records: those that a case has unlinked or corrected, and what their feeds send again.

A record's flag 1 says that it is detached.

Invariants:

* What a feed says of which child it is about is not taken: the record keeps the identifiers that it
  has, or tonight's feed would link the child again, or undo the correction. Nor is a content taken
  that says an identifier which the record does not have.
* The rest is parked: under no case, until officers attach the record again. So nothing that was
  taken off a record is ever stored again, not even aside.
* What would answer for longer for the children that it still names is taken all the same: no
  correction of the past hides a plan that comes later.
* A feed that does not name just whom the record does is told so: `detached`, whatever else of it
  was taken. Whether that is the number that was taken off, or a child who belongs there, only
  people know.
* A feed with a cursor that says just what the record says has been put right: the record is
  attached again. Of a feed without, or whose cursor was set back, it may be an old sending, and the
  next one that which linked the child: that record is attached by officers alone (proposals.py).
* A detached record keeps its source reference, by which its feed finds it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from keys.entry import ID_SIZE, EntryId
from lookup.custodian.cases.remedy import DETACHED
from lookup.custodian.cases.saying import says
from lookup.custodian.records.draft import Draft
from lookup.custodian.records.record import Record, draft_of
from lookup.identifiers import Identifier

NO_CASE: Final = EntryId(bytes(ID_SIZE))  # what is parked for a detached record waits for no case


def is_detached(record: Record) -> bool:
    """Say whether a record takes its feed's word no more."""
    return bool(record.flags & DETACHED)


def attached(record: Record) -> Record:
    """Return a record as one that takes its feed's word."""
    return record._replace(flags=record.flags & ~DETACHED)


def reduced(
    draft: Draft,
    record: Record,
    content: Callable[[], bytes | None],
    lost: frozenset[Identifier] = frozenset(),
) -> Draft:
    """Return what of a draft a detached record may take; `content` is what the record says now.

    `lost` are identifiers that it is about to lose, which a draft may say without naming them.
    """
    own = draft_of(record.body, b"").identifiers
    foreign = (frozenset(draft.identifiers) | lost) - frozenset(own)
    payload = (content() or b"null") if says(draft.payload, foreign) else draft.payload
    return replace(draft, identifiers=own, payload=payload)
