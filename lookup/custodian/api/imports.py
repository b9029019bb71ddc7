"""Import: many records as one stream of lines, each with a result of its own.

    request   NDJSON, one record a line (POST /v1/records/import, application/x-ndjson)
    response  NDJSON: {"line":1,"result":"added","record_id":"…","version":1}
                      {"line":2,"result":"invalid","rule":"nhs-check-digit","detail":"…"}
                      {"summary":{"lines":2,"added":1,…}}         last; missing: not all was done
                      {"problem":{"type":"urn:lacuna:…",…}}       in its place: why not (RFC 9457)

Invariants:

* A line's result is sent when its batch is durable and every worker answers by it; a caller that
  loses the connection sends again, and finds those lines unchanged.
* One bad line costs nobody else anything.
* A batch takes about a quarter of a second, so that a shred never waits longer than half a one;
  nor does a line wait longer for others when the stream pauses.
* The stream is read as it comes, and results leave as they come: a caller may read while it sends.
  Up to 64 MiB of results wait for one that does not. Whoever comes while four imports run is
  asked to come later.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from lookup.custodian.api.requests import VAULT_FAILED, VAULT_FAILURES, SendsFor, require_media_type
from lookup.custodian.counting import INVALID
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import Refused, Stored, add_or_change
from lookup.custodian.records.draft import MAX_RECORD, Draft, InvalidRecord, parse_draft
from lookup.custodian.writer import Writer
from lookup.errors import ServiceError, Unavailable, problem_body
from lookup.logs import log_defect

NDJSON: Final = "application/x-ndjson"
BATCH_SECONDS: Final = 0.25
BATCH_BYTES: Final = 16 << 20
FIRST_BATCH, LEAST_BATCH, MOST_BATCH = 2_000, 50, 3_000
MAX_WAITING: Final = 64 << 20
# What a line that was too long to keep is refused as: by the same rule as one that was kept.
_OVERLONG: Final = bytes(MAX_RECORD + 1)
MOST_AT_ONCE: Final = 4

Result = dict[str, Any]

router = APIRouter(prefix="/v1/records", tags=["records"])


@router.post("/import", openapi_extra={"requestBody": {"content": {NDJSON: {}}}})
async def import_records(request: Request, sends_for: SendsFor) -> Response:
    """Store the records of a stream; answer each line."""
    require_media_type(request, NDJSON)
    state = request.app.state
    if not state.importing.acquire(blocking=False):
        raise Unavailable(f"{MOST_AT_ONCE} imports run already: send this one later")
    return _ImportResponse(state, sends_for)


@dataclass(slots=True)
class _Batch:
    """Lines that share a commit: drafts, and the results of lines that are none."""

    drafts: list[tuple[int, Draft]] = field(default_factory=list)
    refused: list[tuple[int, Result]] = field(default_factory=list)
    sources: set[bytes] = field(default_factory=set)
    size: int = 0

    def take(self, number: int, line: bytes, parse: Callable[[bytes], Draft]) -> bool:
        """Add a line; say no if its source is in here already."""
        try:
            draft = parse(line)
        except InvalidRecord as error:
            result = {"line": number, "result": INVALID, "rule": error.rule}
            self.refused.append((number, result | {"detail": error.message}))
            return True
        if draft.source in self.sources:
            return False
        self.sources.add(draft.source)
        self.drafts.append((number, draft))
        self.size += len(draft.payload)
        return True

    def is_full(self, most: int) -> bool:
        """Say whether it is to be stored now."""
        return len(self.drafts) + len(self.refused) >= most or self.size >= BATCH_BYTES

    def results(self, done: Sequence[Stored | Refused]) -> list[Result]:
        """Return the result of each line, in their order."""
        stored: list[tuple[int, Result]] = [
            (number, {"line": number, "result": each.result} | _named(each))
            for (number, _), each in zip(self.drafts, done, strict=True)
        ]
        return [told for _, told in sorted(stored + self.refused, key=itemgetter(0))]


class _ImportResponse(Response):
    """Reads the request while it writes the response; Starlette's own would do one after."""

    def __init__(self, state: State, sends_for: str | None) -> None:
        super().__init__(media_type=NDJSON)
        self._writer: Writer = state.writer
        self._parse = partial(_parse_sent, custody=state.custody, sends_for=sends_for)
        self._turn: threading.BoundedSemaphore = state.importing
        self._batch_size = FIRST_BATCH
        self._counts: dict[str, int] = {"lines": 0}
        self._lines_ever: dict[str, int] = state.site.counts.import_lines
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the stream."""
        del scope
        headers = [(b"content-type", NDJSON.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(send))
        try:
            self._tell(await self._import_all(_pieces(receive)))
        except _Disconnected:
            pass  # nobody hears; what was acknowledged stays
        finally:
            self._turn.release()
            self._out.put_nowait(None)
            await sending
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send) -> None:
        while (part := await self._out.get()) is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            self._waiting -= len(part)
            self._note_room()

    async def _import_all(self, pieces: AsyncIterator[list[bytes]]) -> Result:
        """Return the last line of the response."""
        try:
            await self._import(pieces)
        except ServiceError as error:
            return {"problem": msgspec.Raw(problem_body(error))}
        except VAULT_FAILURES as error:
            log_defect("the vault", error)
            return {"problem": msgspec.Raw(problem_body(Unavailable(VAULT_FAILED)))}
        return {"summary": self._counts}

    async def _import(self, pieces: AsyncIterator[list[bytes]]) -> None:
        """Parse one batch while the one before it is stored."""
        storing: asyncio.Task[None] | None = None
        batch = _Batch()
        try:
            async for lines in pieces:
                for line in lines:
                    self._counts["lines"] += 1
                    if not line:
                        continue
                    if not batch.take(self._counts["lines"], line, self._parse):
                        storing = await self._store_next(storing, batch)
                        batch = _Batch()
                        batch.take(self._counts["lines"], line, self._parse)
                    if batch.is_full(self._batch_size):
                        storing = await self._store_next(storing, batch)
                        batch = _Batch()
                if not lines:
                    storing = await self._store_next(storing, batch)
                    batch = _Batch()
            storing = await self._store_next(storing, batch)
            await storing
        finally:
            if storing is not None:
                await asyncio.wait([storing])

    async def _store_next(
        self, before: asyncio.Task[None] | None, batch: _Batch
    ) -> asyncio.Task[None]:
        if before is not None:
            await before
        await self._room.wait()
        return asyncio.create_task(self._store(batch))

    async def _store(self, batch: _Batch) -> None:
        """Store a batch and tell its lines; adapt the size of the next one to the time it took."""
        begun = time.monotonic()
        drafts = [draft for _, draft in batch.drafts]
        done: list[Stored | Refused] = []
        if drafts:
            done = await asyncio.wrap_future(self._writer.change(add_or_change(drafts)))
            pace = BATCH_SECONDS / max(time.monotonic() - begun, 1e-3)
            size = int(self._batch_size * min(max(pace, 0.5), 2.0))
            self._batch_size = min(max(size, LEAST_BATCH), MOST_BATCH)
        self._tell(*batch.results(done))

    def _tell(self, *results: Result) -> None:
        for result in results:
            if "result" in result:
                self._counts[result["result"]] = self._counts.get(result["result"], 0) + 1
                self._lines_ever[result["result"]] += 1
        part = b"".join(msgspec.json.encode(result) + b"\n" for result in results)
        self._waiting += len(part)
        self._note_room()
        self._out.put_nowait(part)

    def _note_room(self) -> None:
        if self._waiting > MAX_WAITING:
            self._room.clear()
        else:
            self._room.set()


def _named(stored: Stored | Refused) -> Result:
    if isinstance(stored, Refused):
        return {}
    return {"record_id": stored.record_id.hex(), "version": stored.version}


def _parse_sent(line: bytes, custody: Custody, sends_for: str | None) -> Draft:
    """Return the draft of a line, if its sender may send it. Raises InvalidRecord."""
    draft = parse_draft(line, custody.catalogue, custody.classes)
    if sends_for is not None and draft.authority != sends_for:
        raise InvalidRecord(
            "authority-forbidden", "the record is of an authority that is not the officer's"
        )
    return draft


class _Disconnected(Exception):
    """The caller went away; what was acknowledged stays."""


async def _pieces(receive: Receive) -> AsyncIterator[list[bytes]]:
    """Yield the lines of the request as they come, without their ends; none for a pause."""
    rest = b""
    overlong = False
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), BATCH_SECONDS)
        except TimeoutError:
            yield []
            continue
        if message["type"] == "http.disconnect":
            raise _Disconnected
        more = message.get("more_body", False)
        *lines, rest = (rest + message.get("body", b"")).split(b"\n")
        if not more and (rest or overlong):
            lines.append(rest)
        if lines:
            if overlong:
                lines[0], overlong = _OVERLONG, False
            yield [line.strip() for line in lines]
        if len(rest) > MAX_RECORD:
            overlong, rest = True, b""
