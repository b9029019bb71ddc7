"""The worker's edge to HTTP: a bare ASGI application.

    POST /v1/lookup      one token
    POST /v1/lookups     up to 1,000 tokens
    POST /oauth2/token   an access token for a client's secret: lookup/worker/oauth.py
    GET  /health/live    this process runs
    GET  /health/ready   it would answer a lookup

Invariants:

* Mistakes are told in this order: path, method, X-Request-ID, Authorization, permission, body,
  quota. Nothing is read of the body before the client is known.
* 401 does not say whether the credential was missing, malformed or unknown.
* Tokens are counted against the client's quota when the body is here, before any is looked up.
* A lookup is counted as in flight only from when its body is here and earlier output is gone, to
  when its answer is no longer in this process; in between nothing is awaited.
* The client is looked for again, and the table asked again, at the moment the answer leaves.
* Every outcome but 200 is *could not check*.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from lookup import wire
from lookup.errors import (
    CustodianUnavailable,
    Forbidden,
    InvalidRequest,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from lookup.exchange import WHOLE_ANSWER, Headers, request_id_of
from lookup.handoff import Client
from lookup.worker.bodies import Receive, Send, read_body, send_whole
from lookup.worker.decide import Decision, decide_many, decide_one
from lookup.worker.oauth import TokenDesk
from lookup.worker.passage import Passage
from lookup.worker.quota import Quotas
from lookup.worker.sessions import Sessions
from lookup.worker.view import OpenView, Standing, boot_clock, utc_day

Decide = Callable[[OpenView, int], Decision]

JSON_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store, no-transform"),
]


def _parse_one(body: bytes) -> tuple[Decide, int]:
    request = wire.parse_lookup(body)
    return lambda view, today: decide_one(view, request, today), 1


def _parse_many(body: bytes) -> tuple[Decide, int]:
    request = wire.parse_lookups(body)
    return lambda view, today: decide_many(view, request, today), len(request.tokens)


_LOOKUPS: Final = {
    "/v1/lookup": (_parse_one, wire.MAX_LOOKUP_BODY),
    "/v1/lookups": (_parse_many, wire.MAX_BATCH_BODY),
}
_TOKEN: Final = "/oauth2/token"  # noqa: S105  # a path
_HEALTH: Final = frozenset({"/health/live", "/health/ready"})


class LookupApp:
    """The application; raises what httpd tells as a problem."""

    def __init__(self, standing: Standing, passage: Passage, quotas: Quotas) -> None:
        self._standing = standing
        self._passage = passage
        self._quotas = quotas
        self._sessions = Sessions()
        self._token_desk = TokenDesk(quotas)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        """Answer one request."""
        path, method = scope["path"], scope["method"]
        if path in _LOOKUPS:
            if method == "POST":
                await self._look_up(scope, receive, send)
            else:
                await _answer_other(scope, send, "POST, OPTIONS")
        elif path == _TOKEN:
            if method == "POST":
                view = self._standing.require_view(boot_clock())
                await self._token_desk.answer_token(scope, receive, send, view, time.time())
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
        authorization = _authorization(headers)
        _, client = self._require_client(authorization)
        if scope["path"] == "/v1/lookups" and not client.batch:
            raise Forbidden("this client may not ask in batches")
        parse, most = _LOOKUPS[scope["path"]]
        _require_json(scope, most)
        body = await read_body(receive, most)
        if body is None:
            return  # the client has left
        decide, count = parse(body)
        _, client = self._require_client(authorization)  # as it is now: its cell may be another's
        self._quotas.take(client, count, time.time())
        turn = _Turn(self, decide, authorization, [*JSON_HEADERS, (b"x-request-id", request_id)])
        await send({"type": WHOLE_ANSWER, "make": turn.make, "left": turn.left})

    def _require_client(self, authorization: bytes) -> tuple[OpenView, Client]:
        view = self._standing.view
        if view is None:
            raise CustodianUnavailable("no custodian has handed anything over yet")
        client = self._sessions.client_of(authorization, view, time.time())
        return self._standing.require_view(boot_clock()), client

    async def _tell_health(self, scope: Any, send: Send) -> None:  # noqa: ANN401
        if scope["path"] == "/health/live":
            await send_whole(scope, send, 200, JSON_HEADERS, b'{"status":"live"}')
            return
        self._standing.require_view(boot_clock()).table.require_ready()
        await send_whole(scope, send, 200, JSON_HEADERS, b'{"status":"ready"}')


class _Turn:
    """One lookup at the moment it is answered."""

    __slots__ = ("_app", "_authorization", "_decide", "_headers", "_number")

    def __init__(
        self, app: LookupApp, decide: Decide, authorization: bytes, headers: Headers
    ) -> None:
        self._app = app
        self._decide = decide
        self._authorization = authorization
        self._headers = headers
        self._number: int | None = None

    def make(self) -> tuple[int, Headers, bytes]:
        """Look up; nothing is awaited from here until the kernel has the answer."""
        app = self._app
        self._number = app._passage.enter()  # noqa: SLF001  # one object in two halves
        view, _ = app._require_client(self._authorization)  # noqa: SLF001  # as above
        decision = self._decide(view, utc_day(time.time()))
        decision.check()
        return 200, self._headers, decision.body

    def left(self) -> None:
        """The answer is out, or there is none."""
        if self._number is not None:
            self._app._passage.leave(self._number)  # noqa: SLF001  # as above


def _authorization(headers: Headers) -> bytes:
    """The field's value; empty, which is nobody's, where it was not given once."""
    sent = [value for name, value in headers if name == b"authorization"]
    return sent[0] if len(sent) == 1 else b""


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


async def _answer_other(scope: Any, send: Send, allowed: str) -> None:  # noqa: ANN401
    if scope["method"] != "OPTIONS":
        raise MethodNotAllowed(allowed)
    await send_whole(scope, send, 204, [(b"allow", allowed.encode())], b"")
