"""The hot path: one route, in its usual form, answered by the protocol itself.

`POST /v1/lookup` costs most where nothing is decided: in the scope, the task, the messages and the
response object of an ASGI call. A request that is no more than the usual is answered here without
any of them; every other one falls through to the ASGI application, which calls the same `Turn`:

    HTTP/1.1, nothing before it unanswered, this very path, content-length, application/json, one of
    each header, none of the unusual ones, an X-Request-ID, a client that is admitted

Invariants:

* Whatever the hot path does not take, it has not touched: the head is parsed once, and the ASGI
  application sees what it would have seen. So both say the same, and a test replays a corpus.
* What is pending is a *cycle* to the base class (`Lookup`), so that order, pipelining, keep-alive,
  `Connection: close` and a graceful stop stay with it.
* A lookup begins only when no earlier output is left in this process; see `WholeAnswer`.
* A defect of ours is told as one (500): never as the caller's mistake.

Pinned to uvicorn 0.54.0, as httpd.py is: another version must be read before it is admitted.
"""

import time
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from lookup import wire
from lookup.errors import InternalError, ServiceError
from lookup.exchange import UUID, Exchange, Headers, join_fields
from lookup.httpd import REST, BoundedProtocol
from lookup.worker.answering import Admission, Credential, Desk, Turn
from lookup.worker.bodies import JSON_HEADERS
from lookup.worker.rounds import Rounds
from lookup.worker.usual import UsualHead

PATH: Final = b"/v1/lookup"
_UNUSUAL: Final = frozenset(
    {b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"te", b"trailer"}
)
_STATUS: Final = STATUS_LINE[200]
_FIELDS: Final = b"%bx-request-id: " % join_fields(JSON_HEADERS)
_LENGTH: Final = b"\r\ncontent-length: %d\r\n\r\n" % wire.ANSWER_SIZE
_LENGTH_CLOSE: Final = b"\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % wire.ANSWER_SIZE


class _Unheard:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Tell nobody."""


_UNHEARD: Final = _Unheard()


class Lookup(Exchange):
    """What a connection asks, in the place of an exchange: one object for one lookup after another.

    It has no application to run. Between two lookups it holds nothing of the one before but who
    asked, and the request id.
    """

    body: bytes  # type: ignore[assignment]  # it is only read
    turn: Turn

    def __init__(self, protocol: "HotProtocol") -> None:
        # Not the parent's: it would make what only an application needs.
        self.transport = protocol.transport
        self.flow = protocol.flow
        self._state = protocol.server_state
        self.message_event = _UNHEARD  # type: ignore[assignment]  # only `set` is called
        protocol.equip(self)
        self.on_response = protocol.on_response_complete
        self.disconnected = False
        self._answer = b""
        self._failure: ServiceError | None = None
        self._desk, self._rounds = protocol.desk, protocol.rounds

    def ask(self, admission: Admission, request_id: bytes, *, keep_alive: bool) -> None:
        """A head is here: take the place of the lookup before, whose answer has left."""
        self.admission = admission
        self.request_id = request_id
        self.default_headers = self._state.default_headers  # uvicorn's of this second
        self.keep_alive = keep_alive
        self.response_started = self.response_complete = False
        self.more_body = True
        self.body = b""

    def begin(self, body: bytes) -> None:
        """The body is here, and nothing stands between this answer and the kernel."""
        self.turn = Turn(self._desk, self.admission, self.request_id, wire.parse_lookup, body)
        self._rounds.join(self)

    def audited(self, failure: ServiceError | None) -> None:
        """The entry is durable, or cannot be: make the answer."""
        self._failure = failure
        if failure is None and not self._is_over():
            try:
                self._answer = self.turn.finish()
            except ServiceError as error:
                self._failure = error

    def deliver(self) -> None:
        """Let the answer leave, or say why there is none."""
        leave, answer, failure = self.turn.leave, self._answer, self._failure
        self._answer, self._failure, self.body = b"", None, b""
        del self.turn
        try:
            if not self._is_over():
                if answer:
                    self._write(answer)
                else:
                    self.tell(failure or InternalError())
        finally:
            self.when_out(leave)

    def tell(self, error: ServiceError) -> None:
        """Answer with a problem, if anything can still be answered."""
        fields = [(b"x-request-id", self.request_id)]
        self.scope = {"method": "POST", "headers": fields}  # type: ignore[typeddict-item]  # all that a problem needs
        super().tell(error)

    def _is_over(self) -> bool:
        return self.disconnected or self.response_complete or self.transport.is_closing()

    def _write(self, body: bytes) -> None:
        keep_alive = self.keep_alive
        parts = (
            _STATUS,
            _lines(self.default_headers),
            _FIELDS,
            self.request_id,
            _LENGTH if keep_alive else _LENGTH_CLOSE,
            body,
        )
        self.response_started = self.response_complete = True
        self.transport.write(b"".join(parts))
        if not keep_alive:
            self.transport.close()
        self.on_response()


class _Lines:
    """uvicorn's headers of the second, joined once."""

    headers: Headers | None = None
    joined = b""


