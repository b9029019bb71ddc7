"""G4: a worker that may be stale or incomplete says so, never *no record*."""

import os
import signal
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from lookup.index.layout import HEADER_SIZE, STATE_OFFSET
from tests.lookup.raw_http import Response, wait_until
from tests.lookup.worker.plane import (
    CLIENT,
    KID,
    OTHER_KID,
    SECRET,
    Plane,
    make_batch,
    make_body,
    make_request,
    running_plane,
)

UNKNOWN = b"?" * 32
READY = b"GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n"


def assert_could_not_check(response: Response, status: int, name: str) -> None:
    assert response.status == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["type"] == f"urn:lacuna:problem:{name}"
    assert response.json["outcome"] == "could-not-check"
    assert "x-request-id" in response.headers
    assert b'"no-record"' not in response.body
    assert b'"known"' not in response.body


def assert_nothing_is_told(plane: Plane, token: bytes, status: int, name: str) -> None:
    """Neither of a child that is there nor of one that is not, alone or in a batch."""
    assert_could_not_check(plane.look_up(token), status, name)
    assert_could_not_check(plane.look_up(UNKNOWN), status, name)
    batch = make_request(make_batch([token, UNKNOWN]), "/v1/lookups")
    assert_could_not_check(plane.ask(batch), status, name)


def test_before_the_hand_off() -> None:
    with running_plane() as plane:
        token = plane.custodian.add()
        assert_nothing_is_told(plane, token, 503, "custodian-unavailable")
        assert plane.ask(READY).status == 503
        assert plane.ask(READY.replace(b"ready", b"live")).status == 200


def test_while_the_table_is_incomplete(plane: Plane) -> None:
    """A hit is told, for it is true; a miss is not, and a batch stands or falls as one."""
    known = plane.custodian.add()
    plane.custodian.table.declare_incomplete()

    assert plane.look_up(known).json["outcome"] == "known"
    assert_could_not_check(plane.look_up(UNKNOWN), 503, "index-not-ready")
    batch = make_request(make_batch([known, UNKNOWN]), "/v1/lookups")
    assert_could_not_check(plane.ask(batch), 503, "index-not-ready")
    assert plane.ask(READY).status == 503

    plane.custodian.table.complete()
    assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"
    assert plane.ask(READY).status == 200


@pytest.mark.parametrize("kid", [OTHER_KID, "k" * 16, KID.upper()])
def test_a_kid_that_is_not_live(plane: Plane, kid: str) -> None:
    """Unknown, retired and not completely indexed are one case: it is not in the view."""
    token = plane.custodian.add()
    assert_could_not_check(plane.look_up(token, kid=kid), 422, "unknown-kid")
    assert_could_not_check(plane.look_up(UNKNOWN, kid=kid), 422, "unknown-kid")


def test_a_kid_that_was_retired(plane: Plane) -> None:
    token = plane.custodian.add()
    plane.custodian.publish_and_wait(kids=[OTHER_KID])

    assert_nothing_is_told(plane, token, 422, "unknown-kid")
    assert plane.look_up(token, kid=OTHER_KID).json["outcome"] == "known"


def test_a_superseded_table(plane: Plane) -> None:
    """Whoever superseded it may have acknowledged anything since."""
    token = plane.custodian.add()
    plane.custodian.table.supersede()

    assert_nothing_is_told(plane, token, 503, "index-superseded")
    assert plane.ask(READY).status == 503


def test_a_writer_that_died_in_the_middle_of_a_change(plane: Plane) -> None:
    token = plane.custodian.add()
    table = plane.custodian.table
    with table._changing(0, 2**32 - 1):
        assert_nothing_is_told(plane, token, 503, "index-stale")
    assert plane.look_up(token).json["outcome"] == "known"


def test_a_damaged_slot(plane: Plane) -> None:
    """What the checksum does not cover is not believed; other children are still answered."""
    token = plane.custodian.add()
    tag = plane.custodian.tag(token)
    memory = plane.custodian.table._memory
    memory[memory.find(tag, HEADER_SIZE) + 12] ^= 1

    assert_could_not_check(plane.look_up(token), 503, "index-stale")
    assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"


def test_a_header_of_zeros(plane: Plane) -> None:
    token = plane.custodian.add()
    memory = plane.custodian.table._memory
    memory[STATE_OFFSET : STATE_OFFSET + 16] = bytes(16)
    assert_nothing_is_told(plane, token, 503, "index-superseded")


