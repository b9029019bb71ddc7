"""The clock of a data subject's request: UK GDPR Art 12(3) and 12A.

    start = the latest of: request received, identity confirmed, fee paid           Art 12A(2)
    ends  = the day of the same number, 1 month (3 when extended) after start,
            or the last day of that month where it is shorter
          + the days on which the clock stood still                                 Art 12A(5)
    due   = ends, or the next working day                                           ICO guidance

Pure: today is an argument, and so are holidays.

Invariants:

* Clarification stops the clock of a request for *access* only (Art 12A(5) says Article 15): both
  the day of asking and the day of the answer do not count. For an erasure it stops nothing.
* While identity or fee is outstanding the clock has not started (Art 12(6)(b), 12A(2)). While the
  clock stands still, `due` is what it would be if the answer came today: not later than it will be.
* An extension counts if its notice is given before the first month ends (Art 12A(4)(a)). What is
  asked for, or noticed, after the time has ended changes nothing; the clock says so in `notes`.
* `due` is at least 28 days after receipt. No answer that comes later, no pause and no extension
  makes it earlier.

Art 12A was inserted by the Data (Use and Access) Act 2025 (c. 18) s. 76, in force from 5 February
2026 by SI 2026/82 (read in a secondary source; its transitional provisions were not seen). Counting
from the day of receipt to the same date, and on to the next working day, is the Information
Commissioner's guidance on the right of access as of 8 December 2025.
"""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from lookup.cases.law import BankHolidays, bank_holidays

FIRST_DAY: Final = date(2018, 5, 25)  # the GDPR applies; Art 12(3) had the same month
LAST_DAY: Final = date(2199, 12, 31)
MAX_EVENTS: Final = 64
_MONTHS: Final = 1
_MONTHS_EXTENDED: Final = 3


class InvalidClock(ValueError):
    """The events cannot have happened so; the message names the rule."""


class Right(StrEnum):
    """What a request asks for."""

    ACCESS = "art-15"
    RECTIFICATION = "art-16"
    ERASURE = "art-17"
    RESTRICTION = "art-18"
    OBJECTION = "art-21"


class EventKind(StrEnum):
    """What moves the clock."""

    RECEIVED = "received"
    IDENTITY_REQUESTED = "identity-requested"
    IDENTITY_CONFIRMED = "identity-confirmed"
    FEE_REQUESTED = "fee-requested"
    FEE_PAID = "fee-paid"
    CLARIFICATION_REQUESTED = "clarification-requested"
    CLARIFICATION_ANSWERED = "clarification-answered"
    EXTENDED = "extended"


class ExtensionReason(StrEnum):
    """Why two further months are necessary: Art 12A(3) knows these two."""

    COMPLEXITY = "complexity"
    NUMBER = "number-of-requests"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a request on a day. An extension has its reason."""

    kind: EventKind
    day: date
    reason: ExtensionReason | None = None


class State(StrEnum):
    """What the clock does today."""

    RUNNING = "running"
    STOPPED = "stopped"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Clock:
    """How a request stands on a day. `days_left` is negative once it is overdue."""

    state: State
    due: date
    days_left: int
    extended: bool
    notes: tuple[str, ...]


def read_clock(
    events: Sequence[Event], right: Right, today: date, holidays: BankHolidays | None = None
) -> Clock:
    """Return how the clock stands on a day; without holidays, by those of England and Wales.

    The events are in the order in which they happened. Raises InvalidClock.
    """
    _require_days(events, today)
    reading = _Reading(right, holidays or bank_holidays())
    for event in events:
        reading.take(event)
    due = reading.due(today)
    state = (
        State.OVERDUE if today > due else State.STOPPED if reading.outstanding else State.RUNNING
    )
    notes = (*reading.notes, *_coverage(due, reading.holidays))
    return Clock(state, due, (due - today).days, reading.months == _MONTHS_EXTENDED, notes)


def add_months(day: date, months: int) -> date:
    """Return the day of the same number so many months on, or the last day of a shorter month."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def next_working_day(day: date, holidays: BankHolidays) -> date:
    """Return the day itself, or the first after it that is neither weekend nor bank holiday."""
    while day.weekday() >= 5 or day in holidays.holidays:
        day += timedelta(days=1)
    return day


def _coverage(due: date, holidays: BankHolidays) -> tuple[str, ...]:
    if holidays.first <= due <= holidays.last:
        return ()
    known = f"{holidays.first} to {holidays.last}"
    return (f"bank holidays are known from {known}: the due date heeds weekends alone",)


