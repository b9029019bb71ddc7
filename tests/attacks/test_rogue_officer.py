"""A6, the rogue officer: one key, every role that it may have, and whatever it has seen of others'.

Nothing that one officer signs alone, however often and in whatever place, destroys a record or
hides one that protects a child (G7).
"""

from base64 import b64encode
from collections.abc import Iterator
from itertools import combinations
from typing import Final

import httpx2
import pytest

from crypto.sshsig import OfficerKey, format_public_key, sign
from keys.entry import EntryId
from lookup.cases.step import NAMESPACE, parse_step
from lookup.cases.step import STEPS as CASE_STEPS
from lookup.custodian.cases.carrying_out import tend
from lookup.officers.proposal import (
    AddOfficer,
    Change,
    ChangeOfficer,
    RemoveOfficer,
    SetRules,
)
from lookup.officers.roles import Act, Role
from lookup.officers.signing import Signer
from tests.clocks import SetClocks
from tests.officers import COURT_ORDER, ROLES, Json
from tests.simulator import Custodian, Site, nhs

PEOPLE: Final = sorted(set(Role) - {Role.REGISTRAR})
DETAILS: Final[dict[Act, dict[str, str | int]]] = {
    Act.REFUSE: {"reason": "art-17-3-e", "words": "The record is needed for proceedings."},
    Act.HOLD: {"reason": "court-case"},
    Act.SHORTEN: dict(COURT_ORDER),
    Act.EXTEND: {"reason": "complexity"},
    Act.ESCALATE: {"reason": "new-record"},
    Act.RECALL: {"recipients": 1},
}
STEPS: Final = [act for act in CASE_STEPS if act is not Act.OPEN]


def _name(roles: tuple[Role, ...]) -> str:
    return "-".join(roles)


COMBINATIONS: Final = {
    _name(roles): frozenset(roles)
    for size in range(1, len(PEOPLE) + 1)
    for roles in combinations(PEOPLE, size)
}


class Crew(Site):
    """A site with one more officer for each set of roles that one person may have."""

    roles = ROLES | COMBINATIONS


@pytest.fixture(scope="module")
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


class Stage:
    """A record that protects a child, and a case about it that two honest officers know."""

    numbers = iter(range(1, 40_000))

    def __init__(self, crew: Custodian, **changes: object) -> None:
        self.crew, self.desk = crew, crew.desk
        number = next(self.numbers)
        self.child = nhs(number)
        self.record_id: EntryId = crew.add(f"stage-{number}", self.child)
        self.case = self.desk.open([self.record_id], **changes)

    @property
    def now(self) -> Json:
        return self.desk.told("ada", "GET", f"/v1/cases/{self.case['case']}")

    def send(self, signed: Json, by: str = "ada", case: str | None = None) -> httpx2.Response:
        """Send what somebody has signed; whose token comes with it does not matter."""
        return self.desk.ask(by, "POST", f"/v1/cases/{case or self.case['case']}/steps", signed)

    def assert_unharmed(self) -> None:
        """It is there and answered, and no alarm was needed."""
        self.crew.call(tend)
        assert self.crew.outcome(self.child) == "known"
        assert self.crew.custody.alarms.hidden == 0


@pytest.fixture
def stage(crew: Custodian) -> Stage:
    return Stage(crew)


class TestAlone:
    """One key with some roles, or with all of them."""

    @pytest.mark.parametrize("rogue", COMBINATIONS)
    def test_every_step_of_somebody_elses_case(
        self, crew: Custodian, clocks: SetClocks, rogue: str
    ) -> None:
        """In two rounds, so that a step that an earlier one allows is tried, too; time passes."""
        stage = Stage(crew, restrict=True)
        signer = crew.desk.signer(rogue)
        for act in STEPS * 2:
            if act in {Act.RESTRICT, Act.AMEND}:
                continue  # with the requester's wish these are two officers' doing
            stage.send(signer.step(stage.now["next"], act, DETAILS.get(act)))
        clocks.let_days_pass(400)
        stage.assert_unharmed()

    @pytest.mark.parametrize("rogue", [name for name in COMBINATIONS if "requester" in name])
    def test_every_step_of_the_own_case(
        self, crew: Custodian, clocks: SetClocks, rogue: str
    ) -> None:
        """Opened with a wish for a restriction; its opener decides nothing of it."""
        number = next(Stage.numbers)
        record_id = crew.add(f"own-{number}", nhs(number))
        signer = crew.desk.signer(rogue)
        signed = signer.opening(crew.desk.content([record_id], restrict=True))
        case = crew.desk.told(rogue, "POST", "/v1/cases", signed)
        path = f"/v1/cases/{case['case']}"
        for act in [act for act in STEPS * 2 if act is not Act.WITHDRAW]:
            following = crew.desk.told("ada", "GET", path)["next"]
            crew.desk.ask(
                rogue, "POST", f"{path}/steps", signer.step(following, act, DETAILS.get(act))
            )
        now = crew.desk.told("ada", "GET", path)
        assert (now["approvals"], now["restriction"], now["refusal"]) == ([], None, None)
        clocks.let_days_pass(400)
        crew.call(tend)
        assert crew.outcome(nhs(number)) == "known"

    @pytest.mark.parametrize("rogue", ["safeguarding", _name(tuple(PEOPLE))])
    def test_no_restriction_that_nobody_asked_for(self, stage: Stage, rogue: str) -> None:
        signed = stage.desk.signer(rogue).step(stage.now["next"], Act.RESTRICT)
        response = stage.send(signed)
        assert "does not ask for a restriction" in response.json()["detail"]
        stage.assert_unharmed()

    def test_whoever_changes_a_case_becomes_one_who_decides_nothing(self, stage: Stage) -> None:
        """All roles: an amendment that asks for a restriction makes its signer a requester."""
        rogue = _name(tuple(PEOPLE))
        content = stage.desk.content([stage.record_id], restrict=True)
        signer = stage.desk.signer(rogue)
        assert stage.send(signer.amendment(stage.now["next"], content)).status_code == 200
        for act in (Act.RESTRICT, Act.APPROVE, Act.REFUSE, Act.SHORTEN):
            response = stage.send(signer.step(stage.now["next"], act, DETAILS.get(act)))
            assert response.status_code == 409
        stage.assert_unharmed()


