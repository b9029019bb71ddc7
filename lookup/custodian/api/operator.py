"""The operator's port: how a site does, in numbers, for whoever reaches it.

    GET /metrics         Prometheus's text format
    GET /health/live     the custodian runs
    GET /health/ready    its writer takes commands

Invariants:

* Nothing else is served there, and these metrics nowhere else.
* No credential is asked for: where the port may be opened is lookup/config.py's to say.
* Figures are at most a second old and taken at most once a second: whoever asks more often learns
  no more (which lookup was the known one), and costs the writer nothing.
* A writer that is busy, or hangs, does not silence the workers' figures: its own are then the last
  that it gave, and their age is told.

While no custodian runs there are no metrics (a scrape waits for the next one, in the supervisor's
socket); `lacuna status` still says whether lookups go on. The next one has met none of the workers
that died before it came: what those had counted is gone, which Prometheus takes for a restart.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from lookup.custodian import status
from lookup.custodian.custody import Custody
from lookup.custodian.exposition import CONTENT_TYPE, Scrape, expose
from lookup.custodian.running import Running
from lookup.custodian.writer import Writer
from lookup.errors import InvalidRequest, MethodNotAllowed, NotFound, Unavailable
from lookup.exchange import WHOLE_ANSWER, App

FRESH: Final = 1.0  # seconds
PATIENCE: Final = 2.0  # seconds for the writer to answer; a batch of an import takes 0.25 s

Send = Callable[[Any], Awaitable[None]]


def apart(others: App, operator: "OperatorApp", port: int) -> App:
    """Return the app for all listeners: what comes in at `port` is the operator's."""

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # ASGI's
        server = scope.get("server")
        if server is not None and server[1] == port:
            await operator(scope, receive, send)
        else:
            await others(scope, receive, send)

    return app


class OperatorApp:
    """A bare ASGI application."""

    def __init__(self, writer: Writer, custody: Custody, site: Running) -> None:
        self._writer = writer
        self._custody = custody
        self._site = site
        self._asking: asyncio.Task[None] | None = None
        self._report: dict[str, Any] | None = None
        self._reported = 0.0
        self._metrics = b""
        self._made: float | None = None

    async def __call__(self, scope: Any, _receive: Any, send: Send) -> None:  # noqa: ANN401  # ASGI's
        """Answer one request."""
        path = scope["path"]
        if path not in {"/metrics", "/health/live", "/health/ready"}:
            raise NotFound("there is no such path")
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed("GET, HEAD")
        if scope["query_string"]:
            raise InvalidRequest("there is no query here")
        if path == "/metrics":
            await _send(send, CONTENT_TYPE, await self._expose())
            return
        if path == "/health/ready" and not await self._ask():
            raise Unavailable("the writer is busy")
        await _send(send, "application/json", b'{"status":"pass"}')

    async def _expose(self) -> bytes:
        if self._made is None or time.monotonic() - self._made > FRESH:
            await self._ask()
            now, door = time.monotonic(), self._custody.door
            age = now - self._reported
            self._metrics = expose(Scrape(door.counters(), door.gauges(), self._report, age))
            self._made = now
        return self._metrics

    async def _ask(self) -> bool:
        """Ask the writer for its figures, unless it still owes them; say whether they came."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._take_report())
        done, _ = await asyncio.wait([self._asking], timeout=PATIENCE)
        return bool(done) and self._asking.exception() is None

    async def _take_report(self) -> None:
        future = self._writer.call(lambda custody: status.report(custody, self._site))
        self._report = await asyncio.wrap_future(future)
        self._reported = time.monotonic()


async def _send(send: Send, media_type: str, body: bytes) -> None:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    answer = (200, headers, body)
    await send({"type": WHOLE_ANSWER, "make": lambda: answer, "left": lambda: None})
