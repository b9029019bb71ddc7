"""What a review of cases has found: each test is an attack that was possible once.

Those of a case's life alone are in tests/lookup/cases, those of what is parked in
tests/lookup/custodian/records/test_parking.py.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import httpx2
import pytest

from crypto.sshsig import OfficerKey, sign
from keys.entry import EntryId, Kind, Put
from lookup.cases.content import Content
from lookup.cases.standing import DAY
from lookup.cases.step import FIRST_AFTER, NAMESPACE, Step, digest_of
from lookup.custodian.cases import certifying
from lookup.custodian.cases.carrying_out import carry_out, tend
from lookup.custodian.cases.casework import MOST_WITHDRAWN, resume_all
from lookup.custodian.cases.certifying import MOST_APPROVALS, certificates
from lookup.custodian.custody import Custody
from lookup.custodian.officers import new_officer, officer_entry
from lookup.officers.roles import Act, Role
from tests.certificates import waiting
from tests.clocks import SetClocks
from tests.lookup.custodian.segments import SegmentFile, head_of
from tests.officers import COURT_ORDER, ROLES, Json
from tests.simulator import Custodian, Site, import_lines, nhs, record

QUIET: Final = {"category": "allegation"}  # never answered
MALICIOUS: Final = {
    "format": "lacuna-malicious-allegation/1",
    "allegation": {"made": "2022-03-01", "reference": "M"},
    "investigation": None,
    "outcome": "other",
    "basis": {
        "kind": "conviction",
        "offence": "art-17-5-2",
        "convicted": "2023-02-10",
        "reference": "c",
    },
    "subjects": [{"label": "m", "role": "child", "about": "yes", "column_2": "yes"}],
}
MANY: Final = [f"approver-{number}" for number in range(MOST_APPROVALS + 4)]


class Crowded(Site):
    """A site with more approvers than a certificate has room for."""

    roles = ROLES | dict.fromkeys(MANY, frozenset({Role.APPROVER}))


@pytest.fixture
def clocks() -> SetClocks:
    return SetClocks()


@pytest.fixture
def site(clocks: SetClocks) -> Iterator[Site]:
    with Site() as made:
        made.clocks = clocks
        yield made


@pytest.fixture
def custodian(site: Site) -> Iterator[Custodian]:
    with site.open() as running:
        yield running
    assert running.failures == []


def read(custodian: Custodian, case: Json) -> Json:
    return custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")


def record_of(custodian: Custodian, record_id: EntryId) -> httpx2.Response:
    return custodian.desk.ask("ada", "GET", f"/v1/records/{record_id.hex()}")


def send(custodian: Custodian, members: Json) -> str:
    return str(import_lines(custodian.feed, [members])[0]["result"])


class TestNamesOfCases:
    """A case's id is its requester's choice."""

    def test_a_case_takes_no_records_place(self, custodian: Custodian) -> None:
        """With the id of a record: the store keeps both, and the record is read as it was."""
        victim = self.record_with_an_id_for_cases(custodian)
        before = record_of(custodian, victim).json()["payload"]
        content = custodian.desk.content([custodian.add("own", nhs(40_000))])
        opening = self.opening(custodian, victim, content)
        assert custodian.desk.ask("rita", "POST", "/v1/cases", opening).status_code == 201
        response = record_of(custodian, victim)
        assert (response.status_code, response.json()["payload"]) == (200, before)

    def record_with_an_id_for_cases(self, custodian: Custodian) -> EntryId:
        """Cases have ids that begin with a zero, and so has one record of 256."""
        for batch in count():
            lines = [record(f"r-{n}", nhs(n)) for n in range(batch * 200, batch * 200 + 200)]
            for told in import_lines(custodian.feed, lines)[:-1]:
                if told["record_id"].startswith("00"):
                    return EntryId(bytes.fromhex(told["record_id"]))
        raise AssertionError("unreachable: it counts without end")

    def opening(self, custodian: Custodian, case_id: EntryId, content: Content) -> Json:
        signer, salt, raw = custodian.desk.signer("rita"), bytes(32), content.encode()
        digest = digest_of(salt, case_id, 1, raw)
        step = Step(signer.vault, case_id, 1, FIRST_AFTER, digest, signer.officer_id, Act.OPEN)
        return {
            "text": step.text(),
            "signature": b64encode(sign(signer.key, NAMESPACE, step.text().encode())).decode(),
            "content": raw.decode(),
            "salt": b64encode(salt).decode(),
        }


@dataclass
class Elsewhere:
    """A registrar of one authority, and a record of another."""

    custodian: Custodian
    record_id: EntryId

    def ask(self, method: str, path: str, content: bytes = b"", **headers: str) -> httpx2.Response:
        bearer = self.custodian.desk.signer("elsewhere").headers(self.custodian.site.clocks.wall())
        return self.custodian.feed.request(method, path, content=content, headers=bearer | headers)

    def put(self, members: Json) -> httpx2.Response:
        headers = {"content-type": "application/json", "if-match": '"1"'}
        path = f"/v1/records/{self.record_id.hex()}"
        return self.ask("PUT", path, json.dumps(members).encode(), **headers)

    def assert_unharmed(self) -> None:
        found = self.custodian.call(lambda custody: custody.record(self.record_id))
        assert found is not None
        assert (found.version, found.body.authority) == (1, "AXT")
        assert self.custodian.outcome(nhs(1)) == "known"


class TestAnotherAuthority:
    """What is one authority's is neither another's to change, nor to hear of."""

    @pytest.fixture
    def elsewhere(self, custodian: Custodian) -> Elsewhere:
        key = OfficerKey.generate()
        officer = new_officer("elsewhere", ROLES["feed"], key.public(), "BSC")
        bench = custodian.site.officers
        bench.keys[officer.name], bench.officers[officer.name] = key, officer

        def enlist(custody: Custody) -> None:
            custody.vault.commit((Put(officer_entry(officer)),))
            custody.office.officers[officer.id] = officer

        custodian.call(enlist)
        return Elsewhere(custodian, custodian.add("one", nhs(1)))

    def test_no_record_is_added_for_it(self, elsewhere: Elsewhere) -> None:
        content = json.dumps(record("new", nhs(2))).encode()
        headers = {"content-type": "application/json"}
        assert elsewhere.ask("POST", "/v1/records", content, **headers).status_code == 403
        assert elsewhere.custodian.outcome(nhs(2)) == "no-record"

    def test_its_record_is_not_changed(self, elsewhere: Elsewhere) -> None:
        assert elsewhere.put(record("one", nhs(1), **QUIET)).status_code == 403
        elsewhere.assert_unharmed()

    def test_its_record_is_not_taken_over(self, elsewhere: Elsewhere) -> None:
        assert elsewhere.put(record("one", nhs(1), authority="BSC", **QUIET)).status_code == 409
        elsewhere.assert_unharmed()

    def test_no_record_is_moved_by_anybody(self, elsewhere: Elsewhere) -> None:
        """Also not by a registrar of all authorities."""
        response = elsewhere.custodian.feed.put(
            f"/v1/records/{elsewhere.record_id.hex()}",
            json=record("one", nhs(1), authority="BSC"),
            headers={"if-match": '"1"'},
        )
        assert response.status_code == 409
        elsewhere.assert_unharmed()

    def test_its_records_are_not_imported(self, elsewhere: Elsewhere) -> None:
        """The line is refused by a rule of its own; the sender's own line is stored."""
        lines = [record("one", nhs(1), **QUIET), record("own", nhs(3), authority="BSC")]
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        headers = {"content-type": "application/x-ndjson"}
        response = elsewhere.ask("POST", "/v1/records/import", content, **headers)
        told = [json.loads(line) for line in response.text.splitlines()]
        by_line = {each["line"]: each for each in told if "line" in each}
        assert (by_line[1]["result"], by_line[1]["rule"]) == ("invalid", "authority-forbidden")
        assert by_line[2]["result"] == "added"
        elsewhere.assert_unharmed()

    def test_its_accesses_are_not_told(self, elsewhere: Elsewhere) -> None:
        """Nor counted as delivered by somebody else's having fetched on."""
        custodian = elsewhere.custodian
        segment = SegmentFile(
            custodian.call(lambda custody: custody.audit.handed_out(demo=True)),
            custodian.custody.vault.id,
        )
        found = custodian.call(lambda custody: custody.record(elsewhere.record_id))
        assert found is not None
        segment.ask([[found.body.links[0].handle]], head_of())
        segment.close()
        told = elsewhere.ask("GET", "/v1/accesses").json()
        assert told["accesses"] == []
        elsewhere.ask("GET", f"/v1/accesses?after={told['cursor']}")
        assert custodian.custody.audit.delivered == 0
        (access,) = custodian.feed.get("/v1/accesses").json()["accesses"]
        assert access["record_id"] == elsewhere.record_id.hex()


