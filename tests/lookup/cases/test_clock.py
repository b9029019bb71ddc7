from collections.abc import Sequence
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lookup.cases.clock import (
    FIRST_DAY,
    LAST_DAY,
    MAX_EVENTS,
    Clock,
    Event,
    EventKind,
    ExtensionReason,
    InvalidClock,
    Right,
    State,
    add_months,
    next_working_day,
    read_clock,
)
from lookup.cases.law import bank_holidays

RECEIVED, EXTENDED = EventKind.RECEIVED, EventKind.EXTENDED
ASKED, ANSWERED = EventKind.CLARIFICATION_REQUESTED, EventKind.CLARIFICATION_ANSWERED
DOUBTED, CONFIRMED = EventKind.IDENTITY_REQUESTED, EventKind.IDENTITY_CONFIRMED
CHARGED, PAID = EventKind.FEE_REQUESTED, EventKind.FEE_PAID
DAY = timedelta(days=1)

# Another calendar, for the Commissioner's examples of 2024.
OF_2024 = msgspec.structs.replace(
    bank_holidays(),
    first=date(2024, 1, 1),
    last=date(2025, 12, 31),
    holidays=frozenset({date(2024, 12, 25), date(2024, 12, 26), date(2025, 1, 1)}),
)


def on(kind: EventKind, day: str | date) -> Event:
    day = date.fromisoformat(day) if isinstance(day, str) else day
    return Event(kind, day, ExtensionReason.COMPLEXITY if kind is EXTENDED else None)


def clock(*events: tuple[EventKind, str], today: str, right: Right = Right.ERASURE) -> Clock:
    return read_clock([on(*each) for each in events], right, date.fromisoformat(today))


DUE = {
    "the same date a month later": ("2026-03-03", "2026-04-07"),  # 3 April is Good Friday
    "on a working day it stays": ("2026-09-03", "2026-10-05"),  # 3 October is a Saturday
    "the example of 3 September, on a Thursday": ("2027-08-03", "2027-09-03"),
    "from a bank holiday it counts all the same": ("2027-01-01", "2027-02-01"),
    "from a Sunday too": ("2026-06-28", "2026-07-28"),
    "31 January ends with February": ("2027-01-31", "2027-03-01"),  # 28 February is a Sunday
    "31 January of a leap year": ("2028-01-31", "2028-02-29"),
    "29 February": ("2028-02-29", "2028-03-29"),
    "30 January": ("2028-01-30", "2028-02-29"),
    "31 August": ("2026-08-31", "2026-09-30"),
    "over the end of a year": ("2026-12-14", "2027-01-14"),
    "Christmas on a weekend has two days for it": ("2027-11-25", "2027-12-29"),
    "31 March": ("2026-03-31", "2026-04-30"),
}


@pytest.mark.parametrize(("received", "due"), DUE.values(), ids=DUE)
def test_a_month_is_counted_as_the_commissioner_counts_it(received: str, due: str) -> None:
    found = clock((RECEIVED, received), today=received)

    assert found.due == date.fromisoformat(due)
    assert found.state is State.RUNNING
    assert found.notes == ()


@pytest.mark.parametrize(
    ("received", "due"),
    [
        (date(2024, 11, 25), date(2024, 12, 27)),
        (date(2024, 1, 1), date(2024, 2, 1)),
        (date(2024, 1, 31), date(2024, 2, 29)),
        (date(2025, 1, 31), date(2025, 2, 28)),
        (date(2024, 9, 3), date(2024, 10, 3)),
    ],
)
def test_the_commissioners_own_examples(received: date, due: date) -> None:
    """Guidance on the right of access, "How do we calculate a month?", 8 December 2025."""
    found = read_clock([on(RECEIVED, received)], Right.ACCESS, received, OF_2024)

    assert found.due == due


