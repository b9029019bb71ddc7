"""The survey: what becomes of each record by its retention, today.

Invariants:

* `judge` is the one place that says whether a record may be swept: it has run out by the classes in
  force, no hold covers it, no open case names it, and no hospital is told of it. What hospitals are
  told of protects a child, whatever its days say: somebody has to end that first.
* What a feed says of a record that is detached is believed where it keeps that for longer: nobody
  has decided on it yet. So is what cannot be read.
* A survey looks at every record and changes nothing.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final, NamedTuple

from keys.entry import EntryId, Kind
from keys.vault import Vault
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record, decode_body
from lookup.custodian.records.walking import Walk
from lookup.custodian.retention.holding import Hold
from lookup.retention.expiry import Expiry, expiry

_LEAVES_PER_STEP: Final = 256


class Why(StrEnum):
    """What a record is to the sweep."""

    WITHOUT = "without-retention"
    UNKNOWN_CLASS = "unknown-class"
    UNKNOWN_CLOCK = "unknown-clock"
    NOT_YET = "not-yet"
    HELD = "held"
    OPEN_CASE = "in-open-case"
    ANSWERED = "answered"
    DUE = "due"


class Verdict(NamedTuple):
    """What a record is to the sweep, its expiry, and which holds keep it."""

    why: Why
    expiry: Expiry = Expiry(None)
    holds: tuple[Hold, ...] = ()


_WITHOUT: Final = Verdict(Why.WITHOUT)


def judge(custody: Custody, record: Record, today: date) -> Verdict:
    """Return what becomes of a record."""
    retention = record.body.retention
    if retention is None:
        return _WITHOUT
    found = expiry(retention, custody.classes)
    if found.day is None:
        return Verdict(Why.UNKNOWN_CLOCK if found.missing else Why.UNKNOWN_CLASS, found)
    if not found.passed(today):
        return Verdict(Why.NOT_YET, found)
    holds = tuple(custody.holds.over([record]))
    return Verdict(Why.HELD if holds else _kept_by(custody, record, today), found, holds)


def _kept_by(custody: Custody, record: Record, today: date) -> Why:
    if custody.docket.open_case_of(record.id) is not None:
        return Why.OPEN_CASE
    if custody.docket.lost_on_hold({record.id}):
        return Why.HELD
    if _waits_for_longer(custody, record, today):
        return Why.NOT_YET
    return Why.ANSWERED if custody.protects(record.body) else Why.DUE


def _waits_for_longer(custody: Custody, record: Record, today: date) -> bool:
    """Say whether what is parked of a record, which is detached perhaps, is not due."""
    for parked in custody.lot.about([record.id]):
        draft = parked.draft(custody.vault, custody.store, custody.catalogue, custody.classes)
        said = None if draft is None else draft.retention
        return said is None or not expiry(said, custody.classes).passed(today)
    return False


def _nowhere(_: Record) -> None:
    """A survey alone does nothing with what is due."""


@dataclass
class Survey:
    """Counts what becomes of all records, or of one authority's; hands on what is due.

    `years` are those of expiry and `clocks` those that are missing, by class.
    """

    vault: InitVar[Vault]
    authority: str | None = None
    due: Callable[[Record], None] = _nowhere
    counts: Counter[Why] = field(default_factory=Counter)
    listed: int = 0
    years: dict[str, Counter[int]] = field(default_factory=dict)
    clocks: dict[str, Counter[str]] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)
    walk: Walk[tuple[EntryId, bytes]] = field(init=False)

    def __post_init__(self, vault: Vault) -> None:
        self.walk = Walk(vault.leaves, lambda leaves: vault.scan_bodies(Kind.RECORD, leaves))

    def step(self, custody: Custody) -> bool:
        """Look at some more records; say whether that were all."""
        today = custody.today()
        for record_id, raw in self.walk.step(_LEAVES_PER_STEP):
            record = Record(record_id, 0, 0, decode_body(raw))
            if self.authority in {None, record.body.authority}:
                self._count(custody, record, judge(custody, record, today))
        return self.walk.is_over

    def _count(self, custody: Custody, record: Record, found: Verdict) -> None:
        self.counts[found.why] += 1
        retention = record.body.retention
        if retention is None:
            return
        if found.expiry.day is not None:
            self.years.setdefault(retention.code, Counter())[found.expiry.day.year] += 1
        for clock in found.expiry.missing:
            self.clocks.setdefault(retention.code, Counter())[clock] += 1
        self.held.update(each.id.hex() for each in found.holds)
        if record.id in custody.sweeps.listed:
            self.listed += 1
        elif found.why is Why.DUE:
            self.due(record)

    def report(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            "records": self.counts.total(),
            **{why.value: self.counts[why] for why in Why},
            "listed": self.listed,
            "holds": dict(self.held),
            "clocks": {code: dict(clocks) for code, clocks in sorted(self.clocks.items())},
            "years": {
                code: {str(year): years[year] for year in sorted(years)}
                for code, years in sorted(self.years.items())
            },
            "damaged_pages": self.walk.damaged,
        }