class TestOthersSignatures:
    """What honest officers have signed, played by somebody else."""

    def approval(self, stage: Stage, name: str = "ana") -> Json:
        return stage.desk.signer(name).step(stage.now["next"], Act.APPROVE)

    def test_twice(self, stage: Stage) -> None:
        signed = self.approval(stage)
        assert stage.send(signed).status_code == 200
        assert stage.send(signed).status_code == 409
        assert stage.now["approvals"] == ["ana"]

    def test_in_another_case(self, crew: Custodian, stage: Stage) -> None:
        other = Stage(crew)
        response = stage.send(self.approval(stage), case=other.case["case"])
        assert response.status_code == 400
        assert other.now["approvals"] == []

    def test_in_another_case_by_another_text(self, crew: Custodian, stage: Stage) -> None:
        """The text of the one, the signature of the other."""
        other = Stage(crew)
        text = stage.desk.signer("ana").step(other.now["next"], Act.APPROVE)["text"]
        signed = self.approval(stage) | {"text": text}
        assert stage.send(signed, case=other.case["case"]).status_code == 403

    def test_in_another_place(self, stage: Stage) -> None:
        """What was signed for the second place does not do for the third, nor the first."""
        first, second = self.approval(stage), self.approval(stage, "leo")
        assert stage.send(first).status_code == 200
        assert stage.send(second).status_code == 409
        moved = second["text"].replace("number: 2", "number: 3")
        assert stage.send(second | {"text": moved}).status_code == 403
        assert stage.now["approvals"] == ["ana"]

    def test_in_another_order(self, stage: Stage) -> None:
        """Two steps of one officer, the second sent first."""
        hold = stage.desk.signer("leo").step(stage.now["next"], Act.HOLD, DETAILS[Act.HOLD])
        following = dict(stage.now["next"])
        following["number"] += 1
        following["after"] = parse_step(hold["text"]).hash().hex()
        release = stage.desk.signer("leo").step(following, Act.RELEASE)
        assert stage.send(release).status_code == 409
        assert stage.send(hold).status_code == 200
        assert stage.send(release).status_code == 200
        assert stage.send(hold).status_code == 409

    def test_after_an_amendment(self, stage: Stage) -> None:
        """What was signed of the case as it was is void, also in its new place."""
        before = stage.now["next"]
        content = stage.desk.content([stage.record_id], note="another")
        stage.send(stage.desk.signer("rita").amendment(before, content))
        old = stage.now["next"] | {"digest": before["digest"]}
        response = stage.send(stage.desk.signer("ana").step(old, Act.APPROVE))
        assert response.status_code == 409
        assert "another state of the case" in response.json()["detail"]

    def test_an_amendment_with_another_content(self, stage: Stage) -> None:
        signed = stage.desk.signer("rita").amendment(
            stage.now["next"], stage.desk.content([stage.record_id], note="signed")
        )
        other = stage.desk.content([stage.record_id], note="smuggled").encode().decode()
        assert stage.send(signed | {"content": other}).status_code == 409

    def test_of_whoever_was_dismissed(self, crew: Custodian, stage: Stage) -> None:
        """Neither what they sign now, nor what they had signed."""
        assert stage.send(self.approval(stage, "approver")).status_code == 200
        hall(crew, RemoveOfficer(officer=crew.site.officers.officers["approver"].id.hex()))
        assert stage.now["approvals"] == []
        assert stage.send(self.approval(stage, "approver")).status_code == 403
        stage.assert_unharmed()