def test_the_clock_starts_with_the_latest_of_receipt_identity_and_fee() -> None:
    """Art 12A(2)."""
    events = [(RECEIVED, "2026-03-02"), (DOUBTED, "2026-03-03"), (CHARGED, "2026-03-04")]
    confirmed = [*events, (CONFIRMED, "2026-03-10")]

    assert clock(*events, today="2026-03-09").state is State.STOPPED
    assert clock(*confirmed, today="2026-03-12").state is State.STOPPED
    paid = clock(*confirmed, (PAID, "2026-03-17"), today="2026-03-17")
    assert (paid.state, paid.due, paid.days_left) == (State.RUNNING, date(2026, 4, 17), 31)


@pytest.mark.parametrize(
    ("answer", "due"),
    [
        ("2026-06-08", "2026-07-02"),  # 1 July, and a day
        ("2026-06-09", "2026-07-03"),
        ("2026-06-13", "2026-07-07"),
        ("2026-08-08", "2026-09-01"),
    ],
)
def test_clarification_stops_the_clock_of_a_request_for_access(answer: str, due: str) -> None:
    """Art 12A(5): from the day of asking to the day of the answer, both included."""
    asked = [(RECEIVED, "2026-06-01"), (ASKED, "2026-06-08")]

    standing = clock(*asked, today=answer, right=Right.ACCESS)
    answered = clock(*asked, (ANSWERED, answer), today=answer, right=Right.ACCESS)

    assert (standing.state, answered.state) == (State.STOPPED, State.RUNNING)
    assert standing.due == answered.due == date.fromisoformat(due)


@pytest.mark.parametrize("right", [right for right in Right if right is not Right.ACCESS])
def test_clarification_stops_no_other_clock(right: Right) -> None:
    """Art 12A(5) speaks of Article 15. An erasure is due all the same, and it is said why."""
    asked = [(RECEIVED, "2026-06-01"), (ASKED, "2026-06-08")]

    found = clock(*asked, today="2026-06-09", right=right)
    answered = clock(*asked, (ANSWERED, "2026-06-12"), today="2026-06-12", right=right)

    assert (found.state, found.due) == (State.RUNNING, date(2026, 7, 1))
    assert answered.due == found.due
    assert "Art 12A(5)" in found.notes[0]


def test_days_on_which_the_clock_stood_still_twice_count_once() -> None:
    events = [(RECEIVED, "2026-06-01"), (ASKED, "2026-06-03"), (ANSWERED, "2026-06-05")]
    again = [*events, (ASKED, "2026-06-05"), (ANSWERED, "2026-06-06")]

    assert clock(*again, today="2026-06-06", right=Right.ACCESS).due == date(2026, 7, 6)  # 5 July


def test_a_pause_before_the_start_adds_nothing_to_it() -> None:
    """The month begins when the identity is confirmed; what came before is not counted anyway."""
    found = clock(
        (RECEIVED, "2026-06-01"),
        (DOUBTED, "2026-06-01"),
        (ASKED, "2026-06-02"),
        (ANSWERED, "2026-06-04"),
        (CONFIRMED, "2026-06-15"),
        today="2026-06-15",
        right=Right.ACCESS,
    )

    assert found.due == date(2026, 7, 15)


def test_an_extension_makes_three_months_of_one() -> None:
    """Art 12A(3); counted from the start, not from the end of the first month."""
    found = clock((RECEIVED, "2026-08-31"), (EXTENDED, "2026-09-30"), today="2026-09-30")

    assert (found.extended, found.due) == (True, date(2026, 11, 30))
    assert found.notes == ()


def test_an_extension_after_the_month_does_not_count() -> None:
    """Art 12A(4)(a)."""
    found = clock((RECEIVED, "2026-06-01"), (EXTENDED, "2026-07-02"), today="2026-07-02")

    assert (found.extended, found.state) == (False, State.OVERDUE)
    assert "Art 12A(4)(a)" in found.notes[0]


def test_a_pause_gives_an_extension_its_days_too() -> None:
    """Art 12A(5)(b)(ii)."""
    found = clock(
        (RECEIVED, "2026-06-01"),
        (ASKED, "2026-06-08"),
        (ANSWERED, "2026-06-12"),
        (EXTENDED, "2026-07-06"),
        today="2026-07-06",
        right=Right.ACCESS,
    )

    assert (found.extended, found.due) == (True, date(2026, 9, 7))  # 1 September + 5 days: a Sunday


