"""The log over HTTP: checkpoint, tiles, entries and key, for everybody; cosignatures, for officers.

    GET  /log/checkpoint                     the newest note
    GET  /log/tile/<level>/<index>[.p/<w>]   C2SP tlog-tiles
    GET  /log/tile/entries/<index>[.p/<w>]
    GET  /log/key                            the verifier key

Invariants:

* No credential is asked for: what is in the log hides what it is about, and is there to be seen.
* Whoever asks costs the writer little: a few questions wait for it at a time, a checkpoint is made
  once a second at most, complete tiles are remembered.
* A path that is spelled another way than C2SP spells it does not exist.
"""

import asyncio
import time
from asyncio import wrap_future
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from lookup.custodian.api.local import PREFIX
from lookup.custodian.api.requests import NO_STORE, TheWriter, answer, read_body
from lookup.custodian.transparency.published import MAX_CHECKPOINT
from lookup.errors import NotFound
from lookup.transparency.tiles import WIDTH, InvalidTile, parse_path

TEXT: Final = "text/plain"
OCTETS: Final = "application/octet-stream"
FRESH: Final = 1.0  # seconds
AT_ONCE: Final = 4
_REMEMBERED: Final = 256  # complete tiles of 8 KiB, and bundles
_FOR_GOOD: Final = {"cache-control": "public, max-age=31536000, immutable"}

router = APIRouter(prefix="/log", tags=["log"])
local = APIRouter(prefix=f"{PREFIX}/log", tags=["local"])


@dataclass(slots=True)
class Cache:
    """What need not be asked for again; of one process, whose log keeps its origin."""

    asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    complete: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    checkpoint: bytes = b""
    made: float = float("-inf")

    def remember(self, path: str, content: bytes) -> None:
        """Keep what never changes, and not too much of it."""
        self.complete[path] = content
        if len(self.complete) > _REMEMBERED:
            self.complete.popitem(last=False)


def the_cache(request: Request) -> Cache:
    """Return the process's cache."""
    cache: Cache = request.app.state.log_cache
    return cache


TheCache = Annotated[Cache, Depends(the_cache)]


@router.get("/checkpoint")
async def get_checkpoint(writer: TheWriter, cache: TheCache) -> Response:
    """Return the newest checkpoint, at most a second old."""
    async with cache.asking:
        if time.monotonic() - cache.made > FRESH:
            ask = writer.call(lambda custody: custody.log.checkpoint())
            cache.checkpoint = await wrap_future(ask)
            cache.made = time.monotonic()
    return Response(cache.checkpoint, headers=NO_STORE, media_type=f"{TEXT}; charset=utf-8")


@router.get("/key")
async def get_key(request: Request) -> Response:
    """Return the key that verifies checkpoints."""
    key = request.app.state.custody.log.verifier.text()
    return Response(f"{key}\n", headers=NO_STORE, media_type=f"{TEXT}; charset=utf-8")


@router.get("/tile/{rest:path}")
async def get_tile(rest: str, writer: TheWriter, cache: TheCache) -> Response:
    """Return hashes, or entries."""
    path = f"tile/{rest}"
    try:
        place = parse_path(path)
    except InvalidTile:
        raise NotFound("there is no such path") from None
    content = cache.complete.get(path)
    if content is None:
        async with cache.asking:
            content = await wrap_future(writer.call(lambda custody: custody.log.resource(place)))
        if content is None:
            raise NotFound("the log does not reach so far")
        if place.width == WIDTH:
            cache.remember(path, content)
    return Response(content, headers=_FOR_GOOD, media_type=OCTETS)


@local.post("/cosignatures")
async def take_cosignatures(request: Request, writer: TheWriter, cache: TheCache) -> Response:
    """Keep the cosignatures in a note: text/plain."""
    raw = await read_body(request, MAX_CHECKPOINT, TEXT)
    taken = await wrap_future(writer.call(lambda custody: custody.log.take_cosigned(raw)))
    cache.made = float("-inf")
    return answer(
        {
            "size": taken[0].checkpoint.size,
            "witnesses": [{"name": each.witness.name, "time": each.time} for each in taken],
        }
    )
