"""A whole site, real in all its parts, in one temporary folder.

    <folder>/store  mirror  slot-0 …  run  lacuna.toml  passphrase        on tmpfs: syncs are free
    <folder>/index                                                        the real index

Three ways to run it, on the same files and sockets:

* `site.open()`: custodian inside this process, with its writer thread, its door, and its HTTP
  interface on a TCP and a UNIX socket. Answers can be looked up as a worker decides them.
* `site.spawn_custodian()`: the custodian's own command.
* `site.spawn_worker()`: a worker's own command, for either kind of custodian.

Nothing is mocked. What a test makes cheaper than a real site: Argon2id's cost, the slot's blob.
"""

# ruff: noqa: ANN401  # `changes` are whatever JSON holds

import contextlib
import json
import math
import os
import shutil
import socket
import sys
import tempfile
import time
import tomllib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

import httpx2

from crypto.derive import TESTING_ONLY_COST
from crypto.token import TokenMaker
from keys.entry import EntryId
from keys.page import VaultId
from keys.slot.lock import Passphrase
from lookup.cells import make_cells
from lookup.client.enrolment import ClientSecret, Enrolment, parse_enrolment
from lookup.config import Config, parse_config
from lookup.custodian import main
from lookup.custodian.api.app import make_app
from lookup.custodian.custody import Custody
from lookup.custodian.door import Door
from lookup.custodian.policy import first_entries
from lookup.custodian.records.draft import Draft, parse_draft
from lookup.custodian.running import Running
from lookup.custodian.starting import describe_running, publish, take_custody
from lookup.custodian.unlocking import OpenSite, create_site, open_site
from lookup.custodian.writer import Prepare, Writer
from lookup.errors import ServiceError
from lookup.identifiers import parse_identifier
from lookup.index.layout import days_of
from lookup.retention.classes import shipped_classes
from lookup.wire import parse_lookup
from lookup.worker.decide import decide_one
from lookup.worker.view import OpenView, open_view
from tests.clocks import REAL, Clocks
from tests.lookup.raw_http import Connection, Response, wait_until
from tests.lookup.serving import Running as Served
from tests.officers import ROLES, Bench, Desk
from tests.processes import LONG, Process
from tests.toml import to_toml

T = TypeVar("T")
Json = dict[str, Any]

PASSPHRASE: Final = "a passphrase of the tests"
AUTHORITIES: Final = tomllib.loads(
    (files("lookup.demo") / "data" / "authorities.toml").read_text(encoding="utf-8")
)["authority"]
_MEMORY: Final = "/dev/shm"  # noqa: S108  # a folder of our own is made there


def nhs(number: int) -> str:
    """Return the text of a valid NHS number of the 999 range, of 50,000 the one of this number."""
    for digits in (f"9990{2 * number:05d}", f"9990{2 * number + 1:05d}"):
        check = -sum(int(d) * w for d, w in zip(digits, range(10, 1, -1), strict=True)) % 11
        if check < 10:  # it is for one of two neighbours at least
            break
    return f"nhs:{digits}{check}"


def record(source_ref: str, /, *identifiers: str, **changes: Any) -> Json:
    """Return a record as an authority sends it: answered today, but for the changes."""
    members: Json = {
        "authority": "AXT",
        "source_ref": source_ref,
        "identifiers": list(identifiers),
        "category": "child-protection-plan",
        "since": "2026-01-02",
        "payload": {"note": f"about {source_ref}"},
    }
    return members | changes


