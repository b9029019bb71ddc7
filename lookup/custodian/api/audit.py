"""The audit: authorities' notices over TCP; the chain itself over the officers' socket alone."""

import re
from asyncio import wrap_future
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from lookup.custodian.api.requests import (
    RecordId,
    TheWriter,
    answer,
    may,
)
from lookup.custodian.api.walks import walked
from lookup.custodian.audit import accesses
from lookup.custodian.audit.accesses import Export, Search, Verification
from lookup.errors import InvalidRequest
from lookup.officers.roles import Act, Officer

router = APIRouter(tags=["accesses"])
local = APIRouter(prefix="/v1/local/audit", tags=["local"])

_QUERY: Final = re.compile(
    r"(?:after=(?P<after>[0-9a-f]{16}))?(?:(?:^|&)limit=(?P<limit>[1-9][0-9]{0,3}))?"
)


@router.get(
    "/v1/accesses",
    openapi_extra={
        "parameters": [
            {"name": "after", "in": "query", "schema": {"type": "string"}},
            {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 1000}},
        ]
    },
)
async def read_accesses(
    request: Request,
    officer: Annotated[Officer, Depends(may(Act.READ_ACCESSES))],
    writer: TheWriter,
) -> Response:
    """Return who looked at which record, behind a cursor: that of the answer before this one.

    An officer of one authority hears of its records. What was read up to a cursor counts as
    delivered when somebody of all authorities sends that cursor.
    """
    found = _QUERY.fullmatch(request.scope["query_string"].decode("latin-1"))
    if found is None:
        raise InvalidRequest("the query is after=CURSOR&limit=1 to 1000, both optional")
    after, limit = int(found["after"] or "0", 16), int(found["limit"] or "100")
    if after >> 63:
        raise InvalidRequest("the cursor is none that was given out")
    return answer(await wrap_future(writer.call(accesses.notices(after, limit, officer.authority))))


@local.post("/verify")
async def verify(writer: TheWriter) -> Response:
    """Follow the whole chain; the result says whether every row is there, as it was taken in."""
    walk = Verification()

    def result() -> dict[str, Any]:
        return {"verdict": msgspec.to_builtins(walk.verdict) | {"sound": walk.verdict.sound}}

    return await walked(writer, walk, result)


@local.post("/accesses/{record_id}")
async def search(record_id: RecordId, writer: TheWriter) -> Response:
    """Find everybody who was answered with a record."""
    return await walked(writer, Search(record_id))


@local.post("/export")
async def export(writer: TheWriter) -> Response:
    """Return every entry: who asked when, and what for; not what was answered."""
    return await walked(writer, Export())
