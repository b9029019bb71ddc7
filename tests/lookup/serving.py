"""A server of lookup/httpd.py in a thread, and an app that does what its path says."""

# ruff: noqa: ANN401  # ASGI's own messages and callables

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import uvloop

from lookup.errors import IndexStale, Unauthorized
from lookup.exchange import WHOLE_ANSWER
from lookup.httpd import BoundedProtocol, BoundedServer, Limits, make_server
from tests.lookup.raw_http import WAIT, Connection, Response, wait_until

REQUEST_ID = "0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5d"
MARKER = "QUITE-A-MARKER"
LARGE = 16 * 1024 * 1024
MEMBERS = {"outcome": "could-not-check"}


class App:
    """Does what the path says; remembers what it was sent and told."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.disconnects = 0
        self.made = 0
        self.left = 0
        self.servers: list[Any] = []
        self.certificates: list[str | None] = []
        self.release = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.servers.append(scope["server"])
        self.certificates.append(scope["lacuna.certificate"])
        await getattr(self, scope["path"].strip("/"))(scope, receive, send)

    async def echo(self, _scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await self.answer(send, body)

    async def answer(self, send: Any, body: bytes) -> None:
        def make() -> tuple[int, list[tuple[bytes, bytes]], bytes]:
            self.made += 1
            return 200, [], body

        def left() -> None:
            self.left += 1

        await send({"type": WHOLE_ANSWER, "make": make, "left": left})

    async def plain(self, _scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"plain"})

    async def wait(self, _scope: Any, receive: Any, send: Any) -> None:
        """Answer when released, unless the client goes first."""
        await receive()
        gone = asyncio.ensure_future(receive())
        while not self.release.is_set() and not gone.done():  # noqa: ASYNC110  # set by a thread
            await asyncio.sleep(0.005)
        if gone.done():
            self.disconnects += 1
        else:
            gone.cancel()
            await self.answer(send, b"waited")

    async def stuck(self, *_: Any) -> None:
        await asyncio.sleep(600)

    async def large(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.answer(send, bytes(LARGE))

    async def refuse(self, *_: Any) -> None:
        raise Unauthorized

    async def refuse_late(self, _scope: Any, _receive: Any, send: Any) -> None:
        def make() -> Any:
            raise IndexStale("just now")

        await send({"type": WHOLE_ANSWER, "make": make, "left": self.answered_late})

    def answered_late(self) -> None:
        self.left += 1

    async def defect(self, *_: Any) -> None:
        raise KeyError(MARKER)

    async def half(self, _scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"50")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise KeyError(MARKER)

    async def silent(self, *_: Any) -> None:
        pass


class Running:
    """A server in a thread."""

    def __init__(
        self,
        app: Any,
        sockets: list[socket.socket],
        limits: Limits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.app = app
        self.address: tuple[str, int] = sockets[0].getsockname()
        self.server: BoundedServer = make_server(app, limits=limits, tls=tls)
        self._thread = threading.Thread(
            target=lambda: uvloop.run(self.server.serve(sockets=sockets))
        )
        self._thread.start()
        wait_until(lambda: bool(self.server.server_state.default_headers))

    @property
    def connections(self) -> list[BoundedProtocol]:
        return list(self.server.server_state.connections)  # type: ignore[arg-type]  # all are ours

    def connect(self, **options: int) -> Connection:
        return Connection(self.address, **options)

    def ask(self, data: bytes) -> Response:
        with self.connect() as connection:
            connection.send(data)
            return connection.receive()

    def stop(self) -> None:
        self.server.should_exit = True

    def join(self) -> None:
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def running(
    app: Any = None,
    *,
    tls: Any = None,  # Any: a test may have its limits in one dict
    sockets: Any = (),
    **limits: Any,
) -> Iterator[Running]:
    server = Running(
        app or App(),
        [socket.create_server(("127.0.0.1", 0)), *sockets],
        Limits(problem_members=MEMBERS, **limits),
        tls,
    )
    try:
        yield server
    finally:
        server.stop()
        server.join()


def make_head(path: str, *lines: str, method: str = "POST") -> bytes:
    start = f"{method} {path} HTTP/1.1"
    fields = ("Host: site.test", f"X-Request-ID: {REQUEST_ID}", *lines)
    return "\r\n".join((start, *fields, "", "")).encode()


def post(path: str, body: bytes = b"", *lines: str) -> bytes:
    return make_head(path, f"Content-Length: {len(body)}", *lines) + body


def assert_problem(response: Response, status: int, name: str, *, mirrored: bool = True) -> None:
    """A problem, complete and without a word of the request."""
    assert response.status == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["type"] == f"urn:lacuna:problem:{name}"
    assert response.json["status"] == status
    assert response.json["outcome"] == "could-not-check"
    assert response.headers.get("x-request-id") == (REQUEST_ID if mirrored else None)
    assert MARKER.encode() not in response.head + response.body
