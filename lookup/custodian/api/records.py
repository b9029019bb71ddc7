"""Records: add one, read one, change one."""

import re
from asyncio import wrap_future
from datetime import date
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from crypto.aead import InvalidCiphertext
from crypto.record import Dek, unseal_payload
from keys.entry import EntryId
from lookup.custodian.accesses import latest
from lookup.custodian.adding import ADDED, Stored, add, change
from lookup.custodian.api.requests import (
    RecordId,
    SendsFor,
    TheWriter,
    answer,
    describe_body,
    may,
    read_body,
    require_own,
)
from lookup.custodian.custody import Custody
from lookup.custodian.draft import MAX_RECORD, Draft, InvalidRecord, RecordShape, parse_draft
from lookup.custodian.record import Record
from lookup.errors import InvalidRequest, PreconditionRequired, RecordNotFound
from lookup.officers.roles import Act, Officer

router = APIRouter(prefix="/v1/records", tags=["records"])

_ETAG: Final = re.compile(r'(?:W/)?"([1-9][0-9]{0,9})"')
_SCHEMA: Final = describe_body(RecordShape)


class InvalidRecordRequest(InvalidRequest):
    """A record that breaks a rule, told with the rule's code."""

    def __init__(self, error: InvalidRecord) -> None:
        super().__init__(error.message)
        self.rule = error.rule


@router.post("", status_code=201, openapi_extra=_SCHEMA)
async def add_record(request: Request, sends_for: SendsFor, writer: TheWriter) -> Response:
    """Add a record; 200 and its id if the same was there already, 409 if another was."""
    draft = await _draft(request, sends_for)
    stored = await wrap_future(writer.change(add(draft)))
    return _stored(stored, 201 if stored.result == ADDED else 200)


@router.get("/{record_id}")
async def read_record(
    record_id: RecordId,
    officer: Annotated[Officer, Depends(may(Act.READ_RECORDS))],
    writer: TheWriter,
) -> Response:
    """Return a record with its payload and last accesses, this one first; its version is the ETag.

    The access is durable before the record leaves.
    """

    def read(custody: Custody) -> tuple[int, dict[str, Any]]:
        return _read(custody, officer, record_id)

    version, content = await wrap_future(writer.call(read))
    return answer(content, headers={"ETag": f'"{version}"'})


@router.put("/{record_id}", openapi_extra=_SCHEMA)
async def change_record(
    request: Request, record_id: RecordId, sends_for: SendsFor, writer: TheWriter
) -> Response:
    """Make the body the record's next version; If-Match names the version it replaces."""
    expected = _expected(request)
    draft = await _draft(request, sends_for)
    return _stored(await wrap_future(writer.change(change(record_id, draft, expected))), 200)


async def _draft(request: Request, sends_for: str | None) -> Draft:
    raw = await read_body(request, MAX_RECORD)
    try:
        draft = parse_draft(raw, request.app.state.custody.catalogue)
    except InvalidRecord as error:
        raise InvalidRecordRequest(error) from None
    require_own(draft.authority, sends_for)
    return draft


def _expected(request: Request) -> int:
    given = request.headers.get("if-match")
    if given is None:
        raise PreconditionRequired("say which version this replaces: If-Match with its ETag")
    found = _ETAG.fullmatch(given.strip())
    if found is None:
        raise InvalidRequest("If-Match must be one ETag as GET returned it")
    return int(found[1])


def _stored(stored: Stored, status: int) -> Response:
    record_id = stored.record_id.hex()
    return answer(
        {"result": stored.result, "record_id": record_id, "version": stored.version},
        status,
        {"ETag": f'"{stored.version}"', "Location": f"/v1/records/{record_id}"},
    )


def _read(custody: Custody, officer: Officer, record_id: EntryId) -> tuple[int, dict[str, Any]]:
    record = custody.record(record_id)
    if record is None or not officer.may(Act.READ_RECORDS, record.body.authority):
        raise RecordNotFound("there is no such record")
    body = record.body
    custody.audit.note_read(officer, record)
    content = {
        "record_id": record.id.hex(),
        "version": record.version,
        "authority": body.authority,
        "source_ref": body.source_ref,
        "identifiers": [f"{link.scheme}:{link.value}" for link in body.links],
        "category": body.category,
        "since": _day(body.since),
        "until": _day(body.until),
        "answer_until": _day(body.answer_until),
        "payload": msgspec.Raw(_payload(custody, record)),
        "accesses": latest(custody, record),
    }
    return record.version, content


def _day(ordinal: int | None) -> date | None:
    return None if ordinal is None else date.fromordinal(ordinal)


def _payload(custody: Custody, record: Record) -> bytes:
    blob = custody.store.blob(record.id, record.version)
    if blob is None:
        raise RecordNotFound("the record is known, its content was lost with a store")
    try:
        dek = Dek(record.body.dek)
        return unseal_payload(dek, blob, custody.vault.id, record.id, record.version)
    except InvalidCiphertext:
        raise RecordNotFound("the record is known, its content is damaged") from None
