"""The officers of the tests, and cases as they carry them through over HTTP."""

# ruff: noqa: ANN401  # `changes` are whatever a content holds

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from crypto.sshsig import OfficerKey
from keys.entry import EntryId
from lookup.cases.content import Content, Named
from lookup.custodian.officers import new_officer
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

    def expunge(self, *record_ids: EntryId) -> Json:
        """Carry a case about records through; return what is said of it."""
        return self.take("rita", self.approved(record_ids), Act.CARRY_OUT)
