"""What a feed sends while a case is open: kept aside, answered at once, or applied afterwards."""

from collections.abc import Iterator

import pytest

from keys.entry import EntryId, Kind
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.casework import resume_all
from lookup.custodian.custody import Custody
from lookup.custodian.records.parking import park
from lookup.officers.roles import Act
from tests.clocks import SetClocks
from tests.officers import Json
from tests.simulator import Custodian, Site, import_lines, nhs, record

QUIET = {"category": "allegation"}  # a category that is never answered
ANOTHER = {"note": "another"}  # a payload: neither answered, nor anything to look at again


@pytest.fixture
def clocks() -> SetClocks:
    return SetClocks()


@pytest.fixture
def site(clocks: SetClocks) -> Iterator[Site]:
    with Site() as made:
        made.clocks = clocks
        yield made


def send(custodian: Custodian, *members: Json) -> list[str]:
    """Import records; return what became of each."""
    return [str(each["result"]) for each in import_lines(custodian.feed, members)[:-1]]


def kept(custodian: Custodian) -> tuple[int, int]:
    """Return how many entries are parked, and how many blobs there are."""

    def count(custody: Custody) -> tuple[int, int]:
        parked = list(custody.vault.scan(Kind.PARKED))
        return len(parked), len(list(custody.store.blob_names()))

    return custodian.call(count)


def read(custodian: Custodian, case: Json) -> Json:
    return custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")


def version(custodian: Custodian, record_id: EntryId) -> int:
    found = custodian.call(lambda custody: custody.record(record_id))
    assert found is not None
    return found.version


def ending(custodian: Custodian) -> Json:
    """Return the members of a record that is answered today for the last time."""
    today = custodian.call(lambda custody: custody.today().isoformat())
    return {"until": today, "answer_until": today}


def rebuild_tomorrow(custodian: Custodian, clocks: SetClocks) -> None:
    clocks.let_days_pass(1)
    custodian.call(lambda custody: custody.begin_build())
    custodian.await_build()


