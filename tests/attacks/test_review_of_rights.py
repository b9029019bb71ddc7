"""What a review of remedies, recalls and the sweep has found: each was possible once."""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from crypto.sshsig import OfficerKey, format_public_key
from keys.entry import EntryId
from lookup.audit.segment import MAX_SEGMENT
from lookup.cases.step import MOST_RECIPIENTS
from lookup.custodian.cases import carrying_out, recalling
from lookup.custodian.cases.recalling import MOST_TOLD
from lookup.custodian.custody import Custody
from lookup.custodian.records.parking import Parked
from lookup.handoff import MOST_REQUESTS
from lookup.officers.proposal import AddOfficer, RemoveOfficer, SetRules
from lookup.officers.roles import Act, Role
from lookup.wire import MAX_RECALLED_REQUESTS
from tests.lookup.custodian.audit.test_auditing import handles_of
from tests.lookup.custodian.cases.test_recalling import now, settle, told
from tests.lookup.custodian.cases.test_remedies import correcting, send, unlinking
from tests.lookup.custodian.depot import OVER, Depot, opened, start
from tests.lookup.custodian.segments import SegmentFile, head_of
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


@pytest.fixture
def depot(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Depot]:
    """A site of which the test has the clocks, and whose sweeps it begins."""
    clocks = site.clocks = start()
    monkeypatch.setattr("tests.officers.time.time", clocks.wall)
    with opened(site) as running:
        yield Depot(running, clocks)
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


def forge(custodian: Custodian, record_id: EntryId, clients: Sequence[bytes]) -> list[bytes]:
    """Have these clients be answered with a record, as a worker writes it; return the requests."""
    custody = custodian.custody
    audit = custody.audit.handed_out(demo=False)
    segment = SegmentFile(audit, custody.vault.id, size=MAX_SEGMENT)
    handles = handles_of(custodian, record_id)
    heads = [head_of(client=client) for client in clients]
    for at in range(0, len(heads), 1_000):
        segment.append([segment.maker.make(head, [handles]) for head in heads[at : at + 1_000]])
    segment.close()
    custodian.call(lambda custody: custody.audit.take_in())
    return [head.request_id for head in heads]


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


