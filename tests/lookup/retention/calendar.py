"""A second model of retention, which counts days: slow, and sharing nothing with the first.

It walks through the days one by one, as somebody with a wall calendar would, and counts birthdays.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from lookup.retention.classes import RetentionClass
from lookup.retention.expiry import Retention

DAY = timedelta(days=1)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _returns(begins: date, today: date) -> bool:
    """Say whether today is an anniversary; that of a leap day is kept the day after the 28th."""
    if (begins.month, begins.day) == (2, 29) and not _is_leap(today.year):
        return (today.month, today.day) == (3, 1)
    return (today.month, today.day) == (begins.month, begins.day)


def _years_over(begins: date, years: int, days: Iterator[date]) -> date:
    """Return the first day after so many anniversaries."""
    counted = 0
    for today in days:
        if counted == years:
            return today
        counted += today > begins and _returns(begins, today)
    raise AssertionError("the days are without end")


def _from(day: date) -> Iterator[date]:
    while True:
        yield day
        day += DAY


def _age_at(born: date, died: date) -> int:
    days = (died - born).days
    return sum(_returns(born, born + DAY * n) for n in range(1, days + 1))


def free_from(said: Retention, rules: RetentionClass) -> date | None:
    """Return the first day on which nothing keeps a record; None: nobody knows."""
    days = {
        "birth": said.born,
        "closure": said.closed,
        "order": said.ordered,
        "death": said.died,
    }
    clauses = [(each.clock.value, each.years) for each in rules.keep if each.before_age is None]
    for each in rules.keep:
        if each.before_age is None or said.born is None or said.died is None:
            continue
        if _age_at(said.born, said.died) < each.before_age:
            clauses = [clause for clause in clauses if clause[0] != "birth"]
            clauses.append(("death", each.years))
    free: list[date] = []
    for clock, years in clauses:
        begins = days[clock]
        if begins is None:
            return None
        free.append(_years_over(begins, years, _from(begins)))
    return max(free)
