"""One request and its answer, on top of uvicorn's.

Invariants:

* An answer is whole or it is not there: an app that fails in the middle loses its connection.
* Whatever an app raises is told as a problem (RFC 9457): a ServiceError as the fact it names,
  anything else as a defect of ours, without a word of its message.
* A valid X-Request-ID is mirrored in every problem.

An app may send, in place of ASGI's two messages, one `WholeAnswer`. Its `begin`, if it has one, is
called when the connection holds no earlier output, and calls back when the answer may be made, or
why not. What `make` returns is written at once in the same call: no other event comes between the
making and the kernel taking the bytes. Neither is called for a client who has left; if one
was called, `left` is called once, when nothing of the answer is in this process any more.

Made for uvicorn 0.54.0, whose class it extends is not documented.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal, NotRequired, TypedDict

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from lookup.errors import (
    InternalError,
    ServiceError,
    Unavailable,
    problem_body,
    problem_headers,
    problem_of,
)
from lookup.logs import log_defect

logger = logging.getLogger("lookup.exchange")

App = Callable[..., Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

WHOLE_ANSWER: Final = "lacuna.whole_answer"


class WholeAnswer(TypedDict):
    """An answer that is made at the moment it leaves."""

    type: Literal["lacuna.whole_answer"]
    begin: NotRequired[Callable[[Callable[[ServiceError | None], None]], None]]
    make: Callable[[], tuple[int, Headers, bytes]]
    left: Callable[[], None]


UUID: Final = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def request_id_of(headers: Headers) -> bytes | None:
    """The X-Request-ID as it was sent, if it was sent once and is a UUID."""
    sent = sent_once(headers, b"x-request-id")
    return sent if sent is not None and UUID.fullmatch(sent) else None


def join_fields(headers: Headers) -> bytes:
    """Header fields as they are sent."""
    return b"".join([b"%b: %b\r\n" % line for line in headers])


def sent_once(headers: Headers, wanted: bytes) -> bytes | None:
    """The value of a field that was sent exactly once; of two, neither is believed."""
    sent = [value for name, value in headers if name == wanted]
    return sent[0] if len(sent) == 1 else None


def make_problem(
    error: ServiceError, headers: Headers, members: Mapping[str, str]
) -> tuple[int, Headers, bytes]:
    """Status, headers and body that tell of an error; mirrors the X-Request-ID in `headers`."""
    told = [(name.encode(), value.encode()) for name, value in problem_headers(error).items()]
    if (request_id := request_id_of(headers)) is not None:
        told.append((b"x-request-id", request_id))
    return problem_of(error).status, told, problem_body(error, **members)


def note_nothing(_error: ServiceError) -> None:
    """For a plane that does not count problems."""


class Exchange(RequestResponseCycle):
    """One request and its answer."""

    when_out: Callable[[Callable[[], None]], None]
    problem_members: Mapping[str, str]
    note_problem: Callable[[ServiceError], None]

    async def run_asgi(self, app: App) -> None:
        """Run the app; whatever it raises is told as a problem, and logged only if it is one."""
        try:
            await app(self.scope, self.receive, self.send)
        except ServiceError as error:
            self.tell(error)
        except asyncio.CancelledError:
            self.break_off(Unavailable("this process is stopping"))
        except Exception as error:  # noqa: BLE001  # a defect must be told as one, whatever it is
            if not self.disconnected:
                log_defect("a request", error)
            self.break_off(InternalError())
        else:
            if not self.response_complete and not self.disconnected:
                logger.error("a request was left without an answer")
                self.break_off(InternalError())
        finally:
            self.on_response = nothing  # or cycle and protocol would keep each other alive

    async def send(self, message: Any) -> None:  # noqa: ANN401  # ASGI's messages, and ours
        """As ASGI says; a WholeAnswer is made when nothing stands between it and the kernel."""
        if message["type"] != WHOLE_ANSWER:
            await super().send(message)
            return
        while self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self._heard():
            return
        try:
            if (begin := message.get("begin")) is not None:
                await _begun(begin)
            if self._heard():
                self.write_whole(*message["make"]())
        finally:
            self.when_out(message["left"])

    def _heard(self) -> bool:
        return not (self.disconnected or self.transport.is_closing())

    def tell(self, error: ServiceError) -> None:
        """Answer with a problem, if anything can still be answered."""
        if self.response_started:
            self.transport.abort()  # half an answer must not pass for one
        elif not self.disconnected and not self.transport.is_closing():
            self.note_problem(error)
            self.write_whole(
                *make_problem(error, list(self.scope["headers"]), self.problem_members)
            )

    def break_off(self, error: ServiceError) -> None:
        """Answer with a problem and close: the bytes to come cannot be made sense of."""
        self.keep_alive = False
        if not self.response_complete:
            self.tell(error)
        self.disconnected = True
        self.message_event.set()

    def write_whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Write a whole answer at once."""
        lines = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            lines += (name, b": ", value, b"\r\n")
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        if status != HTTPStatus.NO_CONTENT:
            lines += (b"content-length: ", str(len(body)).encode(), b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if self.scope["method"] != "HEAD":
            lines.append(body)
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.transport.write(b"".join(lines))
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


async def _begun(begin: Callable[[Callable[[ServiceError | None], None]], None]) -> None:
    """Return when the answer may be made; raise why it may not."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(failure: ServiceError | None) -> None:
        if done.done():
            return  # nobody waits any more
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)

    begin(tell)
    await done


def nothing() -> None:
    """Do nothing."""
