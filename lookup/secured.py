"""TLS under the bounded protocol: nothing of an answer is in this process that it cannot see.

    kernel → transport → Secured → protocol     bytes, records, clear text
    kernel ← transport ← Secured ← protocol     `Secured` is the protocol's transport

uvloop's own TLS would do, but for three things that are promised elsewhere in this package:

* `get_write_buffer_size` there leaves out what waits in the transport below. Here records go down
  in the call that made them, and the size is the transport's own: *out* means that the kernel has
  the bytes, and a client that does not read is noticed as without TLS.
* Connections there are nobody's until their handshake is over. Here they count against the limit
  of connections from their first byte on, and have the time of a head for their handshake.
* 256 KiB of buffers a connection there; here what OpenSSL needs.

Invariants:

* The protocol is not told of a connection before its handshake is over, certificate and all.
* Nothing about a handshake that fails is logged: it is for anyone on the network to make fail.
* What OpenSSL holds of a connection is let go with the connection, not at some later collection.

A UNIX socket among the listening ones is spoken in the clear: it leads to this machine alone.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

# More than a record holds, so that one read takes one record.
_READ_SIZE: Final = 64 * 1024


@dataclass(slots=True)
class Handshakes:
    """Those that are not over, and how many connections there may be in all."""

    context: ssl.SSLContext
    seconds: float
    most: int
    established: Callable[[], int] = lambda: 0
    running: "set[Secured]" = field(default_factory=set)

    def sweep(self, now: float) -> None:
        """Close those that take too long."""
        for each in list(self.running):
            if now - each.since > self.seconds:
                each.abort()

    def end(self) -> None:
        """Close all."""
        for each in list(self.running):
            each.abort()


class Secured(asyncio.Protocol, asyncio.Transport):
    """One connection: a protocol to the transport below, a transport to the protocol above."""

    def __init__(self, above: asyncio.Protocol, handshakes: Handshakes) -> None:
        super().__init__()
        self.since = asyncio.get_running_loop().time()
        self._above = above
        self._handshakes = handshakes
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._shaken = self._paused = self._full = self._closing = False

    # What the transport below tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a handshake, if there is room for one."""
        below = transport.get_extra_info("socket")
        if below is not None and below.family == socket.AF_UNIX:
            transport.set_protocol(self._above)
            self._above.connection_made(transport)
            return
        self._below = transport
        transport.set_write_buffer_limits(high=0)
        handshakes = self._handshakes
        if len(handshakes.running) + handshakes.established() >= handshakes.most:
            transport.abort()
            return
        handshakes.running.add(self)
        self._tls = handshakes.context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, or tell the protocol what came."""
        self._incoming.write(data)
        if self._shaken or self._shake():
            self._read()

    def eof_received(self) -> None:
        """The client sends no more: as without TLS, the connection is closed."""
        if self._shaken:
            self._above.eof_received()

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        self._full = True
        if self._shaken:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """The kernel has taken all there was."""
        self._full = False
        if self._shaken:
            self._above.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._closing = True
        self._handshakes.running.discard(self)
        self._tls = None
        if self._shaken:
            self._above.connection_lost(exc)

    def _shake(self) -> bool:
        if self._tls is None:
            return False
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError:
            self._flush()  # the alert that says why
            self._below.close()
            return False
        self._flush()
        self._handshakes.running.discard(self)
        self._shaken = True
        self._above.connection_made(self)
        if self._full:
            self._above.pause_writing()
        return True

    def _read(self) -> None:
        while self._tls is not None and not (self._paused or self._closing):
            try:
                data = self._tls.read(_READ_SIZE)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                self.abort()
                return
            if not data:
                self._above.eof_received()
                self.close()
                return
            self._above.data_received(data)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._below.is_closing():
            self._below.write(self._outgoing.read())

    # What the protocol above asks for

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, as far as the kernel takes it at once; the rest waits in the transport below."""
        if self._tls is None or self._closing:
            return
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError:
            self.abort()
        else:
            self._flush()

    def close(self) -> None:
        """Say that this is the end, and close once everything has left."""
        if self._closing:
            return
        self._closing = True
        if self._tls is not None:
            with suppress(ssl.SSLError):  # it would wait for the client's word, which is not needed
                self._tls.unwrap()
            self._flush()
        self._below.close()

    def abort(self) -> None:
        """Close now."""
        self._closing = True
        self._below.abort()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closing or self._below.is_closing()

    def pause_reading(self) -> None:
        """Take nothing more; what was taken already waits as it came."""
        self._paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        self._paused = False
        self._below.resume_reading()
        asyncio.get_running_loop().call_soon(self._read)

    def get_write_buffer_size(self) -> int:
        """How much is in this process: all of it in the transport below."""
        return self._below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the transport below."""
        self._below.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # asyncio's
        """As asyncio says; `ssl_object` has the certificate that the client has shown."""
        if name == "sslcontext":
            return self._handshakes.context
        if name == "ssl_object":
            return self._tls
        return self._below.get_extra_info(name, default)
