"""The worker's edge to HTTP for all that the hot path leaves: a bare ASGI application.

    POST /v1/lookup      one token, in an unusual form (hot.py)
    POST /v1/lookups     up to 1,000 tokens
    POST /oauth2/token   an access token for a client's secret: lookup/worker/oauth.py
    GET  /health/live    this process runs
    GET  /health/ready   it would answer a lookup

Invariants:

* Mistakes are told in this order: path, method, X-Request-ID, Authorization, permission, body,
  quota. Nothing is read of the body before the client is known.
* 401 does not say whether the credential was missing, malformed, expired or unknown.
* A lookup begins only when its body is here and earlier output is gone; see `Turn`.
* Every outcome but 200 is *could not check*.
* An answer is counted as it leaves, a problem where it is told; a question about health is neither.
"""

import time
from http import HTTPStatus
from typing import Any, Final

from lookup import wire
from lookup.errors import (
    InvalidRequest,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    TooLarge,
    UnsupportedMediaType,
)
from lookup.exchange import WHOLE_ANSWER, Headers, make_problem, request_id_of, sent_once
from lookup.worker.answering import Credential, Desk, Parse, Turn, require_batch
from lookup.worker.bodies import JSON_HEADERS, Receive, Send, read_body, send_whole
from lookup.worker.oauth import TokenDesk
from lookup.worker.rounds import Asked, Rounds
from lookup.worker.view import boot_clock

COULD_NOT_CHECK: Final = {"outcome": "could-not-check"}

_BATCH: Final = "/v1/lookups"
_LOOKUPS: Final[dict[str, tuple[Parse, int]]] = {
    "/v1/lookup": (wire.parse_lookup, wire.MAX_LOOKUP_BODY),
    _BATCH: (wire.parse_lookups, wire.MAX_BATCH_BODY),
}
_TOKEN: Final = "/oauth2/token"  # noqa: S105  # a path
_HEALTH: Final = frozenset({"/health/live", "/health/ready"})


class LookupApp:
    """The application; raises what httpd tells as a problem."""

    def __init__(self, desk: Desk, rounds: Rounds) -> None:
        self._desk, self._rounds = desk, rounds
        self._token_desk = TokenDesk(desk.quotas)

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
                view = self._desk.standing.require_view(boot_clock())
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
        credential = Credential(_authorization(headers), scope["lacuna.certificate"])
        admission = self._desk.admit(credential)
        if scope["path"] == _BATCH:
            require_batch(admission.client)
        parse, most = _LOOKUPS[scope["path"]]
        _require_json(scope, most)
        body = await read_body(receive, most)
        if body is None:
            return  # the client has left
        turn = Turn(self._desk, admission, request_id, parse, body)
        told = [*JSON_HEADERS, (b"x-request-id", request_id)]
        await send(
            {
                "type": WHOLE_ANSWER,
                "begin": lambda audited: self._rounds.join(Asked(turn, audited)),
                "make": lambda: (HTTPStatus.OK, told, self._finish(turn)),
                "left": turn.leave,
            }
        )

    def _finish(self, turn: Turn) -> bytes:
        """Finish, some turns of the loop after the round has: the view may be too old by now."""
        self._desk.standing.require_view(boot_clock())
        return turn.finish()

    async def _tell_health(self, scope: Any, send: Send) -> None:  # noqa: ANN401
        if scope["path"] == "/health/live":
            await send_whole(scope, send, 200, JSON_HEADERS, b'{"status":"live"}')
            return
        try:
            self._desk.require_ready()
        except ServiceError as error:
            await send_whole(scope, send, *make_problem(error, [], COULD_NOT_CHECK))
        else:
            await send_whole(scope, send, 200, JSON_HEADERS, b'{"status":"ready"}')


def _authorization(headers: Headers) -> bytes:
    """The field's value; empty, which is nobody's, where it was not given once."""
    return sent_once(headers, b"authorization") or b""


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
