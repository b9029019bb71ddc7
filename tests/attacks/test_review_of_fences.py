"""A review of fences and cursors: how a destroyed record came back, and how a feed ended."""

from collections.abc import Iterator

import pytest

from lookup.officers.proposal import LiftFence
from tests.attacks.test_replay import HORIZON, destroyed, results
from tests.clocks import SetClocks
from tests.simulator import Custodian, Site, nhs, record

OLD = nhs(1)
YEARS = 10 * 366


@pytest.fixture
def clocks() -> SetClocks:
    return SetClocks()


@pytest.fixture
def site(clocks: SetClocks) -> Iterator[Site]:
    with Site() as made:
        made.clocks = clocks
        yield made


def chores(custodian: Custodian) -> None:
    """Do what each day brings."""
    custodian.call(lambda custody: custody.purge(custody.clock()))


class TestWrongClock:
    """A wall clock that is years ahead for a moment, and right again after."""

    def test_takes_no_fence_away(self, site: Site, clocks: SetClocks) -> None:
        """The daily chores run in that moment."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            clocks.let_days_pass(1)
            clocks.at += YEARS * 24 * 3_600
            chores(custodian)
            clocks.at -= YEARS * 24 * 3_600
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
            assert custodian.outcome(OLD) == "no-record"
        with site.open() as custodian:
            assert results(custodian, record("malicious", OLD)) == ["fenced"]

    def test_lets_nothing_past_a_fence(self, site: Site, clocks: SetClocks) -> None:
        """Tonight's feed comes in that moment."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            clocks.at += YEARS * 24 * 3_600
            assert results(custodian, record("malicious", OLD)) == ["fenced"]

    def test_shortens_no_horizon(self, site: Site, clocks: SetClocks) -> None:
        """It is set by years between destruction and chores, and stays so."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            clocks.at += YEARS * 24 * 3_600
            clocks.let_days_pass(HORIZON - 1)
            chores(custodian)
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
            clocks.let_days_pass(2)
            chores(custodian)
            assert results(custodian, record("malicious", OLD)) == ["added"]


class TestTwoFences:
    """Stored again after the horizon, and destroyed again: one reference, two fences."""

    def test_the_one_that_is_over_takes_none_that_stands_with_it(
        self, site: Site, clocks: SetClocks
    ) -> None:
        """Not when the chores remove it, and not over a start."""
        with site.open() as custodian:
            twice(custodian, clocks)
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
            chores(custodian)
            assert custodian.call(lambda custody: len(custody.fences.fences)) == 1
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
        with site.open() as custodian:
            assert results(custodian, record("malicious", OLD)) == ["fenced"]

    def test_both_end(self, site: Site, clocks: SetClocks) -> None:
        """One by one, and no chores of any day end the process."""
        with site.open() as custodian:
            twice(custodian, clocks)
            chores(custodian)
            clocks.let_days_pass(HORIZON + 1)
            chores(custodian)
            assert custodian.call(lambda custody: custody.fences.fences) == {}
            assert results(custodian, record("malicious", OLD)) == ["added"]

    def test_officers_lift_both(self, site: Site, clocks: SetClocks) -> None:
        """They have signed that the record may be stored, not that one fence fewer stands."""
        with site.open() as custodian:
            twice(custodian, clocks)
            custodian.desk.change(LiftFence(authority="AXT", source_ref="malicious"))
            assert custodian.call(lambda custody: custody.fences.fences) == {}
            chores(custodian)
            assert results(custodian, record("malicious", OLD)) == ["added"]


def twice(custodian: Custodian, clocks: SetClocks) -> None:
    """Destroy a record, and again what is stored of it after its horizon, before the chores."""
    destroyed(custodian, "malicious")
    clocks.let_days_pass(HORIZON + 1)
    destroyed(custodian, "malicious")
