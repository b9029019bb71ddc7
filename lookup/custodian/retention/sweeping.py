"""The sweep: what has been kept long enough is listed, and destroyed a week later.

    every night:  ripe lists -> destroyed, at most `cap`      in steps of one epoch change each
                  all records -> walked                       in steps of some leaves
                  what is due -> listed, at most `cap`         in steps of one list

Invariants:

* Nothing is listed or destroyed but by a standing approval of the very classes that are in force,
  of which enough signers are officers yet;
  what officers may see on a list for a week is judged again when its time has come (surveying.py).
* A list leaves in the transaction that destroys its records. What is not due any more, held, or in
  a case by now leaves the list alive, and why is told.
* Records leave by removing.py, as those of a case do, with a `Kind.DESTROYED` entry for each 64 of
  an authority: so each has its place in a certificate, whatever crashes.
* These records are recalled from nobody: recall tells recipients of an erasure that somebody asked
  for (Art 19); here the time has run out that they, too, were told of, and keep by rules of theirs.
* No step changes more than one epoch: lookups, additions and cases go on between two.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keys.entry import Entry, EntryId, Put
from keys.errors import PageDamaged
from keys.pages import BlobChange
from lookup.cases.standing import Moment
from lookup.custodian.cases.certifying import certifiable, issue, swept_entry
from lookup.custodian.cases.removing import leaving_with
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record
from lookup.custodian.retention.surveying import Survey, Why, judge
from lookup.custodian.retention.sweep_list import (
    MOST_ON_A_LIST,
    Left,
    StandingApproval,
    SweepList,
    new_list,
)
from lookup.officers.proposal import MAX_CAP

MOST_CERTIFIED: Final = 64  # records of one certificate
GONE: Final = "gone"  # by a case, or to where its authority says something else
VOID: Final = "void"  # the list was; the record is as it was

logger = logging.getLogger("lookup.custodian")


@dataclass
class Swept:
    """What one sweep has done; `left` are the records that have left a list alive."""

    destroyed: int = 0
    listed: int = 0
    left: list[Left] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """Return it in JSON."""
        why = Counter(each.why for each in self.left)
        return {"destroyed": self.destroyed, "listed": self.listed, "left": dict(why)}


class Sweep:
    """One night's sweep, in steps."""

    def __init__(self) -> None:
        self.swept = Swept()
        self._due: dict[str, list[EntryId]] = {}
        self._survey: Survey | None = None
        self._room: dict[EntryId, int] = {}  # to list tonight, by approval
        self._waiting: set[EntryId] = set()  # lists that cannot leave tonight

    def step(self, custody: Custody) -> bool:
        """Do some more; say whether that was all."""
        if custody.docket.damaged:
            return True
        now = custody.moment()  # once: what is void and what is ripe are said of one moment
        lists = list(self._leaving(custody, now))
        if lists:
            self._let_leave(custody, lists, now)
            return False
        if not custody.sweeps.are_approved(custody.classes, custody.office):
            return self._end(custody)
        if self._survey is None:
            self._survey = Survey(custody.vault, due=lambda record: self._take(custody, record))
        if not self._survey.walk.is_over:
            self._survey.step(custody)
            return False
        if self._due:
            self._list(custody, *self._due.popitem())
            return False
        return self._end(custody)

    def _leaving(self, custody: Custody, now: Moment) -> Iterator[SweepList]:
        """Yield the lists that leave next: what one epoch change can destroy, within the caps."""
        sweeps = custody.sweeps
        room, left = MOST_ON_A_LIST, dict[EntryId, int]()
        for each in sweeps.lists.values():
            if sweeps.is_void(each, custody.classes, custody.office, now):
                yield each
                continue
            size, approval = len(each.record_ids), _approval_of(custody, each)
            if each.id in self._waiting or not each.is_ripe(now) or size > room:
                continue
            tonight = left.setdefault(approval.id, approval.left(now))
            if size <= tonight:
                room -= size
                left[approval.id] -= size
                yield each

    def _let_leave(self, custody: Custody, lists: Sequence[SweepList], now: Moment) -> None:
        """Destroy what is due of lists; in the same commit they leave."""
        going: dict[EntryId, list[Record]] = {}
        left: list[Left] = []
        for each in lists:
            void = custody.sweeps.is_void(each, custody.classes, custody.office, now)
            found = going.setdefault(each.id, [])
            for record_id in each.record_ids:
                record, why = (None, VOID) if void else _judged(custody, record_id)
                if record is None:
                    left.append(Left(each.authority, record_id, why))
                else:
                    found.append(record)
        destroyed = _destroyed(custody, lists, going)
        if not all(certifiable(custody, entry) for entry in destroyed):
            # A clock on the wall that no certificate can say. Nothing is destroyed by it.
            logger.error("lists of the sweep wait: a certificate could not say the time")
            self._waiting |= {each.id for each in lists if going[each.id]}
            return
        self._destroy(custody, lists, going, destroyed, now)
        self.swept.left += left

    def _destroy(
        self,
        custody: Custody,
        lists: Sequence[SweepList],
        going: dict[EntryId, list[Record]],
        destroyed: Sequence[Entry],
        now: Moment,
    ) -> None:
        counted = _counted(custody, lists, going, now)
        removals = [each.removal() for each in lists]
        also = (
            *(Put(approval.entry()) for approval in counted),
            *(step for batch, _ in removals for step in batch),
        )
        blobs = BlobChange(delete=tuple(name for _, change in removals for name in change.delete))
        records = [record for each in lists for record in going[each.id]]
        leaving_with(custody, records).commit(custody, destroyed, also, blobs)
        custody.sweeps.drop(lists)
        custody.sweeps.approvals.update({each.authority: each for each in counted})
        issue(custody)
        self.swept.destroyed += len(records)

    def _take(self, custody: Custody, record: Record) -> None:
        """Take a record that is due for tonight's lists, if there is room for it."""
        authority = record.body.authority
        approval = _approval_for(custody, authority)
        if approval is None:
            return
        room = self._room.get(approval.id)
        if room is None:
            room = custody.sweeps.room(approval, custody.moment())
        self._room[approval.id] = max(0, room - 1)
        if room:
            self._due.setdefault(authority, []).append(record.id)

    def _list(self, custody: Custody, authority: str, ids: list[EntryId]) -> None:
        """Put some of an authority's records on a list; what is due no more is left out."""
        approval, now = _approval_for(custody, authority), custody.moment()
        if approval is None:
            return
        most = min(MOST_ON_A_LIST, custody.sweeps.room(approval, now))
        now_due = [
            each
            for each in ids[:most]
            if each not in custody.sweeps.listed and _judged(custody, each)[0] is not None
        ]
        if most and ids[most:]:
            self._due[authority] = ids[most:]
        if now_due:
            made = new_list(approval, authority, now, now_due)
            custody.commit((Put(made.entry()),), made.sealed(custody.vault))
            custody.sweeps.put(made)
            self.swept.listed += len(now_due)

    def _end(self, custody: Custody) -> bool:
        swept = self.swept
        custody.sweeps.left = tuple(swept.left[:MAX_CAP])
        logger.info(
            "swept: %d records destroyed, %d listed, %d left a list alive",
            swept.destroyed,
            swept.listed,
            len(swept.left),
        )
        return True


