"""A worker counts what it answers, and nothing by which one lookup could be told from another."""

import secrets
from collections.abc import Iterator

import pytest

from lookup.metering import (
    ANSWERS,
    AUDIT_COMMITS,
    AUDIT_ENTRIES,
    AUDIT_PENDING,
    AUDIT_PENDING_MOST,
    CONNECTIONS,
    COULD_NOT_CHECK,
    TOKENS,
    counters_of,
    read_numbers,
    read_times,
)
from tests.lookup.raw_http import wait_until
from tests.lookup.worker.plane import Plane, make_batch, make_body, make_request, running_plane


@pytest.fixture
def plane() -> Iterator[Plane]:
    with running_plane() as running:
        yield running.ready()


def page(plane: Plane) -> list[int]:
    """What the worker has counted so far."""
    counted = list(counters_of(plane.passes.counters()))
    assert counted[0]
    return counted


def problems(plane: Plane) -> dict[str, int]:
    return {name: n for name, n in read_numbers(page(plane), COULD_NOT_CHECK).items() if n}


def test_answers_by_outcome_and_time(plane: Plane) -> None:
    """A record that may not be answered is counted as one that was never there."""
    known = plane.custodian.add()
    withheld = plane.custodian.add(category=2)
    for token in (known, known, withheld, secrets.token_bytes(32)):
        assert plane.look_up(token).status == 200
    batch = make_batch([known, secrets.token_bytes(32), secrets.token_bytes(32)])
    assert plane.ask(make_request(batch, "/v1/lookups")).status == 200

    assert read_numbers(page(plane), TOKENS) == {"known": 3, "no-record": 4}
    times = read_times(page(plane), ANSWERS)
    assert (times["lookup"].count, times["lookups"].count) == (4, 1)
    assert 0 < times["lookup"].microseconds < 4_000_000
    assert problems(plane) == {}


REQUESTS = {
    "unauthorized": make_request(make_body(bytes(32)), Authorization="Bearer nobody"),
    "unknown-kid": make_request(make_body(bytes(32), kid="k" * 16)),
    "invalid-request": make_request(b"{"),
    "not-found": make_request(b"", "/v1/nothing"),
    "method-not-allowed": make_request(b"", "/v1/lookup", "PUT"),
    "headers-too-large": make_request(b"", X_Padding="p" * 20_000),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_could_not_be_checked_by_its_problem(plane: Plane, name: str) -> None:
    """Also what is refused before anything of ours sees it."""
    response = plane.ask(REQUESTS[name])

    assert response.json["type"].endswith(f":{name}")
    assert problems(plane) == {name: 1}
    assert sum(read_numbers(page(plane), TOKENS).values()) == 0


def test_the_site_s_own_faults(plane: Plane) -> None:
    """And a question about health is none, whatever the answer."""
    plane.custodian.table.declare_incomplete()
    assert plane.look_up(secrets.token_bytes(32)).status == 503
    health = plane.ask(b"GET /health/ready HTTP/1.1\r\nHost: lookup.test\r\n\r\n")

    assert (health.status, health.json["outcome"]) == (503, "could-not-check")
    assert health.json["type"].endswith(":index-not-ready")
    assert problems(plane) == {"index-not-ready": 1}


def test_what_the_audit_takes(plane: Plane) -> None:
    """An entry for each request, however many tokens; when all are answered none is pending."""
    for _ in range(3):
        assert plane.look_up(secrets.token_bytes(32)).status == 200
    batch = make_batch([secrets.token_bytes(32) for _ in range(5)])
    assert plane.ask(make_request(batch, "/v1/lookups")).status == 200
    counted = page(plane)

    assert read_numbers(counted, AUDIT_ENTRIES) == {"": 4}
    assert read_times(counted, AUDIT_COMMITS)[""].count == 4  # one after another, a group each
    assert read_times(counted, AUDIT_COMMITS)[""].microseconds > 0
    assert read_numbers(counted, AUDIT_PENDING) == {"": 0}
    assert read_numbers(counted, AUDIT_PENDING_MOST) == {"": 1}


def test_connections(plane: Plane) -> None:
    """Within a second, both ways."""

    def open_now() -> int:
        return read_numbers(page(plane), CONNECTIONS)[""]

    held = [plane.connect() for _ in range(3)]
    wait_until(lambda: open_now() == 3)
    for connection in held:
        connection.socket.close()
    wait_until(lambda: open_now() == 0)
