"""Accuracy reviews: when somebody has to look again whether a record is true (Art 5(1)(d)).

    due = review_months of the record's class after the latest of:
          its `since`, its last change, its last review

Invariants:

* A change sent by the authority and an officer's review are noted alike: as the day, in the upper
  half of the flags of the record's entry. Flags change without an epoch change, so that to say "we
  have looked, it stays" is as cheap as it should be; the day tells nothing about a child, and goes
  with the entry. Who it was stands in the audit, which forgets with the record, too.
* What else flags say is left as it was.
* A record without retention has no class, and is never due.
"""

from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field
from datetime import date
from heapq import nsmallest
from typing import Final, NamedTuple

from keys.entry import EntryId, Kind, Put
from keys.pages import NO_BLOBS
from keys.vault import Vault
from lookup.cases.clock import add_months
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record
from lookup.custodian.records.walking import Walk
from lookup.errors import Conflict, RecordNotFound
from lookup.index.layout import FIRST_ORDINAL
from lookup.officers.roles import Act, Officer
from lookup.retention.classes import Classes

MOST_LISTED: Final = 10_000
_LEAVES_PER_STEP: Final = 256
_SHIFT: Final = 16
_BELOW: Final = (1 << _SHIFT) - 1


def noted(flags: int, day: date) -> int:
    """Return a record's flags as they say that somebody looked on this day."""
    number = min(max(day.toordinal() - FIRST_ORDINAL + 1, 1), _BELOW)
    return number << _SHIFT | flags & _BELOW


def review_day(record: Record, classes: Classes) -> date | None:
    """Return the day on which a record is due for review; None: it has no class of those."""
    retention = record.body.retention
    rules = None if retention is None else classes.by_code.get(retention.code)
    if rules is None:
        return None
    number = record.flags >> _SHIFT
    looked = FIRST_ORDINAL + number - 1 if number else 0
    return add_months(date.fromordinal(max(record.body.since, looked)), rules.review_months)


class Due(NamedTuple):
    """A record that is due for review."""

    day: date
    record_id: EntryId
    code: str


@dataclass
class Reviews:
    """The records that an officer may hear of and that are due; the longest due, all counted."""

    vault: InitVar[Vault]
    officer: Officer
    total: int = 0
    due: list[Due] = field(default_factory=list)
    walk: Walk[Record] = field(init=False)

    def __post_init__(self, vault: Vault) -> None:
        self.walk = Walk(
            vault.leaves,
            lambda leaves: [
                Record.of(entry)
                for index in leaves
                for entry in vault.scan_leaf(Kind.RECORD, index)
            ],
        )

    def step(self, custody: Custody) -> bool:
        """Look at some more records; say whether that were all."""
        found = list(self._among(custody, self.walk.step(_LEAVES_PER_STEP)))
        self.total += len(found)
        self.due = nsmallest(MOST_LISTED, [*self.due, *found]) if found else self.due
        return self.walk.is_over

    def _among(self, custody: Custody, records: Iterable[Record]) -> Iterable[Due]:
        today = custody.today()
        for record in records:
            retention = record.body.retention
            day = review_day(record, custody.classes)
            if retention is None or day is None or day > today:
                continue
            if self.officer.may(Act.READ_RETENTION, record.body.authority):
                yield Due(day, record.id, retention.code)


def review(record_id: EntryId, officer: Officer) -> Callable[[Custody], date]:
    """Note that an officer has looked at a record today; return when it is due again.

    The officer's access is audited as a reading is. Raises RecordNotFound or Conflict.
    """

    def run(custody: Custody) -> date:
        record = custody.record(record_id)
        if record is None or not officer.may(Act.REVIEW_RECORDS, record.body.authority):
            raise RecordNotFound("there is no such record")
        looked = record._replace(flags=noted(record.flags, custody.today()))
        day = review_day(looked, custody.classes)
        if day is None:
            raise Conflict("the record has no retention class of those in force: none is due")
        custody.audit.note_read(officer, record)
        custody.commit((Put(looked.entry()),), NO_BLOBS)
        return day

    return run
