"""What a second review of recalls, remedies and the rest of the rights has found."""

import time
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from keys.entry import EntryId, Kind
from lookup.custodian.cases.case import removal
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import MOST_LOST
from lookup.custodian.starting import publish
from lookup.officers.proposal import AttachRecord, LiftHold, SetRules
from lookup.officers.roles import Act
from tests import simulator
from tests.clocks import SetClocks
from tests.lookup.custodian.audit.test_auditing import handles_of
from tests.lookup.custodian.cases.test_recalling import now, settle
from tests.lookup.custodian.cases.test_remedies import carry_out, correcting, read, send, unlinking
from tests.lookup.custodian.depot import OVER, Depot, opened, start
from tests.lookup.custodian.records.test_disclosing import made
from tests.lookup.custodian.segments import SegmentFile
from tests.lookup.raw_http import wait_until
from tests.officers import Json
from tests.simulator import Custodian, Site, nhs, record

OLD, NEW, OTHER = nhs(1), nhs(2), nhs(3)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def custodian(site: Site) -> Iterator[Custodian]:
    """One that carries out what is due when the test says so."""
    with site.open() as running:
        with running.unscheduled():
            yield running
        assert running.failures == []


@pytest.fixture
def clocks(site: Site) -> SetClocks:
    """The vault's clocks; officers' tokens are of the real time."""
    site.clocks = made = SetClocks()
    return made


def ask(custodian: Custodian, record_id: EntryId, slot: int = 0) -> None:
    """Let somebody have been answered with a record, by the worker of a slot."""
    handed_out = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
    segment = SegmentFile(handed_out, custodian.custody.vault.id, slot=slot)
    segment.ask([handles_of(custodian, record_id)])
    segment.close()


def lose_content(custodian: Custodian, case: Json) -> None:
    """Lose what a case says, as a restore of an older store does; the map has the rest."""
    found = custodian.custody.docket.cases[EntryId(bytes.fromhex(case["case"]))]
    names = removal(found)[1].delete

    def lose(custody: Custody) -> None:
        connection = custody.store._database.connection
        connection.executemany("DELETE FROM blob WHERE id = ? AND version = ?", names)

    custodian.call(lose)


def put(custodian: Custodian, record_id: EntryId, version: int, members: dict[str, object]) -> str:
    response = custodian.feed.put(
        f"/v1/records/{record_id.hex()}", json=members, headers={"if-match": f'"{version}"'}
    )
    assert response.status_code == 200, response.text
    return str(response.json()["result"])


def refused(custodian: Custodian, record_id: EntryId, members: dict[str, object]) -> None:
    """Put another version, which is not taken."""
    path = f"/v1/records/{record_id.hex()}"
    response = custodian.feed.put(path, json=members, headers={"if-match": '"2"'})
    assert (response.status_code, "detached" in response.json()["detail"]) == (409, True)


