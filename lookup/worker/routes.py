"""The worker's edge to HTTP: a bare ASGI application.

    POST /v1/lookup      one token
    POST /v1/lookups     up to 1,000 tokens
    GET  /health/live    this process runs
    GET  /health/ready   it would answer a lookup

Invariants:

* Mistakes are told in this order: path, method, X-Request-ID, Authorization, body. Nothing is read
  of the body before the client is known.
* 401 does not say whether the credential was missing, malformed or unknown.
* A lookup is counted as in flight only from when its body is here and earlier output is gone, to
  when its answer is no longer in this process; in between nothing is awaited.
* The client is looked for again, and the table asked again, at the moment the answer leaves.
* Every outcome but 200 is *could not check*.
* An answer is counted as it leaves, a problem where it is told; a question about health is neither.
"""

import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, Final

from lookup import wire
from lookup.errors import (
    CustodianUnavailable,
    InvalidRequest,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from lookup.exchange import WHOLE_ANSWER, Headers, make_problem, request_id_of
from lookup.metering import Meter
from lookup.worker.decide import Decision, decide_many, decide_one
from lookup.worker.passage import Passage
from lookup.worker.view import OpenView, Standing, boot_clock, utc_day

Decide = Callable[[OpenView, int], Decision]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]

COULD_NOT_CHECK: Final = {"outcome": "could-not-check"}
JSON_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store, no-transform"),
]


def _parse_one(body: bytes) -> Decide:
    request = wire.parse_lookup(body)
    return lambda view, today: decide_one(view, request, today)


def _parse_many(body: bytes) -> Decide:
    request = wire.parse_lookups(body)
    return lambda view, today: decide_many(view, request, today)


_LOOKUP: Final = "/v1/lookup"
_LOOKUPS: Final = {
    _LOOKUP: (_parse_one, wire.MAX_LOOKUP_BODY),
    "/v1/lookups": (_parse_many, wire.MAX_BATCH_BODY),
}
_HEALTH: Final = frozenset({"/health/live", "/health/ready"})


