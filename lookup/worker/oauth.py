"""The token desk: `POST /oauth2/token`, an access token for a client's secret.

    200 {"access_token", "token_type": "Bearer", "expires_in": 600}     RFC 6749 section 5.1
    400, 401 {"error", "error_description"}                             RFC 6749 section 5.2
    others as problems (RFC 9457): 405, 413, 429, 503

Invariants:

* A secret is 256 random bits, so its SHA-256 is its hash: nobody guesses it, at any speed. Each
  attempt costs the same: one SHA-256 of at most 1 KiB and comparisons in constant time, for an
  unknown client too. No lock, no disk, no other process.
* Whether the client is unknown or the secret wrong is not said.
* **A flood of wrong secrets cannot slow lookups.** An attempt costs what any refused request does.
  The first `FAILURES_PER_SECOND` in a second of this process hear 401 at once; every further one
  waits a second, by a timer, and hears 429 with Retry-After. A connection's requests are answered
  one after the other and connections are bounded (lookup/httpd.py), so that a flood settles at one
  attempt a second for each connection that it can hold: a few per cent of a core. Who connects
  anew for each attempt is slowed by connecting, and does here what it could do at any path.
* A flood locks nobody out: a right secret is answered at once, whatever others do meanwhile.
* A client with a right secret pays one lookup's worth of its quota for each access token, so that
  it cannot flood either.
* Nothing of a request is logged, or repeated in an answer.
"""

import asyncio
import os
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus
from typing import Any, Final

import msgspec

from lookup.errors import TooLarge, TooManyRequests, Unauthorized
from lookup.handoff import Client
from lookup.worker.access import ACCESS_SECONDS
from lookup.worker.bodies import Receive, Send, read_body, send_whole
from lookup.worker.certificates import require_certificate
from lookup.worker.form import (
    INVALID_CLIENT,
    INVALID_REQUEST,
    MAX_FORM,
    MEDIA_TYPE,
    Credentials,
    InvalidGrant,
    parse_request,
)
from lookup.worker.quota import Quotas
from lookup.worker.view import OpenView, Secret

FAILURES_PER_SECOND: Final = 50
PAUSE_SECONDS: Final = 1.0
# Those whose client has left wait, too; beyond this nobody is kept, and 429 comes at once.
MAX_WAITING: Final = 2_000

_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
]
_CHALLENGE: Final = (b"www-authenticate", b'Basic realm="lacuna"')
# What unknown clients are compared with; nobody knows what it is the hash of.
_NOBODY: Final = (Secret(os.urandom(32), float("inf")),)


class TokenDesk:
    """Gives out access tokens; one for each worker process."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._second = 0
        self._failures = 0
        self._waiting = 0

    async def answer_token(
        self,
        scope: Any,  # noqa: ANN401  # ASGI's scope
        receive: Receive,
        send: Send,
        view: OpenView,
        now: float,
    ) -> None:
        """Answer one request. Raises TooLarge and TooManyRequests, which httpd tells."""
        try:
            body = await _read_form(scope, receive)
            if body is None:
                return  # the client has left
            client = _client_of(parse_request(_authorization(scope), body), view, now)
            _require_certificate(client, scope["lacuna.certificate"])
        except InvalidGrant as refusal:
            if refusal.code == INVALID_CLIENT:
                await self._count_failure(now)
            await _send_refusal(scope, send, refusal)
            return
        self._quotas.account_of(client).take(1, now)
        access_token = view.token_keys.make(bytes.fromhex(client.id), now)
        members = {
            "access_token": access_token.decode(),
            "token_type": "Bearer",
            "expires_in": ACCESS_SECONDS,
        }
        await send_whole(scope, send, HTTPStatus.OK, _HEADERS, msgspec.json.encode(members))

    async def _count_failure(self, now: float) -> None:
        """Return at once for the first failures of a second; raise TooManyRequests later."""
        if int(now) != self._second:
            self._second, self._failures = int(now), 0
        self._failures += 1
        if self._failures <= FAILURES_PER_SECOND:
            return
        if self._waiting < MAX_WAITING:
            self._waiting += 1
            try:
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                self._waiting -= 1
        raise TooManyRequests("too many wrong secrets come in", 1)


def _client_of(credentials: Credentials, view: OpenView, now: float) -> Client:
    digest = sha256(credentials.secret).digest()
    secrets = view.secrets.get(credentials.client_id, _NOBODY)
    # All are compared: which one is right is nobody's to measure.
    right = [compare_digest(digest, secret.digest) and now < secret.until for secret in secrets]
    if not any(right) or secrets is _NOBODY:
        raise InvalidGrant(INVALID_CLIENT, "no client has this id and this secret")
    return view.clients[bytes.fromhex(credentials.client_id)]


def _require_certificate(client: Client, shown: str | None) -> None:
    try:
        require_certificate(client, shown)
    except Unauthorized:
        raise InvalidGrant(INVALID_CLIENT, "no client has this id and this secret") from None


async def _read_form(scope: Any, receive: Receive) -> bytes | None:  # noqa: ANN401  # ASGI's scope
    """The body of a token request; None if the client has left."""
    if scope["query_string"]:
        raise InvalidGrant(INVALID_REQUEST, "there is no query: what is in a url gets into logs")
    types = _values(scope, b"content-type")
    if len(types) != 1 or types[0].partition(b";")[0].strip().lower() != MEDIA_TYPE:
        raise InvalidGrant(INVALID_REQUEST, f"content-type must be {MEDIA_TYPE.decode()}")
    if _values(scope, b"content-encoding"):
        raise InvalidGrant(INVALID_REQUEST, "content-encoding is not taken")
    length = _values(scope, b"content-length")
    if length and int(length[0]) > MAX_FORM:
        raise TooLarge(f"the body may have {MAX_FORM} bytes")
    return await read_body(receive, MAX_FORM)


def _authorization(scope: Any) -> bytes | None:  # noqa: ANN401  # ASGI's scope
    sent = _values(scope, b"authorization")
    if len(sent) > 1:
        raise InvalidGrant(INVALID_REQUEST, "authorization must be given once")
    return sent[0] if sent else None


def _values(scope: Any, wanted: bytes) -> list[bytes]:  # noqa: ANN401  # ASGI's scope
    return [value for name, value in scope["headers"] if name == wanted]


async def _send_refusal(scope: Any, send: Send, refusal: InvalidGrant) -> None:  # noqa: ANN401
    status, headers = HTTPStatus.BAD_REQUEST, list[tuple[bytes, bytes]](_HEADERS)
    if refusal.code == INVALID_CLIENT:
        status = HTTPStatus.UNAUTHORIZED
        headers.append(_CHALLENGE)
    members = {"error": refusal.code, "error_description": str(refusal)}
    await send_whole(scope, send, status, headers, msgspec.json.encode(members))