class TestRecallHides:
    """A live plan is hidden although nothing can be carried out: a child in danger."""

    def test_a_hold_of_the_officers_shows_what_is_recalled(self, custodian: Custodian) -> None:
        """As a hold on the case does (machine.py); this one may last for an inquiry's years."""
        record_id = custodian.add("one", OLD)
        ask(custodian, record_id)
        case = custodian.desk.approved([record_id])
        settle(custodian)
        assert now(custodian, case)["state"] == "recalling"
        custodian.desk.hold("sam", record=record_id.hex())
        settle(custodian)
        assert custodian.call(lambda custody: custody.record(record_id)) is not None
        assert custodian.outcome(OLD) == "known"

    def test_a_hold_of_the_officers_lets_nobody_be_told_to_delete(
        self, custodian: Custodian
    ) -> None:
        """An officer asks for one case; another one, withheld a moment ago, is on hold since."""
        held, other = custodian.add("one", OLD), custodian.add("two", NEW)
        ask(custodian, held)
        case = custodian.desk.approved([held])

        def withhold(custody: Custody) -> None:
            custody.docket.withhold(custody.docket.due(custody.moment()))
            custody.show_and_hide()

        custodian.call(withhold)
        custodian.desk.hold("sam", record=held.hex())
        custodian.desk.take_or_miss("rita", custodian.desk.approved([other]), Act.CARRY_OUT)
        assert custodian.call(lambda custody: list(custody.outbox.recalls)) == []
        assert now(custodian, case)["state"] == "cooling-off"

    def test_a_longer_cooling_off_shows_what_is_recalled(
        self, site: Site, clocks: SetClocks
    ) -> None:
        """The rule is made stricter: what is due in a year is hidden for a year."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("one", OLD)
            ask(custodian, record_id)
            case = custodian.desk.open([record_id])
            for name in ("ana", "leo"):
                case = custodian.desk.take(name, case, Act.APPROVE)
            clocks.let_days_pass(15)
            settle(custodian)
            assert now(custodian, case)["state"] == "recalling"
            custodian.desk.change(SetRules(cooling_off_days=365))
            settle(custodian)
            assert custodian.outcome(OLD) == "known"

    def test_a_child_that_comes_while_a_record_is_recalled_is_answered(
        self, custodian: Custodian
    ) -> None:
        """parking.py: never kept aside, unless two officers have *restricted* the record."""
        record_id = custodian.add("one", OLD)
        ask(custodian, record_id)
        case = custodian.desk.approved([record_id])
        settle(custodian)
        assert now(custodian, case)["state"] == "recalling"
        send(custodian, record("one", OLD, NEW))
        settle(custodian)
        assert now(custodian, case)["state"] == "requested"
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["known", "known"]

    def test_a_plan_that_comes_while_an_old_record_is_recalled_is_answered(
        self, custodian: Custodian
    ) -> None:
        """A referral that hospitals were told of once, and that has become a plan now."""
        record_id = custodian.add("one", OLD)
        ask(custodian, record_id)
        assert send(custodian, record("one", OLD, category="allegation")) == ["updated"]
        assert custodian.outcome(OLD) == "no-record"
        case = custodian.desk.approved([record_id])
        settle(custodian)
        assert now(custodian, case)["state"] == "recalling"
        send(custodian, record("one", OLD, payload={"note": "a plan now"}))
        settle(custodian)
        assert now(custodian, case)["state"] == "requested"
        assert custodian.outcome(OLD) == "known"


class TestDetached:
    """What a feed, or an officer of it, does about a record that a case has changed."""

    def test_what_is_put_under_another_reference_makes_no_second_record(
        self, custodian: Custodian
    ) -> None:
        """It is parked by its record, and is attached by its reference."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        refused(custodian, record_id, record("renamed", NEW, payload={"note": "new"}))
        custodian.desk.change(AttachRecord(record=record_id.hex(), authority="AXT"))
        sources = custodian.call(lambda custody: dict(custody.sources))
        assert list(sources.values()) == [record_id]

    def test_what_is_put_under_another_reference_takes_no_other_childs_record(
        self, custodian: Custodian
    ) -> None:
        """The reference is another record's by the time: that one is overwritten, and hidden."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        refused(custodian, record_id, record("two", NEW, payload={"note": "new"}))
        other = custodian.add("two", OTHER)
        assert custodian.outcome(OTHER) == "known"
        custodian.desk.change(AttachRecord(record=record_id.hex(), authority="AXT"))
        assert read(custodian, other)["identifiers"] == [OTHER]
        assert custodian.outcome(OTHER) == "known"

    def test_a_replay_in_order_does_not_link_the_number_again(self, custodian: Custodian) -> None:
        """A8: the feed's history has a version that says just what the record says now."""
        first, second = record("one", NEW), record("one", NEW, OLD)
        assert send(custodian, first) == ["added"]
        assert send(custodian, second) == ["updated"]
        (record_id,) = custodian.call(lambda custody: list(custody.sources.values()))
        carry_out(custodian, record_id, unlinking(OLD))
        assert custodian.outcome(OLD) == "no-record"
        send(custodian, first)
        send(custodian, second)
        assert custodian.outcome(OLD) == "no-record"

    def test_a_replay_in_order_does_not_bring_back_what_was_corrected(
        self, custodian: Custodian
    ) -> None:
        first = record("one", OLD, payload={"note": "right"})
        second = record("one", OLD, payload={"note": "malicious"})
        send(custodian, first)
        send(custodian, second)
        (record_id,) = custodian.call(lambda custody: list(custody.sources.values()))
        carry_out(custodian, record_id, correcting(payload={"note": "right"}))
        send(custodian, first)
        send(custodian, second)
        assert read(custodian, record_id)["payload"] == {"note": "right"}

    def test_a_sibling_that_is_not_taken_is_told_of(self, custodian: Custodian) -> None:
        """`updated` says that hospitals are told of the new child. They are not."""
        record_id = custodian.add("one", OLD, NEW, category="allegation")
        carry_out(custodian, record_id, unlinking(OLD))
        (result,) = send(custodian, record("one", NEW, OTHER))
        assert custodian.outcome(NEW) == "known"
        assert custodian.outcome(OTHER) == "known" or result == "detached"

    def test_a_sibling_waits_with_what_waits(self, custodian: Custodian) -> None:
        """Told `parked`, a feed believes that what it sent is taken when it is attached."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        (result,) = send(custodian, record("one", NEW, OTHER, payload={"note": "a sibling"}))
        custodian.desk.change(AttachRecord(record=record_id.hex(), authority="AXT"))
        assert custodian.outcome(OTHER) == "known" or result == "detached"


class TestUnlinkedNumber:
    """G1: what was taken off a record is said nowhere any more."""

    def test_is_not_watched_for_any_more(self, custodian: Custodian) -> None:
        """In the memory of a custodian, by a case that was withdrawn and says nothing of it."""
        record_id = custodian.add("one", OLD, NEW)
        case = custodian.desk.open([record_id])
        custodian.desk.take("rita", case, Act.WITHDRAW)
        carry_out(custodian, record_id, unlinking(OLD))
        watched = custodian.call(lambda custody: set(custody.docket.watched))
        assert tuple(OLD.split(":")) not in watched


class TestEscalation:
    """G7: what comes, and no approver has seen, takes the approvals back."""

    def test_another_case_of_the_child_hears_of_a_record_under_a_case(
        self, custodian: Custodian
    ) -> None:
        """G7: of two open cases one record comes to name the other's child, and is stored."""
        first, second = custodian.add("one", OLD), custodian.add("two", NEW)
        case = custodian.desk.open([first])
        custodian.desk.open([second])
        assert send(custodian, record("two", NEW, OLD)) == ["updated"]
        assert now(custodian, case)["escalated"] == ["new-record"]