def sweep(custody: Custody) -> Swept:
    """Do a night's sweep at once: for whoever has custody to themselves."""
    night = Sweep()
    while not night.step(custody):
        continue
    return night.swept


def _approval_for(custody: Custody, authority: str) -> StandingApproval | None:
    return custody.sweeps.approval(authority, custody.classes, custody.office)


def _approval_of(custody: Custody, each: SweepList) -> StandingApproval:
    approval = _approval_for(custody, each.authority)
    if approval is None:
        raise AssertionError("unreachable: a list without an approval is void")
    return approval


def _judged(custody: Custody, record_id: EntryId) -> tuple[Record | None, str]:
    """Return a record that may be destroyed today; otherwise why it may not."""
    try:
        record = custody.record(record_id)
    except PageDamaged:
        return None, "damaged"
    if record is None:
        return None, GONE
    found = judge(custody, record, custody.today())
    return (record if found.why is Why.DUE else None), found.why


def _destroyed(
    custody: Custody, lists: Sequence[SweepList], going: dict[EntryId, list[Record]]
) -> list[Entry]:
    """Return what stays of the records of lists."""
    workers = len(custody.door.workers())
    return [
        swept_entry(custody, _approval_of(custody, each), each.at.time, records, workers)
        for each in lists
        for at in range(0, len(going[each.id]), MOST_CERTIFIED)
        for records in (going[each.id][at : at + MOST_CERTIFIED],)
    ]


def _counted(
    custody: Custody, lists: Sequence[SweepList], going: dict[EntryId, list[Record]], now: Moment
) -> list[StandingApproval]:
    """Return the approvals as they count what is destroyed now."""
    found: dict[EntryId, StandingApproval] = {}
    for each in lists:
        if going[each.id]:
            approval = found.get(each.approval) or _approval_of(custody, each)
            found[each.approval] = approval.counting(now, len(going[each.id]))
    return list(found.values())
