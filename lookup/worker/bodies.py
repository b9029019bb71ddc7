"""Whole bodies, in and out, for the worker's ASGI routes.

Invariants:

* A body is read to a bound, into memory, and never spooled to a file.
* An answer leaves whole (lookup/exchange.py) and mirrors a valid X-Request-ID.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from lookup.errors import TooLarge
from lookup.exchange import WHOLE_ANSWER, Headers, nothing, request_id_of

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]

JSON_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store, no-transform"),
]


async def read_body(receive: Receive, most: int) -> bytes | None:
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


async def send_whole(
    scope: Any,  # noqa: ANN401  # ASGI's scope
    send: Send,
    status: int,
    headers: Headers,
    body: bytes,
) -> None:
    """Send an answer that does not depend on the moment at which it leaves."""
    request_id = request_id_of(scope["headers"])
    mirrored = [] if request_id is None else [(b"x-request-id", request_id)]
    answer = (status, [*headers, *mirrored], body)
    await send({"type": WHOLE_ANSWER, "make": lambda: answer, "left": nothing})
