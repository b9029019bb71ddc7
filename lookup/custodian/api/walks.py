"""Walks along the audit chain as answers, line by line (NDJSON), for as far as they have come.

    {"done":400,"total":9000}    how far, after each step
    {...}                        what was found, as the walk says it
    {"complete":true}            the last line: a result, or {"problem":...} in its place

Invariants:

* Where the last line is missing, not all was looked at.
* What stands against a walk from its beginning is an error like any other, and no stream.
* The writer is asked for one step at a time: shreds and additions go on between.
"""

from asyncio import wrap_future
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
from fastapi import Response
from fastapi.responses import StreamingResponse

from lookup.custodian.api.requests import NO_STORE, VAULT_FAILED, VAULT_FAILURES
from lookup.custodian.audit.accesses import Walk
from lookup.custodian.writer import Writer
from lookup.errors import ServiceError, Unavailable, problem_body
from lookup.logs import log_defect

Json = dict[str, Any]

_NDJSON: Final = "application/x-ndjson"


def complete() -> Json:
    """Return the result of a walk that has none but its end."""
    return {"complete": True}


async def walked(writer: Writer, walk: Walk, result: Callable[[], Json] = complete) -> Response:
    """Return the answer of a walk. Raises what its first step raises."""
    first = await wrap_future(writer.call(walk.step))
    return StreamingResponse(
        _lines(writer, walk, first, result), media_type=_NDJSON, headers=NO_STORE
    )


async def _lines(
    writer: Writer, walk: Walk, said: list[Json] | None, result: Callable[[], Json]
) -> AsyncIterator[bytes]:
    try:
        while said is not None:
            yield b"".join(msgspec.json.encode(line) + b"\n" for line in said)
            said = await wrap_future(writer.call(walk.step))
        yield msgspec.json.encode(result()) + b"\n"
    except ServiceError as error:
        yield b'{"problem":' + problem_body(error) + b"}\n"
    except VAULT_FAILURES as error:
        log_defect("the vault", error)
        yield b'{"problem":' + problem_body(Unavailable(VAULT_FAILED)) + b"}\n"
