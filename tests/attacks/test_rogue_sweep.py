"""A6 and the sweep: what one officer, or who keeps the machine, cannot make it destroy.

The week on the list, the cap a night, and the classes that it goes by are what several have signed;
one clock that is set, a file that is edited, a signature that is played again change none of them.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from keys.entry import EntryId
from lookup.cases.standing import DAY
from lookup.custodian.records.adding import add, change
from lookup.custodian.retention.sweep_list import StandingApproval
from lookup.custodian.retention.sweeping import sweep
from lookup.officers.proposal import Change, LiftHold, SetRetention
from lookup.officers.roles import Role
from lookup.retention.classes import parse_classes
from tests.clocks import SetClocks
from tests.officers import ROLES, Json
from tests.simulator import Custodian, Site, nhs

PROPOSE: Final = "/v1/officers/proposals"
APPROVE: Final = f"{PROPOSE}/approve"
DUE: Final = {"class": "allegation-unfounded", "closed": "2001-01-01"}
KEPT: Final = {"class": "child-in-need", "born": "2020-01-01"}


class Crew(Site):
    """As a site has it, with one who has every role that a person may have, and registers too."""

    roles = ROLES | {"eve": frozenset(Role)}


@pytest.fixture
def crew() -> Iterator[Custodian]:
    with Crew() as site:
        site.clocks = SetClocks()
        with site.open() as custodian:
            yield custodian
        assert custodian.failures == []


@pytest.fixture
def clocks(crew: Custodian) -> SetClocks:
    assert isinstance(crew.site.clocks, SetClocks)
    return crew.site.clocks


def keep(crew: Custodian, source: str, said: Json) -> EntryId:
    """Add a record that no hospital is told of."""
    draft = crew.site.draft(source, nhs(len(source)), category="allegation", retention=said)
    return crew.change(add(draft)).record_id


def of_now(crew: Custodian, cap: int = 1) -> SetRetention:
    """The change that approves the classes in force."""
    classes = crew.custody.classes
    return SetRetention(policy=classes.policy.hex(), version=classes.version, cap=cap)


def alone(crew: Custodian, wanted: Change) -> None:
    """Propose a change, and approve it with the one key that there is: in every way."""
    desk, signer = crew.desk, crew.desk.signer("eve")
    changes = desk.told("eve", "GET", "/v1/officers")["changes"]
    proposed = signer.proposal(wanted, changes)
    response = desk.ask("eve", "POST", PROPOSE, proposed)
    if response.status_code >= 400:
        return
    proposal_id = bytes.fromhex(response.json()["proposal"])
    for signed in (signer.approval(proposal_id, wanted), proposed) * 2:
        assert desk.ask("eve", "POST", APPROVE, signed).status_code in {400, 409}


def is_there(crew: Custodian, record_id: EntryId) -> bool:
    return crew.call(lambda custody: custody.record(record_id)) is not None


def approvals(crew: Custodian) -> list[StandingApproval]:
    """What is approved, but for what was destroyed by it."""
    found = crew.call(lambda custody: list(custody.sweeps.approvals.values()))
    return [replace(each, since=0, destroyed=0) for each in found]


class TestOneOfficer:
    """One key with every role."""

    def test_approves_no_sweep(self, crew: Custodian, clocks: SetClocks) -> None:
        record_id = keep(crew, "due", DUE)
        alone(crew, of_now(crew, 10_000))
        for _ in range(10):
            clocks.let_days_pass(1)
            crew.call(sweep)
        assert approvals(crew) == []
        assert is_there(crew, record_id)

    def test_raises_no_cap_and_begins_no_week_anew(
        self, crew: Custodian, clocks: SetClocks
    ) -> None:
        """Where others have approved a record a night, it is one, on its day."""
        ids = [keep(crew, "x" * n, DUE) for n in range(1, 4)]
        crew.desk.change(of_now(crew))
        crew.call(sweep)
        before = approvals(crew)
        for _ in range(6):
            clocks.let_days_pass(1)
            alone(crew, of_now(crew, 10_000))
            crew.call(sweep)
        assert approvals(crew) == before
        assert [is_there(crew, each) for each in ids] == [True] * 3
        clocks.let_days_pass(1)
        assert crew.call(sweep).destroyed == 1

    def test_plays_no_approval_again(self, crew: Custodian) -> None:
        """What honest ones have signed for a cap of ten is over with the next approval."""
        desk, wanted = crew.desk, of_now(crew, 10)
        changes = desk.told("ada", "GET", "/v1/officers")["changes"]
        proposed = desk.signer("rita").proposal(wanted, changes)
        told = desk.told("rita", "POST", PROPOSE, proposed)
        signed = [
            desk.signer(name).approval(bytes.fromhex(told["proposal"]), wanted)
            for name in ("ana", "leo")
        ]
        for name, each in zip(("ana", "leo"), signed, strict=True):
            desk.told(name, "POST", APPROVE, each)
        desk.change(of_now(crew, 1))
        again = [desk.ask("eve", "POST", PROPOSE, proposed)]
        again += [desk.ask("eve", "POST", APPROVE, each) for each in signed]
        assert {each.status_code for each in again} <= {403, 404, 409}
        assert [each.cap for each in approvals(crew)] == [1]

    def test_lifts_no_hold(self, crew: Custodian, clocks: SetClocks) -> None:
        record_id = keep(crew, "due", DUE)
        crew.desk.change(of_now(crew))
        hold = crew.desk.hold("leo", record=record_id.hex())
        alone(crew, LiftHold(hold=hold))
        for _ in range(9):
            clocks.let_days_pass(1)
            crew.call(sweep)
        assert is_there(crew, record_id)

    def test_what_a_feed_says_of_a_day_is_seen_for_a_week(
        self, crew: Custodian, clocks: SetClocks
    ) -> None:
        """Who registers may lie about a closure; one other who reads the list stops it."""
        record_id = keep(crew, "lie", KEPT)
        crew.desk.change(of_now(crew))
        lie = crew.site.draft("lie", nhs(3), category="allegation", retention=DUE)
        crew.change(change(record_id, lie, 1))
        crew.call(sweep)
        clocks.let_days_pass(6.9)
        assert crew.call(sweep).destroyed == 0
        (listed,) = crew.desk.told("ada", "GET", "/v1/retention")["records"]
        crew.desk.hold("sam", record=listed["record_id"])
        clocks.let_days_pass(1)
        assert crew.call(sweep).destroyed == 0
        assert is_there(crew, record_id)


class TestKeeper:
    """Whoever keeps the machine: clocks, the file of the classes, the local socket."""

    def test_sweeps_no_more_often_than_once_a_night(
        self, crew: Custodian, clocks: SetClocks
    ) -> None:
        for n in range(1, 4):
            keep(crew, "x" * n, DUE)
        crew.desk.change(of_now(crew))
        done = [0]
        for _ in range(8):
            told = [crew.officer.post("/v1/local/retention/sweep").json() for _ in range(5)]
            assert sum(each["listed"] for each in told) <= 1
            done.append(sum(each["destroyed"] for each in told))
            clocks.let_days_pass(1)
        assert done[-1] == 1
        assert max(done) == 1

    @pytest.mark.parametrize("years", [1, 20, 60])
    def test_a_clock_set_forward_destroys_nothing(
        self, crew: Custodian, clocks: SetClocks, years: int
    ) -> None:
        """Not what is not due, and not what is due, before a week has run."""
        ids = [keep(crew, "due", DUE), keep(crew, "kept", KEPT)]
        crew.desk.change(of_now(crew, 10))
        crew.call(sweep)
        for _ in range(20):
            clocks.at += years * 365 * DAY // 20
            assert crew.call(sweep).destroyed == 0
        assert all(is_there(crew, each) for each in ids)

    def test_an_edited_file_of_classes_sweeps_nothing(
        self, crew: Custodian, clocks: SetClocks
    ) -> None:
        """Years made fewer: nothing is listed by it, and what was listed leaves the list."""
        site, kept = crew.site, keep(crew, "kept", KEPT)
        due = keep(crew, "due", DUE)
        crew.desk.change(of_now(crew, 10))
        crew.call(sweep)
        edited = crew.custody.classes.text.replace("years = 21", "years = 1")
        assert parse_classes(edited.encode()).version == crew.custody.classes.version
        crew.stop()
        (site.folder / "classes.toml").write_text(edited)
        site.tables["retention"] = {"classes": "classes.toml"}
        site.configure()
        with site.open() as again:
            for _ in range(10):
                clocks.let_days_pass(1)
                assert again.call(sweep).destroyed == 0
            alone(again, of_now(again, 10))
            for _ in range(10):
                clocks.let_days_pass(1)
                assert again.call(sweep).listed == 0
            assert is_there(again, kept)
            assert is_there(again, due)
            status = again.officer.get("/v1/local/status").json()
            assert status["retention"]["differs"] == 1
