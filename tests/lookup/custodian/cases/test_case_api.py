"""Cases over HTTP: who reads and does what, and what is told of a case."""

from collections.abc import Iterator

import httpx2
import pytest

from crypto.sshsig import OfficerKey, format_public_key
from keys.entry import EntryId, Put
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.custody import Custody
from lookup.custodian.officers import new_officer, officer_entry
from lookup.officers.proposal import AddOfficer
from lookup.officers.roles import MAY, Act, Officer, Role
from tests.officers import COURT_ORDER, ROLES, Json
from tests.simulator import Custodian, Site, nhs

NOTE = "Sorrel-Bexley asked by telephone"


@pytest.fixture(scope="module")
def crew() -> Iterator[Custodian]:
    """A custodian with one more officer of each role, who is of one authority alone."""
    with Site() as site, site.open() as custodian:
        for name, roles in ROLES.items():
            key = OfficerKey.generate()
            officer = new_officer(f"bsc-{name}", roles, key.public(), "BSC")
            site.officers.keys[officer.name] = key
            site.officers.officers[officer.name] = officer

            def enlist(custody: Custody, officer: Officer = officer) -> None:
                custody.vault.commit((Put(officer_entry(officer)),))
                custody.office.officers[officer.id] = officer

            custodian.call(enlist)
        yield custodian
        assert custodian.failures == []


class Numbers:
    """Children whom no test shares."""

    next = iter(range(1, 10_000))


def opened(crew: Custodian, authority: str = "AXT", **changes: object) -> Json:
    number = next(Numbers.next)
    record_id = crew.add(f"c-{number}", nhs(number), authority=authority)
    return crew.desk.open([record_id], **changes)


def ask(crew: Custodian, name: str, path: str) -> httpx2.Response:
    return crew.desk.ask(name, "GET", path)


class TestReading:
    """What is read, and by whom."""

    @pytest.mark.parametrize("name", ROLES)
    def test_a_case_is_read_by_people(self, crew: Custodian, name: str) -> None:
        case = opened(crew)
        (role,) = ROLES[name]
        wanted = 200 if role in MAY[Act.READ_CASES] else 403
        assert ask(crew, name, "/v1/cases").status_code == wanted
        assert ask(crew, name, f"/v1/cases/{case['case']}").status_code == wanted

    @pytest.mark.parametrize("name", ROLES)
    def test_an_opening_is_read_by_few(self, crew: Custodian, name: str) -> None:
        case = opened(crew)
        (role,) = ROLES[name]
        response = ask(crew, name, f"/v1/cases/{case['case']}/opening")
        assert response.status_code == (200 if role in MAY[Act.READ_OPENING] else 403)
        assert response.headers["cache-control"] == "no-store"

    def test_a_case_names_no_child(self, crew: Custodian) -> None:
        """Neither identifier, nor payload, nor source; what is under a case is read as a record."""
        number = next(Numbers.next)
        record_id = crew.add(f"c-{number}", nhs(number), payload={"note": "private"})
        case = crew.desk.open([record_id], note=NOTE)
        text = ask(crew, "ada", f"/v1/cases/{case['case']}").text
        for secret in (nhs(number)[4:], "private", f"c-{number}"):
            assert secret not in text
        assert NOTE in text
        assert NOTE not in ask(crew, "ada", "/v1/cases").text

    def test_whoever_signed_is_named(self, crew: Custodian) -> None:
        case = crew.desk.take("ana", opened(crew), Act.APPROVE)
        assert case["approvals"] == ["ana"]
        assert [step["officer"] for step in case["steps"]] == ["rita", "ana"]

    def test_what_is_left_of_the_cooling_off(self, crew: Custodian) -> None:
        case = opened(crew)
        assert case["due_in"] is None
        for name in ("ana", "leo"):
            case = crew.desk.take(name, case, Act.APPROVE)
        assert 14 * 86_400 - 60 < case["due_in"] <= 14 * 86_400

    def test_the_list_is_in_order(self, crew: Custodian) -> None:
        ids = [opened(crew)["case"] for _ in range(3)]
        told = ask(crew, "ada", "/v1/cases").json()["cases"]
        times = [(each["opened"], each["case"]) for each in told]
        assert times == sorted(times)
        assert set(ids) <= {each["case"] for each in told}