def _require_days(events: Sequence[Event], today: date) -> None:
    if not 1 <= len(events) <= MAX_EVENTS:
        raise InvalidClock(f"a clock has 1 to {MAX_EVENTS} events")
    days = [*(event.day for event in events), today]
    if days != sorted(days):
        raise InvalidClock("write events in the order of their days, none after today")
    if days[0] < FIRST_DAY or days[-1] > LAST_DAY:
        raise InvalidClock(f"write days from {FIRST_DAY} to {LAST_DAY}")
    if events[0].kind is not EventKind.RECEIVED:
        raise InvalidClock("the first event is the receipt of the request")


_ANSWERS: Final = {
    EventKind.IDENTITY_CONFIRMED: EventKind.IDENTITY_REQUESTED,
    EventKind.FEE_PAID: EventKind.FEE_REQUESTED,
    EventKind.CLARIFICATION_ANSWERED: EventKind.CLARIFICATION_REQUESTED,
}
_QUESTIONS: Final = frozenset(_ANSWERS.values())


@dataclass(slots=True)
class _Reading:
    """A clock while its events are taken in."""

    right: Right
    holidays: BankHolidays
    start: date | None = None
    months: int = _MONTHS
    still: list[tuple[date, date]] = field(default_factory=list)
    outstanding: dict[EventKind, date] = field(default_factory=dict)
    idle: set[EventKind] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def due(self, today: date) -> date:
        """Return when the time ends, if whatever is outstanding came today."""
        if self.start is None:
            raise AssertionError("unreachable: the first event is the receipt")
        asked = self.outstanding.get(EventKind.CLARIFICATION_REQUESTED)
        waits_to_start = self.outstanding.keys() - {EventKind.CLARIFICATION_REQUESTED}
        start = today if waits_to_start else self.start
        still = [*self.still, (asked, today)] if asked else self.still
        ends = add_months(start, self.months) + timedelta(days=_days_within(still, start))
        return next_working_day(ends, self.holidays)

    def take(self, event: Event) -> None:
        if (event.reason is not None) != (event.kind is EventKind.EXTENDED):
            raise InvalidClock("an extension has a reason, and nothing else has")
        if event.kind is EventKind.RECEIVED:
            self._receive(event)
        elif event.kind is EventKind.EXTENDED:
            self._extend(event)
        elif event.kind in _QUESTIONS:
            self._ask(event)
        else:
            self._answer(event, _ANSWERS[event.kind])

    def _receive(self, event: Event) -> None:
        if self.start is not None:
            raise InvalidClock("a request is received once")
        self.start = event.day

    def _ended(self, event: Event) -> bool:
        return event.day > self.due(event.day)

    def _extend(self, event: Event) -> None:
        if self.months == _MONTHS_EXTENDED:
            raise InvalidClock("a request is extended once")
        if self._ended(event):
            self.notes.append(
                f"the extension of {event.day} came after the month and does not count"
                " (Art 12A(4)(a))"
            )
        else:
            self.months = _MONTHS_EXTENDED

    def _ask(self, event: Event) -> None:
        if event.kind in self.outstanding or event.kind in self.idle:
            raise InvalidClock("what is asked for is answered before it is asked for again")
        if event.kind is EventKind.CLARIFICATION_REQUESTED and self.right is not Right.ACCESS:
            why = "stops the clock of a request for access only (Art 12A(5))"
        elif self._ended(event):
            why = "came after the time had ended and stops nothing"
        else:
            self.outstanding[event.kind] = event.day
            return
        self.idle.add(event.kind)
        self.notes.append(f"{event.kind} on {event.day} {why}")

    def _answer(self, event: Event, question: EventKind) -> None:
        if question in self.idle:
            self.idle.remove(question)
            return
        asked = self.outstanding.pop(question, None)
        if asked is None:
            raise InvalidClock("an answer comes after its question")
        if question is EventKind.CLARIFICATION_REQUESTED:
            self.still.append((asked, event.day))
        else:
            self.start = event.day


def _days_within(spans: Sequence[tuple[date, date]], start: date) -> int:
    """Return how many days lie in these spans, both ends included, each once, none before start."""
    return len(
        {
            day
            for first, last in spans
            for day in range(max(first, start).toordinal(), last.toordinal() + 1)
        }
    )