class Site:
    """Folders, configuration, listening sockets and a vault; nothing runs yet."""

    clocks: Clocks = REAL  # those of a custodian inside this process
    roles = ROLES

    def __init__(self, *, slots: int = 1, depth: int = 1, workers: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lacuna-", dir=_MEMORY))
        self.listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers + 1)]
        self.cells = make_cells(workers)
        self.officers = Bench(self.roles)
        self.running: list[Process] = []
        self.tables: Json = {
            "demo": True,
            "vault": {
                "store": "store",
                "mirror": "mirror",
                "slots": [f"slot-{number}" for number in range(slots)],
                "passphrase_file": "passphrase",
            },
            "serve": {
                "workers": workers,
                "index": str(self.folder / "index"),
                "base_urls": [f"http://127.0.0.1:{port(each)}" for each in self.listening[1:]],
            },
            "authority": AUTHORITIES,
        }
        self.config: Config = self.configure()
        self.config.run.mkdir(mode=0o700)
        self.passphrase(PASSPHRASE)
        made = create_site(
            self.config,
            Passphrase(PASSPHRASE.encode()),
            _now,
            lambda vault: first_entries(
                vault, list(self.officers.officers.values()), demo=True, now=_now()
            ),
            cost=TESTING_ONLY_COST,
            depth=depth,
            blob_size=4096,
        )
        self.vault: VaultId = made.vault.id
        made.close()

    def configure(self) -> Config:
        """Write the configuration anew, after a change of `tables`; return it."""
        file = self.folder / "lacuna.toml"
        file.write_text(to_toml(self.tables))
        self.config = parse_config(self.tables, file)
        return self.config

    def passphrase(self, text: str) -> None:
        """Write the passphrase file."""
        file = self.folder / "passphrase"
        file.touch(mode=0o600)
        file.write_text(text)

    def draft(self, source_ref: str, /, *identifiers: str, **changes: Any) -> Draft:
        """Return a record, parsed."""
        raw = json.dumps(record(source_ref, *identifiers, **changes)).encode()
        return parse_draft(raw, self.config.catalogue, shipped_classes())

    def open(self) -> "Custodian":
        """Run a custodian inside this process."""
        return Custodian(self)

    def spawn_custodian(self, *arguments: str) -> "Process":
        """Run a custodian in its own process."""
        descriptor = self.listening[0].fileno()
        config = self.folder / "lacuna.toml"
        return self._spawn(
            ["lookup.custodian.main", "--config", config, "--fd", descriptor, *arguments],
            descriptor,
        )

    def spawn_worker(self, slot: int = 0, *arguments: str) -> "Worker":
        """Run a worker in its own process; it needs a custodian to answer."""
        listening = self.listening[1 + slot]
        socket_path = self.config.worker_socket
        process = self._spawn(
            [
                *("lookup.worker.main", "--fd", listening.fileno()),
                *("--cells", self.cells, "--socket", socket_path, "--slot", slot),
                *("--testing-only-small-audit", *arguments),
            ],
            listening.fileno(),
            self.cells,
        )
        return Worker(process, listening.getsockname())

    def _spawn(self, command: Sequence[object], *descriptors: int) -> "Process":
        process = Process(command, descriptors, self.folder / f"log-{len(self.running)}")
        self.running.append(process)
        return process

    def officer(self) -> httpx2.Client:
        """Return a client of the officers' UNIX socket."""
        transport = httpx2.HTTPTransport(uds=str(self.config.officer_socket))
        return httpx2.Client(transport=transport, base_url="http://custodian", timeout=LONG)

    @property
    def token(self) -> str:
        """A registrar's token, for ten minutes."""
        headers = self.officers.signer(self.vault, "feed").headers(_now())
        return headers["authorization"].removeprefix("Bearer ")

    def feed(self) -> httpx2.Client:
        """Return a client of the TCP port, with the token of a registrar."""
        return httpx2.Client(
            base_url=f"http://127.0.0.1:{port(self.listening[0])}",
            headers={"authorization": f"Bearer {self.token}"},
            timeout=LONG,
        )

    def desk(self, client: httpx2.Client) -> Desk:
        """Return the officers at work, by a client of either listener."""
        return self.officers.office(client, self.vault)

    def close(self) -> None:
        """End what still runs, and remove everything."""
        for process in self.running:
            process.kill()
        for each in self.listening:
            each.close()
        os.close(self.cells)
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Custodian:
    """A custodian inside this process."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.failures: list[BaseException] = []
        self.notes: list[str] = []
        config = site.config
        with contextlib.ExitStack() as closing:
            passphrase = (site.folder / "passphrase").read_bytes()
            wall, running = site.clocks.wall, site.clocks.running
            self.opened: OpenSite = open_site(config, Passphrase(passphrase), wall, running=running)
            closing.callback(self.opened.close)
            door = Door(config.worker_socket, self.notes.append)
            closing.callback(door.close)
            self.custody: Custody = take_custody(config, self.opened, door, wall)
            closing.callback(self.custody.close)
            publish(self.custody)
            self.writer = Writer(self.custody, self.failures.append)
            if not site.clocks.chores:
                self.writer._day = sys.maxsize
            self.writer.start()
            closing.callback(self.writer.stop)
            self.facts: Running = replace(
                describe_running(config, self.opened), cost=TESTING_ONLY_COST
            )
            self.app = make_app(self.writer, self.custody, self.facts)
            self._served = Served(self.app, [site.listening[0].dup(), self._bind()], main.LIMITS)
            closing.callback(self._served.join)
            closing.callback(self._served.stop)
            self.feed = closing.enter_context(site.feed())
            self.officer = closing.enter_context(site.officer())
            self.desk = site.desk(self.officer)
            self._closing = closing.pop_all()

    def _bind(self) -> socket.socket:
        officer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.site.config.officer_socket.unlink(missing_ok=True)
        officer.bind(str(self.site.config.officer_socket))
        return officer

    def stop(self) -> None:
        """Stop cleanly."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def change(self, prepare: Prepare[T]) -> T:
        """Run a change, as the HTTP interface does."""
        return self.writer.change(prepare).result(LONG)

    def call(self, run: Callable[[Custody], T]) -> T:
        """Run something with custody to itself."""
        return self.writer.call(run).result(LONG)

    def add(self, source_ref: str, /, *identifiers: str, **changes: Any) -> EntryId:
        """Add a record over HTTP; return its id."""
        return add(self.feed, record(source_ref, *identifiers, **changes))

    def shred(self, *record_ids: EntryId) -> Json:
        """Expunge records by a case, over the UNIX socket; return what is said of it.

        The scheduler waits meanwhile, which would carry the case out as soon as it is approved.
        """
        with self.unscheduled():
            return self.desk.expunge(*record_ids)

    @contextlib.contextmanager
    def unscheduled(self) -> Iterator[None]:
        """Carry nothing out in idle moments, until the block is left."""
        self.call(lambda _: setattr(self.writer, "_cases_due", math.inf))
        try:
            yield
        finally:
            self.writer._cases_due = 0.0

    def enrol(self, name: str = "St. Elsewhere", **allowance: object) -> Enrolment:
        """Enrol a client over the UNIX socket."""
        return enrol(self.officer, name, **allowance)

    def await_build(self) -> None:
        """Return when no table is in the making."""
        wait_until(lambda: self.call(lambda custody: custody.build is None), LONG)

    def outcome(self, identifier: str) -> str:
        """Return what a worker would answer now, or the fact for which it could not check."""
        asking = self.call(_asking)
        view = self._view()
        try:
            found = decide_one(view, parse_lookup(question(asking, identifier)), days_of(_today()))
            found.check()
        except ServiceError as error:
            return type(error).__name__
        finally:
            view.table.close()
        return str(json.loads(found.body)["outcome"])

    def _view(self) -> OpenView:
        view = self.custody.door._view
        assert view is not None
        return open_view(view, None)


