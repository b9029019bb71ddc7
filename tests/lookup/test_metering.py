"""What a worker counts: the page's layout, adding up, and times read off buckets."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup import metering
from lookup.errors import PROBLEMS, IndexStale, ServiceError, Unauthorized
from lookup.handoff import COUNTER_WORDS, PassPage, PassReader
from lookup.metering import (
    ANSWERS,
    AUDIT_COMMITS,
    AUDIT_ENTRIES,
    AUDIT_PENDING,
    AUDIT_PENDING_MOST,
    BUCKET_ENDS,
    CONNECTIONS,
    COULD_NOT_CHECK,
    FAMILIES,
    KNOWN,
    NO_RECORD,
    NOTHING,
    TOKENS,
    WORDS,
    Meter,
    add_counters,
    counters_of,
    quantile,
    read_numbers,
    read_times,
)

MICROSECONDS = st.integers(0, 1 << 40)
COUNTS = st.lists(st.integers(0, 1_000), min_size=18, max_size=18)


class Counted:
    """A meter and what a custodian reads of it, over the real page."""

    def __init__(self) -> None:
        self.page = PassPage()
        self.meter = Meter(self.page)
        self._reader = PassReader(self.page.descriptor)

    def read(self) -> list[int]:
        return self._reader.counters()


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_no_two_figures_share_a_word() -> None:
    """And none is a word of the passes, or the layout's."""
    words = [word for family in FAMILIES for word in WORDS[family]]

    assert len(set(words)) == len(words)
    assert min(words) == 1
    assert max(words) < COUNTER_WORDS


def test_every_problem_has_a_word() -> None:
    """One that is added to the table of problems is counted without another line."""
    assert set(COULD_NOT_CHECK.values) == {
        problem.type.rpartition(":")[2] for problem in PROBLEMS.values()
    }


def test_each_call_counts_what_it_says(counted: Counted) -> None:
    meter = counted.meter
    meter.answered(KNOWN, 20)
    meter.answered(NO_RECORD, 5)
    meter.answered(NO_RECORD, 6)
    meter.answered_batch(3, 10, 900)
    meter.could_not_check(Unauthorized())
    meter.could_not_check(IndexStale("just now"))
    meter.committed(7, 600, 2)
    meter.committed(1, 600, 0)
    meter.connected(32)
    page = counted.read()

    assert read_numbers(page, TOKENS) == {"known": 4, "no-record": 9}
    problems = {k: n for k, n in read_numbers(page, COULD_NOT_CHECK).items() if n}
    assert problems == {"unauthorized": 1, "index-stale": 1}
    times = read_times(page, ANSWERS)
    assert (times["lookup"].count, times["lookup"].microseconds) == (3, 31)
    assert times["lookup"].buckets[:3] == (2, 1, 0)
    assert (times["lookups"].count, times["lookups"].microseconds) == (1, 900)
    assert read_times(page, AUDIT_COMMITS)[""].count == 2
    for family, number in (
        (AUDIT_ENTRIES, 8),
        (AUDIT_PENDING, 0),
        (AUDIT_PENDING_MOST, 9),
        (CONNECTIONS, 32),
    ):
        assert read_numbers(page, family) == {"": number}


def test_the_pass_words_stay_what_they_are(counted: Counted) -> None:
    """Whoever waits for lookups in flight must not read a count."""
    counted.page.write_entered(5)
    counted.page.write_left(4)
    counted.meter.answered(KNOWN, 1)

    assert (counted._reader.entered(), counted._reader.left()) == (5, 4)


@given(MICROSECONDS)
def test_a_time_lies_in_the_bucket_that_ends_above_it(microseconds: int) -> None:
    """Exactly one; beyond the last end, in the one without."""
    counted = Counted()
    counted.meter.answered(NO_RECORD, microseconds)
    buckets = read_times(counted.read(), ANSWERS)["lookup"].buckets

    (at,) = (number for number, count in enumerate(buckets) if count)
    ends = (0, *BUCKET_ENDS, 1 << 62)
    assert ends[at] <= microseconds < ends[at + 1]


class Unheard(ServiceError):
    """A problem that is not in the table."""


def test_a_problem_without_a_name_of_its_own_is_counted_as_it_is_told(counted: Counted) -> None:
    counted.meter.could_not_check(Unheard())

    assert read_numbers(counted.read(), COULD_NOT_CHECK)["internal-error"] == 1


@given(st.lists(st.lists(st.integers(0, 1 << 63), min_size=3, max_size=3), max_size=4))
def test_counters_of_processes_add_up(counts: list[list[int]]) -> None:
    """Word by word, and never to what JSON or Prometheus would round."""
    pages = [[*each, *NOTHING[3:]] for each in counts]

    added = add_counters(pages)

    for word in range(3):
        assert added[word] == min(sum(each[word] for each in counts), (1 << 53) - 1)


@pytest.mark.parametrize("layout", [0, 1, metering.LAYOUT + 1])
def test_a_page_of_another_layout_is_not_read(layout: int) -> None:
    """A worker of another version counts in other words, or not at all."""
    page = [layout, *range(1, COUNTER_WORDS)]

    assert sum(counters_of(page)) == 0


@given(COUNTS, st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_its_share(buckets: Sequence[int], share: float) -> None:
    """At most the share is below its bucket, and at least the share up to its end."""
    found = quantile(buckets, share)
    if not sum(buckets):
        assert found is None
        return
    assert found is not None
    below = sum(n for n, end in zip(buckets, BUCKET_ENDS, strict=False) if end < found)
    upto = below + next(
        (n for n, end in zip(buckets, BUCKET_ENDS, strict=False) if end >= found), 0
    )
    assert below <= share * sum(buckets)
    assert upto >= share * sum(buckets) * (1 - 1e-9) or found == BUCKET_ENDS[-1]


def test_quantiles_of_one_bucket_lie_on_a_line() -> None:
    buckets = [0, 0, 100, *[0] * 15]

    assert [quantile(buckets, share) for share in (0.25, 0.5, 1)] == [40, 48, 64]
    assert quantile([0] * 17 + [5], 0.5) == BUCKET_ENDS[-1]