def _lines(headers: Headers) -> bytes:
    if headers is not _Lines.headers:
        _Lines.joined = join_fields(headers)
        _Lines.headers = headers
    return _Lines.joined


class HotProtocol(BoundedProtocol):
    """One connection of the lookup plane."""

    def __init__(self, *arguments: Any, desk: Desk, rounds: Rounds, **keywords: Any) -> None:  # noqa: ANN401  # the parent's
        super().__init__(*arguments, **keywords)
        self.desk, self.rounds = desk, rounds
        self._lookup: Lookup | None = None
        self._held: bytes | None = None  # the body of a lookup that earlier output keeps waiting
        self._data = b""
        self._head: UsualHead | None = None  # what the newest lookup's was like
        self._usual: UsualHead | None = None  # the same, while the next request may be like it

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; lookup and protocol would keep each other alive."""
        super().connection_lost(exc)
        self.cycle = self._running = self._lookup = self._held = None

    def sweep(self, now: float) -> None:
        """As the parent says; and let go of a view, and its keys, that is not in force any more."""
        super().sweep(now)
        lookup = self._lookup
        if lookup is None or self._running is not None:
            return
        if lookup.admission.view is not self.desk.standing.view:
            self._lookup = self._head = self._usual = None
            if self.cycle is lookup:
                self.cycle = None

    def data_received(self, data: bytes) -> None:
        """Recognize a whole lookup of the form of the last one; parse everything else."""
        usual, self._usual = self._usual, None
        lookup = self._lookup
        if (
            usual is not None
            and lookup is not None
            and (found := usual.match(data)) is not None
            and self.desk.admits(lookup.admission, time.time())
        ):
            request_id, body = found
            self.headers = [(b"x-request-id", request_id)]
            self._running = lookup
            lookup.ask(lookup.admission, request_id, keep_alive=True)
            lookup.more_body = False
            self._complete(lookup, body)
        else:
            self._data = data
            super().data_received(data)
            self._data = b""

    def on_headers_complete(self) -> None:
        """Take the usual form of the one route; leave everything else as it came."""
        lookup = self._take_head()
        if lookup is None:
            super().on_headers_complete()
        else:
            self.cycle = self._running = self._lookup = lookup
            self._head = UsualHead.learn(self._data, self.headers)
            self._begin_body()

    def _take_head(self) -> Lookup | None:
        before, parser, headers = self.cycle, self.parser, self.headers
        if self.url != PATH or not (before is None or before.response_complete) or self._surplus:
            return None
        fields = dict(headers)
        if (
            len(fields) != len(headers)
            or not _UNUSUAL.isdisjoint(fields)
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
        ):
            return None
        try:
            usual = (
                fields[b"content-type"] == b"application/json"
                and int(fields[b"content-length"]) <= wire.MAX_LOOKUP_BODY
                and UUID.fullmatch(fields[b"x-request-id"]) is not None
                and fields[b"host"] is not None
            )
            credential = Credential(fields[b"authorization"], self.certificate)
            admission = self.desk.admit(credential)
        except (KeyError, ServiceError):
            return None
        if not usual:
            return None
        lookup = self._lookup or Lookup(self)
        keep_alive = parser.should_keep_alive()
        request_id = fields[b"x-request-id"]
        lookup.ask(admission, request_id, keep_alive=keep_alive)
        return lookup

    def on_body(self, body: bytes) -> None:
        """A piece of the body, as a rule the only one; its length was bounded with the head."""
        cycle = self.cycle
        if type(cycle) is Lookup and not (cycle.body or cycle.response_complete):
            self._stage_since = self.loop.time()
            self._pieces, self._body_size, self._unparsed = 1, len(body), 0
            cycle.body = body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here."""
        cycle = self.cycle
        if type(cycle) is not Lookup:
            super().on_message_complete()
            return
        self._stage, self._stage_since = REST, self.loop.time()
        cycle.more_body = False
        if not cycle.response_complete:
            self._complete(cycle, cycle.body)

    def _complete(self, lookup: Lookup, body: bytes) -> None:
        if self.transport.get_write_buffer_size():
            self._held = body
        else:
            lookup.begin(body)

    def on_response_complete(self) -> None:
        """Turn to the next request, which may be like the last one."""
        super().on_response_complete()
        if self.cycle is self._lookup and self._stage is REST and not self._deaf:
            self._usual = self._head

    def resume_writing(self) -> None:
        """The kernel has taken all there was: a lookup that waited for that begins."""
        super().resume_writing()
        held, self._held = self._held, None
        if held is not None and self._lookup is not None:
            self._lookup.begin(held)
