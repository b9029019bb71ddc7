"""Our own handler behind plain FastAPI routing: what the framework would cost.

    python -m bench.peers.routed --fd N --socket PATH --slot K        as a worker is started

The same view, taken over the same hand-off; the same parsing of tokens, tags, probe, answer and
check as in the worker. In place of the hot path: a route, a pydantic model, dependencies for the
access token and the request id, uvicorn with uvloop and httptools as it comes. Nothing is audited.
"""

import argparse
import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import uvicorn
import uvloop
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

from bench.peers.process import Peer
from bench.peers.question import Question
from bench.served import Workers, answered
from lookup import wire
from lookup.errors import Unauthorized
from lookup.handoff import Hello, PassPage
from lookup.worker.decide import decide_one
from lookup.worker.link import Link
from lookup.worker.passage import Passage
from lookup.worker.sessions import Sessions
from lookup.worker.view import OpenView, Standing, boot_clock, utc_day

if TYPE_CHECKING:
    from bench.asking import Asked

NAME: Final = "own handler, FastAPI"

app = FastAPI(docs_url=None, redoc_url=None)


async def find_view(request: Request, authorization: Annotated[str, Header()]) -> OpenView:
    """Depend on a client; a coroutine, for others run in a pool of threads."""
    standing: Standing = request.app.state.standing
    view = standing.require_view(boot_clock())
    try:
        request.app.state.sessions.client_of(authorization.encode(), view, time.time())
    except Unauthorized:
        raise HTTPException(401) from None
    return view


@app.post("/v1/lookup")
async def look_up(
    question: Question,
    request: Request,
    view: Annotated[OpenView, Depends(find_view)],
    x_request_id: Annotated[UUID, Header()],
) -> Response:
    """Decide as the worker does."""
    passage: Passage = request.app.state.passage
    number = passage.enter()
    try:
        wanted = wire.Lookup(
            kid=question.kid,
            token=question.token,
            user=wire.User(id=question.user.id, role=question.user.role),
            purpose=question.purpose,
            encounter=question.encounter,
        )
        decision = decide_one(view, wanted, utc_day(time.time()))
        decision.check()
    finally:
        passage.leave(number)
    headers = {"cache-control": "no-store, no-transform", "x-request-id": str(x_request_id)}
    return Response(decision.body, 200, headers, "application/json")


@app.get("/health/live")
async def live() -> dict[str, str]:
    """Say that this process runs."""
    return {"status": "live"}


@app.get("/health/ready")
async def ready(request: Request) -> dict[str, str]:
    """Say whether a lookup would be answered."""
    if request.app.state.standing.view is None:
        raise HTTPException(503)
    return {"status": "ready"}


@contextmanager
def routed(folder: Path, site: "Asked", cpu: int) -> Iterator[Peer]:
    """Run it beside a site's worker, in a slot of its own."""
    folder.mkdir()
    wanted = Workers(cpus=(cpu,), module=__name__, first_slot=2)
    with (
        (folder / "log").open("wb") as errors,
        answered(site.custodian.site, wanted, errors) as answering,
    ):
        answering.await_ready()
        yield Peer(NAME, answering.address, answering.pids, site.calls())


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--slot", type=int, required=True)
    uvloop.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    page, standing = PassPage(), Standing()
    hello = Hello(slot=options.slot, pid=os.getpid())
    link = Link(options.socket, hello, page.descriptor, standing, asyncio.get_running_loop())
    app.state.standing, app.state.passage, app.state.sessions = standing, Passage(page), Sessions()
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", ws="none", access_log=False, log_level="warning"
    )
    link.start()
    try:
        await uvicorn.Server(config).serve(sockets=[socket.socket(fileno=options.fd)])
    finally:
        link.stop()


if __name__ == "__main__":
    main()