class TestAnotherAuthority:
    """Officers of one authority see and do nothing of another's."""

    @pytest.mark.parametrize("name", [f"bsc-{each}" for each in ROLES if each != "feed"])
    def test_they_read_their_own(self, crew: Custodian, name: str) -> None:
        theirs, others = opened(crew, "BSC"), opened(crew)
        listed = ask(crew, name, "/v1/cases").json()["cases"]
        assert {each["authority"] for each in listed} == {"BSC"}
        assert ask(crew, name, f"/v1/cases/{theirs['case']}").status_code == 200
        assert ask(crew, name, f"/v1/cases/{others['case']}").status_code == 403

    @pytest.mark.parametrize(
        ("name", "act", "details"),
        [
            ("bsc-ana", Act.APPROVE, {}),
            ("bsc-leo", Act.APPROVE, {}),
            ("bsc-sam", Act.RESTRICT, {}),
            ("bsc-sam", Act.HOLD, {"reason": "court-case"}),
            ("bsc-rita", Act.WITHDRAW, {}),
            ("bsc-leo", Act.SHORTEN, {"days": 0, "court_order": "order"}),
        ],
    )
    def test_they_take_no_step(
        self, crew: Custodian, name: str, act: Act, details: dict[str, str | int]
    ) -> None:
        case = opened(crew, restrict=True)
        response = crew.desk.step(name, case, act, **details)
        assert response.status_code in {403, 409}
        assert NOTE not in response.text
        theirs = opened(crew, "BSC", restrict=True)
        assert crew.desk.step(name, theirs, act, **details).status_code == 200

    def test_they_open_none(self, crew: Custodian) -> None:
        number = next(Numbers.next)
        record_id = crew.add(f"c-{number}", nhs(number))
        wanted = {"record_ids": [record_id.hex()]}
        response = crew.desk.ask("bsc-rita", "POST", "/v1/cases/preview", wanted)
        assert response.status_code == 404
        signed = crew.desk.signer("bsc-rita").opening(crew.desk.content([record_id]))
        assert crew.desk.ask("bsc-rita", "POST", "/v1/cases", signed).status_code == 403

    def test_a_step_that_they_bring_tells_them_nothing(self, crew: Custodian) -> None:
        """What another officer has signed, sent with their token: they read nothing."""
        case = opened(crew, note=NOTE)
        signed = crew.desk.signer("ana").step(case["next"], Act.APPROVE)
        path = f"/v1/cases/{case['case']}/steps"
        response = crew.desk.ask("bsc-ana", "POST", path, signed)
        assert response.status_code == 403
        assert NOTE not in response.text
        now = ask(crew, "ada", f"/v1/cases/{case['case']}").json()
        assert now["approvals"] == []

    def test_a_certificate_is_their_authoritys(self, crew: Custodian) -> None:
        number = next(Numbers.next)
        told = crew.desk.expunge(crew.add(f"c-{number}", nhs(number)))
        path = f"/v1/certificates/{told['certificates'][0]}"
        assert ask(crew, "ada", path).status_code == 200
        assert ask(crew, "bsc-ada", path).status_code == 404
        listed = ask(crew, "bsc-ada", "/v1/certificates").json()["certificates"]
        assert {each["authority"] for each in listed} <= {"BSC"}

    def test_their_officers_are_proposed_by_them(self, crew: Custodian) -> None:
        """And nobody else's."""
        changes = ask(crew, "ada", "/v1/officers").json()["changes"]
        key = OfficerKey.generate().public()
        change = AddOfficer(
            name="guest", roles=[Role.AUDITOR], key=format_public_key(key), authority="AXT"
        )
        signed = crew.desk.signer("bsc-rita").proposal(change, changes)
        response = crew.desk.ask("bsc-rita", "POST", "/v1/officers/proposals", signed)
        assert response.status_code == 403


class TestManyCases:
    """The scheduler and the list, with more than a few."""

    def test_records_of_one_child_in_two_cases(self, crew: Custodian) -> None:
        """The end of the one voids what was signed of the other, which lists its record no more."""
        number = next(Numbers.next)
        ids: list[EntryId] = [crew.add(f"c-{number}-{n}", nhs(number)) for n in range(2)]
        with crew.unscheduled():
            second = crew.desk.approved([ids[1]])
            first = crew.desk.approved([ids[0]])
            assert first["content"]["others"] == [ids[1].hex()]
            crew.desk.take("rita", first, Act.CARRY_OUT)
            crew.call(tend)
            assert crew.outcome(nhs(number)) == "known"
            second = ask(crew, "ada", f"/v1/cases/{second['case']}").json()
            assert (second["content"]["others"], second["approvals"]) == ([], [])
            assert second["escalated"] == ["other-gone"]
            second = crew.desk.take("leo", second, Act.SHORTEN, **COURT_ORDER)
            for name in ("ana", "leo"):
                second = crew.desk.take(name, second, Act.APPROVE)
            crew.desk.take("rita", second, Act.CARRY_OUT)
            assert crew.outcome(nhs(number)) == "no-record"
