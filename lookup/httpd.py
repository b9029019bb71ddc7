"""uvicorn with bounds: nobody holds memory, a descriptor or our attention for free.

    arriving   head: 16 KiB and 100 fields, 5 s; body: its time is the plane's, its size the app's
    waiting    75 s between requests, 1 s where connections get scarce; 64 pipelined requests; so
               many connections, then 503
    leaving    output that a client does not read is thrown away with its connection

With TLS (lookup/secured.py) the same holds from the first byte of the handshake on.

Invariants:

* Answers leave in the order of their requests, also an answer to a request that is no HTTP.
* Every error that is answered here is a problem (RFC 9457); none repeats what was sent. A valid
  X-Request-ID is mirrored wherever it was read.
* A defect of ours is told as one (500): never as the caller's mistake, never as an answer.
* Logs name what failed and where in the code. No URL, header, body, or message of an exception
  from outside this package reaches them.
* Nothing of uvicorn's own answers (text/plain) or logs is left.

`exchange.py` has the other half: one request and its answer. Pinned to uvicorn 0.54.0, because
methods are overridden that it does not document.
"""

import asyncio
import functools
import resource
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, Literal
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lookup.errors import (
    HeadersTooLarge,
    InternalError,
    InvalidRequest,
    RequestTimedOut,
    ServiceError,
    TooManyConnections,
)
from lookup.exchange import App, Exchange, make_problem, note_nothing
from lookup.logs import log_defect, log_loop_error
from lookup.secured import Handshakes, Secured


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process allows its callers."""

    max_connections: int = 1_000
    header_bytes: int = 16 * 1_024
    header_fields: int = 100
    pipelined: int = 64
    head_seconds: float = 5
    # From the head to the last byte of the body; None where imports stream for hours.
    body_seconds: float | None = 10
    # Between two pieces of a body, while this side reads.
    body_idle_seconds: float = 10
    idle_seconds: float = 75
    # The same while three quarters of the connections are taken: else a thousand that are idle,
    # of someone without any credential, would be 75 s in which nobody else is served.
    crowded_seconds: float = 1
    # How long output may stay in this process because the client does not read.
    unread_seconds: float = 1
    # A body of more pieces than this must have so many bytes in each, on average. One byte a chunk
    # costs a hundred times the work of a byte; one line a chunk, as imports are sent, does not.
    body_pieces: int = 1_000
    piece_bytes: int = 32
    # What is read of a body that was refused already, so that the answer is not lost to a reset.
    discarded_bytes: int = 256 * 1_024
    drain_seconds: int = 10
    # Further members of every problem that is answered here.
    problem_members: dict[str, str] = field(default_factory=dict)
    # Hears of every problem that is answered here.
    note_problem: Callable[[ServiceError], None] = note_nothing

    @property
    def far_too_many(self) -> int:
        """As many connections as are taken at all; those beyond the limit only to be told so."""
        return self.max_connections + self.max_connections // 4 + 16


HEAD, BODY, REST = "head", "body", "rest"


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    cycle: Exchange | None  # type: ignore[assignment]  # the newest; the parent says None later

    def __init__(self, *arguments: Any, limits: Limits, **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **keywords)
        self.limits = limits
        # The hex SHA-256 of the certificate (DER) that the client has shown and proved to be its.
        self.certificate: str | None = None
        self._header_bytes, self._header_fields = limits.header_bytes, limits.header_fields
        self._stage = HEAD
        self._stage_since = self._body_since = self.loop.time()
        self._head_size = 0  # what the parser has told of this head
        self._unparsed = 0  # what it has been fed since, without finishing the head
        self._hosts = 0
        self._discarded = 0
        self._pieces = self._body_size = 0
        self._surplus = False
        self._deaf = False  # what comes is not listened to
        self._gone = False  # nor does anything leave
        self._running: Exchange | None = None
        self._last_words: ServiceError | None = None
        self._when_out: list[Callable[[], None]] = []
        self._unread: asyncio.TimerHandle | None = None

    # Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit it; beyond the limit only to be told so, and far beyond not even that."""
        super().connection_made(transport)
        self.certificate = _certificate_of(transport)
        # Nothing may linger here that the kernel would take: see WholeAnswer.
        transport.set_write_buffer_limits(high=0)
        most = self.limits.max_connections
        self._surplus = len(self.connections) > most
        if len(self.connections) > self.limits.far_too_many:
            self._deaf = self._gone = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; whoever waited for the output to leave waits no more."""
        self._deaf = self._gone = True
        self.pipeline.clear()
        super().connection_lost(exc)
        if (running := self._running) is not None and not running.response_complete:
            running.disconnected = True  # the parent marks the newest only
            running.message_event.set()
        self._output_gone()

    # Output

    def when_out(self, left: Callable[[], None]) -> None:
        """Call `left` once no output is in this process: taken by the kernel, or thrown away."""
        if self._gone or self.transport.get_write_buffer_size() == 0:
            left()
        else:
            self._when_out.append(left)

    def pause_writing(self) -> None:
        """The kernel takes no more; the client has so long to read."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The kernel has taken all there was."""
        super().resume_writing()
        self._output_gone()

    def _output_gone(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        gone, self._when_out = self._when_out, []
        for left in gone:
            left()

    # Input

    def data_received(self, data: bytes) -> None:
        """Parse; whatever goes wrong is answered after what was asked before."""
        if self._deaf:
            return
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._refuse(_cause(error))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(InvalidRequest("this is not a request of HTTP/1.1"))
        else:
            if self._unparsed > self.limits.header_bytes:
                if self._stage == HEAD:
                    self._refuse(HeadersTooLarge())
                elif self._stage == BODY:  # all of it between the chunks: extensions, zeros
                    self._refuse(InvalidRequest("so much may not stand between chunks"))

    def on_message_begin(self) -> None:
        """A head begins."""
        # The parent would make the scope here; only what it is made for needs one.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage, self._stage_since = HEAD, self.loop.time()
        self._head_size = self._unparsed = self._hosts = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._head_size += len(url)
        self._unparsed = 0
        if self._head_size > self._header_bytes:
            raise HeadersTooLarge
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        # All that the parent does too, in one call: this runs for every field of every request.
        if self._stage != HEAD:
            raise InvalidRequest("trailers are not taken")
        self._head_size = size = self._head_size + len(name) + len(value) + 4
        self._unparsed = 0
        headers = self.headers
        if size > self._header_bytes or len(headers) >= self._header_fields:
            raise HeadersTooLarge
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the app, or let it wait for the answers before."""
        parser = self.parser
        if parser.should_upgrade():
            raise InvalidRequest("no other protocol is spoken here: leave out upgrade")
        version = parser.get_http_version()
        if self._hosts != 1 and not (version == "1.0" and self._hosts == 0):
            raise InvalidRequest("host must be given once")
        self._make_scope(parser.get_method(), version)
        self._begin_body()
        before = self.cycle
        crowded = self._surplus and len(self.connections) > self.limits.max_connections
        app = _refuse_surplus if crowded else self.app
        self.cycle = self._make_cycle(
            keep_alive=version != "1.0" and parser.should_keep_alive() and not crowded
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, app)
        elif len(self.pipeline) < self.limits.pipelined:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))
        else:
            self.cycle = before
            raise InvalidRequest("wait for answers before asking again")

    def _begin_body(self) -> None:
        self._stage, self._stage_since = BODY, self.loop.time()
        self._body_since, self._discarded = self._stage_since, 0
        self._pieces = self._body_size = self._unparsed = 0

    def _make_scope(self, method: bytes, version: str) -> None:
        try:
            target = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            raise InvalidRequest("the request target is not valid") from None
        path = target.path or b"/"
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]  # set with the connection
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "method": method.decode("ascii"),
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": target.query or b"",
            "lacuna.certificate": self.certificate,
        }

    def _make_cycle(self, *, keep_alive: bool) -> Exchange:
        cycle = Exchange(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        self.equip(cycle)
        return cycle

    def equip(self, cycle: Exchange) -> None:
        """Give a cycle what it needs of this connection beyond what uvicorn's has."""
        cycle.when_out = self.when_out
        cycle.problem_members = self.limits.problem_members
        cycle.note_problem = self.limits.note_problem

    def _start_asgi_task(self, cycle: Any, app: App) -> None:  # noqa: ANN401  # the parent's type
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """A piece of the body; of one that was refused already, only so much."""
        self._stage_since = self.loop.time()
        self._unparsed = 0
        self._pieces += 1
        self._body_size += len(body)
        limits = self.limits
        least = limits.piece_bytes * self._pieces
        if self._pieces > limits.body_pieces and self._body_size < least:
            raise InvalidRequest("the body comes in too many too small pieces")
        if self.cycle is not None and self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > limits.discarded_bytes:
                self.transport.abort()
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here."""
        self._stage, self._stage_since = REST, self.loop.time()
        super().on_message_complete()

    # Answers

    def on_response_complete(self) -> None:
        """Turn to the next request, or say why there will be none."""
        self.server_state.total_requests += 1
        self._running = None
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words is not None:
            self._close_with(self._last_words)
        else:
            self._stage_since = self.loop.time()
            self.flow.resume_reading()

    def _refuse(self, error: ServiceError) -> None:
        """No sense can be made of what comes now: answer what was asked before, then this."""
        self._deaf = True
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and not cycle.more_body):
            self._close_with(error)
        elif not cycle.more_body:
            self._last_words = error
        elif cycle is self._running or cycle.response_complete:
            cycle.break_off(error)
            self.transport.close()
        else:
            self.pipeline.popleft()
            self._last_words = error

    def _close_with(self, error: ServiceError) -> None:
        self.limits.note_problem(error)
        status, headers, body = make_problem(error, self.headers or [], self.limits.problem_members)
        headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % line for line in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
        self.transport.close()

    def sweep(self, now: float) -> None:
        """Called every second: close what keeps us waiting."""
        limits = self.limits
        waited = now - self._stage_since
        if self._deaf or self.flow.read_paused:
            self._stage_since = now
        elif self._stage == HEAD and waited > limits.head_seconds:
            self._give_up("the head of the request did not arrive in time")
        elif self._stage == BODY and (
            waited > limits.body_idle_seconds
            or (limits.body_seconds is not None and now - self._body_since > limits.body_seconds)
        ):
            self._give_up("the body of the request did not arrive in time")
        elif self._stage == REST and self._running is None:
            crowded = 4 * len(self.connections) > 3 * limits.max_connections
            if waited > (limits.crowded_seconds if crowded else limits.idle_seconds):
                self.transport.close()

    def _give_up(self, rule: str) -> None:
        if self.headers is None:  # not a byte came
            self._deaf = True
            self.transport.close()
        else:
            self._refuse(RequestTimedOut(rule))


def _cause(error: httptools.HttpParserCallbackError) -> ServiceError:
    cause = error.__context__
    if isinstance(cause, ServiceError):
        return cause
    log_defect("a parser callback", cause or error)
    return InternalError()


def _certificate_of(transport: asyncio.Transport) -> str | None:
    tls = transport.get_extra_info("ssl_object")
    shown = None if tls is None else tls.getpeercert(binary_form=True)
    return None if shown is None else sha256(shown).hexdigest()


async def _refuse_surplus(*_: object) -> None:
    raise TooManyConnections


class BoundedServer(uvicorn.Server):
    """uvicorn's server, with a sweeper and quiet about what went wrong in the event loop."""

    def __init__(self, config: uvicorn.Config, handshakes: Handshakes | None) -> None:
        super().__init__(config)
        self._handshakes = handshakes
        if handshakes is not None:
            handshakes.established = lambda: len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        asyncio.get_running_loop().set_exception_handler(log_loop_error)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Sweep once a second; ticks are tenths."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                connection.sweep(now)  # type: ignore[union-attr]  # all are BoundedProtocol
            if self._handshakes is not None:
                self._handshakes.sweep(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; a handshake owes nobody an answer."""
        if self._handshakes is not None:
            self._handshakes.end()
        await super().shutdown(sockets)


def make_server(
    app: App,
    *,
    limits: Limits,
    lifespan: Literal["on", "off"] = "off",
    tls: ssl.SSLContext | None = None,
    protocol: Callable[..., BoundedProtocol] = BoundedProtocol,
) -> BoundedServer:
    """A server for `app`, to be run by `serve(sockets=…)`: TCP and UNIX sockets together.

    With `tls` it is spoken on the TCP sockets.

    Raises this process's limit of open files as far as it may, and takes no more connections than
    that leaves room for. SIGTERM and SIGINT end `serve` after at most `drain_seconds`; uvicorn then
    raises the signal again, for the handlers that were there before.
    """
    most = min(limits.max_connections, _raise_file_limit() - _OTHER_FILES)
    limits = replace(limits, max_connections=most)
    handshakes = Handshakes(tls, limits.head_seconds, limits.far_too_many) if tls else None
    config = uvicorn.Config(
        app,
        http=functools.partial(_make_protocol, protocol, limits, handshakes),  # type: ignore[arg-type]  # uvicorn only calls it
        ws="none",
        loop="uvloop",
        lifespan=lifespan,
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=limits.drain_seconds,
    )
    return BoundedServer(config, handshakes)


def _make_protocol(
    kind: Callable[..., BoundedProtocol],
    limits: Limits,
    handshakes: Handshakes | None,
    **keywords: Any,  # noqa: ANN401  # uvicorn's own
) -> asyncio.Protocol:
    protocol = kind(limits=limits, **keywords)
    return protocol if handshakes is None else Secured(protocol, handshakes)


# What a process has open besides connections, generously.
_OTHER_FILES: Final = 64


def _raise_file_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
