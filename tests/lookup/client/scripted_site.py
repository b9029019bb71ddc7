"""A site that plays scripts over real HTTP on loopback. It shares no code with the worker.

Each request about the canary, each about children, each about recalls and each for an access token
is answered by the next play of a list; the last one is repeated. A play writes whatever it likes to
the connection, well-formed or not. Unless it is told otherwise the site gives tokens out,
`access-1`, `access-2`, and so on, and takes any of them.
"""

import base64
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socket import socket
from typing import Any
from urllib.parse import parse_qsl

from crypto.token import LookupKey, TokenMaker
from lookup.client.enrolment import ClientSecret, Enrolment
from lookup.client.questions import Occasion, User
from lookup.identifiers import Identifier, canary, parse_identifier

KEY = LookupKey(bytes(range(32)))
SECRET = ClientSecret(bytes(range(100, 132)))
CANARY = canary("canary-of-the-test-site")
CHILD = parse_identifier("nhs:9434765919")
OCCASION = Occasion(User("nurse-4711", "triage nurse"), encounter="visit-0815")


def token_text(key: LookupKey, identifier: Identifier) -> str:
    return _base64url(TokenMaker(key).make(*identifier))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# Whatever must never be seen outside a request, in every form it has.
SECRETS = (
    CHILD.value,
    CANARY.value,
    SECRET.text(),
    repr(SECRET.expose()),
    _base64url(KEY.expose()),
    repr(KEY.expose()),
    OCCASION.user.id,
    OCCASION.encounter or "",
    *(token_text(KEY, identifier) for identifier in (CHILD, CANARY)),
    *(repr(TokenMaker(KEY).make(*identifier)) for identifier in (CHILD, CANARY)),
)

AUTHORITY = {
    "code": "AXT",
    "name": "Axtonbury City Council",
    "office_hours": "01632 960100",
    "out_of_hours": "01632 960199",
}
RECORD: dict[str, object] = {
    "category": "child-protection-plan",
    "since": "2026-01-02",
    "until": None,
    "authority": AUTHORITY,
}


CLIENT_ID = "c1" * 14


def make_enrolment(*base_urls: str) -> Enrolment:
    kid = TokenMaker(KEY).kid
    return Enrolment(CLIENT_ID, "Test Infirmary", SECRET, base_urls, kid, KEY, CANARY)


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def asks_for_access(self) -> bool:
        return self.path == "/oauth2/token"

    @property
    def is_about_recalls(self) -> bool:
        return self.path.startswith("/v1/recalls")

    @property
    def is_canary(self) -> bool:
        return self.body.get("token") == token_text(KEY, CANARY)


Play = Callable[[socket, Received], None]


def padded(members: dict[str, object], size: int) -> bytes:
    bare = len(json.dumps({**members, "padding": ""}).encode())
    return json.dumps({**members, "padding": "x" * (size - bare)}).encode()


def known(*records: dict[str, object], size: int = 2_048) -> bytes:
    return padded({"outcome": "known", "records": records or [RECORD], "more": False}, size)


def no_record(size: int = 2_048) -> bytes:
    return padded({"outcome": "no-record", "records": [], "more": False}, size)


KNOWN = known()
NO_RECORD = no_record()
KNOWN_TEST = known(RECORD | {"category": "test"})


def respond(
    body: bytes = b"",
    request_id: str = "mirrored",
    cut: int = 0,
    status: int = 200,
    **headers: str,
) -> Play:
    """Answer; `cut` closes the connection so many bytes before the end of the body."""

    def play(connection: socket, received: Received) -> None:
        sent = received.headers.get("x-request-id", "none")
        mirrored = sent if request_id == "mirrored" else request_id
        fields = {"content_type": "application/json", "content_length": str(len(body))}
        lines = [f"{name.replace('_', '-')}: {text}" for name, text in (fields | headers).items()]
        head = [f"HTTP/1.1 {status} x", f"X-Request-ID: {mirrored}", *lines, "", ""]
        connection.sendall("\r\n".join(head).encode() + body[: len(body) - cut])
        if cut:
            raise ConnectionAbortedError

    return play


def problem(status: int, name: str, **headers: str) -> Play:
    body = json.dumps({"type": f"urn:lacuna:problem:{name}", "status": status}).encode()
    headers["content_type"] = "application/problem+json"
    return respond(body, "mirrored", 0, status, **headers)


