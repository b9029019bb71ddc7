"""What cases do beside destroying whole records: unlink, correct, restrict (UK GDPR Art 16, 18)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from keys.entry import EntryId, Kind
from lookup.cases.content import parse_content
from lookup.cases.standing import Remedy
from lookup.catalogue import parse_catalogue
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.certifying import find_certificate
from lookup.custodian.cases.remedy import answered
from lookup.custodian.records.record import Record
from lookup.officers.roles import Act
from lookup.transparency.opening import parse_opening, verify_opening
from lookup.transparency.statement import Statement
from tests.lookup.custodian.audit.test_auditing import handles_of, segment_of
from tests.lookup.custodian.cases.test_recalling import now, settle, told
from tests.lookup.custodian.segments import SegmentFile, head_of
from tests.officers import Json
from tests.simulator import AUTHORITIES, Custodian, Site, import_lines, nhs, record

OLD, NEW, OTHER = nhs(1), nhs(2), nhs(3)
ACCURACY = {"accuracy": "adoption order 1 of the tests"}


@pytest.fixture
def custodian(custodian: Custodian) -> Iterator[Custodian]:
    """One that carries out what is due when the test says so."""
    with custodian.unscheduled():
        yield custodian


@pytest.fixture
def segment(custodian: Custodian) -> Iterator[SegmentFile]:
    made = segment_of(custodian)
    yield made
    made.close()


def unlinking(*identifiers: str) -> Json:
    """Return what a case says that takes identifiers off its record."""
    return {
        "remedy": Remedy.UNLINK,
        "unlink": sorted(identifiers),
        "ground": "art-16",
        "evidence": ACCURACY,
    }


def correcting(**right: Any) -> Json:  # noqa: ANN401  # JSON
    """Return what a case says that corrects its record."""
    content = {"remedy": Remedy.RECTIFY, "correction": right}
    return content | {"ground": "art-16", "evidence": ACCURACY}


def carry_out(custodian: Custodian, record_id: EntryId, asked: Json) -> Json:
    """Have a case about a record carried out; return what is said of it."""
    return custodian.desk.carry_through(custodian.desk.approved([record_id], **asked))


def stored(custodian: Custodian, record_id: EntryId) -> Record:
    found = custodian.call(lambda custody: custody.record(record_id))
    assert found is not None
    return found


def read(custodian: Custodian, record_id: EntryId) -> Json:
    """Return a record as its authority reads it."""
    response = custodian.feed.get(f"/v1/records/{record_id.hex()}")
    assert response.status_code == 200, response.text
    return dict(response.json())


def send(custodian: Custodian, *lines: Json) -> list[str]:
    """Send what a feed does; return what became of each line."""
    encoded = [json.dumps(line, separators=(",", ":")).encode() for line in lines]
    said = import_lines(custodian.feed, encoded)
    return [line["result"] for line in said if "result" in line]


def statement(custodian: Custodian, said: Json) -> Statement:
    """Return the statement that certifies what a case did."""
    (certificate,) = said["certificates"]
    wanted = EntryId(bytes.fromhex(certificate))
    found = custodian.call(lambda custody: find_certificate(custody, wanted))
    assert found is not None
    return found.statement


REFUSED = {
    "a number that it has not": ([OTHER], "no such identifier"),
    "all that it has": ([OLD, NEW], "ask to erase it instead"),
}


IMPOSSIBLE = {
    "no such category": {"category": "no-such"},
    "an end before its beginning": {"until": "2020-01-01"},
    "a day that is none": {"since": "2026-02-30"},
    "a day of another form": {"since": "3 February 2026"},
    "answers that end before it does": {"until": "2027-01-01", "answer_until": "2026-12-01"},
}


RESTRICTION: Json = {
    "remedy": Remedy.RESTRICT,
    "restrict": True,
    "ground": "art-18-1-a",
    "evidence": {"contested": "letter 7 of the tests"},
}


class TestUnlink:
    """A number that is no more, or another child's, leaves its record; the rest stays."""

    def test_the_old_number_answers_nothing_and_the_new_one_as_before(
        self, custodian: Custodian
    ) -> None:
        """Adoption: the child has a new number, and nobody finds the child by the old one."""
        record_id = custodian.add("one", OLD, NEW)
        said = carry_out(custodian, record_id, unlinking(OLD))
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]
        assert said["record_ids"] == [record_id.hex()]
        content = read(custodian, record_id)
        assert (content["identifiers"], content["version"]) == ([NEW], 2)
        assert content["payload"] == {"note": "about one"}

    def test_it_has_another_key_and_another_content(self, custodian: Custodian) -> None:
        """As a destroyed record: what was sealed before opens no more."""
        record_id = custodian.add("one", OLD, NEW)
        before = stored(custodian, record_id)
        carry_out(custodian, record_id, unlinking(OLD))
        after = stored(custodian, record_id)
        assert before.body.dek != after.body.dek
        assert custodian.call(lambda custody: custody.store.blob(record_id, 1)) is None
        kept = {link.value: link.handle for link in before.body.links}[NEW.partition(":")[2]]
        assert [link.handle for link in after.body.links] == [kept]

    def test_the_certificate_speaks_of_the_number_alone(self, custodian: Custodian) -> None:
        """The family's opening names what was taken off; who has the rest learns nothing new."""
        record_id = custodian.add("one", OLD, NEW)
        case = custodian.desk.approved([record_id], **unlinking(OLD))
        raw = custodian.desk.ask("leo", "GET", f"/v1/cases/{case['case']}/opening").content
        said = statement(custodian, custodian.desk.carry_through(case))
        assert (said.ground, said.remedy) == ("art-16", "unlink")
        assert "feed-fence" not in said.not_covered
        opening = parse_opening(raw)
        verify_opening(opening, said)
        assert [each.identifiers for each in opening.records] == [(OLD,)]

    def test_until_then_nothing_changes_and_nobody_does_it_alone(
        self, custodian: Custodian
    ) -> None:
        """G7: it takes the same approvals, cooling-off and holds as a destruction."""
        record_id = custodian.add("one", OLD, NEW)
        case = custodian.desk.open([record_id], **unlinking(OLD))
        assert custodian.desk.step("rita", case, Act.APPROVE).status_code == 409
        case = custodian.desk.take("ana", case, Act.APPROVE)
        assert custodian.desk.step("rita", case, Act.CARRY_OUT).status_code == 409
        case = custodian.desk.take("leo", case, Act.APPROVE)
        assert custodian.desk.step("rita", case, Act.CARRY_OUT).status_code == 409
        custodian.call(tend)
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["known", "known"]

    def test_those_who_were_answered_by_the_old_number_are_told(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        """Not those who asked by the new one; and that goes on being answered meanwhile."""
        record_id = custodian.add("one", OLD, NEW)
        links = {link.value: link.handle for link in stored(custodian, record_id).body.links}
        old, new = (links[each.partition(":")[2]] for each in (OLD, NEW))
        asked = head_of(client=bytes.fromhex(custodian.enrol("Old").client_id))
        segment.ask([[old]], asked)
        segment.ask([[new]], head_of(client=bytes.fromhex(custodian.enrol("New").client_id)))
        case = custodian.desk.approved([record_id], **unlinking(OLD))
        settle(custodian)
        assert told(custodian) == {asked.client.hex(): {asked.request_id}}
        assert now(custodian, case)["state"] == "recalling"
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]
        assert stored(custodian, record_id).version == 1
        custodian.desk.carry_through(now(custodian, case))
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]
        assert stored(custodian, record_id).version == 2

    def test_safeguarding_can_hide_the_number_meanwhile(self, custodian: Custodian) -> None:
        """And the number alone; lifted, it is answered again."""
        record_id = custodian.add("one", OLD, NEW)
        case = custodian.desk.open([record_id], restrict=True, **unlinking(OLD))
        case = custodian.desk.take("sam", case, Act.RESTRICT)
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]
        custodian.desk.take("sam", case, Act.LIFT)
        assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["known", "known"]

    def test_another_case_that_says_the_number_leaves_with_it(self, custodian: Custodian) -> None:
        """One that was withdrawn, and asked for the same; one that says nothing of it stays."""
        record_id = custodian.add("one", OLD, NEW)
        first = custodian.desk.open([record_id], **unlinking(OLD))
        custodian.desk.take("rita", first, Act.WITHDRAW)
        second = custodian.desk.open([record_id])
        custodian.desk.take("rita", second, Act.WITHDRAW)
        carry_out(custodian, record_id, unlinking(OLD))
        left = custodian.call(lambda custody: [each.hex() for each in custody.docket.cases])
        assert left == [second["case"]]

    def test_a_statement_that_says_the_number_leaves_with_it(self, custodian: Custodian) -> None:
        """The family was told; its other statements stay."""
        record_id = custodian.add("one", OLD, NEW)
        path = f"/v1/records/{record_id.hex()}/statements"
        for text in (f"She was {OLD.partition(':')[2]} then.", "It was not so."):
            custodian.desk.told("rita", "POST", path, {"text": text})
        carry_out(custodian, record_id, unlinking(OLD))
        assert [each["text"] for each in read(custodian, record_id)["statements"]] == [
            "It was not so."
        ]
        assert custodian.call(lambda c: len(list(c.vault.scan(Kind.SUPPLEMENT)))) == 1

    @pytest.mark.parametrize(("identifiers", "why"), REFUSED.values(), ids=REFUSED)
    def test_what_cannot_be_is_refused(
        self, custodian: Custodian, identifiers: list[str], why: str
    ) -> None:
        """Before anybody signs any more of it; and no number is repeated."""
        record_id = custodian.add("one", OLD, NEW)
        content = custodian.desk.content([record_id], **unlinking(*identifiers))
        signed = custodian.desk.signer("rita").opening(content)
        response = custodian.desk.ask("rita", "POST", "/v1/cases", signed)
        assert response.status_code == 409
        assert why in response.json()["detail"]
        assert not any(each.partition(":")[2] in response.text for each in identifiers)

    @pytest.mark.parametrize("said", [OLD.partition(":")[2], "999 000 {}", "999-000-{}"])
    def test_a_content_that_says_the_number_is_corrected_first(
        self, custodian: Custodian, said: str
    ) -> None:
        """Otherwise whoever reads the record finds the child that it was taken off."""
        number = OLD.partition(":")[2]
        note = said.format(number[6:])
        assert note.translate(str.maketrans("", "", " -")) == number
        record_id = custodian.add("one", OLD, NEW, payload={"note": f"formerly {note}"})
        content = custodian.desk.content([record_id], **unlinking(OLD))
        signed = custodian.desk.signer("rita").opening(content)
        response = custodian.desk.ask("rita", "POST", "/v1/cases", signed)
        assert response.status_code == 409
        assert "corrected first" in response.json()["detail"]

    def test_it_holds_over_a_restart(self, site: Site) -> None:
        """The next custodian answers by the record as it is, also while recipients are told."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("one", OLD, NEW)
            segment = segment_of(custodian)
            old = handles_of(custodian, record_id)
            segment.ask([old])
            case = custodian.desk.approved([record_id], **unlinking(OLD))
            settle(custodian)
            segment.close()
        with site.open() as custodian, custodian.unscheduled():
            assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]
            custodian.desk.carry_through(now(custodian, case))
        with site.open() as custodian:
            assert [custodian.outcome(OLD), custodian.outcome(NEW)] == ["no-record", "known"]
            assert custodian.failures == []


class TestRectify:
    """What is wrong is corrected, and the wrong version destroyed."""

    def test_the_record_says_what_is_right(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", OLD, payload={"note": "wrong"})
        before = stored(custodian, record_id)
        right = {"category": "looked-after", "since": "2026-02-03", "payload": {"note": "right"}}
        said = carry_out(custodian, record_id, correcting(**right))
        content = read(custodian, record_id)
        assert {name: content[name] for name in right} == right
        assert content["version"] == 2
        after = stored(custodian, record_id)
        assert after.body.dek != before.body.dek
        assert [link.handle for link in after.body.links] == [
            link.handle for link in before.body.links
        ]
        made = statement(custodian, said)
        assert (made.ground, made.remedy) == ("art-16", "rectify")

    def test_only_what_is_wrong_changes(self, custodian: Custodian) -> None:
        """The rest, and how long it is answered where its end stays, is as it was."""
        record_id = custodian.add("one", OLD, until="2026-12-01", answer_until="2027-01-31")
        before = read(custodian, record_id)
        carry_out(custodian, record_id, correcting(since="2026-02-03"))
        after = read(custodian, record_id)
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"since", "version", "accesses"}

    def test_an_end_that_is_corrected_ends_the_answers_with_it(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", OLD, until="2026-12-01", answer_until="2029-01-31")
        carry_out(custodian, record_id, correcting(until="2025-01-05", since="2024-01-05"))
        content = read(custodian, record_id)
        assert content["answer_until"] == "2026-01-05"
        assert custodian.outcome(OLD) == "no-record"

    def test_hospitals_hear_what_is_right_while_recipients_are_told(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        """A plan that protects is not hidden because a date of it was wrong."""
        record_id = custodian.add("one", OLD)
        segment.ask([handles_of(custodian, record_id)])
        case = custodian.desk.approved([record_id], **correcting(category="looked-after"))
        settle(custodian)
        assert now(custodian, case)["state"] == "recalling"
        assert custodian.outcome(OLD) == "known"
        assert stored(custodian, record_id).body.category == "child-protection-plan"
        custodian.desk.carry_through(now(custodian, case))
        assert custodian.outcome(OLD) == "known"
        assert stored(custodian, record_id).body.category == "looked-after"

    def test_the_feed_does_not_undo_it(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", OLD, payload={"note": "wrong"})
        carry_out(custodian, record_id, correcting(payload={"note": "right"}))
        assert send(custodian, record("one", OLD, payload={"note": "wrong"})) == ["parked"]
        assert read(custodian, record_id)["payload"] == {"note": "right"}

    @pytest.mark.parametrize("right", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
    def test_what_no_record_may_say_is_refused(self, custodian: Custodian, right: Json) -> None:
        record_id = custodian.add("one", OLD)
        content = custodian.desk.content([record_id], **correcting(**right))
        signed = custodian.desk.signer("rita").opening(content)
        response = custodian.desk.ask("rita", "POST", "/v1/cases", signed)
        assert response.status_code == 409
        assert "the record could not be so" in response.json()["detail"]

    def test_what_the_configuration_has_no_more_keeps_no_site_from_starting(
        self, custodian: Custodian
    ) -> None:
        """A correction to a category that is gone: hospitals hear what the record says."""
        record_id = custodian.add("one", OLD)
        asked = custodian.desk.content([record_id], **correcting(category="looked-after"))
        content = parse_content(asked.encode())
        fewer = [{"name": "child-protection-plan", "answerable": True}]
        catalogue = parse_catalogue({"authority": AUTHORITIES, "category": fewer})
        found = stored(custodian, record_id)
        assert answered(content, found, catalogue, hidden=False) == found
        whole = custodian.custody.catalogue
        right = answered(content, found, whole, hidden=False)
        assert right is not None
        assert right.body.category == "looked-after"

    def test_what_is_asked_for_does_not_change(self, custodian: Custodian) -> None:
        """Who approves a correction does not find out later that it was an erasure."""
        record_id = custodian.add("one", OLD)
        case = custodian.desk.open([record_id], **correcting(since="2026-02-03"))
        content = custodian.desk.content([record_id])
        signed = custodian.desk.signer("rita").amendment(case["next"], content)
        response = custodian.desk.ask("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
        assert response.status_code == 409
        assert "asks for stays the same" in response.json()["detail"]


class TestRestrict:
    """Art 18: a record is hidden and kept, and nothing of it is ever carried out."""

    def test_it_is_hidden_by_three_and_comes_back_when_lifted(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", OLD)
        case = custodian.desk.open([record_id], **RESTRICTION)
        assert custodian.outcome(OLD) == "known"
        case = custodian.desk.take("sam", case, Act.RESTRICT)
        assert custodian.outcome(OLD) == "no-record"
        case = custodian.desk.take("ana", case, Act.CONFIRM)
        assert custodian.custody.alarms.hidden == 1
        case = custodian.desk.take("leo", case, Act.LIFT)
        assert custodian.outcome(OLD) == "known"
        assert stored(custodian, record_id).version == 1

    @pytest.mark.parametrize("name", ["ana", "leo"])
    def test_nobody_approves_it(self, custodian: Custodian, name: str) -> None:
        """So it is never due, and destroys nothing."""
        case = custodian.desk.open([custodian.add("one", OLD)], **RESTRICTION)
        response = custodian.desk.step(name, case, Act.APPROVE)
        assert response.status_code == 409
        assert "decided by `restrict`" in response.json()["detail"]

    def test_grounds_are_of_their_remedy(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", OLD)
        for ground, evidence in (("art-16", ACCURACY), ("art-17-1-d", {"unlawful": "file 1"})):
            asked = RESTRICTION | {"ground": ground, "evidence": evidence}
            content = custodian.desk.content([record_id], **asked)
            signed = custodian.desk.signer("rita").opening(content)
            response = custodian.desk.ask("rita", "POST", "/v1/cases", signed)
            assert response.status_code == 400
            assert "is none to restrict" in response.json()["detail"]