class Worker:
    """A worker process, and questions to it over one connection for each thread."""

    def __init__(self, process: Process, address: tuple[str, int]) -> None:
        self.process = process
        self.address = address
        self._access: dict[str, str] = {}  # access tokens, by client

    def ready(self) -> Self:
        """Return when it would answer a lookup."""
        request = b"GET /health/ready HTTP/1.1\r\nHost: lookup.test\r\n\r\n"

        def asked() -> bool:
            with Connection(self.address) as connection:
                connection.send(request)
                return connection.receive().status == 200

        wait_until(asked, LONG)
        return self

    def ask(self, asking: Enrolment, identifier: str) -> Response:
        """Look one identifier up; return why not, if there is no access token to be had."""
        with Connection(self.address) as connection:
            if asking.client_id not in self._access:
                connection.send(token_request(asking))
                answer = connection.receive()
                if answer.status != 200:
                    return answer
                self._access[asking.client_id] = answer.json["access_token"]
            connection.send(self.request_for(asking, identifier))
            return connection.receive()

    def request_for(self, asking: Enrolment, identifier: str) -> bytes:
        """Return a whole lookup, with an access token that this worker gave."""
        if asking.client_id not in self._access:
            with Connection(self.address) as connection:
                connection.send(token_request(asking))
                self._access[asking.client_id] = connection.receive().json["access_token"]
        return request_for(asking, identifier, self._access[asking.client_id])

    def outcome(self, asking: Enrolment, identifier: str) -> str:
        """Look one identifier up; return the outcome, or the type of the problem."""
        return outcome_of(self.ask(asking, identifier))