@pytest.mark.parametrize("late", [ASKED, DOUBTED, CHARGED])
def test_what_is_asked_after_the_time_has_ended_stops_nothing(late: EventKind) -> None:
    answers = {ASKED: ANSWERED, DOUBTED: CONFIRMED, CHARGED: PAID}
    events = [(RECEIVED, "2026-06-01"), (late, "2026-07-02")]

    found = clock(*events, today="2026-07-03", right=Right.ACCESS)
    answered = clock(*events, (answers[late], "2026-07-09"), today="2026-07-09", right=Right.ACCESS)

    assert (found.state, found.due, found.days_left) == (State.OVERDUE, date(2026, 7, 1), -2)
    assert (answered.state, answered.due) == (State.OVERDUE, date(2026, 7, 1))
    assert "stops nothing" in found.notes[0]


def test_the_due_day_is_the_last_in_time() -> None:
    running, overdue = (
        clock((RECEIVED, "2026-06-01"), today=today) for today in ("2026-07-01", "2026-07-02")
    )

    assert (running.state, running.days_left) == (State.RUNNING, 0)
    assert (overdue.state, overdue.days_left) == (State.OVERDUE, -1)


def test_where_bank_holidays_are_unknown_the_clock_says_so() -> None:
    found = clock((RECEIVED, "2028-12-05"), today="2028-12-05")

    assert found.due == date(2029, 1, 5)
    assert "2028-12-31" in found.notes[0]


REFUSED: dict[str, tuple[Sequence[tuple[EventKind, str]], str]] = {
    "nothing": ((), "1 to"),
    "too much": (((RECEIVED, "2026-06-01"),) * (MAX_EVENTS + 1), "1 to"),
    "no receipt": (((DOUBTED, "2026-06-01"),), "first event"),
    "received twice": (((RECEIVED, "2026-06-01"), (RECEIVED, "2026-06-02")), "received once"),
    "out of order": (((RECEIVED, "2026-06-02"), (DOUBTED, "2026-06-01")), "order"),
    "after today": (((RECEIVED, "2027-06-02"),), "order"),
    "before the GDPR": (((RECEIVED, "2018-05-24"),), "write days"),
    "an answer to nothing": (((RECEIVED, "2026-06-01"), (CONFIRMED, "2026-06-02")), "question"),
    "a payment of nothing": (((RECEIVED, "2026-06-01"), (PAID, "2026-06-02")), "question"),
    "answered twice": (
        (
            (RECEIVED, "2026-06-01"),
            (DOUBTED, "2026-06-01"),
            (CONFIRMED, "2026-06-02"),
            (CONFIRMED, "2026-06-02"),
        ),
        "question",
    ),
    "asked twice": (
        ((RECEIVED, "2026-06-01"), (DOUBTED, "2026-06-01"), (DOUBTED, "2026-06-02")),
        "asked for again",
    ),
    "asked twice in vain": (
        ((RECEIVED, "2026-06-01"), (ASKED, "2026-06-01"), (ASKED, "2026-06-02")),
        "asked for again",
    ),
    "extended twice": (
        ((RECEIVED, "2026-06-01"), (EXTENDED, "2026-06-01"), (EXTENDED, "2026-06-02")),
        "extended once",
    ),
}


