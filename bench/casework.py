"""Cases about the records of a site, brought by its officers to where they can be carried out.

Inside the custodian's process a case is opened without looking for other records of the same child:
that is to walk over the whole vault, and no part of what is measured here. A case is made *ready*
first, all but its last approval; with that it is due, and the scheduler would soon carry it out.
"""

from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from http.client import HTTPConnection
from typing import Any, Final

from bench.officers import APPROVER, LEGAL, REQUESTER
from bench.served import ask
from bench.sites import Site
from keys.entry import EntryId
from lookup.cases.content import MAX_RECORDS, Content, Named
from lookup.custodian.cases.case import Case
from lookup.custodian.cases.case_view import next_step
from lookup.custodian.cases.casework import Opening, Wanted, open_case, take_step
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record
from lookup.officers.roles import Act

Json = dict[str, Any]

_READY: Final[tuple[tuple[str, Act, dict[str, str | int]], ...]] = (
    (LEGAL, Act.SHORTEN, {"days": 0, "court_order": "order 1 of the benchmarks"}),
    (APPROVER, Act.APPROVE, {}),
)


class Inside:
    """The officers of a site, at work inside its custodian's process."""

    def __init__(self, site: Site, custody: Custody) -> None:
        self._site = site
        self._custody = custody

    def ready(self, record_ids: Iterable[EntryId]) -> list[Case]:
        """Open cases about records, as few as can be, and bring them to their last approval."""
        found = map(self._custody.record, record_ids)
        cases = [self._open(some) for some in _together(each for each in found if each is not None)]
        for case in cases:
            for role, act, details in _READY:
                self._step(role, case, act, details)
        return cases

    def approve(self, cases: Sequence[Case]) -> None:
        """Give cases their last approval: they are due."""
        for case in cases:
            self._step(LEGAL, case, Act.APPROVE, {})

    def _open(self, records: Sequence[Record]) -> Case:
        named = sorted(Named(each.id.hex(), each.version) for each in records)
        content = _content(records[0].body.authority, named)
        signed = self._site.signer(REQUESTER).opening(content)
        opening = Opening(_wanted(signed), b64decode(signed["salt"]))
        return open_case(opening, frozenset())(self._custody)

    def _step(self, role: str, case: Case, act: Act, details: dict[str, str | int]) -> None:
        signed = self._site.signer(role).step(next_step(self._custody, case), act, details)
        take_step(case.id, _wanted(signed))(self._custody)


def _together(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield records of one authority, as many as a case may name."""
    waiting: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        found = waiting[record.body.authority]
        found.append(record)
        if len(found) == MAX_RECORDS:
            yield waiting.pop(record.body.authority)
    yield from waiting.values()


def _content(authority: str, records: list[Named], others: Sequence[str] = ()) -> Content:
    return Content(
        authority=authority,
        records=records,
        others=sorted(others),
        ground="art-17-1-a",
        received="2026-01-05",
        evidence={"purpose": "file 1", "retention": "schedule 2, row 3"},
    )


def _wanted(signed: Json) -> Wanted:
    content = signed.get("content", "").encode()
    return Wanted(signed["text"], b64decode(signed["signature"]), content)


class Desk:
    """The officers of a site, at work over a connection to its custodian."""

    def __init__(self, site: Site, connection: HTTPConnection) -> None:
        self._site = site
        self._connection = connection

    def ready(self, record_id: str) -> Json:
        """Open a case about a record, and bring it to its last approval."""
        seen = self._ask(REQUESTER, "/v1/cases/preview", {"record_ids": [record_id]})
        (record,) = seen["records"]
        content = _content(
            record["authority"],
            [Named(record["record_id"], record["version"])],
            [each["record_id"] for each in seen["others"]],
        )
        case = self._ask(REQUESTER, "/v1/cases", self._site.signer(REQUESTER).opening(content))
        for role, act, details in _READY:
            case = self._step(role, case, act, details)
        return case

    def approve(self, case: Json) -> Json:
        """Give a case its last approval: it is due."""
        return self._step(LEGAL, case, Act.APPROVE, {})

    def carry_out(self, case: Json) -> Json:
        """Carry a case out; return what is said of it."""
        return self._step(REQUESTER, case, Act.CARRY_OUT, {})

    def _step(self, role: str, case: Json, act: Act, details: dict[str, str | int]) -> Json:
        signed = self._site.signer(role).step(case["next"], act, details)
        return self._ask(role, f"/v1/cases/{case['case']}/steps", signed)

    def _ask(self, role: str, path: str, content: Json) -> Json:
        return ask(self._connection, path, content, self._site.token(role))
