"""The sweep: what is due is listed, and destroyed a week later; nothing early, nothing else."""

from typing import Any, Final

import pytest

from keys.entry import EntryId, Kind
from lookup.cases.standing import DAY
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import change
from lookup.custodian.records.contents import wanted_blobs
from lookup.custodian.retention import sweeping
from lookup.custodian.retention.sweep_list import WAIT
from lookup.custodian.retention.sweeping import Sweep, sweep
from lookup.errors import Conflict
from lookup.officers.roles import Act
from tests.lookup.custodian.depot import LAST_DAY, NOT_YET, OVER, Depot, certified, opened
from tests.lookup.raw_http import wait_until
from tests.simulator import nhs

NOTHING: Final = {"destroyed": 0, "listed": 0, "left": {}}


class TestTheWeek:
    """Listed tonight, destroyed when a week has passed by both clocks."""

    def test_what_is_due_goes_after_a_week_on_the_list(self, depot: Depot) -> None:
        """With all that was kept of it; the rest stays. A certificate says so, once."""
        gone, stays, later = (
            depot.keep("over"),
            depot.keep("last-", LAST_DAY),
            depot.keep("lat", NOT_YET),
        )
        depot.approve()
        assert depot.night().report() == {"destroyed": 0, "listed": 1, "left": {}}
        assert depot.nights(6) == [(0, 1), *[(0, 0)] * 5], "the second was due the day after"
        assert depot.there(gone, stays, later) == [True] * 3
        assert depot.nights(1) == [(1, 0)]
        assert depot.there(gone, stays, later) == [False, True, True]
        assert depot.nights(1) == [(1, 0)]
        custody = depot.custodian.custody
        assert depot.custodian.call(certified) == [("retention", 1, 1)] * 2
        assert {name for name, _ in custody.store.blob_names()} == {later}
        assert depot.custodian.call(lambda c: len(list(c.vault.scan(Kind.SWEEP)))) == 1
        assert custody.destroyed == 2

    @pytest.mark.parametrize("clock", ["wall", "running"])
    def test_one_clock_alone_destroys_nothing(self, depot: Depot, clock: str) -> None:
        """Years on the wall are not a week that the site has run; nor the other way."""
        record_id = depot.keep("over")
        depot.approve()
        depot.night()
        if clock == "wall":
            depot.clocks.at += 20 * 365 * DAY
        else:
            depot.clocks.run += 20 * 365 * DAY
        assert depot.night().destroyed == 0
        assert depot.there(record_id) == [True]

    def test_a_clock_set_forward_and_back_destroys_nothing_early(self, depot: Depot) -> None:
        """What was listed by the wrong day leaves the list alive, as soon as the day is right."""
        record_id = depot.keep("later", NOT_YET)
        depot.approve()
        depot.clocks.at += 10 * 365 * DAY
        assert depot.night().listed == 1
        depot.clocks.at -= 10 * 365 * DAY
        assert depot.night().report()["left"] == {"void": 1}
        assert depot.nights(8) == [(0, 0)] * 8
        assert depot.there(record_id) == [True]

    def test_a_second_before_the_week_is_over_is_early(self, depot: Depot) -> None:
        record_id = depot.keep("over")
        depot.approve()
        depot.night()
        depot.clocks.let_pass(WAIT - 1)
        assert depot.night().destroyed == 0
        depot.clocks.let_pass(1)
        assert depot.night().destroyed == 1
        assert depot.there(record_id) == [False]

    def test_downtime_is_no_time_on_the_list(self, depot: Depot) -> None:
        """A site that is down for a month has shown its officers nothing in that month."""
        record_id = depot.keep("over")
        depot.approve()
        depot.night()
        depot.custodian.stop()
        depot.clocks.at += 30 * DAY
        with opened(depot.custodian.site) as custodian:
            assert custodian.call(sweep).destroyed == 0
            assert custodian.call(lambda c: c.record(record_id)) is not None
            depot.clocks.let_days_pass(7)
            assert custodian.call(sweep).destroyed == 1
            assert custodian.call(certified) == [("retention", 1, 1)]