class TestKeptAside:
    """A record under a case stays as it was seen."""

    def test_an_update_is_parked_and_the_answer_stays(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.open([record_id])
        assert send(custodian, record("one", nhs(1), payload=ANOTHER)) == ["parked"]
        assert version(custodian, record_id) == 1
        assert read(custodian, case)["parked"] == 1
        assert read(custodian, case)["escalated"] == []

    def test_the_same_each_night_grows_nothing(self, custodian: Custodian) -> None:
        """Neither map, nor store, nor the case's steps, nor the epoch."""
        case = custodian.desk.open([custodian.add("one", nhs(1))])
        update = record("one", nhs(1), category="looked-after")
        assert send(custodian, update) == ["parked"]
        before = kept(custodian), custodian.call(lambda c: c.vault.version), read(custodian, case)
        for _ in range(10):
            assert send(custodian, update) == ["parked"]
        after = kept(custodian), custodian.call(lambda c: c.vault.version), read(custodian, case)
        assert before == after

    def test_another_each_night_keeps_the_newest_alone(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.open([record_id])
        send(custodian, record("one", nhs(1), payload={"night": 1}))
        before = kept(custodian)
        for night in range(2, 12):
            send(custodian, record("one", nhs(1), payload={"night": night}))
        assert kept(custodian) == before
        custodian.desk.take("rita", case, Act.WITHDRAW)
        found = custodian.call(lambda custody: custody.record(record_id))
        assert found is not None
        assert (found.version, kept(custodian)[0]) == (2, 0)

    def test_a_new_category_escalates_once(self, custodian: Custodian) -> None:
        """A feed that sends it every night, with another payload, does not keep a case open."""
        case = custodian.desk.open([custodian.add("one", nhs(1))])
        for night in range(3):
            update = record("one", nhs(1), category="looked-after", payload={"night": night})
            assert send(custodian, update) == ["parked"]
        assert read(custodian, case)["escalated"] == ["new-category"]
        assert custodian.custody.alarms.escalated == 1

    def test_other_dates_are_looked_at_again(self, custodian: Custodian) -> None:
        """Once; and a window that is shorter hides nothing while nobody has decided."""
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.take("ana", custodian.desk.open([record_id]), Act.APPROVE)
        for _ in range(2):
            assert send(custodian, record("one", nhs(1), **ending(custodian))) == ["parked"]
        case = read(custodian, case)
        assert (case["approvals"], case["escalated"]) == ([], ["new-dates"])
        assert version(custodian, record_id) == 1

    def test_a_record_under_a_case_keeps_its_source(self, custodian: Custodian) -> None:
        """By it what is parked finds the record again."""
        record_id = custodian.add("one", nhs(1))
        custodian.desk.open([record_id])
        path = f"/v1/records/{record_id.hex()}"
        moved = record("two", nhs(1))
        response = custodian.feed.put(path, json=moved, headers={"if-match": '"1"'})
        assert response.status_code == 409
        assert send(custodian, moved) == ["added"]


class TestAnswered:
    """Nobody hides what would answer for a child, by opening a case."""

    def test_a_newly_answerable_category_is_answered_at_once(self, custodian: Custodian) -> None:
        """And what was approved is void."""
        record_id = custodian.add("one", nhs(1), **QUIET)
        case = custodian.desk.take("ana", custodian.desk.open([record_id]), Act.APPROVE)
        assert custodian.outcome(nhs(1)) == "no-record"
        assert send(custodian, record("one", nhs(1))) == ["updated"]
        assert custodian.outcome(nhs(1)) == "known"
        case = read(custodian, case)
        assert (case["approvals"], case["escalated"]) == ([], ["new-category"])

    def test_unless_two_have_restricted_the_record(self, custodian: Custodian) -> None:
        """Then it is parked, with an alarm; and shown when the restriction has an end."""
        record_id = custodian.add("one", nhs(1), **QUIET)
        case = custodian.desk.open([record_id], restrict=True)
        case = custodian.desk.take("sam", case, Act.RESTRICT)
        assert send(custodian, record("one", nhs(1))) == ["parked"]
        assert custodian.outcome(nhs(1)) == "no-record"
        assert custodian.custody.alarms.escalated == 1
        custodian.desk.take("leo", read(custodian, case), Act.LIFT)
        assert send(custodian, record("one", nhs(1))) == ["updated"]
        assert custodian.outcome(nhs(1)) == "known"
        assert kept(custodian)[0] == 0

    def test_a_child_that_a_record_comes_to_name_is_answered(self, custodian: Custodian) -> None:
        """A plan for one child becomes one for two: the second is nobody's to hide."""
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.take("ana", custodian.desk.open([record_id]), Act.APPROVE)
        assert send(custodian, record("one", nhs(1), nhs(2))) == ["updated"]
        assert custodian.outcome(nhs(2)) == "known"
        case = read(custodian, case)
        assert (case["approvals"], case["escalated"]) == ([], ["new-child"])

    def test_what_is_answered_replaces_what_was_parked(self, custodian: Custodian) -> None:
        """Or the older sending would come back over the newer when the case ends."""
        record_id = custodian.add("one", nhs(1), **QUIET)
        case = custodian.desk.open([record_id])
        assert send(custodian, record("one", nhs(1), category="child-in-need")) == ["parked"]
        assert send(custodian, record("one", nhs(1))) == ["updated"]
        assert kept(custodian)[0] == 0
        custodian.desk.take("rita", read(custodian, case), Act.WITHDRAW)
        assert custodian.outcome(nhs(1)) == "known"

    def test_a_plan_that_would_end_meanwhile_goes_on(
        self, custodian: Custodian, clocks: SetClocks
    ) -> None:
        """What prolongs an answer is never kept aside, long before the answer would end."""
        record_id = custodian.add("one", nhs(1), **ending(custodian))
        case = custodian.desk.take("ana", custodian.desk.open([record_id]), Act.APPROVE)
        assert send(custodian, record("one", nhs(1))) == ["updated"]
        case = read(custodian, case)
        assert (case["approvals"], case["escalated"]) == ([], ["new-dates"])
        rebuild_tomorrow(custodian, clocks)
        assert custodian.outcome(nhs(1)) == "known"

    def test_unless_two_have_restricted_it(self, custodian: Custodian) -> None:
        """Then its longer window waits, and somebody is told."""
        record_id = custodian.add("one", nhs(1), **ending(custodian))
        case = custodian.desk.open([record_id], restrict=True)
        custodian.desk.take("sam", case, Act.RESTRICT)
        assert send(custodian, record("one", nhs(1))) == ["parked"]
        assert read(custodian, case)["escalated"] == ["new-dates"]
        assert custodian.custody.alarms.escalated == 1


class TestAfterwards:
    """What was parked comes to pass, or is gone with the record."""

    def test_it_is_applied_after_a_withdrawal(self, custodian: Custodian) -> None:
        ids = [custodian.add(f"r-{n}", nhs(n)) for n in range(2)]
        case = custodian.desk.open(ids)
        send(custodian, *(record(f"r-{n}", nhs(n), payload=ANOTHER) for n in range(2)))
        custodian.desk.take("rita", case, Act.WITHDRAW)
        assert [version(custodian, each) for each in ids] == [2, 2]
        assert kept(custodian) == (0, 2 + 1)

    def test_it_is_applied_after_a_refusal(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.open([record_id])
        send(custodian, record("one", nhs(1), payload=ANOTHER))
        words = "The record is needed for proceedings."
        case = custodian.desk.take("ana", case, Act.REFUSE, reason="art-17-3-e", words=words)
        custodian.desk.take("leo", case, Act.REVIEW)
        assert (version(custodian, record_id), kept(custodian)[0]) == (2, 0)

    def test_it_is_gone_with_the_record(self, custodian: Custodian) -> None:
        """The feed may send it again, as a new record; nothing brings the old one back."""
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.approved([record_id])
        send(custodian, record("one", nhs(1), payload=ANOTHER))
        custodian.desk.take("rita", case, Act.CARRY_OUT)
        assert kept(custodian) == (0, 0)
        assert custodian.custody.lot.parked == {}
        assert custodian.outcome(nhs(1)) == "no-record"

    def test_it_waits_over_a_restart(self, site: Site) -> None:
        with site.open() as custodian:
            record_id = custodian.add("one", nhs(1))
            case = custodian.desk.open([record_id])
            send(custodian, record("one", nhs(1), payload=ANOTHER))
        with site.open() as custodian:
            assert read(custodian, case)["parked"] == 1
            custodian.desk.take("rita", read(custodian, case), Act.WITHDRAW)
            assert version(custodian, record_id) == 2

    def test_a_crash_between_the_end_and_the_update_loses_nothing(self, site: Site) -> None:
        """The next start takes it up: as it would be had the custodian died after the step."""
        with site.open() as custodian:
            record_id = custodian.add("one", nhs(1))
            case = custodian.desk.open([record_id])
            open_case = custodian.custody.docket.cases[EntryId(bytes.fromhex(case["case"]))]
            custodian.desk.take("rita", case, Act.WITHDRAW)
            draft = site.draft("one", nhs(2))

            def leave(custody: Custody) -> None:
                _, batch, blobs = park(custody.vault, open_case.id, record_id, draft)
                custody.commit(batch, blobs)

            custodian.call(leave)
        with site.open() as custodian:
            assert [custodian.outcome(nhs(1)), custodian.outcome(nhs(2))] == ["no-record", "known"]
            assert kept(custodian)[0] == 0
            before = custodian.call(lambda custody: custody.vault.version)
            custodian.call(resume_all)
            custodian.call(tend)
            assert custodian.call(lambda custody: custody.vault.version) == before
