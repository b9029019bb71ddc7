"""The worker's edge to HTTP for all that the hot path leaves: a bare ASGI application.

    POST /v1/lookup                one token, in an unusual form (hot.py)
    POST /v1/lookups               up to 1,000 tokens
    GET  /v1/recalls               which answers are withdrawn: lookup/worker/recalls.py
    POST /v1/recalls/acknowledge   they are deleted
    POST /oauth2/token             an access token for a client's secret: lookup/worker/oauth.py
    GET  /health/live              this process runs
    GET  /health/ready             it would answer a lookup

Invariants:

* Mistakes are told in this order: path, method, X-Request-ID, Authorization, permission, body,
  quota. Nothing is read of the body before the client is known.
* 401 does not say whether the credential was missing, malformed, expired or unknown.
* A lookup begins only when its body is here and earlier output is gone; see `Turn`.
* Every outcome but 200 is *could not check*.
* An answer is counted as it leaves, a problem where it is told; a question about health is neither.
"""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from lookup import wire
from lookup.errors import MethodNotAllowed, NotFound, ServiceError
from lookup.exchange import WHOLE_ANSWER, make_problem
from lookup.handoff import Acknowledge
from lookup.worker.answering import Desk, Parse, Turn, require_batch
from lookup.worker.bodies import JSON_HEADERS, Receive, Send, read_body, send_whole
from lookup.worker.heads import credential_of, require_json, require_request_id
from lookup.worker.oauth import TokenDesk
from lookup.worker.recalls import RecallDesk
from lookup.worker.rounds import Asked, Rounds
from lookup.worker.view import boot_clock

COULD_NOT_CHECK: Final = {"outcome": "could-not-check"}

_BATCH: Final = "/v1/lookups"
_LOOKUPS: Final[dict[str, tuple[Parse, int]]] = {
    "/v1/lookup": (wire.parse_lookup, wire.MAX_LOOKUP_BODY),
    _BATCH: (wire.parse_lookups, wire.MAX_BATCH_BODY),
}
_POST: Final = ("POST",)
_HEALTH: Final = ("GET", "HEAD")

Answer = Callable[[Any, Receive, Send], Awaitable[None]]


class LookupApp:
    """The application; raises what httpd tells as a problem."""

    def __init__(self, desk: Desk, rounds: Rounds, send: Callable[[Acknowledge], None]) -> None:
        """`send` gives a message to the custodian: see `RecallDesk`."""
        self._desk, self._rounds = desk, rounds
        self._token_desk = TokenDesk(desk.quotas)
        recalls = RecallDesk(desk, send)
        self._routes: dict[str, tuple[tuple[str, ...], Answer]] = {
            **dict.fromkeys(_LOOKUPS, (_POST, self._look_up)),
            "/v1/recalls": (("GET",), recalls.answer_list),
            "/v1/recalls/acknowledge": (_POST, recalls.answer_acknowledgement),
            "/oauth2/token": (_POST, self._give_token),
            "/health/live": (_HEALTH, self._tell_live),
            "/health/ready": (_HEALTH, self._tell_ready),
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        """Answer one request."""
        route = self._routes.get(scope["path"])
        if route is None:
            raise NotFound
        methods, answer = route
        if scope["method"] in methods:
            await answer(scope, receive, send)
            return
        allowed = ", ".join((*methods, "OPTIONS"))
        if scope["method"] != "OPTIONS":
            raise MethodNotAllowed(allowed)
        await send_whole(scope, send, HTTPStatus.NO_CONTENT, [(b"allow", allowed.encode())], b"")

    async def _look_up(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        request_id = require_request_id(scope["headers"])
        admission = self._desk.admit(credential_of(scope))
        if scope["path"] == _BATCH:
            require_batch(admission.client)
        parse, most = _LOOKUPS[scope["path"]]
        require_json(scope, most)
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

    async def _give_token(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401
        view = self._desk.standing.require_view(boot_clock())
        await self._token_desk.answer_token(scope, receive, send, view, time.time())

    async def _tell_live(self, scope: Any, _receive: Receive, send: Send) -> None:  # noqa: ANN401
        await send_whole(scope, send, HTTPStatus.OK, JSON_HEADERS, b'{"status":"live"}')

    async def _tell_ready(self, scope: Any, _receive: Receive, send: Send) -> None:  # noqa: ANN401
        try:
            self._desk.require_ready()
        except ServiceError as error:
            await send_whole(scope, send, *make_problem(error, [], COULD_NOT_CHECK))
        else:
            await send_whole(scope, send, HTTPStatus.OK, JSON_HEADERS, b'{"status":"ready"}')