class TestApproval:
    """Nothing without an approval of the very classes that are in force."""

    def test_without_one_nothing_is_listed(self, depot: Depot) -> None:
        depot.keep("over")
        assert depot.nights(9) == [(0, 0)] * 9

    def test_it_is_of_the_classes_in_force(self, depot: Depot) -> None:
        for changes in ({"policy": "0" * 64}, {"version": 2}):
            refused = depot.custodian.desk.refused_change(depot.retention(**changes))
            assert "not the retention classes in force" in refused

    def test_other_bytes_in_the_file_end_it(self, depot: Depot) -> None:
        """What was listed leaves the list; the status says why nothing is swept."""
        site, record_id = depot.custodian.site, depot.keep("over")
        depot.approve()
        depot.night()
        depot.custodian.stop()
        edited = depot.custodian.custody.classes.text + "# a byte more\n"
        (site.folder / "classes.toml").write_text(edited)
        site.tables["retention"] = {"classes": "classes.toml"}
        site.configure()
        depot.clocks.let_days_pass(8)
        with opened(site) as custodian:
            assert custodian.call(sweep).report() == {
                "destroyed": 0,
                "listed": 0,
                "left": {"void": 1},
            }
            assert custodian.call(lambda c: c.record(record_id)) is not None
            status = custodian.officer.get("/v1/local/status").json()["retention"]
            assert (status["approvals"], status["differs"], status["listed"]) == (1, 1, 0)

    def test_another_approval_begins_the_week_anew(self, depot: Depot) -> None:
        """Also one that only raises the cap: a list is what was approved when it was made."""
        depot.keep("over")
        depot.approve(cap=1)
        depot.nights(3)
        depot.approve(cap=2)
        assert depot.night().report() == {"destroyed": 0, "listed": 1, "left": {"void": 1}}
        assert depot.nights(7) == [*[(0, 0)] * 6, (1, 0)]

    def test_one_authoritys_approval_sweeps_its_records_alone(self, depot: Depot) -> None:
        own, other = depot.keep("own"), depot.keep("other", authority="BSC")
        depot.approve(authority="AXT")
        depot.nights(8)
        assert depot.there(own, other) == [False, True]

    def test_the_sites_approval_is_for_all_without_their_own(self, depot: Depot) -> None:
        """Each with its own cap."""
        for n in range(1, 4):
            depot.keep("a" * n)
            depot.keep("b" * n, authority="BSC")
        depot.approve(cap=2)
        depot.approve(cap=1, authority="BSC")
        assert depot.night().listed == 3
        assert sorted(each["authority"] for each in depot.told()["records"]) == [
            "AXT",
            "AXT",
            "BSC",
        ]

    def test_it_is_kept_over_starts(self, depot: Depot) -> None:
        depot.keep("over")
        depot.approve(cap=7, authority="AXT")
        before = depot.told()["approvals"]
        depot.custodian.stop()
        with opened(depot.custodian.site) as custodian:
            depot.custodian = custodian
            assert depot.told()["approvals"] == before
            assert before[0]["cap"] == 7
            assert before[0]["in_force"]


