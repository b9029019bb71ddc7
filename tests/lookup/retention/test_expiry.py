"""Nothing early, nothing late: against a second model that walks through the days one by one."""

from datetime import date, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lookup.retention.classes import (
    Classes,
    Clause,
    Clock,
    RetentionClass,
    parse_classes,
    shipped_classes,
)
from lookup.retention.expiry import FIRST_DAY, LAST_DAY, Expiry, Retention, anniversary, expiry
from tests.lookup.retention.calendar import free_from

DAY = timedelta(days=1)
LEAPS = [date(year, 2, 29) for year in (1904, 1996, 2000, 2004, 2096)]
DAYS = st.one_of(
    st.dates(FIRST_DAY, LAST_DAY),
    st.sampled_from(LEAPS),
    st.sampled_from([date(2000, 2, 28), date(2001, 3, 1), FIRST_DAY, LAST_DAY]),
)
MAYBE = st.one_of(st.none(), DAYS)
CODES = sorted(shipped_classes().by_code)


@st.composite
def said(draw: st.DrawFn) -> Retention:
    """What a record may say: any class, any days, no death before birth."""
    found = Retention(draw(st.sampled_from(CODES)), *(draw(MAYBE) for _ in range(4)))
    assume(found.born is None or found.died is None or found.born <= found.died)
    return found


@st.composite
def rules(draw: st.DrawFn) -> RetentionClass:
    """A class that some site may have, on any of the clocks."""
    clocks = draw(st.lists(st.sampled_from(list(Clock)), min_size=1, unique=True))
    keep = [Clause(clock, draw(st.integers(1, 40))) for clock in clocks]
    birth = next((each for each in keep if each.clock is Clock.BIRTH), None)
    if birth is not None and birth.years > 2 and draw(st.booleans()):
        age = draw(st.integers(1, birth.years - 1))
        keep.append(Clause(Clock.DEATH, draw(st.integers(1, birth.years - age)), age))
    return RetentionClass("own", "t", "o", 12, tuple(keep))


def by(each: RetentionClass) -> Classes:
    return Classes(1, bytes(32), "", {each.code: each})


# What is said, and the day from which nothing keeps it; None: nobody knows.
TABLE = {
    "a child in need goes the day after the 21st birthday": (
        Retention("child-in-need", born=date(2005, 6, 7)),
        date(2026, 6, 8),
    ),
    "a looked-after child after the 75th": (
        Retention("looked-after", born=date(1950, 1, 31)),
        date(2025, 2, 1),
    ),
    "who died before 18: 15 years after it": (
        Retention("looked-after", born=date(2000, 5, 5), died=date(2010, 7, 1)),
        date(2025, 7, 2),
    ),
    "who died the day before turning 18": (
        Retention("looked-after", born=date(2000, 5, 5), died=date(2018, 5, 4)),
        date(2033, 5, 5),
    ),
    "who died on the 18th birthday": (
        Retention("looked-after", born=date(2000, 5, 5), died=date(2018, 5, 5)),
        date(2075, 5, 6),
    ),
    "who was born on a leap day turns 18 on March 1st": (
        Retention("looked-after", born=date(2000, 2, 29), died=date(2018, 2, 28)),
        date(2033, 3, 1),
    ),
    "and is 18 on that day": (
        Retention("looked-after", born=date(2000, 2, 29), died=date(2018, 3, 1)),
        date(2075, 3, 2),
    ),
    "a leap day's anniversary in a common year": (
        Retention("child-in-need", born=date(2004, 2, 29)),
        date(2025, 3, 2),
    ),
    "a leap day's anniversary in a leap year": (
        Retention("enquiry-no-further-action", born=date(2000, 2, 29)),
        date(2024, 3, 1),
    ),
    "100 years after 2000, which no leap year is": (
        Retention("adoption", ordered=date(2000, 2, 29)),
        date(2100, 3, 2),
    ),
    "a closure": (Retention("child-protection", closed=date(1990, 12, 31)), date(2026, 1, 1)),
    "an unfounded allegation": (
        Retention("allegation-unfounded", closed=date(2016, 11, 26)),
        date(2026, 11, 27),
    ),
    "days of other clocks are nothing to it": (
        Retention("allegation-unfounded", date(1990, 1, 1), date(2016, 11, 26), None, None),
        date(2026, 11, 27),
    ),
    "no day of birth": (Retention("child-in-need", closed=date(1990, 1, 1)), None),
    "no day of birth, and a death": (Retention("looked-after", died=date(1990, 1, 1)), None),
    "no closure yet": (Retention("child-protection", born=date(1950, 1, 1)), None),
    "no order": (Retention("adoption", born=date(1900, 1, 1)), None),
    "a class that is none": (Retention("moon", date(1900, 1, 1)), None),
    "a death before birth is nothing that shortens": (
        Retention("looked-after", born=date(2000, 1, 1), died=date(1990, 1, 1)),
        date(2075, 1, 2),
    ),
}