@pytest.mark.parametrize("changes", [{"authority": 900}, {"category": 9}])
def test_a_link_that_the_view_cannot_name(plane: Plane, changes: dict[str, int]) -> None:
    token = plane.custodian.add(**changes)
    assert_could_not_check(plane.look_up(token), 503, "index-stale")


def test_lookups_go_on_without_a_custodian_until_the_belt(plane: Plane) -> None:
    """A table whose only writer is dead is not stale; but not for ever."""
    token = plane.custodian.add()
    plane.custodian.publish_and_wait(belt_seconds=2)
    plane.custodian.close()
    died = time.monotonic()

    assert plane.look_up(token).json["outcome"] == "known"
    assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"
    wait_until(lambda: plane.look_up(token).status == 503)
    assert 1 < time.monotonic() - died < 5
    assert_nothing_is_told(plane, token, 503, "custodian-unavailable")
    assert plane.ask(READY).status == 503


def test_a_worker_that_was_stopped_believes_nothing_older_than_the_belt(plane: Plane) -> None:
    """Its clock went on while it did not."""
    token = plane.custodian.add()
    plane.custodian.publish_and_wait(belt_seconds=1)
    plane.worker.send_signal(signal.SIGSTOP)
    plane.custodian.close()
    time.sleep(1.2)
    with plane.connect() as connection:
        connection.send(make_request(make_body(UNKNOWN)) + make_request(make_body(token)))
        plane.worker.send_signal(signal.SIGCONT)
        assert_could_not_check(connection.receive(), 503, "custodian-unavailable")
        assert_could_not_check(connection.receive(), 503, "custodian-unavailable")


def test_a_worker_that_was_stopped_while_the_table_was_switched(plane: Plane) -> None:
    """It wakes with the old view, and sees that the old table is superseded."""
    token = plane.custodian.add()
    old = plane.custodian
    plane.worker.send_signal(signal.SIGSTOP)
    old.close()
    new = plane.start_custodian(generation=2)
    new.add_to(UNKNOWN)
    new.table.complete()
    new.publish()
    old.table.supersede()
    old.table.close()
    with plane.connect() as connection:
        connection.send(make_request(make_body(UNKNOWN)) + make_request(make_body(token)))
        plane.worker.send_signal(signal.SIGCONT)
        for outcome in ("known", "no-record"):  # or, if it has not taken the new view yet:
            response = connection.receive()
            if response.status == 200:
                assert response.json["outcome"] == outcome
            else:
                assert_could_not_check(response, 503, "index-superseded")
    wait_until(lambda: plane.look_up(UNKNOWN).status == 200)
    assert plane.look_up(UNKNOWN).json["outcome"] == "known"
    assert plane.look_up(token).json["outcome"] == "no-record"


def stop_being_a_client(plane: Plane) -> None:
    plane.custodian.publish_and_wait(clients={})


def become_another_client(plane: Plane) -> None:
    """Enrolled anew, also under the same name: what was given to the former one counts no more."""
    other = sha256((SECRET[:-1] + "Q").encode()).hexdigest()
    client = msgspec.structs.replace(CLIENT, id="c2" * 14)
    plane.custodian.publish_and_wait(clients={other: client})


@pytest.mark.parametrize("revoke", [stop_being_a_client, become_another_client])
def test_a_client_that_was_revoked(plane: Plane, revoke: Callable[[Plane], None]) -> None:
    """From the confirmation on, also on connections and in requests that have begun."""
    token = plane.custodian.add()
    request = make_request(make_body(token))
    with plane.connect() as connection:
        connection.send(request)
        assert connection.receive().status == 200
        connection.send(request[:-10])
        time.sleep(0.05)
        revoke(plane)
        connection.send(request[-10:])
        assert_could_not_check(connection.receive(), 401, "unauthorized")


def test_the_memory_of_a_table_is_let_go_after_a_switch(plane: Plane) -> None:
    maps = Path(f"/proc/{plane.worker.pid}/maps")
    old = plane.custodian.table
    new = type(old).create(plane.index_folder, 2, 4_096)
    new.complete()
    plane.custodian.table = new
    plane.custodian.publish_and_wait()
    old.supersede()

    assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"
    if os.geteuid() == 0:  # nobody else may look into an undumpable process
        assert old.path.name not in maps.read_text()
        assert new.path.name in maps.read_text()
    old.close()