class TestCap:
    """No more in a night than officers have approved, however often it is asked for."""

    def test_so_many_are_listed_and_destroyed_a_night(self, depot: Depot) -> None:
        ids = [depot.keep("x" * n) for n in range(1, 6)]
        depot.approve(cap=2)
        assert [depot.night().listed for _ in range(3)] == [2, 0, 0]
        assert depot.nights(9) == [
            *[(0, 2), (0, 1)],
            *[(0, 0)] * 4,
            *[(2, 0), (2, 0), (1, 0)],
        ]
        assert depot.there(*ids) == [False] * 5

    def test_what_is_overdue_waits_for_its_night(self, depot: Depot) -> None:
        """Lists that have become ripe together, after weeks in which nobody swept."""
        ids = [depot.keep("x" * n) for n in range(1, 6)]
        depot.approve(cap=2)
        depot.nights(3)
        depot.clocks.let_days_pass(30)
        assert [depot.night().destroyed for _ in range(3)] == [2, 0, 0]
        assert depot.nights(2) == [(2, 0), (1, 0)]
        assert depot.there(*ids) == [False] * 5

    def test_a_start_gives_no_second_night(self, depot: Depot) -> None:
        """What was destroyed tonight is remembered with the approval."""
        ids = [depot.keep("x" * n) for n in range(1, 4)]
        depot.approve(cap=1)
        depot.nights(3)
        depot.clocks.let_days_pass(30)
        assert depot.night().destroyed == 1
        depot.custodian.stop()
        with opened(depot.custodian.site) as custodian:
            assert custodian.call(sweep).destroyed == 0
            left = custodian.call(lambda c: sum(c.record(each) is not None for each in ids))
            assert left == 2

    def test_of_one_authority_64_are_in_a_certificate(
        self, depot: Depot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And each authority has certificates of its own."""
        monkeypatch.setattr(sweeping, "MOST_CERTIFIED", 2)
        for n in range(1, 4):
            depot.keep("a" * n)
        depot.keep("other", authority="BSC")
        depot.approve()
        depot.nights(8)
        found = depot.custodian.call(certificates)
        told = sorted((each.statement.authority, len(each.statement.records)) for each in found)
        assert told == [("AXT", 1), ("AXT", 2), ("BSC", 1)]

    def test_one_epoch_change_destroys_several_lists(self, depot: Depot) -> None:
        for source in ("one", "four"):
            depot.keep(source)
        depot.keep("other", authority="BSC")
        depot.approve()
        depot.nights(7)
        before = depot.custodian.custody.vault.version.epoch
        assert depot.nights(1) == [(3, 0)]
        assert depot.custodian.custody.vault.version.epoch == before + 1


class TestAlive:
    """Judged again when the week is over: what may not go leaves the list, and why is told."""

    def leaves(self, depot: Depot, why: str) -> None:
        """Let the week end; the listed record is there, off the list, and why is told."""
        (listed,) = depot.told()["records"]
        depot.clocks.let_days_pass(7)
        assert depot.night().report() == {"destroyed": 0, "listed": 0, "left": {why: 1}}
        told = depot.told()
        assert told["records"] == []
        assert told["left"] == [{"record_id": listed["record_id"], "why": why}]
        assert depot.custodian.call(certified) == []

    @pytest.fixture
    def listed(self, depot: Depot) -> EntryId:
        record_id = depot.keep("over")
        depot.approve()
        assert depot.night().listed == 1
        return record_id

    def test_on_hold(self, depot: Depot, listed: EntryId) -> None:
        """G7: nothing on hold is destroyed; after it is lifted the week begins anew."""
        hold = depot.custodian.desk.hold(record=listed.hex())
        (row,) = depot.told()["records"]
        assert (row["why"], row["holds"]) == ("held", [hold])
        self.leaves(depot, "held")
        assert depot.there(listed) == [True]

    def test_in_an_open_case(self, depot: Depot, listed: EntryId) -> None:
        """Its officers decide; a case that ends without a destruction lets it be listed again."""
        case = depot.custodian.desk.open([listed])
        self.leaves(depot, "in-open-case")
        case = depot.custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
        depot.custodian.desk.take("rita", case, Act.WITHDRAW)
        assert depot.nights(8)[-1] == (1, 0)
        assert depot.custodian.call(lambda c: c.docket.cases) == {}, "the case leaves with it"

    def test_what_its_authority_has_corrected(self, depot: Depot, listed: EntryId) -> None:
        """Other days, and it is not due any more."""
        self.put(depot, listed, retention=NOT_YET)
        self.leaves(depot, "not-yet")

    def test_what_says_no_more_how_long(self, depot: Depot, listed: EntryId) -> None:
        self.put(depot, listed, retention=None)
        self.leaves(depot, "without-retention")

    def test_what_hospitals_are_told_of(self, depot: Depot, listed: EntryId) -> None:
        """A plan that protects a child is no matter of a date."""
        self.put(depot, listed, category="child-protection-plan")
        self.leaves(depot, "answered")
        assert depot.custodian.outcome(nhs(4)) == "known"

    def test_what_a_case_has_taken_already(self, depot: Depot, listed: EntryId) -> None:
        """A list may name what is gone."""
        bench = depot.custodian.site.officers
        depot.custodian.call(lambda custody: bench.expunge(custody, listed))
        (row,) = depot.told()["records"]
        assert (row["record_id"], row["why"]) == (listed.hex(), "gone")
        depot.clocks.let_days_pass(7)
        assert depot.night().report()["left"] == {"gone": 1}
        assert depot.custodian.call(certified) == [("art-17-1-a", 1, 1)]

    def put(self, depot: Depot, record_id: EntryId, **changes: Any) -> None:  # noqa: ANN401  # JSON
        members = {"category": "allegation", "retention": OVER} | changes
        draft = depot.custodian.site.draft("over", nhs(4), **members)
        depot.custodian.change(change(record_id, draft, 1))

    def test_the_others_of_a_list_go(self, depot: Depot) -> None:
        held, gone = depot.keep("held"), depot.keep("other")
        depot.approve()
        depot.night()
        depot.custodian.desk.hold(record=held.hex())
        depot.clocks.let_days_pass(7)
        assert depot.night().report() == {"destroyed": 1, "listed": 0, "left": {"held": 1}}
        assert depot.there(held, gone) == [True, False]


class Cut(Exception):
    """Here the process dies."""


class TestCutOff:
    """Wherever a sweep is cut off, a step of it has happened or has not."""

    def test_before_it_certified(self, depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next start makes the one certificate."""
        record_id = depot.keep("over")
        depot.approve()
        depot.night()
        depot.clocks.let_days_pass(7)

        def cut(_: Custody) -> None:
            raise Cut

        with monkeypatch.context() as patched:
            patched.setattr(sweeping, "issue", cut)
            with pytest.raises(Cut):
                depot.night()
        depot.custodian.stop()
        with opened(depot.custodian.site) as custodian:
            assert custodian.call(lambda c: c.record(record_id)) is None
            assert custodian.call(lambda c: c.sweeps.lists) == {}
            assert custodian.call(certified) == [("retention", 1, 1)]
            assert custodian.call(sweep).report() == NOTHING

    def test_between_two_steps(self, depot: Depot) -> None:
        """After each step, a start finds a site that goes on from there; nothing is doubled."""
        ids = [depot.keep("x" * n) for n in range(1, 4)]
        depot.keep("other", authority="BSC")
        depot.approve()
        for steps in range(1, 4):
            night = Sweep()
            for _ in range(steps):
                depot.custodian.call(night.step)
            depot.custodian.stop()
            depot.custodian = opened(depot.custodian.site)
        depot.night()
        assert len(depot.custodian.call(lambda c: c.sweeps.listed)) == 4
        assert depot.nights(7)[-1] == (4, 0)
        assert depot.there(*ids) == [False] * 3
        depot.custodian.stop()

    def test_a_restore_looks_for_lists(self, depot: Depot) -> None:
        """Every blob that a vault has a key for is one that is there."""
        depot.keep("over")
        depot.approve()
        depot.night()
        named, there = depot.custodian.call(
            lambda custody: (set(wanted_blobs(custody.vault)), set(custody.store.blob_names()))
        )
        assert named == there
        assert len(there) == 2

    def test_a_list_whose_blob_was_lost_leaves(self, depot: Depot) -> None:
        """A restored store may lack it: what was on it is listed anew."""
        record_id = depot.keep("over")
        depot.approve()
        depot.night()

        def lose(custody: Custody) -> None:
            for name, version in list(custody.store.blob_names()):
                if name != record_id:
                    custody.vault.commit(
                        (),
                        __import__("keys.pages", fromlist=["x"]).BlobChange(
                            delete=((name, version),)
                        ),
                    )

        depot.custodian.call(lose)
        depot.custodian.stop()
        with opened(depot.custodian.site) as custodian:
            assert custodian.call(sweep).report() == {"destroyed": 0, "listed": 1, "left": {}}


def test_the_writer_sweeps_once_a_day_by_itself(depot: Depot) -> None:
    """With the daily chores, in its idle moments, also under load."""
    record_id = depot.keep("over")
    depot.approve()
    writer = depot.custodian.writer
    for _ in range(2):
        depot.custodian.call(lambda _: setattr(writer, "_day", -1))
        wait_until(
            lambda: depot.custodian.call(lambda _: writer._day >= 0 and writer._sweep is None)
        )
        depot.clocks.let_days_pass(7)
    assert depot.there(record_id) == [False]


def test_what_is_swept_is_answered_by_nobody_any_more(depot: Depot) -> None:
    """A record that was answerable once, and whose window has closed, goes as any other."""
    depot.keep(
        "over",
        {"class": "child-protection", "closed": "1990-01-01"},
        category="child-protection-plan",
        since="2001-01-01",
        until="2002-01-01",
    )
    depot.approve()
    depot.nights(8)
    assert depot.custodian.outcome(nhs(4)) == "no-record"
    assert depot.custodian.call(certified) == [("retention", 1, 1)]


def test_what_a_feed_sends_again_of_it_is_refused(depot: Depot) -> None:
    """G11, as after a case."""
    depot.keep("over")
    depot.approve()
    depot.nights(8)
    with pytest.raises(Conflict, match="was destroyed"):
        depot.keep("over")
