"""Cases over HTTP: look at what one would name, open one, take its steps, read it.

Invariants:

* Every change is a step that an officer has signed (lookup/cases/step.py): the token says who asks,
  the signature who decides.
* What is read of a case is for officers of its authority.
* To look for the other records of a child is to walk over the whole vault, some leaves at a time,
  so that additions and shreds need not wait for it.
"""

from asyncio import wrap_future
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from keys.entry import EntryId
from lookup.cases.content import MAX_CONTENT, MAX_RECORDS, Content, HexId
from lookup.custodian.api.requests import (
    JSON,
    TheWriter,
    answer,
    describe_body,
    describe_carried_out,
    may,
    read_json,
)
from lookup.custodian.cases.case import Case
from lookup.custodian.cases.case_view import describe_record, summary, whole
from lookup.custodian.cases.casework import Opening, Wanted, find, open_case, others_of, take_step
from lookup.custodian.cases.certifying import opening_of
from lookup.custodian.cases.docket import Lookout, Named
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record, names_of
from lookup.custodian.writer import Writer
from lookup.errors import Forbidden, RecordNotFound
from lookup.officers.roles import Act, Officer

router = APIRouter(prefix="/v1/cases", tags=["cases"])

_LEAVES_AT_ONCE: Final = 256

Reader = Annotated[Officer, Depends(may(Act.READ_CASES))]
Opener = Annotated[Officer, Depends(may(Act.OPEN))]
CaseId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class PreviewRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which records a case would name."""

    record_ids: Annotated[list[HexId], msgspec.Meta(min_length=1, max_length=MAX_RECORDS)]


class StepRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A step as it was signed; `content` comes with `open` and `amend`, `salt` with `open`."""

    text: Annotated[str, msgspec.Meta(max_length=4_096)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
    content: Annotated[str, msgspec.Meta(max_length=MAX_CONTENT)] = ""
    salt: Annotated[bytes, msgspec.Meta(max_length=32)] = b""

    def __repr__(self) -> str:
        return "<StepRequest>"

    def wanted(self) -> Wanted:
        """Return the step alone."""
        return Wanted(self.text, self.signature, self.content.encode())


@router.get("")
async def list_cases(officer: Reader, writer: TheWriter) -> Response:
    """Return the cases that the officer may read, the oldest first."""

    def listed(custody: Custody) -> list[dict[str, Any]]:
        cases = (
            case
            for case in custody.docket.cases.values()
            if officer.may(Act.READ_CASES, case.content.authority)
        )
        found = [summary(custody, case) for case in cases]
        return sorted(found, key=lambda each: (each["opened"], each["case"]))

    return answer({"cases": await wrap_future(writer.call(listed))})


@router.post("/preview", openapi_extra=describe_body(PreviewRequest))
async def preview(request: Request, officer: Opener, writer: TheWriter) -> Response:
    """Return the records that a case would name, and the others of the same children."""
    wanted = await read_json(request, PreviewRequest)
    record_ids = [EntryId(bytes.fromhex(each)) for each in sorted(set(wanted.record_ids))]

    def look(custody: Custody) -> tuple[list[dict[str, Any]], frozenset[Named]]:
        records = [_readable(custody, officer, each) for each in record_ids]
        names = frozenset(name for record in records for name in names_of(record))
        return [describe_record(custody, record) for record in records], names

    records, names = await wrap_future(writer.call(look))
    others = await _others(writer, names, record_ids)

    def tell(custody: Custody) -> list[dict[str, Any]]:
        found = (custody.record(each) for each in others)
        return [describe_record(custody, each) for each in found if each is not None]

    told = await wrap_future(writer.call(tell))
    vault = request.app.state.custody.vault.id.hex()
    return answer({"vault": vault, "records": records, "others": told})


@router.post("", status_code=201, openapi_extra=describe_body(StepRequest))
async def open_one(request: Request, officer: Opener, writer: TheWriter) -> Response:
    """Open a case."""
    wanted = await read_json(request, StepRequest)
    opening = Opening(wanted.wanted(), wanted.salt)
    content = opening.wanted.parsed()
    if not officer.may(Act.OPEN, content.authority):
        raise Forbidden("the case is of an authority that is not the officer's")
    async with _looked(writer, content) as (others, lookout):
        case = await wrap_future(writer.call(open_case(opening, others, lookout)))
    return answer(await _told(writer, case), 201, {"Location": f"/v1/cases/{case.id.hex()}"})


@router.get("/{case_id}")
async def read_case(case_id: CaseId, officer: Reader, writer: TheWriter) -> Response:
    """Return a case."""

    def read(custody: Custody) -> dict[str, Any]:
        return whole(custody, _found(custody, officer, Act.READ_CASES, case_id))

    return answer(await wrap_future(writer.call(read)))


@router.post("/{case_id}/steps", openapi_extra=describe_body(StepRequest))
async def take_one(
    request: Request, case_id: CaseId, officer: Reader, writer: TheWriter
) -> Response:
    """Take a case's next step; what it leads to is in the answer."""
    wanted = await read_json(request, StepRequest)
    # Whoever brings what another has signed reads the answer.
    await wrap_future(writer.call(lambda c: _found(c, officer, Act.READ_CASES, case_id)))
    step, taken = wanted.wanted(), EntryId(bytes.fromhex(case_id))
    if step.content:
        async with _looked(writer, step.parsed()) as (others, lookout):
            done = await wrap_future(writer.call(take_step(taken, step, others, lookout)))
    else:
        done = await wrap_future(writer.call(take_step(taken, step)))
    if done.carried_out is not None:
        demo = request.app.state.custody.policy.demo
        return answer(describe_carried_out(done.carried_out, demo=demo))
    return answer(await _told(writer, done.case))


@router.get("/{case_id}/opening")
async def read_opening(
    case_id: CaseId,
    officer: Annotated[Officer, Depends(may(Act.READ_OPENING))],
    writer: TheWriter,
) -> Response:
    """Return what the family needs to open the certificate to come; it leaves with the case.

    It names the records' identifiers, so it is audited as reading them is.
    """

    def read(custody: Custody) -> bytes:
        case = _found(custody, officer, Act.READ_OPENING, case_id)
        for each in case.record_ids:
            record = custody.record(each)
            if record is not None:
                custody.audit.note_read(officer, record)
        return opening_of(custody, case).json()

    opening = await wrap_future(writer.call(read))
    return Response(opening, headers={"cache-control": "no-store"}, media_type=JSON)


@asynccontextmanager
async def _looked(
    writer: Writer, content: Content
) -> AsyncIterator[tuple[frozenset[EntryId], Lookout]]:
    """Give the records that a content has to list, and keep a lookout for others that come."""
    ids = [EntryId(each) for each in content.record_ids]

    def begin(custody: Custody) -> Lookout:
        records = (custody.record(each) for each in ids)
        names = (name for each in records if each is not None for name in names_of(each))
        return custody.docket.look_out(frozenset(names))

    lookout = await wrap_future(writer.call(begin))
    try:
        yield frozenset(await _others(writer, lookout.names, ids)), lookout
    finally:
        writer.call(lambda custody: custody.docket.stop_looking(lookout))


async def _others(
    writer: Writer, names: frozenset[Named], record_ids: list[EntryId]
) -> list[EntryId]:
    """Return the other records that name one of these children, in all of the vault."""
    leaves = await wrap_future(writer.call(lambda custody: custody.vault.leaves))
    found: list[EntryId] = []
    for at in range(0, leaves, _LEAVES_AT_ONCE):
        some = range(at, min(at + _LEAVES_AT_ONCE, leaves))
        found += await wrap_future(writer.call(others_of(names, record_ids, some)))
    return found


async def _told(writer: Writer, case: Case) -> dict[str, Any]:
    return await wrap_future(writer.call(lambda custody: whole(custody, case)))


def _readable(custody: Custody, officer: Officer, record_id: EntryId) -> Record:
    record = custody.record(record_id)
    if record is None or not officer.may(Act.OPEN, record.body.authority):
        raise RecordNotFound("a record is not there, or is not of the officer's authority")
    return record


def _found(custody: Custody, officer: Officer, act: Act, case_id: str) -> Case:
    case = find(custody, EntryId(bytes.fromhex(case_id)))
    if not officer.may(act, case.content.authority):
        raise Forbidden("the case is of an authority that is not the officer's")
    return case