def raw(*parts: bytes, pause: float = 0.0, forever: bool = False) -> Play:
    """Write these bytes, with pauses between them, perhaps the last for ever, and close."""

    def play(connection: socket, received: Received) -> None:
        request_id = received.headers.get("x-request-id", "").encode()
        for part in parts:
            connection.sendall(part.replace(b"$ID", request_id))
            threading.Event().wait(pause)
        while forever:
            connection.sendall(parts[-1])
            threading.Event().wait(pause)
        raise ConnectionAbortedError

    return play


def hang(connection: socket, _: Received) -> None:
    """Say nothing until the client goes away."""
    connection.recv(1)
    raise ConnectionAbortedError


def grant(token: str, expires_in: int = 600) -> Play:
    """Give an access token out."""
    return respond(json.dumps(granted(token, expires_in)).encode())


def granted(token: str, expires_in: int = 600) -> dict[str, object]:
    return {"access_token": token, "token_type": "Bearer", "expires_in": expires_in}


def recalled(*recalls: tuple[str, list[str]], more: bool = False) -> bytes:
    """A list of recalls: the id of each and its requests."""
    listed = [{"recall": name, "requests": requests} for name, requests in recalls]
    return json.dumps({"recalls": listed, "more": more}).encode()


def acknowledge(connection: socket, received: Received) -> None:
    """Acknowledge whatever is asked for."""
    respond(json.dumps({"acknowledged": received.body["recalls"]}).encode())(connection, received)


def _grants() -> Sequence[Play]:
    return [grant(f"access-{number}") for number in range(1, 100)]


def _play_next(
    plays: Sequence[Play], before: list[Received], connection: socket, received: Received
) -> None:
    before.append(received)
    plays[min(len(before), len(plays)) - 1](connection, received)


@dataclass
class ScriptedSite:
    """What it was asked, and what it plays next."""

    base_url: str
    about_canary: Sequence[Play] = (respond(KNOWN_TEST),)
    about_children: Sequence[Play] = (respond(NO_RECORD),)
    about_recalls: Sequence[Play] = (respond(recalled()),)
    about_access: Sequence[Play] = field(default_factory=_grants)
    received: list[Received] = field(default_factory=list, repr=False)
    access_requests: list[Received] = field(default_factory=list, repr=False)
    recall_requests: list[Received] = field(default_factory=list, repr=False)
    connections: int = 0

    def play(self, connection: socket, received: Received) -> None:
        if received.asks_for_access:
            _play_next(self.about_access, self.access_requests, connection, received)
            return
        if received.is_about_recalls:
            _play_next(self.about_recalls, self.recall_requests, connection, received)
            return
        before = sum(each.is_canary == received.is_canary for each in self.received)
        self.received.append(received)
        plays = self.about_canary if received.is_canary else self.about_children
        plays[min(before, len(plays) - 1)](connection, received)

    @property
    def canaries(self) -> int:
        return sum(each.is_canary for each in self.received)

    @property
    def questions(self) -> list[Received]:
        return [each for each in self.received if not each.is_canary]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64
    site: ScriptedSite
    context: ssl.SSLContext | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is part of the play."""


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def setup(self) -> None:
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def handle(self) -> None:
        self.server.site.connections += 1
        with suppress(OSError):
            while received := self._receive():
                self.server.site.play(self.request, received)

    def _receive(self) -> Received | None:
        request_line = self.rfile.readline().decode().split()
        if not request_line:
            return None
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, text = line.partition(":")
            headers[name.lower()] = text.strip()
        body = self.rfile.read(int(headers.get("content-length", "0")))
        if headers.get("content-type") == "application/json":
            members = json.loads(body)
        else:
            members = dict(parse_qsl(body.decode()))
        return Received(request_line[0], request_line[1], headers, members)


@contextmanager
def scripted_site(context: ssl.SSLContext | None = None) -> Iterator[ScriptedSite]:
    with _Server(("127.0.0.1", 0), _Connection) as server:
        server.context = context
        scheme = "http" if context is None else "https"
        server.site = ScriptedSite(f"{scheme}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.site
        finally:
            server.shutdown()
            thread.join()
