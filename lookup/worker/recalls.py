"""The recall desk: clients hear which answers are withdrawn, and say that they deleted them.

    GET  /v1/recalls               from the view in force
                  200 {"recalls": [{"recall", "requests": [uuid…]}…], "more"}
    POST /v1/recalls/acknowledge   {"recalls": ["<32 hex>"…]}, for the custodian
                  200 {"acknowledged": ["<32 hex>"…]}, those that were sent, when it is durable

Invariants:

* A client hears of its own recalls alone. An id that is another client's, one that has gone and one
  that never was are acknowledged alike, at once: nobody learns from it whose it is.
* *Acknowledged* is said when a view is in force without the recall, which a custodian makes after
  its commit. Within two seconds there is such a view, or 503; to acknowledge again does no harm.
* Who waits holds nothing of a view: neither its table nor what it knows.
* At most 100 recalls are listed, with at most 1,000 requests together, so that no list keeps
  lookups waiting; `more` says that there are others, which follow when these are acknowledged.
* Each request costs one lookup's worth of the client's quota.
* No audit entry is written and no table is read: both may be down.

A recall names requests as X-Request-IDs were sent, in the canonical form of RFC 9562.
"""

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from lookup.errors import CustodianUnavailable, InvalidRequest, Unavailable
from lookup.handoff import (
    MOST_ACKNOWLEDGED,
    Acknowledge,
    Client,
    HandoffError,
    Recall,
    fit_recalls,
)
from lookup.wire import (
    MAX_ACKNOWLEDGE_BODY,
    MAX_RECALLED_REQUESTS,
    MAX_RECALLS,
    unique_members,
)
from lookup.worker.answering import Desk
from lookup.worker.bodies import JSON_HEADERS, Receive, Send, read_body, send_whole
from lookup.worker.heads import (
    credential_of,
    require_json,
    require_no_query,
    require_request_id,
)
from lookup.worker.view import boot_clock

DURABLE_WITHIN: Final = 2.0  # seconds
_RULE: Final = (
    f"body must be an object of recalls, 1 to {MOST_ACKNOWLEDGED} distinct ids of 32 lower-case"
    " hexadecimal digits"
)


class _Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    recalls: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]],
        msgspec.Meta(min_length=1, max_length=MOST_ACKNOWLEDGED),
    ]


_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(_Acknowledgement)


def parse_acknowledgement(body: bytes) -> list[bytes]:
    """Return the ids of the recalls, or raise InvalidRequest naming the rule that is broken."""
    try:
        ids = _ACKNOWLEDGEMENT.decode(body).recalls
    except msgspec.ValidationError:
        raise InvalidRequest(_RULE) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest("body must be JSON in UTF-8") from None
    json.loads(body, object_pairs_hook=unique_members)
    if len(set(ids)) != len(ids):
        raise InvalidRequest(_RULE)
    return [bytes.fromhex(each) for each in ids]


def make_list(recalls: Collection[Recall]) -> bytes:
    """What a client is told of all its recalls."""
    listed = fit_recalls(recalls, MAX_RECALLS, MAX_RECALLED_REQUESTS)
    told = [
        {"recall": each.id.hex(), "requests": [UUID(bytes=request) for request in each.requests]}
        for each in listed
    ]
    return msgspec.json.encode({"recalls": told, "more": len(listed) < len(recalls)})


def make_acknowledged(ids: Sequence[bytes]) -> bytes:
    """What a client is told when its acknowledgement is durable."""
    return msgspec.json.encode({"acknowledged": [each.hex() for each in ids]})


class RecallDesk:
    """Answers about recalls; one for each worker process."""

    def __init__(self, desk: Desk, send: Callable[[Acknowledge], None]) -> None:
        """`send` gives a message to the custodian; it may block, and raises HandoffError."""
        self._desk, self._send = desk, send

    async def answer_list(self, scope: Any, _receive: Receive, send: Send) -> None:  # noqa: ANN401  # ASGI's scope
        """Answer one request. Raises what httpd tells as a problem."""
        client = self._admit(scope)
        require_no_query(scope)
        self._charge(client)
        body = make_list(self._recalls_of(client.id).values())
        await send_whole(scope, send, HTTPStatus.OK, JSON_HEADERS, body)

    async def answer_acknowledgement(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  # ASGI's scope
        """Answer one request. Raises what httpd tells as a problem."""
        client = self._admit(scope)
        require_json(scope, MAX_ACKNOWLEDGE_BODY)
        body = await read_body(receive, MAX_ACKNOWLEDGE_BODY)
        if body is None:
            return  # the client has left
        ids = parse_acknowledgement(body)
        self._charge(client)
        await self._acknowledge(client.id, ids)
        self._admit(scope)  # who was revoked meanwhile, and its recalls with it, is told nothing
        await send_whole(scope, send, HTTPStatus.OK, JSON_HEADERS, make_acknowledged(ids))

    def _admit(self, scope: Any) -> Client:  # noqa: ANN401  # ASGI's scope
        require_request_id(scope["headers"])
        return self._desk.admit(credential_of(scope)).client

    def _charge(self, client: Client) -> None:
        self._desk.quotas.account_of(client).take(1, time.time())

    def _recalls_of(self, client_id: str) -> Mapping[bytes, Recall]:
        return self._desk.standing.require_view(boot_clock()).recalls.get(client_id, {})

    async def _acknowledge(self, client_id: str, ids: list[bytes]) -> None:
        """Return when no view lists these any more. Raises Unavailable."""
        listed = self._recalls_of(client_id)
        pending = [each for each in ids if each in listed]
        del listed
        if not pending:
            return
        try:
            async with asyncio.timeout(DURABLE_WITHIN):
                await asyncio.to_thread(self._send, Acknowledge(client_id, pending))
                while not self._recalls_of(client_id).keys().isdisjoint(pending):
                    await self._desk.standing.another_view()
        except TimeoutError:
            raise Unavailable("not known to be durable yet: acknowledge it again") from None
        except HandoffError:
            raise CustodianUnavailable("no custodian takes it now: acknowledge it again") from None
