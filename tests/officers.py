"""The officers of the tests, and cases as they carry them through: over HTTP, or inside."""

# ruff: noqa: ANN401  # `changes` are whatever a content holds

import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from crypto.sshsig import OfficerKey
from keys.entry import EntryId
from lookup.cases.content import Content, Named
from lookup.cases.standing import State
from lookup.custodian.cases.carrying_out import CarriedOut
from lookup.custodian.cases.case import Case
from lookup.custodian.cases.case_view import next_step
from lookup.custodian.cases.casework import Done, Opening, Wanted, open_case, others_of, take_step
from lookup.custodian.custody import Custody
from lookup.custodian.officers import new_officer
from lookup.custodian.proposals import approve, propose
from lookup.custodian.records.record import names_of
from lookup.officers.proposal import Change, PlaceHold
from lookup.officers.roles import Act, Officer, Role
from lookup.officers.signing import Signer

Json = dict[str, Any]

ROLES: Final[dict[str, frozenset[Role]]] = {
    "rita": frozenset({Role.REQUESTER}),
    "ana": frozenset({Role.APPROVER}),
    "leo": frozenset({Role.LEGAL}),
    "sam": frozenset({Role.SAFEGUARDING}),
    "ada": frozenset({Role.AUDITOR}),
    "feed": frozenset({Role.REGISTRAR}),
}
COURT_ORDER: Final[Mapping[str, str | int]] = {"days": 0, "court_order": "order 1 of the tests"}
EVIDENCE: Final = {"purpose": "file 1 of the tests", "retention": "schedule 2, row 3"}


class Bench:
    """Officers with their keys: one of each role, unless a test says otherwise."""

    def __init__(self, roles: Mapping[str, frozenset[Role]] = ROLES) -> None:
        self.keys = {name: OfficerKey.generate() for name in roles}
        self.officers: dict[str, Officer] = {
            name: new_officer(name, found, self.keys[name].public())
            for name, found in roles.items()
        }

    def signer(self, vault: bytes, name: str) -> Signer:
        """Return an officer of a vault, ready to sign."""
        return Signer(vault, self.officers[name].id, self.keys[name])

    def case_of(
        self, custody: Custody, record_ids: Sequence[EntryId], note: str = "", **changes: Any
    ) -> Case:
        """Open a case about records inside the custodian, where custody is the caller's alone."""
        records = [record for each in record_ids if (record := custody.record(each)) is not None]
        names = frozenset(name for record in records for name in names_of(record))
        others = others_of(names, record_ids, range(custody.vault.leaves))(custody)
        members: Json = {
            "authority": records[0].body.authority,
            "records": sorted(Named(each.id.hex(), each.version) for each in records),
            "others": sorted(each.hex() for each in others),
            "ground": "art-17-1-a",
            "received": "2026-01-05",
            "evidence": EVIDENCE,
            "note": note,
        }
        signed = self.signer(custody.vault.id, "rita").opening(Content(**(members | changes)))
        opening = Opening(_wanted(signed), b64decode(signed["salt"]))
        return open_case(opening, frozenset(others))(custody)

    def step(self, custody: Custody, name: str, case: Case, act: Act, **details: str | int) -> Done:
        """Take a case's next step inside the custodian."""
        signed = self.signer(custody.vault.id, name).step(next_step(custody, case), act, details)
        return take_step(case.id, _wanted(signed))(custody)

    def approved_of(
        self, custody: Custody, record_ids: Sequence[EntryId], note: str = "", **changes: Any
    ) -> Case:
        """Have a case about records opened, shortened and approved: it is due."""
        case = self.case_of(custody, record_ids, note, **changes)
        self.step(custody, "leo", case, Act.SHORTEN, **COURT_ORDER)
        self.step(custody, "ana", case, Act.APPROVE)
        self.step(custody, "leo", case, Act.APPROVE)
        return case

    def make(self, custody: Custody, change: Change) -> None:
        """Have a change made inside the custodian: proposed, and approved by two."""
        vault, changes = custody.vault.id, custody.office.governance.changes
        signed = self.signer(vault, "rita").proposal(change, changes)
        pending, _ = propose(signed["text"], b64decode(signed["signature"]))(custody)
        for name in ("ana", "leo"):
            signed = self.signer(vault, name).approval(pending.id, change)
            approve(signed["text"], b64decode(signed["signature"]))(custody)

    def expunge(self, custody: Custody, *record_ids: EntryId) -> CarriedOut:
        """Carry a case about records through."""
        return self.carry_through(custody, self.approved_of(custody, record_ids))

    def carry_through(self, custody: Custody, case: Case) -> CarriedOut:
        """Have a case that is due carried out; recipients of answers are written to."""
        while (done := self.step(custody, "rita", case, Act.CARRY_OUT).carried_out) is None:
            if custody.docket.standing(case).state is State.RECALLING:
                self.step(custody, "leo", case, Act.LETTERS)
        return done

    def office(self, client: httpx2.Client, vault: bytes) -> "Desk":
        """Return how these officers reach a custodian."""
        return Desk(self, client, vault)