class TestLostCase:
    """G7: nothing on hold is expunged, also after a restore that lost a blob."""

    def test_a_hold_of_a_case_keeps_its_record_although_its_content_was_lost(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """G7: its steps are in the map: a legal hold, signed, and not released."""
        clocks = site.clocks = start()
        monkeypatch.setattr("tests.officers.time.time", clocks.wall)
        with opened(site) as custodian:
            depot = Depot(custodian, clocks)
            record_id = depot.keep("one", OVER)
            case = custodian.desk.open([record_id])
            custodian.desk.take("leo", case, Act.HOLD, reason="court-case")
            lose_content(custodian, case)
        with opened(site) as custodian:
            depot = Depot(custodian, clocks)
            assert len(custodian.custody.docket.lost) == 1
            depot.approve()
            depot.nights(8)
            assert depot.there(record_id) == [True]

    def test_no_other_case_destroys_it_before_officers_lift_that(self, site: Site) -> None:
        """It is listed with the other holds, and lifted as one; then the lost case goes, too."""
        with site.open() as custodian:
            record_id = custodian.add("one", OLD)
            case = custodian.desk.open([record_id])
            custodian.desk.take("leo", case, Act.HOLD, reason="court-case")
            lose_content(custodian, case)
        with site.open() as custodian, custodian.unscheduled():
            desk = custodian.desk
            other = desk.approved([record_id])
            settle(custodian)
            assert desk.step("rita", other, Act.CARRY_OUT).status_code == 409
            assert now(custodian, other)["holds"] == [case["case"]]
            (listed,) = desk.told("ada", "GET", "/v1/officers")["holds"]
            assert (listed["hold"], listed["placed_by"]) == (case["case"], "leo")
            assert listed["scope"]["record"] == record_id.hex()
            assert listed["scope"]["reason"] == "court-case"
            assert custodian.outcome(OLD) == "known"

            desk.change(LiftHold(hold=case["case"]))
            settle(custodian)
            assert custodian.call(lambda custody: custody.record(record_id)) is None
            assert custodian.call(lambda c: list(c.vault.scan(Kind.STEP))) == []

    def test_one_that_was_released_keeps_nothing(self, site: Site) -> None:
        with site.open() as custodian:
            record_id = custodian.add("one", OLD)
            case = custodian.desk.open([record_id])
            held = custodian.desk.take("leo", case, Act.HOLD, reason="court-case")
            custodian.desk.take("leo", held, Act.RELEASE)
            lose_content(custodian, case)
        with site.open() as custodian:
            custodian.desk.expunge(record_id)
            assert custodian.call(lambda custody: custody.record(record_id)) is None


class TestWhoWasTold:
    """UK GDPR Art 19: what was answered is found by links, which the feed can change."""

    def test_a_registrar_alone_cannot_have_recipients_forgotten(self, custodian: Custodian) -> None:
        """Another number for a moment, and the old one again: nobody is told any more."""
        record_id = custodian.add("one", OLD)
        ask(custodian, record_id)
        put(custodian, record_id, 1, record("one", NEW))
        put(custodian, record_id, 2, record("one", OLD))
        case = custodian.desk.approved([record_id])
        settle(custodian)
        assert now(custodian, case)["recall"]["recipients"] == 1

    def test_the_familys_copy_has_who_was_told_by_a_number_that_is_gone(
        self, custodian: Custodian
    ) -> None:
        """An ordinary update took it off the record; that somebody was told stays true."""
        record_id = custodian.add("one", OLD, NEW)
        ask(custodian, record_id)
        put(custodian, record_id, 1, record("one", NEW))
        accesses = made(custodian, record_id).document["accesses"]
        assert sorted(each["officer"] for each in accesses) == [False, True]

    def test_who_was_told_by_it_is_forgotten_with_what_a_case_takes_off(
        self, custodian: Custodian
    ) -> None:
        """They are told then; afterwards the record remembers of no number but its own."""
        record_id = custodian.add("one", OLD, NEW)
        ask(custodian, record_id)
        put(custodian, record_id, 1, record("one", NEW))
        put(custodian, record_id, 2, record("one", OLD, NEW))
        case = custodian.desk.approved([record_id], **unlinking(OLD))
        settle(custodian)
        assert now(custodian, case)["recall"]["recipients"] == 1
        custodian.desk.carry_through(now(custodian, case))
        found = custodian.call(lambda custody: custody.record(record_id))
        assert found is not None
        assert found.body.handles == [link.handle for link in found.body.links]
        assert len(found.body.handles) == 1

    def test_a_record_remembers_so_many_and_no_more(self, custodian: Custodian) -> None:
        """Its entry has room for them, whatever else it says."""
        record_id = custodian.add("one", *(nhs(each) for each in range(8)))
        for version in range(1, 12):
            numbers = (nhs(8 * version + each) for each in range(8))
            put(custodian, record_id, version, record("one", *numbers))
        found = custodian.call(lambda custody: custody.record(record_id))
        assert found is not None
        assert len(found.body.handles) == 8 + MOST_LOST


class TestExhaustion:
    """No one party uses up what others need."""

    def test_a_feed_does_not_use_up_the_steps_of_a_case(self, custodian: Custodian) -> None:
        """One that says now this, now that: afterwards nobody can approve it any more."""
        record_id = custodian.add("one", OLD, category="allegation")
        case = custodian.desk.open([record_id])
        for number in range(260):
            send(custodian, record("one", OLD, category="allegation", since=day(number)))
        case = now(custodian, case)
        content = custodian.desk.content([record_id])
        signed = custodian.desk.signer("rita").amendment(case["next"], content)
        response = custodian.desk.ask("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
        assert response.status_code == 200, response.text

    def test_one_officer_does_not_use_up_the_step_that_shows_a_plan_again(
        self, custodian: Custodian
    ) -> None:
        """A6: legal alone holds and releases; then nobody lifts what hides a live plan."""
        record_id = custodian.add("one", OLD)
        case = custodian.desk.open([record_id], restrict=True)
        case = custodian.desk.take("sam", case, Act.RESTRICT)
        case = custodian.desk.take("ana", case, Act.CONFIRM)
        while True:
            response = custodian.desk.step("leo", case, Act.HOLD, reason="court-case")
            if response.status_code != 200:
                break
            case = response.json()
            response = custodian.desk.step("leo", case, Act.RELEASE)
            if response.status_code != 200:
                break
            case = response.json()
        response = custodian.desk.step("sam", case, Act.LIFT)
        assert response.status_code == 200, response.text
        assert custodian.outcome(OLD) == "known"


class TestChores:
    """What a day brings, by clocks that somebody has set."""

    def test_a_clock_that_was_wrong_for_a_moment_hides_no_plan(
        self, site: Site, clocks: SetClocks
    ) -> None:
        """G4: the day's table is made of what is answered in ten years, and says that it is whole.

        The same where the machine starts before its clock is set.
        """
        with site.open() as custodian:
            custodian.add("one", OLD, until="2030-01-01", answer_until="2030-12-31")
            clocks.at += 10 * 366 * 24 * 3_600
            custodian.call(lambda custody: custody.begin_build())
            custodian.await_build()
            clocks.at -= 10 * 366 * 24 * 3_600
            wait_until(lambda: custodian.outcome(OLD) == "known")

    def test_a_day_that_is_over_while_the_site_starts_has_its_chores(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A start takes a while; the day is over in it, and nothing is swept until the next."""
        purged: list[int] = []
        purge = Custody.purge

        def counted(custody: Custody, at: int) -> object:
            purged.append(custody.vault.elapsed)
            return purge(custody, at)

        monkeypatch.setattr(Custody, "purge", counted)
        clocks = site.clocks = SetClocks(chores=True)
        with site.open():
            clocks.let_days_pass(0.99)
        assert purged == []

        def slowly(custody: Custody) -> None:
            publish(custody)
            clocks.let_days_pass(0.02)

        monkeypatch.setattr(simulator, "publish", slowly)
        with site.open() as custodian:
            clocks.let_days_pass(0.5)
            time.sleep(1)
            custodian.call(lambda _: None)
            assert len(purged) == 1


def day(number: int) -> str:
    return (date(2026, 1, 2) + timedelta(days=number % 2)).isoformat()
