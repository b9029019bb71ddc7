"""Changes of officers and rules over HTTP: by several, once, and never so that nobody is left."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from crypto.sshsig import OfficerKey, fingerprint, format_public_key
from keys.entry import Kind
from lookup.custodian import proposals
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.proposals import MOST_EACH
from lookup.officers.proposal import (
    AddOfficer,
    Change,
    ChangeOfficer,
    RemoveOfficer,
    SetRules,
)
from lookup.officers.roles import Act, Role
from lookup.officers.signing import Signer
from tests.officers import COURT_ORDER, ROLES, Json
from tests.simulator import Custodian, Site, nhs

PROPOSE, APPROVE = "/v1/officers/proposals", "/v1/officers/proposals/approve"
TWO = ("ana", "leo")


class Crew(Site):
    """As a site has it, with a third who may approve."""

    roles = ROLES | {"max": frozenset({Role.APPROVER})}


@dataclass
class Hall:
    """Where officers change who they are."""

    custodian: Custodian

    def read(self) -> Json:
        return self.custodian.desk.told("ada", "GET", "/v1/officers")

    def id(self, name: str) -> str:
        return self.custodian.site.officers.officers[name].id.hex()

    def proposal(self, name: str, change: Change) -> Json:
        """Return what an officer signs to propose a change."""
        return self.custodian.desk.signer(name).proposal(change, self.read()["changes"])

    def propose(self, name: str, change: Change) -> httpx2.Response:
        return self.custodian.desk.ask(name, "POST", PROPOSE, self.proposal(name, change))

    def approval(self, name: str, proposal: Json, change: Change) -> Json:
        signer = self.custodian.desk.signer(name)
        return signer.approval(bytes.fromhex(proposal["proposal"]), change)

    def approve(self, name: str, proposal: Json, change: Change) -> httpx2.Response:
        signed = self.approval(name, proposal, change)
        return self.custodian.desk.ask(name, "POST", APPROVE, signed)

    def make(self, change: Change, by: str = "rita", approvers: tuple[str, ...] = TWO) -> Json:
        """Propose and approve a change; return what the last approval is told."""
        response = self.propose(by, change)
        assert response.status_code == 201, response.text
        told: Json = response.json()
        for name in approvers:
            response = self.approve(name, told, change)
            assert response.status_code == 200, response.text
        return dict(response.json())

    def names(self) -> set[str]:
        return {each["name"] for each in self.read()["officers"]}


@pytest.fixture
def hall() -> Iterator[Hall]:
    with Crew() as site, site.open() as custodian:
        yield Hall(custodian)
        assert custodian.failures == []


def newcomer(name: str = "new", *roles: Role, authority: str | None = None) -> AddOfficer:
    key = format_public_key(OfficerKey.generate().public())
    return AddOfficer(
        name=name, roles=sorted(roles or (Role.AUDITOR,)), key=key, authority=authority
    )


class TestMadeBySeveral:
    """A change needs as many approvals as a case, and none of its proposer's."""

    def test_it_is_made_with_the_last_approval(self, hall: Hall) -> None:
        change = newcomer()
        told = hall.propose("rita", change).json()
        assert hall.approve("ana", told, change).json()["made"] is False
        assert "new" not in hall.names()
        assert hall.approve("leo", told, change).json()["made"] is True
        assert "new" in hall.names()
        assert hall.read()["proposals"] == []

    def test_its_proposer_does_not_approve_it(self, hall: Hall) -> None:
        change = newcomer()
        told = hall.propose("ana", change).json()
        assert hall.approve("ana", told, change).status_code == 409

    def test_nobody_approves_twice(self, hall: Hall) -> None:
        change = newcomer()
        told = hall.propose("rita", change).json()
        assert hall.approve("ana", told, change).status_code == 200
        assert hall.approve("ana", told, change).status_code == 409
        assert "new" not in hall.names()

    def test_what_is_approved_is_what_was_proposed(self, hall: Hall) -> None:
        told = hall.propose("rita", newcomer()).json()
        response = hall.approve("ana", told, newcomer("other"))
        assert response.status_code == 409
        assert "not what is proposed" in response.json()["detail"]

    def test_whoever_was_dismissed_meanwhile_counts_no_more(self, hall: Hall) -> None:
        change = newcomer()
        told = hall.propose("rita", change).json()
        hall.approve("max", told, change)
        hall.make(RemoveOfficer(officer=hall.id("max")))
        assert hall.approve("ana", told, change).json()["made"] is False
        assert "new" not in hall.names()

    def test_stricter_rules_hold_for_what_waits(self, hall: Hall) -> None:
        change = newcomer()
        told = hall.propose("rita", change).json()
        hall.approve("ana", told, change)
        hall.make(SetRules(approvals=3, cooling_off_days=14))
        assert hall.approve("leo", told, change).json()["made"] is False
        assert hall.approve("max", told, change).json()["made"] is True

    def test_of_two_rules_the_stricter_counts(self, hall: Hall) -> None:
        """Or a change would be made by the rules of the authority that asks least."""
        hall.make(SetRules(approvals=3, cooling_off_days=14, authority="BSC"))
        assert hall.make(newcomer())["made"] is False

    def test_rules_of_authorities_stay_within_one_entry(
        self, hall: Hall, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or a map's entry would have to hold more than it can."""
        monkeypatch.setattr(proposals, "MAX_AUTHORITIES", 1)
        hall.make(SetRules(approvals=3, authority="AXT"), approvers=("ana", "leo"))
        assert hall.propose("rita", SetRules(authority="BSC")).status_code == 409
        assert hall.propose("rita", SetRules(approvals=2, authority="AXT")).status_code == 201


class TestPlayedAgain:
    """A signature makes a change once, whoever has kept it."""

    def test_a_change_is_not_made_twice_by_old_signatures(self, hall: Hall) -> None:
        """Somebody was added, and dismissed: nobody brings them back by what was signed then."""
        change = newcomer("mallory", Role.APPROVER)
        proposed = hall.proposal("rita", change)
        told = hall.custodian.desk.told("rita", "POST", PROPOSE, proposed)
        approvals = [hall.approval(name, told, change) for name in TWO]
        for name, signed in zip(TWO, approvals, strict=True):
            hall.custodian.desk.told(name, "POST", APPROVE, signed)
        mallory = next(each for each in hall.read()["officers"] if each["name"] == "mallory")
        hall.make(RemoveOfficer(officer=mallory["id"]))
        again = [hall.custodian.desk.ask("rita", "POST", PROPOSE, proposed)]
        again += [hall.custodian.desk.ask("rita", "POST", APPROVE, each) for each in approvals]
        again += [hall.custodian.desk.ask("ana", "POST", APPROVE, each) for each in approvals]
        assert [each.status_code for each in again] == [409, 403, 403, 404, 404]
        assert "mallory" not in hall.names()

    def test_a_proposal_is_proposed_once(self, hall: Hall) -> None:
        signed = hall.proposal("rita", newcomer())
        hall.custodian.desk.told("rita", "POST", PROPOSE, signed)
        assert hall.custodian.desk.ask("rita", "POST", PROPOSE, signed).status_code == 409

    def test_a_step_is_no_proposal(self, hall: Hall) -> None:
        """Nor the other way: another text, another namespace."""
        record_id = hall.custodian.add("one", nhs(1))
        case = hall.custodian.desk.open([record_id])
        step = hall.custodian.desk.signer("ana").step(case["next"], Act.APPROVE)
        assert hall.custodian.desk.ask("ana", "POST", APPROVE, step).status_code == 400
        told = hall.propose("rita", newcomer()).json()
        signed = hall.approval("ana", told, newcomer())
        path = f"/v1/cases/{case['case']}/steps"
        assert hall.custodian.desk.ask("ana", "POST", path, signed).status_code == 400


class TestAlwaysAble:
    """Those who remain can decide; a key is one person's; nobody clogs the way."""

    @pytest.mark.parametrize("name", ["rita", "leo"])
    def test_the_last_of_a_role_stays(self, hall: Hall, name: str) -> None:
        response = hall.propose("ana", RemoveOfficer(officer=hall.id(name)))
        assert response.status_code == 409
        changed = ChangeOfficer(officer=hall.id(name), roles=[Role.AUDITOR])
        assert hall.propose("ana", changed).status_code == 409

    def test_there_are_as_many_as_the_rules_ask_for(self, hall: Hall) -> None:
        assert hall.propose("rita", SetRules(approvals=4, cooling_off_days=1)).status_code == 409
        hall.make(SetRules(approvals=3, cooling_off_days=1))
        response = hall.propose("rita", RemoveOfficer(officer=hall.id("max")))
        assert response.status_code == 409

    def test_it_is_looked_at_again_when_it_is_made(self, hall: Hall) -> None:
        """What was well when it was proposed may not be well any more."""
        change = RemoveOfficer(officer=hall.id("max"))
        told = hall.propose("rita", change).json()
        hall.approve("ana", told, change)
        hall.make(SetRules(approvals=3, cooling_off_days=14), approvers=("ana", "leo"))
        hall.approve("leo", told, change)
        response = hall.approve("max", told, change)
        assert response.status_code == 409
        assert "max" in hall.names()

    def test_a_key_is_one_officers(self, hall: Hall) -> None:
        key = format_public_key(hall.custodian.site.officers.officers["rita"].key)
        again = AddOfficer(name="rita-2", roles=[Role.APPROVER], key=key)
        assert hall.propose("rita", again).status_code == 409

    def test_one_officers_proposals_displace_nobody_elses(self, hall: Hall) -> None:
        """Whoever proposes without end keeps nobody from having them dismissed."""
        first = hall.propose("sam", newcomer("sams")).json()
        for n in range(MOST_EACH + 4):
            assert hall.propose("rita", newcomer(f"n-{n}")).status_code == 201
        waiting = hall.read()["proposals"]
        assert len(waiting) == MOST_EACH + 1
        assert first["proposal"] in {each["proposal"] for each in waiting}

    def test_proposals_leave_with_their_proposer(self, hall: Hall) -> None:
        hall.propose("sam", newcomer("sams"))
        hall.make(RemoveOfficer(officer=hall.id("sam")))
        assert hall.read()["proposals"] == []
        assert hall.custodian.call(lambda c: list(c.vault.scan(Kind.PROPOSAL))) == []


class TestOneAuthority:
    """Officers of one authority change nothing of the others'."""

    @pytest.fixture
    def guest(self, hall: Hall) -> Signer:
        """An approver of one authority alone."""
        key = OfficerKey.generate()
        public = format_public_key(key.public())
        hall.make(AddOfficer(name="axel", roles=[Role.APPROVER], key=public, authority="AXT"))
        found = next(each for each in hall.read()["officers"] if each["name"] == "axel")
        signer = Signer(hall.custodian.desk.vault, bytes.fromhex(found["id"]), key)  # type: ignore[arg-type]
        hall.custodian.site.officers.keys["axel"] = key
        officer = hall.custodian.call(lambda custody: custody.office.named("axel"))
        assert officer is not None
        hall.custodian.site.officers.officers["axel"] = officer
        return signer

    @pytest.mark.usefixtures("guest")
    def test_nothing_of_all_authorities(self, hall: Hall) -> None:
        for change in (
            newcomer("b", Role.APPROVER),
            newcomer("c", Role.APPROVER, authority="BSC"),
            SetRules(approvals=2, cooling_off_days=1),
            RemoveOfficer(officer=hall.id("sam")),
        ):
            assert hall.propose("axel", change).status_code == 403
            told = hall.propose("rita", change).json()
            assert hall.approve("axel", told, change).status_code == 403

    @pytest.mark.usefixtures("guest")
    def test_what_is_of_their_own(self, hall: Hall) -> None:
        change = newcomer("d", Role.AUDITOR, authority="AXT")
        assert hall.make(change, by="axel")["made"] is True


@pytest.mark.parametrize("change", ["removed", "other roles"])
def test_a_certificate_names_those_who_counted(hall: Hall, change: str) -> None:
    """Whoever had approved, and may not any more, is not among them; the case is carried out."""
    custodian, victim = hall.custodian, hall.id("max")
    case = custodian.desk.open([custodian.add("one", nhs(1))])
    case = custodian.desk.take("leo", case, Act.SHORTEN, **COURT_ORDER)
    case = custodian.desk.take("max", case, Act.APPROVE)
    hall.make(
        RemoveOfficer(officer=victim)
        if change == "removed"
        else ChangeOfficer(officer=victim, roles=[Role.AUDITOR])
    )
    case = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
    assert case["approvals"] == []
    case = custodian.desk.take("ana", case, Act.APPROVE)
    custodian.desk.take("leo", case, Act.APPROVE)
    custodian.call(tend)
    assert custodian.outcome(nhs(1)) == "no-record"
    (found,) = custodian.call(certificates)
    keys = {custodian.site.officers.officers[name].key for name in TWO}
    assert {each.fingerprint for each in found.statement.approvals} == set(map(fingerprint, keys))


def test_a_dismissed_officer_is_nobody_over_restarts() -> None:
    """No token, no step; and the cases know it at once."""
    with Crew() as site:
        with site.open() as custodian:
            hall = Hall(custodian)
            case = custodian.desk.open([custodian.add("one", nhs(1))])
            case = custodian.desk.take("max", case, Act.APPROVE)
            case = custodian.desk.take("ana", case, Act.APPROVE)
            assert case["state"] == "cooling-off"
            hall.make(RemoveOfficer(officer=hall.id("max")))
            case = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
            assert (case["state"], case["wanting"]) == ("requested", ["1 more approval"])
        with site.open() as custodian:
            assert custodian.desk.ask("max", "GET", "/v1/cases").status_code == 401
            again = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
            assert again["wanting"] == ["1 more approval"]
            signed = custodian.desk.signer("max").step(again["next"], Act.APPROVE)
            path = f"/v1/cases/{case['case']}/steps"
            assert custodian.desk.ask("ana", "POST", path, signed).status_code == 403
