"""What a review of remedies, recalls and the sweep has found: each was possible once."""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from keys.entry import EntryId
from lookup.custodian.parking import Parked
from lookup.officers.roles import Act
from tests.lookup.custodian.test_recalling import now
from tests.lookup.custodian.test_remedies import send, unlinking
from tests.officers import COURT_ORDER, Json
from tests.simulator import Custodian, Site, nhs, record

OLD, NEW, OTHER = nhs(1), nhs(2), nhs(3)

SPELLINGS: Final = {
    "escaped blanks": "999\\u0020000\\u0020{}",
    "escaped digits": "\\u0039\\u0039\\u0039000{}",
    "on two lines": "999\\n000\\n{}",
    "dots": "999.000.{}",
    "dashes": "999\u2013000\u2013{}",
}


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


def digits(identifier: str) -> str:
    """Return what of an identifier stands wherever it is said."""
    return identifier.partition(":")[2]


def approved(custodian: Custodian, case: Json) -> Json:
    """Have a case that is open shortened and approved by two: it is due."""
    case = custodian.desk.take("leo", now(custodian, case), Act.SHORTEN, **COURT_ORDER)
    for name in ("ana", "leo"):
        case = custodian.desk.take(name, case, Act.APPROVE)
    return case


def refused(custodian: Custodian, record_id: EntryId, *identifiers: str) -> str:
    """Return why a case that takes identifiers off a record may not be opened."""
    content = custodian.desk.content([record_id], **unlinking(*identifiers))
    signed = custodian.desk.signer("rita").opening(content)
    response = custodian.desk.ask("rita", "POST", "/v1/cases", signed)
    assert response.status_code == 409, response.text
    return str(response.json()["detail"])


def waiting(custodian: Custodian, parked: Parked) -> str:
    """Return all that is parked about a record, as text."""
    draft = custodian.call(lambda c: parked.draft(c.vault, c.store, c.catalogue, c.classes))
    assert draft is not None
    return f"{[each.text for each in draft.identifiers]} {draft.payload.decode()}"


class TestUnlinkedNumber:
    """G1, A3: what was taken off a record is said nowhere any more."""

    def test_is_not_said_by_what_was_parked(self, custodian: Custodian) -> None:
        """A feed that lists the number no more, and tells of it in words, during the case."""
        record_id = custodian.add("one", OLD, NEW)
        case = custodian.desk.open([record_id], **unlinking(OLD))
        said = record("one", NEW, payload={"note": f"formerly {digits(OLD)}, now adopted"})
        assert send(custodian, said) == ["parked"]
        custodian.desk.carry_through(approved(custodian, case))
        left = [waiting(custodian, each) for each in custodian.custody.lot.parked.values()]
        assert [each for each in left if digits(OLD) in each] == []

    def test_is_not_to_be_guessed_from_another_case(self, custodian: Custodian) -> None:
        """A case about the other child has listed the record, as it named that child too."""
        record_id, of_other = custodian.add("one", OLD, NEW), custodian.add("two", OLD)
        case = custodian.desk.open([of_other])
        assert now(custodian, case)["content"]["others"] == [record_id.hex()]
        custodian.desk.carry_through(custodian.desk.approved([record_id], **unlinking(OLD)))
        left = now(custodian, case)
        assert left["content"]["others"] == []
        assert left["escalated"] == ["other-gone"]

    def test_stays_among_the_others_where_a_child_is_shared_yet(self, custodian: Custodian) -> None:
        """Whoever approves a case goes on seeing the records of its child."""
        record_id, of_other = custodian.add("one", OLD, NEW), custodian.add("two", OLD, NEW)
        case = custodian.desk.open([of_other])
        custodian.desk.carry_through(custodian.desk.approved([record_id], **unlinking(OLD)))
        left = now(custodian, case)
        assert left["content"]["others"] == [record_id.hex()]
        assert left["escalated"] == []

    @pytest.mark.parametrize(
        "said",
        SPELLINGS.values(),
        ids=SPELLINGS,
    )
    def test_is_found_in_a_content_however_it_is_written(
        self, custodian: Custodian, said: str
    ) -> None:
        """JSON spells a digit in two ways, and people part a number in many."""
        payload = '{"note":"' + said.format(digits(OLD)[6:]) + '"}'
        members = record("one", OLD, NEW, payload="PAYLOAD")
        raw = json.dumps(members).replace('"PAYLOAD"', payload).encode()
        response = custodian.feed.post(
            "/v1/records", content=raw, headers={"content-type": "application/json"}
        )
        record_id = EntryId(bytes.fromhex(response.json()["record_id"]))
        assert "corrected first" in refused(custodian, record_id, OLD)

    def test_is_found_in_the_source_reference(self, custodian: Custodian) -> None:
        """Some systems number their records by the child; that has to be sent anew first."""
        record_id = custodian.add(f"plan/{digits(OLD)}", OLD, NEW)
        assert "source reference" in refused(custodian, record_id, OLD)


class TestHiding:
    """G7: nobody alone hides an answer that protects a child, and whoever does is counted."""

    def test_a_requester_alone_moves_no_restriction_to_another_child(self, site: Site) -> None:
        """Safeguarding has hidden one number; an amendment names another, over a restart."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("one", OLD, NEW)
            case = custodian.desk.open([record_id], restrict=True, **unlinking(OLD))
            case = custodian.desk.take("sam", case, Act.RESTRICT)
            content = custodian.desk.content([record_id], restrict=True, **unlinking(NEW))
            signed = custodian.desk.signer("rita").amendment(case["next"], content)
            custodian.desk.ask("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
        with site.open() as custodian:
            assert custodian.outcome(NEW) == "known"

    def test_a_number_that_is_hidden_raises_the_alarm(self, site: Site) -> None:
        """As a whole record does, also after a restart; and lifting it raises none."""
        with site.open() as custodian:
            record_id = custodian.add("one", OLD, NEW)
            case = custodian.desk.open([record_id], restrict=True, **unlinking(OLD))
            case = custodian.desk.take("sam", case, Act.RESTRICT)
            assert custodian.outcome(OLD) == "no-record"
            assert custodian.custody.alarms.hidden == 1
        with site.open() as custodian:
            assert custodian.custody.alarms.hidden == 1
            custodian.desk.take("sam", now(custodian, case), Act.LIFT)
            assert custodian.custody.alarms.hidden == 1