def outcome_of(response: Response) -> str:
    """Return `known`, `no-record`, or the name of the problem."""
    members = response.json
    if response.status == 200:
        return str(members["outcome"])
    if "error" in members:  # of the token request
        return str(members["error"])
    assert members["outcome"] == "could-not-check"
    return str(members["type"].rpartition(":")[2])


def question(asking: Enrolment, identifier: str) -> bytes:
    """Return the body of a lookup."""
    scheme, value = parse_identifier(identifier)
    token = TokenMaker(asking.lookup_key).make(scheme, value)
    members = {
        "kid": asking.kid,
        "token": urlsafe_b64encode(token).rstrip(b"=").decode(),
        "user": {"id": "nurse-1", "role": "triage nurse"},
        "encounter": "encounter-1",
    }
    return json.dumps(members).encode()


def token_request(asking: Enrolment) -> bytes:
    """Return a whole request for an access token, byte by byte."""
    pair = b64encode(f"{asking.client_id}:{asking.secret.text()}".encode()).decode()
    body = b"grant_type=client_credentials"
    head = (
        "POST /oauth2/token HTTP/1.1\r\nHost: lookup.test\r\n"
        f"Authorization: Basic {pair}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def request_for(asking: Enrolment, identifier: str, access: str) -> bytes:
    """Return a whole lookup, byte by byte."""
    body = question(asking, identifier)
    head = (
        "POST /v1/lookup HTTP/1.1\r\nHost: lookup.test\r\n"
        f"Authorization: Bearer {access}\r\nX-Request-ID: {uuid4()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _asking(custody: Custody) -> Enrolment:
    """Enrol somebody for the newest lookup key, without the site hearing of it."""
    key = next(k for k in reversed(custody.policy.live_keys()) if k.kid in custody.kids)
    secret, canary = ClientSecret.generate(), custody.policy.canary.identifier
    return Enrolment("nobody", "Nobody", secret, ("http://127.0.0.1:1",), key.kid, key.key, canary)


def add(feed: httpx2.Client, members: Json) -> EntryId:
    """Add a record; return its id."""
    response = feed.post("/v1/records", json=members)
    assert response.status_code == 201, response.text
    return EntryId(bytes.fromhex(response.json()["record_id"]))


def enrol(officer: httpx2.Client, name: str, **allowance: object) -> Enrolment:
    """Enrol a client; it may ask as fast as tests do, unless they say otherwise."""
    members = {"name": name, "per_second": 1_000_000, "per_day": 1_000_000_000} | allowance
    response = officer.post("/v1/local/clients", json=members)
    assert response.status_code == 201, response.text
    return parse_enrolment(response.content)


def import_lines(feed: httpx2.Client, lines: Iterable[Json | bytes]) -> list[Json]:
    """Import records; return all lines of the answer."""
    content = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    headers = {"content-type": "application/x-ndjson"}
    response = feed.post("/v1/records/import", content=content, headers=headers)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def port(listening: socket.socket) -> int:
    """Return the port of a socket."""
    return int(listening.getsockname()[1])


def _now() -> int:
    return int(time.time())


def _today() -> date:
    return datetime.now(UTC).date()