@pytest.mark.parametrize(("told", "free"), TABLE.values(), ids=TABLE)
def test_a_record_is_kept_up_to_the_day_and_no_longer(told: Retention, free: date | None) -> None:
    """The day itself is still kept."""
    found = expiry(told, shipped_classes())

    assert found.day == free
    if free is not None:
        assert not found.passed(free - DAY)
        assert found.passed(free)


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        (Retention("looked-after"), (Clock.BIRTH,)),
        (Retention("child-protection"), (Clock.CLOSURE,)),
        (Retention("adoption"), (Clock.ORDER,)),
        (Retention("moon"), ()),
    ],
)
def test_it_says_which_clock_is_missing(told: Retention, missing: tuple[Clock, ...]) -> None:
    """And of an unknown class that none would help."""
    found = expiry(told, shipped_classes())

    assert found == Expiry(None, missing)
    assert not found.passed(date.max)


@given(said())
@settings(max_examples=60)
def test_the_shipped_classes_agree_with_a_calendar(told: Retention) -> None:
    """Day by day, over a hundred years: nothing early, nothing late."""
    found = expiry(told, shipped_classes())

    assert found.day == free_from(told, shipped_classes().by_code[told.code])


@given(rules(), MAYBE, MAYBE, MAYBE, MAYBE)
@settings(max_examples=100)
def test_whatever_a_site_writes_agrees_with_a_calendar(
    own: RetentionClass,
    born: date | None,
    closed: date | None,
    ordered: date | None,
    died: date | None,
) -> None:
    """Any clauses on the four clocks, any days known and unknown."""
    assume(born is None or died is None or born <= died)
    told = Retention("own", born, closed, ordered, died)

    assert expiry(told, by(own)).day == free_from(told, own)


@given(rules(), said(), st.sampled_from(list(Clock)))
def test_what_nobody_knows_makes_nothing_earlier(
    own: RetentionClass, told: Retention, clock: Clock
) -> None:
    """With one day less, a record is kept as long or longer: also where it is the day of death."""
    days = {each: told.day(each) for each in Clock} | {clock: None}
    less = Retention("own", *(days[each] for each in Clock))
    whole = Retention("own", *(told.day(each) for each in Clock))

    known, unknown = expiry(whole, by(own)).day, expiry(less, by(own)).day

    assert unknown is None or (known is not None and unknown >= known)


@given(DAYS, st.integers(1, 150), st.integers(0, 3_000))
def test_later_days_expire_no_earlier(day: date, years: int, later: int) -> None:
    assume(day + DAY * later <= LAST_DAY)

    assert anniversary(day, years) <= anniversary(day + DAY * later, years)


def test_another_version_of_the_classes_is_another_expiry() -> None:
    """What a record says of itself stays; how long it is kept follows the version in force."""
    text = 'version = {}\nsource = "s"\nread = 2026-11-27\n[[class]]\ncode = "own"\ntext = "t"\n'
    text += 'origin = "o"\nreview_months = 6\nkeep = [{{ clock = "closure", years = {} }}]\n'
    first, second = (parse_classes(text.format(*each).encode()) for each in ((1, 10), (2, 6)))
    told = Retention("own", closed=date(2016, 5, 1))

    assert expiry(told, first).day == date(2026, 5, 2)
    assert expiry(told, second).day == date(2022, 5, 2)
    assert first.policy != second.policy


def test_what_a_record_says_prints_no_day() -> None:
    """A day of birth is a child's."""
    assert repr(Retention("looked-after", date(2001, 2, 3))) == "<Retention looked-after>"
