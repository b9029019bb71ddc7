"""A lookup plane for tests: a real worker process, a real table, and a custodian.

Nothing is mocked but the custodian's inside: it speaks the real hand-off and writes a real table.
"""

# ruff: noqa: ANN401  # `changes` are whatever the thing changed has

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from uuid import uuid4

import msgspec

from crypto.audit import AnswerKey, AuditKey, WitnessKey, public_of
from crypto.tag import IndexKey, Tag, TagMaker
from lookup.handoff import (
    FROM_WORKER,
    Acknowledge,
    Audit,
    Authority,
    Category,
    Channel,
    Client,
    HandoffError,
    Hello,
    PassReader,
    View,
    verify_peer,
)
from lookup.index.layout import NO_DAY, Link, days_of
from lookup.index.writer import Table
from tests.lookup.raw_http import WAIT, Connection, Response, wait_until

KID = "kid-of-the-tests"
OTHER_KID = "kid-of-tomorrow-"
SECRET = "S" * 42 + "A"
CLIENT = Client("c1" * 14, "St. Elsewhere", per_second=1_000_000, per_day=1_000_000_000)
FORM = "application/x-www-form-urlencoded"
TOKEN_KEY = b"token key of the tests, 32 bytes"
VAULT = bytes(range(16))

CATEGORIES = [
    Category("child-protection-plan", answerable=True),
    Category("looked-after", answerable=True),
    Category("allegation", answerable=False),
    Category("test", answerable=True),
]
AUTHORITIES = [
    Authority("AXT", "Axtonbury City Council", "01632 960100", "01632 960199"),
    Authority("BEL", 'Belham "East" Ünit', "01632 960200", "01632 960299"),
]


def make_link(**changes: Any) -> Link:
    """A link that is answered today, but for the changes."""
    link = Link(
        handle=secrets.token_bytes(10),
        since=days_of(date(2026, 1, 2)),
        until=NO_DAY,
        answer_until=NO_DAY,
        authority=0,
        category=0,
        test=False,
    )
    for name in ("since", "until", "answer_until"):
        day = changes.get(name, 0)
        if not isinstance(day, int):
            changes[name] = NO_DAY if day is None else days_of(day)
    return link._replace(**changes)


@dataclass
class Known:
    """What a custodian knows of one worker."""

    hello: Hello
    channel: Channel
    passes: PassReader
    confirmed: list[int] = field(default_factory=list)


