"""What is asked, and a site that is there to be asked.

Requests are bytes made beforehand, all of one length. Half of the tokens are of children who are
known: an answer costs the same either way, and whoever doubts it finds both in timing.py. Each
request has a token, a request id and an encounter of its own.

How a client proves itself is in proving.py alone.
"""

import json
import random
import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from http.client import HTTPResponse
from itertools import islice
from typing import Final
from uuid import UUID

from bench.claim import Json
from bench.processors import Processors
from bench.proving import authorization
from bench.running import Run
from bench.served import Answering, Served, Workers, ask, served
from crypto.token import TokenMaker
from lookup.client.enrolment import Enrolment, parse_enrolment
from lookup.config import Address
from lookup.identifiers import Identifier, parse_identifier

COUNT: Final = 4_096
UNAUDITED: Final = "--testing-only-unaudited"
NO_AUDIT: Final = "the audit: workers have none yet, so that figures are without, and not judged"
_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A site that answers, and what it is asked. Half of `tokens` are known, in no order."""

    custodian: Served
    answering: Answering
    enrolment: Enrolment
    tokens: tuple[str, ...]
    known: tuple[str, ...]
    processors: Processors

    def calls(self) -> tuple[bytes, ...]:
        """Return one request for each token, for the next ten minutes."""
        address = self.answering.address
        return single(self.enrolment.kid, self.authorization(), address, self.tokens)

    def authorization(self) -> str:
        """Return what proves the client, for the next ten minutes."""
        return authorization(self.enrolment, self.answering.address)


@contextmanager
def asked(run: Run, records: int, workers: Workers | None = None) -> Iterator[Asked]:
    """Serve the site of this size, its workers on the server's CPU, all else on the other one."""
    processors = Processors.choose()
    wanted = workers or Workers(cpus=(processors.server,))
    site, _ = run.sites.filled(records)
    with served(site, workers=wanted, cpu=processors.load) as custodian:
        enrolment = admitted(custodian)
        with run.sites.lines(records).open() as lines:
            known = tuple(known_tokens(enrolment, lines, COUNT // 2))
        answering = answering_of(custodian)
        found = Asked(custodian, answering, enrolment, mixed(known, COUNT), known, processors)
        _require_right(found)
        yield found


def bearer_of(call: bytes) -> str:
    """Return the secret that a request shows."""
    return call.partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()


def enrol(custodian: Served, name: str) -> Enrolment:
    """Enrol a client over the officers' socket, with quotas that no load reaches."""
    quotas = {"per_second": 1_000_000, "per_day": 1_000_000_000, "batch": True}
    made = ask(custodian.local(), "/v1/local/clients", {"name": name} | quotas)
    return parse_enrolment(json.dumps(made).encode())


def admitted(custodian: Served) -> Enrolment:
    """Enrol a client that all workers let in; sites keep theirs, so that names must differ."""
    enrolled = len(ask(custodian.local(), "/v1/local/clients")["clients"])
    enrolment = enrol(custodian, f"bench {enrolled}")
    answering_of(custodian).await_ready()
    return enrolment


def answering_of(custodian: Served) -> Answering:
    """Return the workers of a custodian that has some."""
    if custodian.answering is None:
        raise ValueError("this custodian was started without workers")
    return custodian.answering


def are_audited() -> bool:
    """Say whether workers audit what they answer, so that they need a switch for not doing it."""
    return takes(UNAUDITED)


@cache
def takes(switch: str, module: str = "lookup.worker.main") -> bool:
    """Say whether a process of ours has a switch, by its help."""
    told = subprocess.run(
        (sys.executable, "-m", module, "--help"), capture_output=True, text=True, check=True
    )
    return switch in told.stdout


def known_records(lines: Iterable[str]) -> Iterator[Json]:
    """Yield, from the lines of an import, records that are answered for long."""
    for line in lines:
        record = json.loads(line)
        if record["category"] == "child-protection-plan" and record["until"] is None:
            yield record


def identifier_of(record: Json) -> Identifier:
    """Return the identifier of a generated record."""
    return parse_identifier(record["identifiers"][0])


def known_tokens(enrolment: Enrolment, lines: Iterable[str], count: int) -> list[str]:
    """Return tokens of so many children who are known."""
    return [
        token_of(enrolment, identifier_of(record)) for record in islice(known_records(lines), count)
    ]


def token_of(enrolment: Enrolment, identifier: Identifier) -> str:
    """Return what a hospital sends instead of an identifier."""
    maker = TokenMaker(enrolment.lookup_key)
    return _text(maker.make(identifier.scheme, identifier.value))


def unknown_tokens(count: int, seed: int) -> list[str]:
    """Return tokens of nobody."""
    source = random.Random(seed)  # noqa: S311  # tokens of nobody
    return [_text(source.randbytes(32)) for _ in range(count)]


def mixed(known: Sequence[str], count: int) -> tuple[str, ...]:
    """Return so many tokens, those known and others, in random order."""
    found = [*known, *unknown_tokens(count - len(known), count)]
    random.Random(count).shuffle(found)  # noqa: S311  # an order, no secret
    return tuple(found)


def single(
    kid: str, authorization: str, address: Address, wanted: Sequence[str]
) -> tuple[bytes, ...]:
    """Return one request for each token."""
    return tuple(
        _request(authorization, address, "/v1/lookup", {"kid": kid, "token": token}, number)
        for number, token in enumerate(wanted)
    )


def batches(
    kid: str, authorization: str, address: Address, wanted: Sequence[str], size: int
) -> tuple[bytes, ...]:
    """Return one request for each so many tokens."""
    parts = [wanted[at : at + size] for at in range(0, len(wanted) - size + 1, size)]
    return tuple(
        _request(authorization, address, "/v1/lookups", {"kid": kid, "tokens": part}, number)
        for number, part in enumerate(parts)
    )


def _request(
    authorization: str, address: Address, path: str, subject: dict[str, object], number: int
) -> bytes:
    source = random.Random(number)  # noqa: S311  # names, no secret
    content = subject | {
        "purpose": "unscheduled-care",
        "user": {"id": f"user-{number % 500:05d}", "role": "triage-nurse"},
        "encounter": f"ED-2026-{number:08d}",
    }
    body = json.dumps(content, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\n"
        f"X-Request-ID: {UUID(int=source.getrandbits(128), version=4)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _require_right(site: Asked) -> None:
    """Ask for one who is known and for one who is not: of wrong answers no speed is of interest."""
    for token, outcome in ((site.known[0], "known"), (unknown_tokens(1, 1)[0], "no-record")):
        kid, address = site.enrolment.kid, site.answering.address
        (call,) = single(kid, site.authorization(), address, (token,))
        found = exchange(site.answering.address, call)
        if found["outcome"] != outcome:
            raise RuntimeError(f"{outcome} was to be answered, and was not")


def exchange(address: Address, call: bytes) -> Json:
    """Send one request on a connection of its own; return what the answer says."""
    with socket.create_connection((address.host, address.port), timeout=_TIMEOUT) as line:
        line.sendall(call)
        response = HTTPResponse(line, method="POST")
        response.begin()
        body = response.read()
    if response.status != HTTPStatus.OK:
        raise RuntimeError(f"a lookup was answered {response.status}")
    answer: Json = json.loads(body)
    return answer


def _text(token: bytes) -> str:
    return urlsafe_b64encode(token).decode().rstrip("=")
