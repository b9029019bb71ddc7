"""POST /oauth2/token of a real worker (RFC 6749 sections 4.4, 5.1 and 5.2)."""

import threading
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

import msgspec
import pytest

from lookup.handoff import Former
from lookup.worker.oauth import FAILURES_PER_SECOND
from tests.lookup.raw_http import Connection, Response, wait_until
from tests.lookup.worker.plane import (
    ACCESS_TOKEN,
    CLIENT,
    FORM,
    SECRET,
    TOKEN_KEY,
    Plane,
    make_access_token,
    make_batch,
    make_body,
    make_request,
    running_plane,
    token_request,
)

TOKEN = b"?" * 32
WRONG = SECRET[:-1] + "Q"
GRANT = b"grant_type=client_credentials"


def basic(client_id: str = CLIENT.id, secret: str = SECRET) -> str:
    return f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}"


def granted(response: Response) -> str:
    assert response.status == 200, response.body
    return str(response.json["access_token"])


def lookup(access_token: str) -> bytes:
    return make_request(make_body(TOKEN), authorization=f"Bearer {access_token}")


@pytest.mark.parametrize(
    "request_",
    [
        token_request(),
        token_request(GRANT, authorization=basic()),
        token_request(content_type=f"{FORM};charset=UTF-8"),
        token_request(x_request_id=str(uuid4())),
    ],
    ids=["form", "basic", "charset", "request id"],
)
def test_a_secret_is_exchanged_for_a_token(shared: Plane, request_: bytes) -> None:
    """In either way; the answer is not to be stored, and what it holds is good for lookups."""
    response = shared.ask(request_)

    assert response.json.keys() == {"access_token", "token_type", "expires_in"}
    assert (response.json["token_type"], response.json["expires_in"]) == ("Bearer", 600)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    assert ("x-request-id" in response.headers) == (b"X-Request-ID" in request_)
    assert shared.ask(lookup(granted(response))).json["outcome"] == "no-record"


class Bad(NamedTuple):
    """A request, and the status and code of its refusal."""

    request: bytes
    status: int
    code: str