@dataclass(frozen=True, slots=True)
class Desk:
    """Officers at work on one site."""

    bench: Bench
    client: httpx2.Client
    vault: bytes

    def signer(self, name: str) -> Signer:
        """Return an officer, ready to sign."""
        return self.bench.signer(self.vault, name)

    def ask(
        self, name: str, method: str, path: str, content: Json | None = None
    ) -> httpx2.Response:
        """Call the interface as an officer."""
        headers = self.signer(name).headers(int(time.time()))
        return self.client.request(method, path, json=content, headers=headers)

    def told(self, name: str, method: str, path: str, content: Json | None = None) -> Json:
        """Return what is answered; it is no refusal."""
        response = self.ask(name, method, path, content)
        assert response.status_code < 400, response.text
        return dict(response.json())

    def content(self, record_ids: Sequence[EntryId], **changes: Any) -> Content:
        """Return what a case about records would say, after a look at them."""
        wanted = {"record_ids": [each.hex() for each in record_ids]}
        seen = self.told("rita", "POST", "/v1/cases/preview", wanted)
        members: Json = {
            "authority": seen["records"][0]["authority"],
            "records": [Named(each["record_id"], each["version"]) for each in seen["records"]],
            "others": sorted(each["record_id"] for each in seen["others"]),
            "ground": "art-17-1-a",
            "received": "2026-01-05",
            "evidence": EVIDENCE,
        }
        return Content(**(members | changes))

    def open(self, record_ids: Sequence[EntryId], **changes: Any) -> Json:
        """Open a case; return it."""
        content = self.content(record_ids, **changes)
        return self.told("rita", "POST", "/v1/cases", self.signer("rita").opening(content))

    def step(self, name: str, case: Json, act: Act, **details: str | int) -> httpx2.Response:
        """Take a case's next step, as it stood when `case` was read."""
        signed = self.signer(name).step(case["next"], act, details)
        return self.ask(name, "POST", f"/v1/cases/{case['case']}/steps", signed)

    def take(self, name: str, case: Json, act: Act, **details: str | int) -> Json:
        """Take a case's next step; return the case as it stands then."""
        response = self.step(name, case, act, **details)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def approved(self, record_ids: Sequence[EntryId], **changes: Any) -> Json:
        """Return a case that was opened, shortened by a court's order, and approved by two."""
        case = self.open(record_ids, **changes)
        case = self.take("leo", case, Act.SHORTEN, **COURT_ORDER)
        case = self.take("ana", case, Act.APPROVE)
        return self.take("leo", case, Act.APPROVE)

    def propose(self, change: Change, by: str = "rita") -> httpx2.Response:
        """Propose a change of officers, rules or holds."""
        changes = self.told(by, "GET", "/v1/officers")["changes"]
        signed = self.signer(by).proposal(change, changes)
        return self.ask(by, "POST", "/v1/officers/proposals", signed)

    def hold(self, by: str = "sam", **scope: str | None) -> str:
        """Place a hold, alone; return its id."""
        response = self.propose(PlaceHold(reason="inquiry", **scope), by)
        assert response.status_code == 201, response.text
        assert response.json()["made"]
        return str(response.json()["proposal"])

    def change(self, change: Change) -> Json:
        """Make a change, which two approve; return the proposal as it ends."""
        response = self.propose(change)
        assert response.status_code == 201, response.text
        proposal_id = bytes.fromhex(response.json()["proposal"])
        for name in ("ana", "leo"):
            signed = self.signer(name).approval(proposal_id, change)
            done = self.told(name, "POST", "/v1/officers/proposals/approve", signed)
        assert done["made"]
        return done

    def refused_change(self, change: Change) -> str:
        """Return why a change may not even be proposed."""
        response = self.propose(change)
        assert response.status_code == 409, response.text
        return str(response.json()["detail"])

    def expunge(self, *record_ids: EntryId) -> Json:
        """Carry a case about records through; return what is said of it."""
        return self.carry_through(self.approved(record_ids))

    def carry_through(self, case: Json) -> Json:
        """Have a case that is due carried out; return what is said of it.

        Nothing is, where the site was quicker: in an idle moment it carries out what is due. To
        recipients of answers letters are written, instead of waiting for them.
        """
        while "certificates" not in case:
            waits = case["recall"] and case["recall"]["waiting"] and not case["recall"]["written"]
            by, act = ("leo", Act.LETTERS) if waits else ("rita", Act.CARRY_OUT)
            case = self.take_or_miss(by, case, act)
        return case

    def take_or_miss(self, name: str, case: Json, act: Act) -> Json:
        """Take a step, unless the case was carried out meanwhile."""
        response = self.step(name, case, act)
        if response.status_code == 404:
            return {"certificates": []}
        assert response.status_code in {200, 409}, response.text
        if response.status_code == 200:
            return dict(response.json())
        found = self.ask("ada", "GET", f"/v1/cases/{case['case']}")
        return dict(found.json()) if found.status_code == 200 else {"certificates": []}


def _wanted(signed: Json) -> Wanted:
    """Return a signed step as the interface passes it on."""
    content = signed.get("content", "").encode()
    return Wanted(signed["text"], b64decode(signed["signature"]), content)
