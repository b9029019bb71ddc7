"""Expiry: from which day on a record may be destroyed, or why nobody can say.

    last day kept = the latest of: anniversary(day of the clause's clock, its years)
    expiry        = the day after

Invariants:

* Never early: where a clock that counts has no day, or the class is not known, there is no expiry,
  and `Expiry` says what is missing.
* The anniversary of February 29th in a common year is March 1st; the day itself is still kept.
* A clause with `before_age` takes the place of birth's, and of no other, for who died before the
  anniversary of that age.

Pure: no clock; whether the day has come is the caller's to ask.
"""

from datetime import date, timedelta
from typing import Final, NamedTuple

import msgspec

from lookup.retention.classes import Classes, Clause, Clock, RetentionClass

FIRST_DAY: Final = date(1900, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)
_ONE_DAY: Final = timedelta(days=1)


class Retention(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a record says of how long it is kept: a class, and the days of its clocks.

    A day that nobody knows is None. `born` and `died` are of the person whose record it is.
    """

    code: str
    born: date | None = None
    closed: date | None = None
    ordered: date | None = None
    died: date | None = None

    def day(self, clock: Clock) -> date | None:
        """Return from when a clock counts; None: not known."""
        if clock is Clock.BIRTH:
            return self.born
        if clock is Clock.CLOSURE:
            return self.closed
        return self.ordered if clock is Clock.ORDER else self.died

    def __repr__(self) -> str:
        return f"<Retention {self.code}>"


class Expiry(NamedTuple):
    """The day from which a record may be destroyed; without one, the clocks that are missing.

    Neither day nor clock: the class is none of those in force.
    """

    day: date | None
    missing: tuple[Clock, ...] = ()

    def passed(self, today: date) -> bool:
        """Say whether it may be destroyed today."""
        return self.day is not None and self.day <= today


def expiry(retention: Retention, classes: Classes) -> Expiry:
    """Return from when a record may be destroyed by these classes."""
    found = classes.by_code.get(retention.code)
    if found is None:
        return Expiry(None)
    missing = tuple(each.clock for each in found.always if retention.day(each.clock) is None)
    if missing:
        return Expiry(None, missing)
    return Expiry(max(_last_day(each, found, retention) for each in found.always) + _ONE_DAY)


def _last_day(clause: Clause, of: RetentionClass, retention: Retention) -> date:
    begins, early, died = retention.day(clause.clock), of.early_death, retention.died
    if begins is None:
        raise AssertionError("unreachable: a clock without a day was found to be missing")
    if clause.clock is Clock.BIRTH and died is not None:
        age = None if early is None else early.before_age
        if early is not None and age is not None and begins <= died < anniversary(begins, age):
            return anniversary(died, early.years)
    return anniversary(begins, clause.years)


def anniversary(day: date, years: int) -> date:
    """Return the same day so many years on; of a February 29th that is not there, March 1st."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