@pytest.mark.parametrize(("events", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_have_happened_is_refused(
    events: Sequence[tuple[EventKind, str]], rule: str
) -> None:
    with pytest.raises(InvalidClock, match=rule):
        clock(*events, today="2026-12-01")


def test_an_extension_has_a_reason_and_nothing_else_has() -> None:
    """Art 12A(4)(b)."""
    received = on(RECEIVED, "2026-06-01")
    for event in (
        Event(EXTENDED, received.day),
        Event(DOUBTED, received.day, ExtensionReason.NUMBER),
    ):
        with pytest.raises(InvalidClock, match="reason"):
            read_clock([received, event], Right.ERASURE, received.day)


def test_no_clock_runs_beyond_the_last_day() -> None:
    with pytest.raises(InvalidClock, match="write days"):
        read_clock([on(RECEIVED, "2026-06-01")], Right.ERASURE, LAST_DAY + DAY)


DAYS = st.dates(FIRST_DAY, date(2060, 1, 1))
SHORT = st.integers(0, 40)
RIGHTS = st.sampled_from(list(Right))
# What may happen in one step after the receipt; pairs, so that every question is answered.
Step = tuple[tuple[EventKind, EventKind], int, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from([(ASKED, ANSWERED), (DOUBTED, CONFIRMED), (CHARGED, PAID)]), SHORT, SHORT
    ),
    max_size=4,
)


def history(received: date, steps: list[Step]) -> list[Event]:
    """Return questions and answers, one after the other."""
    events, day = [on(RECEIVED, received)], received
    for (question, answer), until_asked, until_answered in steps:
        asked = day + until_asked * DAY
        day = asked + until_answered * DAY
        events += [on(question, asked), on(answer, day)]
    return events


@given(DAYS, STEPS, RIGHTS)
def test_nothing_is_due_before_28_days(received: date, steps: list[Step], right: Right) -> None:
    events = history(received, steps)

    found = read_clock(events, right, events[-1].day)

    assert found.due >= received + 28 * DAY
    assert found.days_left == (found.due - events[-1].day).days
    assert next_working_day(found.due, bank_holidays()) == found.due


@given(DAYS, STEPS, RIGHTS, st.data())
def test_no_pause_makes_anything_due_earlier(
    received: date,
    steps: list[Step],
    right: Right,
    data: st.DataObject,
) -> None:
    """A question and its answer, added at the end or taken out of the middle of a history."""
    assume(steps)
    out = data.draw(st.integers(1, len(steps))) * 2 - 1
    events = history(received, steps)
    fewer = events[:out] + events[out + 2 :]
    today = events[-1].day

    assert read_clock(fewer, right, today).due <= read_clock(events, right, today).due


@given(DAYS, STEPS, RIGHTS, SHORT)
def test_a_later_answer_makes_nothing_due_earlier(
    received: date,
    steps: list[Step],
    right: Right,
    later: int,
) -> None:
    """So what a standing clock shows is never later than what it will be."""
    assume(steps)
    *events, answer = history(received, steps)
    today = answer.day + later * DAY

    waiting = read_clock(events, right, answer.day)
    soon = read_clock([*events, answer], right, today)
    late = read_clock([*events, on(answer.kind, today)], right, today)

    assert waiting.due == read_clock([*events, answer], right, answer.day).due
    assert waiting.due <= soon.due <= late.due


@given(DAYS, STEPS, RIGHTS, SHORT, st.sampled_from(list(ExtensionReason)))
def test_an_extension_makes_nothing_due_earlier(
    received: date,
    steps: list[Step],
    right: Right,
    later: int,
    reason: ExtensionReason,
) -> None:
    events = history(received, steps)
    today = events[-1].day + later * DAY
    plain = read_clock(events, right, today)

    extended = read_clock([*events, Event(EXTENDED, today, reason)], right, today)

    assert extended.extended == (plain.state is not State.OVERDUE)
    assert extended.due >= plain.due + (59 - 4 if extended.extended else 0) * DAY


@given(DAYS, DAYS)
def test_who_asks_later_is_answered_no_earlier(one: date, other: date) -> None:
    first, second = (
        read_clock([on(RECEIVED, day)], Right.ERASURE, day).due for day in sorted((one, other))
    )

    assert first <= second


@given(DAYS, RIGHTS, SHORT, SHORT)
def test_once_overdue_always_overdue(received: date, right: Right, later: int, then: int) -> None:
    """No question reopens a time that has ended."""
    due = read_clock([on(RECEIVED, received)], right, received).due
    late = due + (1 + later) * DAY

    found = read_clock([on(RECEIVED, received), on(DOUBTED, late)], right, late + then * DAY)

    assert (found.state, found.due) == (State.OVERDUE, due)


@given(DAYS, st.integers(0, 36))
def test_a_month_on_is_the_same_number_or_the_last_day(day: date, months: int) -> None:
    later = add_months(day, months)

    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later.day < day.day and (later + DAY).day == 1)
