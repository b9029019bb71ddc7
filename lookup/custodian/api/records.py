"""Records: add one, read one, change one, put a statement beside one."""

import re
from asyncio import wrap_future
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from lookup.custodian.api.requests import (
    RecordId,
    SendsFor,
    TheWriter,
    answer,
    describe_body,
    may,
    read_body,
    read_json,
    require_own,
)
from lookup.custodian.api.walks import complete, walked
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import ADDED, Stored, add, change
from lookup.custodian.records.disclosing import Disclosure
from lookup.custodian.records.draft import (
    MAX_RECORD,
    Draft,
    InvalidRecord,
    RecordShape,
    parse_draft,
)
from lookup.custodian.records.record_view import open_record, whole
from lookup.custodian.records.supplementing import Supplemented, add_statement
from lookup.errors import InvalidRequest, PreconditionRequired
from lookup.officers.roles import Act, Officer

router = APIRouter(prefix="/v1/records", tags=["records"])

_ETAG: Final = re.compile(r'(?:W/)?"([1-9][0-9]{0,9})"')
_SCHEMA: Final = describe_body(RecordShape)


class StatementRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A supplementary statement: 1 to 4,000 characters that can be printed, and new lines."""

    text: str

    def __repr__(self) -> str:
        return "<StatementRequest>"


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
    """Return a record with payload, statements and last accesses, this one first.

    The access is durable before the record leaves. The record's version is the ETag.
    """

    def read(custody: Custody) -> tuple[int, dict[str, Any]]:
        record = open_record(custody, officer, Act.READ_RECORDS, record_id)
        return record.version, whole(custody, record)

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


@router.post(
    "/{record_id}/statements", status_code=201, openapi_extra=describe_body(StatementRequest)
)
async def state(
    request: Request,
    record_id: RecordId,
    officer: Annotated[Officer, Depends(may(Act.ADD_STATEMENT))],
    writer: TheWriter,
) -> Response:
    """Put a supplementary statement beside a record; 200 if the same is there already."""
    wanted = await read_json(request, StatementRequest)
    done = await wrap_future(writer.change(add_statement(record_id, wanted.text, officer)))
    return _supplemented(done)


@router.post("/{record_id}/export")
async def export(
    record_id: RecordId,
    officer: Annotated[Officer, Depends(may(Act.EXPORT_RECORD))],
    writer: TheWriter,
) -> Response:
    """Return all that is held about a record, and everybody who was answered with it, as lines.

    The export is audited before it leaves, and is the last of the accesses that it tells of.
    """
    disclosure = Disclosure(record_id, officer)
    return await walked(writer, disclosure, lambda: complete() | {"missing": disclosure.missing})


async def _draft(request: Request, sends_for: str | None) -> Draft:
    raw = await read_body(request, MAX_RECORD)
    try:
        custody = request.app.state.custody
        draft = parse_draft(raw, custody.catalogue, custody.classes)
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


def _supplemented(done: Supplemented) -> Response:
    members = {
        "result": done.result,
        "statement": done.statement.hex(),
        "statements": done.number,
    }
    return answer(members, 201 if done.result == ADDED else 200)


def _stored(stored: Stored, status: int) -> Response:
    record_id = stored.record_id.hex()
    return answer(
        {"result": stored.result, "record_id": record_id, "version": stored.version},
        status,
        {"ETag": f'"{stored.version}"', "Location": f"/v1/records/{record_id}"},
    )