class TestRecalls:
    """G6: nobody who was answered, or says so, keeps the site from going on."""

    def test_clients_that_a_worker_makes_up_stop_no_start(self, site: Site) -> None:
        """A5: more recipients than there may be clients, in the name of nobody."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("one", OLD)
            forge(custodian, record_id, [secrets.token_bytes(14) for _ in range(10_001)])
            case = custodian.desk.approved([record_id])
            settle(custodian)
            assert now(custodian, case)["recall"]["recipients"] == MOST_RECIPIENTS
        with site.open() as custodian, custodian.unscheduled():
            custodian.desk.take("leo", now(custodian, case), Act.LETTERS)
            settle(custodian)
            assert custodian.call(lambda custody: custody.record(record_id)) is None
            assert custodian.failures == []

    def test_a_client_is_told_of_the_last_of_very_many_requests(self, custodian: Custodian) -> None:
        """A4: a hospital that asks for one child on and on fills no memory, and no page."""
        record_id = custodian.add("one", OLD)
        forge(custodian, record_id, [b"a" * 14])
        first = set(forge(custodian, record_id, [b"c" * 14] * 5))
        last = set(forge(custodian, record_id, [b"c" * 14] * MOST_TOLD))
        custodian.desk.approved([record_id])
        settle(custodian)
        heard = told(custodian)
        assert heard[(b"c" * 14).hex()] == last
        assert first.isdisjoint(last)
        assert len(heard[(b"a" * 14).hex()]) == 1

    def test_a_client_that_does_not_acknowledge_keeps_no_other_waiting(
        self, custodian: Custodian
    ) -> None:
        """A4: of each client the view holds just more than a worker lists, so it fills no view."""
        greedy, honest = b"a" * 14, b"c" * 14
        record_id = custodian.add("one", OLD)
        forge(custodian, record_id, [greedy] * (2 * MAX_RECALLED_REQUESTS))
        forge(custodian, record_id, [honest])
        custodian.desk.approved([record_id])
        settle(custodian)
        view = custodian.custody.door._view
        assert view is not None
        heard = Counter[str]()
        for each in view.recalls:
            heard[each.client] += len(each.requests)
        assert heard == {
            greedy.hex(): MAX_RECALLED_REQUESTS + MOST_REQUESTS,
            honest.hex(): 1,
        }

    def test_an_officer_who_has_gone_is_no_recipient_either(self, custodian: Custodian) -> None:
        """Who has read it acted for its authority; nobody can write to them any more."""
        record_id = custodian.add("one", OLD)
        assert custodian.feed.get(f"/v1/records/{record_id.hex()}").status_code == 200
        custodian.desk.change(RemoveOfficer(officer=custodian.desk.signer("feed").officer_id.hex()))
        custodian.desk.approved([record_id])
        settle(custodian)
        assert custodian.call(lambda custody: custody.record(record_id)) is None

    def test_asking_for_one_case_shows_nothing_of_another(self, custodian: Custodian) -> None:
        """Its answers are withdrawn; who hears of it behind the search would not be told."""
        hidden, other = custodian.add("one", OLD), custodian.add("two", NEW)
        forge(custodian, hidden, [b"c" * 14] * 3)
        custodian.desk.approved([hidden])

        def begin(custody: Custody) -> None:
            """Begin the search, and do not let it get anywhere."""
            found = custody.docket.due(custody.moment())
            custody.docket.withhold(found)
            custody.show_and_hide()
            assert recalling.told(custody, found, seconds=-1) == []

        custodian.call(begin)
        assert custodian.outcome(OLD) == "no-record"
        custodian.desk.take_or_miss("rita", custodian.desk.approved([other]), Act.CARRY_OUT)
        assert custodian.outcome(OLD) == "no-record"

    def test_a_case_that_the_batch_before_has_escalated_waits(
        self, custodian: Custodian, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """G7: of more cases than one epoch change destroys, what was signed is looked at again."""
        monkeypatch.setattr(carrying_out, "MOST_AT_ONCE", 1)
        ids = [custodian.add("one", OLD), custodian.add("two", OLD)]
        cases = [custodian.desk.approved([each]) for each in ids]
        settle(custodian)
        there = custodian.call(lambda c: [c.record(each) is not None for each in ids])
        assert sorted(there) == [False, True]
        (left,) = [case for case, is_there in zip(cases, there, strict=True) if is_there]
        left = now(custodian, left)
        assert (left["state"], left["escalated"]) == ("requested", ["other-gone"])


class TestStandingApproval:
    """G7: what was signed once for always is worth no more than an approval of a case."""

    def test_it_ends_with_its_signers(self, depot: Depot) -> None:
        """Two have approved, one of whom is dismissed: what is listed stays, until others sign."""
        desk, record_id = depot.custodian.desk, depot.keep("one")
        depot.approve()
        assert depot.nights(1) == [(0, 1)]
        another = AddOfficer(
            name="una", roles=[Role.APPROVER], key=format_public_key(OfficerKey.generate().public())
        )
        desk.change(another)
        desk.change(RemoveOfficer(officer=desk.signer("ana").officer_id.hex()))
        assert depot.nights(8) == [(0, 0)] * 8
        assert depot.there(record_id) == [True]
        assert [each["in_force"] for each in depot.told()["approvals"]] == [False]

    def test_it_ends_with_a_stricter_rule(self, depot: Depot) -> None:
        """Of three that every decision needs from now on, two had signed."""
        desk, record_id = depot.custodian.desk, depot.keep("one")
        depot.approve()
        assert depot.nights(1) == [(0, 1)]
        another = AddOfficer(
            name="una", roles=[Role.APPROVER], key=format_public_key(OfficerKey.generate().public())
        )
        desk.change(another)
        desk.change(SetRules(approvals=3))
        assert depot.nights(8) == [(0, 0)] * 8
        assert depot.there(record_id) == [True]


class TestSweepOfDetached:
    """A8 turned round: what a feed says rightly is believed where it keeps a record longer."""

    def test_what_waits_of_a_record_keeps_it(self, depot: Depot) -> None:
        """Both were corrected; the matter of one is reopened, and nobody has attached it yet."""
        custodian, ids = depot.custodian, [depot.keep(each, OVER) for each in ("one", "three")]
        depot.approve()
        asked = correcting(payload={"note": "right"})
        with custodian.unscheduled():
            for each in ids:
                custodian.desk.carry_through(custodian.desk.approved([each], **asked))
        closed = {"category": "allegation", "retention": OVER}
        opened_again = closed | {"retention": OVER | {"closed": None}}
        lines = [record("one", nhs(3), **opened_again), record("three", nhs(5), **closed)]
        assert send(custodian, *lines) == ["parked", "parked"]
        assert depot.nights(8)[-1] == (1, 0)
        assert depot.there(*ids) == [True, False]