class TestForged:
    """Signatures by another key, of another kind, of nobody."""

    def forged(self, stage: Stage, key: OfficerKey, namespace: str = NAMESPACE) -> Json:
        text = stage.desk.signer("ana").step(stage.now["next"], Act.APPROVE)["text"]
        return {"text": text, "signature": b64encode(sign(key, namespace, text.encode())).decode()}

    def test_by_a_key_of_nobody(self, stage: Stage) -> None:
        assert stage.send(self.forged(stage, OfficerKey.generate())).status_code == 403

    def test_by_another_officers_key(self, crew: Custodian, stage: Stage) -> None:
        key = crew.site.officers.keys["leo"]
        assert stage.send(self.forged(stage, key)).status_code == 403

    @pytest.mark.parametrize(
        "namespace", ["lacuna-officer@v1", "lacuna-proposal@v1", "git", "file"]
    )
    def test_for_another_purpose(self, crew: Custodian, stage: Stage, namespace: str) -> None:
        key = crew.site.officers.keys["ana"]
        assert stage.send(self.forged(stage, key, namespace)).status_code == 403

    @pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64, b"\x01" + bytes(63)])
    def test_by_nobody(self, stage: Stage, signature: bytes) -> None:
        signed = stage.desk.signer("ana").step(stage.now["next"], Act.APPROVE)
        response = stage.send(signed | {"signature": b64encode(signature).decode()})
        assert response.status_code == 403

    def test_in_the_sites_name(self, crew: Custodian, stage: Stage) -> None:
        """The site's own step comes from the site."""
        text = stage.desk.signer("ana").step(stage.now["next"], Act.ESCALATE, DETAILS[Act.ESCALATE])
        officer = crew.site.officers.officers["ana"].id.hex()
        own = text | {"text": text["text"].replace(f"officer: {officer}", "officer: site")}
        assert stage.send(own).status_code == 403
        assert stage.now["escalated"] == []

    def test_for_another_site(self, crew: Custodian, stage: Stage) -> None:
        officer, key = crew.site.officers.officers["ana"], crew.site.officers.keys["ana"]
        elsewhere = Signer(bytes(16), officer.id, key)
        signed = elsewhere.step(stage.now["next"] | {"vault": "00" * 16}, Act.APPROVE)
        assert stage.send(signed).status_code == 400


class TestOffice:
    """Becoming two: officers and rules are changed by several."""

    ROGUE: Final = _name(tuple(PEOPLE))

    @pytest.mark.parametrize("what", ["add", "remove", "roles", "fewer", "shorter"])
    def test_nothing_is_changed_by_one(self, crew: Custodian, what: str) -> None:
        key = format_public_key(OfficerKey.generate().public())
        victim = crew.site.officers.officers["ana"].id.hex()
        changes: dict[str, Change] = {
            "add": AddOfficer(name="second", roles=[Role.APPROVER], key=key),
            "remove": RemoveOfficer(officer=victim),
            "roles": ChangeOfficer(officer=victim, roles=[Role.AUDITOR]),
            "fewer": SetRules(approvals=2, cooling_off_days=14),
            "shorter": SetRules(approvals=2, cooling_off_days=1),
        }
        change = changes[what]
        before = office(crew)
        signer = crew.desk.signer(self.ROGUE)
        proposed = signer.proposal(change, before["changes"])
        told = crew.desk.told(self.ROGUE, "POST", "/v1/officers/proposals", proposed)
        approval = signer.approval(bytes.fromhex(told["proposal"]), change)
        for signed in (approval, proposed, approval):
            response = crew.desk.ask(self.ROGUE, "POST", "/v1/officers/proposals/approve", signed)
            assert response.status_code in {400, 409}
        after = office(crew)
        assert (after["officers"], after["rules"]) == (before["officers"], before["rules"])

    def test_the_own_key_has_one_name(self, crew: Custodian) -> None:
        key = format_public_key(crew.site.officers.keys[self.ROGUE].public())
        change = AddOfficer(name="second", roles=[Role.APPROVER], key=key)
        signed = crew.desk.signer(self.ROGUE).proposal(change, office(crew)["changes"])
        response = crew.desk.ask(self.ROGUE, "POST", "/v1/officers/proposals", signed)
        assert response.status_code == 409


def office(crew: Custodian) -> Json:
    return crew.desk.told("ada", "GET", "/v1/officers")


def hall(crew: Custodian, change: Change) -> None:
    """Have the honest ones change who is an officer."""
    told = crew.desk.told(
        "rita",
        "POST",
        "/v1/officers/proposals",
        crew.desk.signer("rita").proposal(change, office(crew)["changes"]),
    )
    for name in ("ana", "leo"):
        signed = crew.desk.signer(name).approval(bytes.fromhex(told["proposal"]), change)
        crew.desk.told(name, "POST", "/v1/officers/proposals/approve", signed)