class TestCertificates:
    """Nothing is destroyed that cannot be certified, and no certificate stops a start."""

    def test_many_approvals_are_certified(self) -> None:
        """As many as there is room for, the legal one among them."""
        with Crowded() as site:
            with site.open() as custodian:
                with custodian.unscheduled():
                    case = self.approved_by_many(custodian)
                    custodian.desk.take("rita", case, Act.CARRY_OUT)
                (found,) = custodian.call(certificates)
                roles = sorted(each.role for each in found.statement.approvals)
                assert roles == ["approver"] * (MOST_APPROVALS - 1) + ["legal"]
            with site.open() as custodian:
                assert len(custodian.call(certificates)) == 1

    def test_what_cannot_be_said_is_not_destroyed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The case is set aside, somebody is told, and everything else goes on."""
        with Crowded() as site, site.open() as custodian:
            monkeypatch.setattr(certifying, "MOST_APPROVALS", 100)
            with custodian.unscheduled():
                case = self.approved_by_many(custodian)
                response = custodian.desk.step("rita", case, Act.CARRY_OUT)
                assert response.status_code == 409
                custodian.call(tend)
            assert read(custodian, case)["due_in"] == 0
            assert custodian.officer.get("/v1/local/status").json()["cases"]["lost"] == 1
            custodian.shred(custodian.add("two", nhs(2)))
            assert custodian.failures == []

    def approved_by_many(self, custodian: Custodian) -> Json:
        """Return a case that everybody has approved, for its ground the legal officer last."""
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.open([record_id], ground="art-17-1-g", evidence=MALICIOUS)
        case = custodian.desk.take("leo", case, Act.SHORTEN, **COURT_ORDER)
        for name in (*MANY, "leo"):
            case = custodian.desk.take(name, case, Act.APPROVE)
        return case

    def test_a_clock_that_is_set_back_meanwhile(
        self, site: Site, custodian: Custodian, clocks: SetClocks
    ) -> None:
        """Between the look whether a case is due and its end: it is certified, and can be read."""
        desk = custodian.desk
        case = desk.open([custodian.add("one", nhs(1))])
        case = desk.take("leo", case, Act.SHORTEN, days=1, court_order="")
        for name in ("ana", "leo"):
            case = desk.take(name, case, Act.APPROVE)
        with custodian.unscheduled():
            clocks.let_pass(DAY)

            def end(custody: Custody) -> None:
                (due,) = custody.docket.due(custody.moment())
                clocks.at -= 2
                carry_out(custody, [due])

            custodian.call(end)
        assert len(custodian.call(certificates)) == 1
        assert custodian.call(waiting) == []
        custodian.stop()
        with site.open() as again:
            assert len(again.call(certificates)) == 1


class TestParked:
    """What was kept aside neither stops a start, nor outlives its record."""

    def test_a_category_that_left_stops_no_start(self, site: Site) -> None:
        """What is no record by the catalogue of now stays aside, until it is one."""
        names = ["child-protection-plan", "child-in-need"]
        self.categories(site, names)
        with site.open() as custodian:
            record_id = custodian.add("one", nhs(1))
            case = custodian.desk.open([record_id])
            assert send(custodian, record("one", nhs(1), category=names[1])) == "parked"
        self.categories(site, names[:1])
        with site.open() as custodian:
            custodian.desk.take("rita", read(custodian, case), Act.WITHDRAW)
            assert custodian.failures == []
        with site.open() as custodian:
            assert custodian.outcome(nhs(1)) == "known"
            assert read(custodian, case)["parked"] == 1
        self.categories(site, names)
        with site.open() as custodian:
            custodian.call(resume_all)
            assert custodian.outcome(nhs(1)) == "no-record"

    def categories(self, site: Site, names: list[str]) -> None:
        site.tables["category"] = [
            {"name": name, "answerable": name == "child-protection-plan"} for name in names
        ]
        site.configure()

    def test_a_case_whose_content_was_lost_leaves_nothing(self, site: Site) -> None:
        """With its record leave what was parked for it, the case, and its steps."""
        with site.open() as custodian:
            record_id = custodian.add("one", nhs(1))
            case = custodian.desk.open([record_id])
            assert send(custodian, record("one", nhs(1), payload={"note": "new"})) == "parked"
            case_id = EntryId(bytes.fromhex(case["case"]))

            def lose(custody: Custody) -> None:
                blob = custody.docket.cases[case_id].blob
                with custody.store._database.transaction() as connection:
                    connection.execute("DELETE FROM blob WHERE id = ?", (blob,))

            custodian.call(lose)
        with site.open() as custodian:
            assert custodian.officer.get("/v1/local/status").json()["cases"]["lost"] == 1
            custodian.shred(record_id)
            assert record_of(custodian, record_id).status_code == 404
            for kind in (Kind.CASE, Kind.STEP, Kind.PARKED):
                found = custodian.call(lambda custody, kind=kind: list(custody.vault.scan(kind)))  # type: ignore[misc]
                assert found == []
            assert custodian.call(lambda custody: list(custody.store.blob_names())) == []
            assert custodian.custody.docket.lost == []
            assert custodian.failures == []


class TestWhatNobodyHasSeen:
    """Approvals are of what a requester has looked at."""

    def test_a_second_child_is_watched_at_once(self, custodian: Custodian) -> None:
        """Its other records escalate, without a restart."""
        case = custodian.desk.open([custodian.add("one", nhs(1))])
        assert send(custodian, record("one", nhs(1), nhs(2))) == "updated"
        custodian.add("two", nhs(2))
        assert read(custodian, case)["escalated"] == ["new-child", "new-record"]

    def test_nothing_is_approved_before_it_was_amended(self, custodian: Custodian) -> None:
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.open([record_id])
        other = custodian.add("two", nhs(1))
        response = custodian.desk.step("ana", read(custodian, case), Act.APPROVE)
        assert response.status_code == 409
        assert "has to be amended first" in response.json()["detail"]
        signed = custodian.desk.signer("rita").amendment(
            read(custodian, case)["next"], custodian.desk.content([record_id])
        )
        case = custodian.desk.told("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
        assert case["content"]["others"] == [other.hex()]
        assert custodian.desk.take("ana", case, Act.APPROVE)["approvals"] == ["ana"]

    def test_no_record_is_amended_unseen(self, custodian: Custodian) -> None:
        """What the amendment says of a record is the version of now."""
        record_id = custodian.add("one", nhs(1))
        case = custodian.desk.open([record_id])
        before = custodian.desk.content([record_id])
        assert send(custodian, record("one", nhs(1), nhs(2))) == "updated"
        signed = custodian.desk.signer("rita").amendment(read(custodian, case)["next"], before)
        path = f"/v1/cases/{case['case']}/steps"
        assert custodian.desk.ask("rita", "POST", path, signed).status_code == 409

    def test_no_approval_outlasts_another_cooling_off(self, custodian: Custodian) -> None:
        """One legal officer shortens nothing that two have approved as it was."""
        case = custodian.desk.open([custodian.add("one", nhs(1))])
        for name in ("ana", "leo"):
            case = custodian.desk.take(name, case, Act.APPROVE)
        case = custodian.desk.take("leo", case, Act.SHORTEN, **COURT_ORDER)
        assert (case["approvals"], case["due_in"]) == ([], None)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"


class TestWithoutEnd:
    """What one officer could do on and on."""

    def test_cases_that_are_withdrawn(self, custodian: Custodian) -> None:
        """Another officer opens the next one."""
        record_id = custodian.add("one", nhs(1))
        for _ in range(MOST_WITHDRAWN):
            custodian.desk.take("rita", custodian.desk.open([record_id]), Act.WITHDRAW)
        signed = custodian.desk.signer("rita").opening(custodian.desk.content([record_id]))
        assert custodian.desk.ask("rita", "POST", "/v1/cases", signed).status_code == 409


def test_a_start_raises_the_alarm_for_what_is_hidden(site: Site) -> None:
    """Whoever watches the counter, which begins anew, hears of it again."""
    with site.open() as custodian:
        case = custodian.desk.open([custodian.add("one", nhs(1))], restrict=True)
        custodian.desk.take("sam", case, Act.RESTRICT)
        assert custodian.custody.alarms.hidden == 1
    with site.open() as custodian:
        assert custodian.outcome(nhs(1)) == "no-record"
        assert custodian.custody.alarms.hidden == 1