BAD = {
    "wrong secret": Bad(token_request(secret=WRONG), 401, "invalid_client"),
    "half a secret": Bad(token_request(secret=SECRET[:-1]), 401, "invalid_client"),
    "its hash": Bad(
        token_request(secret=sha256(SECRET.encode()).hexdigest()), 401, "invalid_client"
    ),
    "somebody else": Bad(
        token_request(GRANT, authorization=basic("c3" * 14)), 401, "invalid_client"
    ),
    "nobody": Bad(token_request(GRANT, authorization=basic("")), 401, "invalid_client"),
    "an id in capitals": Bad(
        token_request(GRANT, authorization=basic(CLIENT.id.upper())), 401, "invalid_client"
    ),
    "a token for a secret": Bad(
        token_request(GRANT, authorization=f"Bearer {ACCESS_TOKEN}"), 401, "invalid_client"
    ),
    "no credentials": Bad(token_request(GRANT), 401, "invalid_client"),
    "wrong grant type": Bad(token_request(b"grant_type=password"), 400, "unsupported_grant_type"),
    "both ways": Bad(token_request(authorization=basic()), 400, "invalid_request"),
    "two headers": Bad(
        token_request(GRANT, cookie=f"x\r\nAuthorization: {basic()}", authorization=basic()),
        400,
        "invalid_request",
    ),
    "json": Bad(token_request(content_type="application/json"), 400, "invalid_request"),
    "multipart": Bad(
        token_request(b"--x--", content_type="multipart/form-data; boundary=x"),
        400,
        "invalid_request",
    ),
    "no media type": Bad(token_request(content_type=None), 400, "invalid_request"),
    "compressed": Bad(token_request(content_encoding="gzip"), 400, "invalid_request"),
    "in the url": Bad(
        make_request(b"", f"/oauth2/token?client_id={CLIENT.id}", content_type=FORM),
        400,
        "invalid_request",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(shared: Plane, name: str) -> None:
    """As RFC 6749 says it, without a word of what was sent; the connection goes on."""
    bad = BAD[name]
    with shared.connect() as connection:
        connection.send(bad.request)
        response = connection.receive()

        assert (response.status, response.json["error"]) == (bad.status, bad.code)
        assert response.json.keys() == {"error", "error_description"}
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"
        assert ("www-authenticate" in response.headers) == (bad.status == 401)
        assert not any(
            each.encode() in response.head + response.body for each in (CLIENT.id, SECRET[:-1])
        )
        connection.send(token_request())
        granted(connection.receive())


def test_unknown_clients_and_wrong_secrets_are_told_alike(shared: Plane) -> None:
    answers = {shared.ask(BAD[name].request).body for name in ("wrong secret", "somebody else")}
    assert len(answers) == 1


PROBLEMS = {
    "get": (make_request(b"", "/oauth2/token", method="GET"), 405, "method-not-allowed"),
    "oversized": (token_request(GRANT + b"&x=" + b"y" * 1_024), 413, "too-large"),
    "oversized, in chunks": (
        token_request(b"", content_length=None, transfer_encoding="chunked")
        + b"800\r\n%b\r\n0\r\n\r\n" % (b"x" * 2_048),
        413,
        "too-large",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_not_about_the_grant_is_a_problem(shared: Plane, name: str) -> None:
    """RFC 9457, as on every other route."""
    request, status, kind = PROBLEMS[name]
    response = shared.ask(request)

    assert response.status == status
    assert response.json["type"] == f"urn:lacuna:problem:{kind}"


def test_without_a_custodian_there_are_no_tokens() -> None:
    with running_plane() as plane:
        response = plane.ask(token_request())

        assert response.status == 503
        assert response.json["type"] == "urn:lacuna:problem:custodian-unavailable"


def test_a_secret_that_was_replaced_is_good_until_it_ends(plane: Plane) -> None:
    """By the worker's own clock: no custodian has to be there when it ends."""
    now = int(time.time())
    newest, former = sha256(WRONG.encode()).hexdigest(), sha256(SECRET.encode()).hexdigest()

    def statuses(until: int) -> list[int]:
        plane.custodian.publish_and_wait(
            clients={newest: CLIENT}, former={former: Former(CLIENT.id, until)}
        )
        return [plane.ask(token_request(secret=each)).status for each in (SECRET, WRONG)]

    assert statuses(now + 60) == [200, 200]
    assert statuses(now - 1) == [401, 200]


def test_another_custodians_key_refuses_no_token(plane: Plane) -> None:
    """Tokens of the former key go on, and new ones are made with it for a while; see access.py."""
    given = granted(plane.ask(token_request()))
    plane.custodian.publish_and_wait(token_key=bytes(32))

    assert plane.ask(lookup(given)).status == 200
    assert plane.ask(lookup(granted(plane.ask(token_request())))).status == 200
    assert plane.ask(lookup(make_access_token(key=bytes(32)))).status == 200
    assert plane.ask(lookup(make_access_token(key=bytes([1]) * 32))).status == 401


REFUSED: dict[str, dict[str, Any]] = {
    "expired": {"lives": 0},
    "expired long ago": {"lives": -86_400},
    "made with another key": {"key": TOKEN_KEY[::-1]},
    "of an unknown client": {"client_id": "c3" * 14},
}


@pytest.mark.parametrize("name", REFUSED)
def test_tokens_that_are_refused(shared: Plane, name: str) -> None:
    """Re-signed, expired, of nobody: one answer, also over a connection that is known."""
    with shared.connect() as connection:
        connection.send(lookup(ACCESS_TOKEN))
        assert connection.receive().status == 200
        connection.send(lookup(make_access_token(**REFUSED[name])))
        response = connection.receive()
        assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")
        connection.send(lookup(ACCESS_TOKEN))
        assert connection.receive().status == 200


class TestQuota:
    """What a client may ask, on a worker of its own."""

    @staticmethod
    def allow(plane: Plane, **allowance: object) -> None:
        client = msgspec.structs.replace(CLIENT, **allowance)
        plane.custodian.publish_and_wait(clients={sha256(SECRET.encode()).hexdigest(): client})

    def test_what_is_over_the_day_is_told_with_when_to_come_back(self, plane: Plane) -> None:
        self.allow(plane, per_day=3)
        responses = [plane.look_up(TOKEN) for _ in range(4)]

        assert [response.status for response in responses] == [200, 200, 200, 429]
        assert responses[3].json["type"] == "urn:lacuna:problem:too-many-requests"
        assert responses[3].json["outcome"] == "could-not-check"
        assert 1 <= int(responses[3].headers["retry-after"]) <= 86_400
        assert plane.look_up(TOKEN).status == 429
        wait_until(lambda: plane.passes.left() == plane.passes.entered())

    def test_a_batch_counts_every_token(self, plane: Plane) -> None:
        self.allow(plane, per_day=10)
        batch = make_request(make_batch([TOKEN] * 6), "/v1/lookups")

        assert [plane.ask(batch).status for _ in range(2)] == [200, 429]
        assert plane.look_up(TOKEN).status == 200

    def test_a_batch_needs_a_permission(self, plane: Plane) -> None:
        self.allow(plane, batch=False)
        response = plane.ask(make_request(make_batch([TOKEN]), "/v1/lookups"))

        assert (response.status, response.json["type"]) == (403, "urn:lacuna:problem:forbidden")
        assert response.json["outcome"] == "could-not-check"
        assert plane.look_up(TOKEN).status == 200

    def test_access_tokens_are_paid_for(self, plane: Plane) -> None:
        """So that nobody with a right secret keeps a worker busy with them."""
        self.allow(plane, per_day=3)

        assert [plane.ask(token_request()).status for _ in range(4)] == [200, 200, 200, 429]


def _cpu(pid: int) -> float:
    """Return the processor time that a process's event loop has had, in microseconds (proc(5))."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1_000


class Flood:
    """So many connections that send wrong secrets as fast as they are answered."""

    def __init__(self, plane: Plane, connections: int) -> None:
        self.stopping = threading.Event()
        self.statuses: list[int] = []
        self._plane = plane
        self._threads = [threading.Thread(target=self._send) for _ in range(connections)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with Connection(self._plane.address) as connection:
            while not self.stopping.is_set():
                connection.send(token_request(secret=WRONG))
                self.statuses.append(connection.receive().status)


def test_a_flood_of_wrong_secrets_slows_itself_and_nobody_else(plane: Plane) -> None:
    """G12. It settles at one attempt a second for each connection, whatever it could send.

    Meanwhile a right secret is taken at once; what a lookup costs is measured beside.
    """
    connections, seconds, lookups = 40, 3.0, 300

    def cpu_per_lookup() -> float:
        with plane.connect() as connection:
            before = _cpu(plane.worker.pid)
            for _ in range(lookups):
                connection.send(lookup(ACCESS_TOKEN))
                assert connection.receive().status == 200
            return (_cpu(plane.worker.pid) - before) / lookups

    calm = cpu_per_lookup()
    with Flood(plane, connections) as flood:
        begun = time.monotonic()
        flooded = cpu_per_lookup()
        for _ in range(20):
            assert plane.ask(token_request()).status == 200
        time.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        took = time.monotonic() - begun
    print(f"CPU per lookup: {calm:.0f} µs calm, {flooded:.0f} µs flooded")  # noqa: T201  # for -rP

    attempts = len(flood.statuses)
    assert set(flood.statuses) <= {401, 429}
    assert flood.statuses.count(401) <= FAILURES_PER_SECOND * (took + 2)
    assert attempts <= (FAILURES_PER_SECOND + connections) * (took + 2)
    assert plane.stop() == 0