class LookupApp:
    """The application; raises what httpd tells as a problem."""

    def __init__(self, standing: Standing, passage: Passage, meter: Meter) -> None:
        self._standing = standing
        self._passage = passage
        self._meter = meter

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        """Answer one request."""
        path, method = scope["path"], scope["method"]
        if path in _LOOKUPS:
            if method == "POST":
                await self._look_up(scope, receive, send)
            else:
                await _answer_other(scope, send, "POST, OPTIONS")
        elif path in _HEALTH:
            if method in {"GET", "HEAD"}:
                await self._tell_health(scope, send)
            else:
                await _answer_other(scope, send, "GET, HEAD, OPTIONS")
        else:
            raise NotFound

    async def _look_up(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        headers = scope["headers"]
        request_id = request_id_of(headers)
        if request_id is None:
            raise InvalidRequest("x-request-id must be given once, as a uuid")
        secret = _secret_digest(headers)
        self._require_client(secret)
        path = scope["path"]
        parse, most = _LOOKUPS[path]
        _require_json(scope, most)
        body = await _read_body(receive, most)
        if body is None:
            return  # the client has left
        answer_headers = [*JSON_HEADERS, (b"x-request-id", request_id)]
        turn = _Turn(self, path, parse(body), secret, answer_headers)
        await send({"type": WHOLE_ANSWER, "make": turn.make, "left": turn.left})

    def _require_client(self, secret: str | None) -> OpenView:
        view = self._standing.view
        if view is None:
            raise CustodianUnavailable("no custodian has handed anything over yet")
        if secret not in view.clients:
            raise Unauthorized
        return self._standing.require_view(boot_clock())

    def _count(self, path: str, decision: Decision, microseconds: int) -> None:
        if path == _LOOKUP:
            self._meter.answered(decision.known, microseconds)
        else:
            self._meter.answered_batch(decision.known, decision.tokens, microseconds)

    async def _tell_health(self, scope: Any, send: Send) -> None:  # noqa: ANN401
        if scope["path"] == "/health/live":
            await _send_whole(scope, send, 200, JSON_HEADERS, b'{"status":"live"}')
            return
        try:
            self._standing.require_view(boot_clock()).table.require_ready()
        except ServiceError as error:
            await _send_whole(scope, send, *make_problem(error, [], COULD_NOT_CHECK))
        else:
            await _send_whole(scope, send, 200, JSON_HEADERS, b'{"status":"ready"}')


class _Turn:
    """One lookup at the moment it is answered."""

    __slots__ = ("_app", "_begun", "_decide", "_headers", "_number", "_path", "_secret")

    def __init__(
        self, app: LookupApp, path: str, decide: Decide, secret: str | None, headers: Headers
    ) -> None:
        self._app = app
        self._path = path
        self._decide = decide
        self._secret = secret
        self._headers = headers
        self._number: int | None = None
        self._begun = time.perf_counter_ns()  # the whole request is here

    def make(self) -> tuple[int, Headers, bytes]:
        """Look up; nothing is awaited from here until the kernel has the answer."""
        app = self._app
        self._number = app._passage.enter()  # noqa: SLF001  # one object in two halves
        view = app._require_client(self._secret)  # noqa: SLF001  # as above
        decision = self._decide(view, utc_day(time.time()))
        decision.check()
        microseconds = (time.perf_counter_ns() - self._begun) // 1_000
        app._count(self._path, decision, microseconds)  # noqa: SLF001  # as above
        return 200, self._headers, decision.body

    def left(self) -> None:
        """The answer is out, or there is none."""
        if self._number is not None:
            self._app._passage.leave(self._number)  # noqa: SLF001  # as above


def _secret_digest(headers: Headers) -> str | None:
    """What the client is found by; None matches nobody."""
    sent = [value for name, value in headers if name == b"authorization"]
    if len(sent) != 1:
        return None
    scheme, _, secret = sent[0].partition(b" ")
    return sha256(secret).hexdigest() if scheme.lower() == b"bearer" else None


def _require_json(scope: Any, most: int) -> None:  # noqa: ANN401  # ASGI's scope
    if scope["query_string"]:
        raise InvalidRequest("a lookup has no query: what is in a url gets into logs")
    fields = dict(scope["headers"])
    if len(fields) != len(scope["headers"]):
        _refuse_repeated(scope["headers"])
    if fields.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedMediaType("content-type must be application/json")
    if b"content-encoding" in fields:
        raise UnsupportedMediaType("content-encoding is not taken")
    length = fields.get(b"content-length")
    if length is None and b"transfer-encoding" not in fields:
        raise LengthRequired("content-length is required")
    if length is not None and int(length) > most:
        raise TooLarge(f"the body may have {most} bytes")


def _refuse_repeated(headers: Headers) -> None:
    """Many fields may repeat; of two media types neither is believed."""
    if [name for name, _ in headers].count(b"content-type") > 1:
        raise InvalidRequest("content-type must be given once")


async def _read_body(receive: Receive, most: int) -> bytes | None:
    """The whole body; None if the client has left. Raises TooLarge."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if len(body) > most:
            raise TooLarge(f"the body may have {most} bytes")
        if not message["more_body"]:
            return bytes(body)


async def _answer_other(scope: Any, send: Send, allowed: str) -> None:  # noqa: ANN401
    if scope["method"] != "OPTIONS":
        raise MethodNotAllowed(allowed)
    await _send_whole(scope, send, 204, [(b"allow", allowed.encode())], b"")


async def _send_whole(
    scope: Any,  # noqa: ANN401  # ASGI's scope
    send: Send,
    status: int,
    headers: Headers,
    body: bytes,
) -> None:
    request_id = request_id_of(scope["headers"])
    mirrored = [] if request_id is None else [(b"x-request-id", request_id)]
    answer = (status, [*headers, *mirrored], body)
    await send({"type": WHOLE_ANSWER, "make": lambda: answer, "left": lambda: None})
