"""Detached records: tonight's feed does not undo what a case has changed."""

from collections.abc import Iterator

import pytest

from keys.entry import Kind, Put
from lookup.custodian.custody import Custody
from lookup.custodian.records.detaching import NO_CASE, attached
from lookup.officers.proposal import AttachRecord
from lookup.officers.roles import Act
from tests.lookup.custodian.cases.test_recalling import now
from tests.lookup.custodian.cases.test_remedies import NEW, OLD, carry_out, read, send, unlinking
from tests.simulator import Custodian, Site, record


@pytest.fixture
def custodian(custodian: Custodian) -> Iterator[Custodian]:
    """One that carries out what is due when the test says so."""
    with custodian.unscheduled():
        yield custodian


class TestDetached:
    """Tonight's feed does not know what a case has changed, and does not undo it."""

    def test_the_feed_does_not_link_it_again(self, custodian: Custodian) -> None:
        """However often; and nothing of the number is kept aside."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        again = record("one", OLD, NEW)
        assert send(custodian, again) == ["detached"]
        changed = record("one", OLD, NEW, payload={"note": "another word"})
        assert [*send(custodian, changed), *send(custodian, changed)] == ["detached", "detached"]
        number = OLD.partition(":")[2].encode()
        custody = custodian.custody
        parked = custody.lot.parked[record_id]
        waits = custodian.call(lambda c: parked.draft(c.vault, c.store, c.catalogue, c.classes))
        assert waits is not None
        assert {each.text for each in waits.identifiers} == {NEW}
        body = custodian.call(lambda c: c.vault.get(Kind.RECORD, record_id))
        assert body is not None
        assert number not in body.body
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]

    def test_a_content_that_says_the_number_is_not_kept_either(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        number = OLD.partition(":")[2]
        payload = {"note": f"the number is {number}"}
        assert send(custodian, record("one", OLD, NEW, payload=payload)) == ["detached"]
        assert custodian.call(lambda custody: custody.lot.parked) == {}
        assert read(custodian, record_id)["payload"] == {"note": "about one"}

    def test_what_protects_for_longer_is_taken_at_once(self, custodian: Custodian) -> None:
        """A plan that is extended is not kept aside for officers to find."""
        record_id = custodian.add("one", OLD, NEW, until="2026-12-01", answer_until="2026-12-31")
        carry_out(custodian, record_id, unlinking(OLD))
        longer = record("one", OLD, NEW, until="2027-12-01", answer_until="2028-06-30")
        assert send(custodian, longer) == ["detached"]
        content = read(custodian, record_id)
        assert (content["until"], content["identifiers"]) == ("2027-12-01", [NEW])
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]
        assert send(custodian, record("one", NEW, until="2026-12-01")) == ["parked"]

    def test_a_registrar_alone_does_not_link_it_either(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        response = custodian.feed.put(
            f"/v1/records/{record_id.hex()}",
            json=record("one", OLD, NEW, payload={"note": "again"}),
            headers={"if-match": '"2"'},
        )
        assert response.json()["result"] == "detached"
        assert custodian.outcome(OLD) == "no-record"

    def test_a_feed_with_a_cursor_that_is_put_right_is_believed_again(self) -> None:
        """It says what the record says, and nothing old: from then on its word counts."""
        with Site() as site:
            site.tables["authority"] = [
                each | ({"cursor": True} if each["code"] == "AXT" else {})
                for each in site.tables["authority"]
            ]
            site.configure()
            with site.open() as custodian, custodian.unscheduled():
                record_id = custodian.add("one", OLD, NEW, cursor=1)
                carry_out(custodian, record_id, unlinking(OLD))
                assert send(custodian, record("one", NEW, cursor=2)) == ["unchanged"]
                epoch = custodian.call(lambda custody: custody.vault.version.epoch)
                changed = record("one", NEW, payload={"note": "new"}, cursor=3)
                assert send(custodian, changed) == ["updated"]
                assert custodian.call(lambda custody: custody.vault.version.epoch) == epoch + 1
                assert read(custodian, record_id)["payload"] == {"note": "new"}

    def test_a_feed_without_one_may_have_said_that_before(self, custodian: Custodian) -> None:
        """A8: what says just what the record says may be old, and the next what linked a child."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        assert send(custodian, record("one", NEW)) == ["unchanged"]
        assert send(custodian, record("one", NEW, payload={"note": "new"})) == ["parked"]
        custodian.desk.change(AttachRecord(record=record_id.hex(), authority="AXT"))
        assert read(custodian, record_id)["payload"] == {"note": "new"}
        assert send(custodian, record("one", NEW, payload={"note": "newer"})) == ["updated"]

    def test_officers_attach_it_again(self, custodian: Custodian) -> None:
        """By as many as a case needs: then what waits is stored, and the feed's word counts."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        changed = record("one", OLD, NEW, payload={"note": "another word"})
        assert send(custodian, changed) == ["detached"]
        change = AttachRecord(record=record_id.hex(), authority="AXT")
        custodian.desk.change(change)
        assert read(custodian, record_id)["payload"] == {"note": "another word"}
        assert custodian.outcome(OLD) == "no-record"
        assert custodian.call(lambda custody: custody.lot.parked) == {}
        assert send(custodian, changed) == ["updated"]
        assert custodian.outcome(OLD) == "known"
        assert "no detached record" in custodian.desk.refused_change(change)

    def test_what_waits_is_stored_by_the_next_start_too(self, site: Site) -> None:
        """A crash between the officers' decision and what follows from it loses nothing."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("one", OLD, NEW)
            carry_out(custodian, record_id, unlinking(OLD))
            send(custodian, record("one", OLD, NEW, payload={"note": "another word"}))

            def attach(custody: Custody) -> None:
                found = custody.record(record_id)
                assert found is not None
                custody.vault.commit((Put(attached(found).entry()),))

            custodian.call(attach)
        with site.open() as custodian:
            assert read(custodian, record_id)["payload"] == {"note": "another word"}

    def test_what_waits_outlasts_another_case_that_ends(self, custodian: Custodian) -> None:
        """A second case about the detached record is withdrawn: what the feed sent waits on."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        case = custodian.desk.open([record_id])
        assert send(custodian, record("one", NEW, payload={"note": "new"})) == ["parked"]
        custodian.desk.take("rita", now(custodian, case), Act.WITHDRAW)
        waits = custodian.call(lambda custody: custody.lot.parked)
        assert [each.case for each in waits.values()] == [NO_CASE]
        assert custodian.call(lambda c: [e.id for e in c.vault.scan(Kind.PARKED)]) == [
            each.id for each in waits.values()
        ]

    def test_what_was_parked_for_the_case_waits_as_it_may(self, custodian: Custodian) -> None:
        """Of what the feed sent while the case was open, the number is gone, too."""
        record_id = custodian.add("one", OLD, NEW)
        case = custodian.desk.open([record_id], **unlinking(OLD))
        changed = record("one", OLD, NEW, payload={"note": "meanwhile"})
        assert send(custodian, changed) == ["parked"]
        before = custodian.custody.lot.parked[record_id]
        case = custodian.desk.take(
            "leo", now(custodian, case), Act.SHORTEN, days=0, court_order="o"
        )
        for name in ("ana", "leo"):
            case = custodian.desk.take(name, case, Act.APPROVE)
        custodian.desk.carry_through(case)
        after = custodian.custody.lot.parked[record_id]
        waits = custodian.call(lambda c: after.draft(c.vault, c.store, c.catalogue, c.classes))
        assert waits is not None
        assert ({each.text for each in waits.identifiers}, waits.payload) == (
            {NEW},
            b'{"note":"meanwhile"}',
        )
        assert after.id != before.id
        assert custodian.call(lambda c: c.vault.get(Kind.PARKED, before.id)) is None