class FakeCustodian:
    """Hands a table over to whoever asks."""

    def __init__(self, socket_path: str, index_folder: Path, generation: int = 1) -> None:
        self.index_key = IndexKey.generate()
        self.table = Table.create(index_folder, generation, 4_096)
        self.audit_key = AuditKey.generate()
        self.witness_key, self.answer_key = WitnessKey.generate(), AnswerKey.generate()
        self.audit_folder = Path(socket_path).with_name("audit")
        self.audit_folder.mkdir(mode=0o700, exist_ok=True)
        self.view: View | None = None
        self.workers: dict[int, Known] = {}
        self.handles: dict[bytes, bytes] = {}
        self.acknowledged: list[Acknowledge] = []
        self.closed = False
        self._path = socket_path
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(socket_path)
        self._listening.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def make_view(self, number: int = 1, **changes: Any) -> View:
        """The view of this custodian's table, but for the changes."""
        view = View(
            number=number,
            vault=VAULT,
            table=str(self.table.path),
            index_key=self.index_key.expose(),
            kids=[KID],
            clients={sha256(SECRET.encode()).hexdigest(): CLIENT},
            authorities=AUTHORITIES,
            categories=CATEGORIES,
            belt_seconds=900,
            audit=Audit(
                public_of(self.audit_key),
                self.witness_key.expose(),
                self.answer_key.expose(),
                str(self.audit_folder),
            ),
            token_key=TOKEN_KEY,
        )
        return msgspec.structs.replace(view, **changes)

    def publish(self, **changes: Any) -> View:
        """Send a view to all workers, present and future."""
        number = 1 if self.view is None else self.view.number + 1
        self.view = self.make_view(number, **changes)
        for worker in list(self.workers.values()):
            with contextlib.suppress(HandoffError):
                worker.channel.send(self.view)
        return self.view

    def publish_and_wait(self, **changes: Any) -> View:
        """Send a view and return when a worker has confirmed it."""
        view = self.publish(**changes)
        wait_until(
            lambda: any(each.confirmed[-1:] == [view.number] for each in [*self.workers.values()])
        )
        return view

    def tag(self, token: bytes) -> Tag:
        """The tag of a token in this custodian's table."""
        return TagMaker(self.index_key).make(token)

    def add(self, **changes: Any) -> bytes:
        """Add a link under a fresh token, which is returned."""
        token = secrets.token_bytes(32)
        self.add_to(token, **changes)
        return token

    def add_to(self, token: bytes, **changes: Any) -> None:
        """Add a link under this token, whose first link can be removed by `handles`."""
        link = make_link(**changes)
        self.table.add(self.tag(token), link)
        self.handles.setdefault(token, link.handle)

    def close(self) -> None:
        """Die, and leave the table as a dead custodian would."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        Path(self._path).unlink(missing_ok=True)
        for worker in list(self.workers.values()):
            with contextlib.suppress(OSError):
                worker.channel._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT)

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connected,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connected: socket.socket) -> None:
        verify_peer(connected, frozenset({os.geteuid()}))
        channel = Channel(connected)
        try:
            hello = channel.receive(Hello, WAIT)
            assert hello is not None
            known = Known(hello, channel, PassReader(channel.take_descriptor()))
            self.workers[hello.slot] = known
            if self.view is not None:
                channel.send(self.view)
            while not self.closed:
                said = channel.receive(FROM_WORKER, 0.2)
                if isinstance(said, Acknowledge):
                    self.acknowledged.append(said)
                elif said is not None:
                    known.confirmed.append(said.number)
        except HandoffError:
            pass
        finally:
            channel.close()


def make_access_token(
    client_id: str = CLIENT.id, lives: int = 600, key: bytes = TOKEN_KEY, now: float | None = None
) -> str:
    """An access token, as any worker would make it; written a second time, for the tests."""
    expiry = int(time.time() if now is None else now) + lives
    body = bytes.fromhex(client_id) + expiry.to_bytes(4, "big") + secrets.token_bytes(8)
    return urlsafe_b64encode(body + blake2b(body, key=key, digest_size=16).digest()).decode()


# Valid for as long as any run of the tests.
ACCESS_TOKEN = make_access_token(lives=86_400)


def make_request(
    body: bytes, path: str = "/v1/lookup", /, method: str = "POST", **headers: str | None
) -> bytes:
    """A well-formed request, but for the headers that are changed or left out (None)."""
    fields: dict[str, str | None] = {
        "Host": "lookup.test",
        "Authorization": f"Bearer {ACCESS_TOKEN}",
        "X-Request-ID": str(uuid4()),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    fields |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    fields["X-Request-ID"] = fields.pop("X-Request-Id", fields["X-Request-ID"])
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1") + body


def token_request(body: bytes | None = None, secret: str = SECRET, **headers: str | None) -> bytes:
    """A request for an access token, by a form, but for the changes."""
    if body is None:
        form = {"client_id": CLIENT.id, "client_secret": secret}
        body = urlencode({"grant_type": "client_credentials"} | form).encode()
    fields = {"authorization": None, "content_type": FORM, "x_request_id": None} | headers
    return make_request(body, "/oauth2/token", "POST", **fields)


def encode_token(token: bytes) -> str:
    """A token as it is sent."""
    return urlsafe_b64encode(token).rstrip(b"=").decode()


def make_body(secret: bytes, /, **changes: Any) -> bytes:
    """The body of a lookup, but for the changes; a member that is None is left out."""
    members: dict[str, object] = {
        "kid": KID,
        "token": encode_token(secret),
        "purpose": "unscheduled-care",
        "user": {"id": "nurse-4711", "role": "triage nurse"},
        "encounter": "encounter-0815",
    }
    members |= changes
    return json.dumps({k: v for k, v in members.items() if v is not None}).encode()


def make_batch(tokens: list[bytes], **changes: Any) -> bytes:
    """The body of a batch."""
    listed = [encode_token(token) for token in tokens]
    return make_body(b"", token=None, tokens=listed, **changes)


@contextlib.contextmanager
def private_folders() -> Iterator[tuple[Path, Path]]:
    """One for sockets, whose paths must be short, and one on tmpfs."""
    with (
        tempfile.TemporaryDirectory(prefix="lacuna-", dir="/tmp") as folder,
        tempfile.TemporaryDirectory(prefix="lacuna-", dir="/dev/shm") as index,
    ):
        yield Path(folder), Path(index)


class Plane:
    """One worker process and its custodian."""

    def __init__(self, folder: Path, index_folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.index_folder = index_folder
        self.socket_path = str(self.folder / "worker.sock")
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listening.getsockname()
        self.arguments = arguments
        self.custodian: FakeCustodian = self.start_custodian()
        self.worker = self.start_worker()

    def start_custodian(self, generation: int = 1) -> FakeCustodian:
        """A new custodian, with an empty incomplete table of its own."""
        self.custodian = FakeCustodian(self.socket_path, self.index_folder, generation)
        return self.custodian

    def start_worker(self) -> "subprocess.Popen[bytes]":
        """The worker's own command."""
        descriptor = self.listening.fileno()
        with (self.folder / "log").open("ab") as log:
            self.worker = subprocess.Popen(
                [
                    *(sys.executable, "-m", "lookup.worker.main"),
                    *("--fd", str(descriptor), "--socket", self.socket_path, "--slot", "0"),
                    "--testing-only-small-audit",
                    *self.arguments,
                ],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.worker

    def ready(self, **changes: Any) -> Self:
        """Complete the table, hand it over, and wait for the worker."""
        self.custodian.table.complete()
        self.custodian.publish_and_wait(**changes)
        return self

    @property
    def passes(self) -> PassReader:
        """The worker's pass page."""
        return self.custodian.workers[0].passes

    @property
    def log(self) -> str:
        """All that the worker has written to standard output and error."""
        return (self.folder / "log").read_text()

    def connect(self, **options: int) -> Connection:
        """A raw connection to the worker."""
        return Connection(self.address, **options)

    def ask(self, request: bytes) -> Response:
        """Send one request over a connection of its own."""
        with self.connect() as connection:
            connection.send(request)
            return connection.receive(head_only=request.startswith(b"HEAD "))

    def look_up(self, token: bytes, **changes: Any) -> Response:
        """Look one token up."""
        return self.ask(make_request(make_body(token, **changes)))

    def stop(self) -> int:
        """End the worker as the supervisor would; return its status."""
        self.worker.send_signal(signal.SIGTERM)
        return self.worker.wait(WAIT)

    def close(self) -> None:
        """End everything."""
        if self.worker.poll() is None:
            self.worker.kill()
            self.worker.wait()
        self.custodian.close()
        self.custodian.table.close()
        self.listening.close()


@contextlib.contextmanager
def running_plane(*arguments: str) -> Iterator[Plane]:
    """A plane for the time of a block."""
    with private_folders() as folders:
        plane = Plane(*folders, *arguments)
        try:
            yield plane
        finally:
            plane.close()
