"""How a worker comes by its view, and keeps it."""

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from lookup.cells import MAX_CLIENTS
from lookup.handoff import Authority, Client, Former, Recall
from tests.lookup.raw_http import wait_until
from tests.lookup.worker.plane import (
    AUTHORITIES,
    CATEGORIES,
    CLIENT,
    VAULT,
    Plane,
    running_plane,
)

UNKNOWN = b"?" * 32


def test_a_confirmed_view_is_in_force(plane: Plane) -> None:
    """Nothing older is answered from after the confirmation."""
    token = plane.custodian.add()
    for n in range(20):
        authority = Authority(f"A{n}", f"Authority {n}", "1", "2")
        plane.custodian.publish_and_wait(authorities=[authority])
        [record] = plane.look_up(token).json["records"]
        assert record["authority"]["code"] == f"A{n}"


def test_a_table_is_switched_under_load(plane: Plane) -> None:
    """Mapped before the confirmation; every answer in between is from the one or the other."""
    token = plane.custodian.add()
    for generation in range(2, 12):
        old = plane.custodian.table
        new = old.grow(generation)
        new.complete()
        plane.custodian.table = new
        plane.custodian.publish()
        while plane.custodian.view.number not in plane.custodian.workers[0].confirmed:  # type: ignore[union-attr]  # just published
            assert plane.look_up(token).json["outcome"] == "known"
        old.supersede()
        old.close()
        assert plane.look_up(token).json["outcome"] == "known"
        assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"


def test_a_new_custodian_is_found(plane: Plane) -> None:
    """Within a second or so, with its own index key, and no matter how it counts its views."""
    plane.custodian.publish_and_wait()
    for generation in (2, 3):
        old = plane.custodian
        old.close()
        assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"
        time.sleep(0.2)
        new = plane.start_custodian(generation)
        token = new.add()
        new.table.complete()
        started = time.monotonic()
        new.publish_and_wait()
        old.table.supersede()
        old.table.close()
        assert time.monotonic() - started < 2
        assert plane.look_up(token).json["outcome"] == "known"
        assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"


def test_a_custodian_that_has_nothing_to_say_yet_is_none(plane: Plane) -> None:
    """It may be building its index for a minute; the belt counts on."""
    plane.custodian.publish_and_wait(belt_seconds=2)
    old = plane.custodian
    old.close()
    new = plane.start_custodian(2)
    wait_until(lambda: bool(new.workers))
    assert plane.look_up(UNKNOWN).status == 200

    wait_until(lambda: plane.look_up(UNKNOWN).status == 503)
    assert plane.look_up(UNKNOWN).json["type"] == "urn:lacuna:problem:custodian-unavailable"
    old.table.close()


def test_a_restarted_worker_gets_the_view_again(plane: Plane) -> None:
    token = plane.custodian.add()
    plane.worker.kill()
    plane.worker.wait()
    plane.custodian.workers.clear()
    plane.start_worker()

    wait_until(lambda: 0 in plane.custodian.workers)
    wait_until(lambda: plane.custodian.workers[0].confirmed != [])
    assert plane.look_up(token).json["outcome"] == "known"


BAD_VIEWS: dict[str, dict[str, Any]] = {
    "no such table": {"table": "/dev/shm/no-such-table"},  # noqa: S108  # is not there
    "table is no table": {"table": "/proc/self/status"},
    "index key of another size": {"index_key": b"short"},
    "no token key": {"token_key": b""},
    "a client whose id is too short": {"clients": {"ab" * 32: Client("01" * 13, "A")}},
    "a client whose id is no number": {"clients": {"ab" * 32: Client("client-1", "A")}},
    "a client whose secret is no hash": {"clients": {"client-1": CLIENT}},
    "two clients in one cell": {
        "clients": {"ab" * 32: CLIENT, "cd" * 32: Client("02" * 14, "A", cell=CLIENT.cell)}
    },
    "a client in no cell": {"clients": {"ab" * 32: Client("02" * 14, "A", cell=MAX_CLIENTS)}},
    "one client twice": {"clients": {"ab" * 32: CLIENT, "cd" * 32: CLIENT}},
    "a former secret of nobody": {"former": {"cd" * 32: Former("02" * 14, 1)}},
    "a recall of nobody": {"recalls": [Recall("client-1", bytes(16), [])]},
    "a recall whose id is too short": {"recalls": [Recall(CLIENT.id, bytes(15), [])]},
    "a recall of too much": {"recalls": [Recall(CLIENT.id, bytes(16), [bytes(16)] * 201)]},
    "a recall of what is no request": {"recalls": [Recall(CLIENT.id, bytes(16), [b"request"])]},
    "two recalls of one id": {
        "recalls": [Recall(CLIENT.id, bytes(16), [bytes([n]) * 16]) for n in range(2)]
    },
    "another vault": {"vault": b"?" * 16},
    "no authorities": {"authorities": []},
    "no categories": {"categories": []},
    "a name that does not fit": {
        "authorities": [*AUTHORITIES, Authority("LONG", "N" * 2_000, "1", "2")]
    },
    "a code that does not fit in a batch": {
        "authorities": [*AUTHORITIES, Authority("C" * 150, "N", "1", "2")]
    },
}


@pytest.mark.parametrize("name", BAD_VIEWS)
def test_a_view_that_cannot_be_used_is_not_confirmed(plane: Plane, name: str) -> None:
    """The last one stays in force, and a good one is taken when it comes."""
    token = plane.custodian.add()
    bad = plane.custodian.publish(**BAD_VIEWS[name])
    wait_until(lambda: "hand-off ended" in plane.log)

    assert plane.look_up(token).json["outcome"] == "known"
    good = plane.custodian.make_view(bad.number + 1)
    plane.custodian.view = good
    wait_until(lambda: good.number in plane.custodian.workers[0].confirmed)
    assert bad.number not in plane.custodian.workers[0].confirmed


def test_nonsense_over_the_socket_does_no_harm(plane: Plane) -> None:
    plane.custodian.workers[0].channel._socket.sendall(b"\xff" * 100)
    wait_until(lambda: "hand-off ended" in plane.log)
    assert plane.look_up(UNKNOWN).status == 200


def test_many_views_at_once_end_with_the_last(plane: Plane) -> None:
    """And none of them costs the worker a descriptor or a mapping."""
    descriptors = Path(f"/proc/{plane.worker.pid}/fd")
    plane.custodian.publish_and_wait()
    for _ in range(30):
        plane.custodian.publish()
    last = plane.custodian.publish_and_wait(categories=CATEGORIES, vault=VAULT)
    assert plane.custodian.workers[0].confirmed[-1] == last.number
    assert plane.look_up(UNKNOWN).status == 200
    with contextlib.suppress(PermissionError):  # it shows its descriptors to root only
        assert len(list(descriptors.iterdir())) < 30


def test_a_worker_that_comes_before_its_custodian() -> None:
    with running_plane() as plane:
        first = plane.custodian
        first.close()
        time.sleep(0.3)
        plane.start_custodian(2)
        plane.ready()
        assert plane.look_up(UNKNOWN).json["outcome"] == "no-record"
        first.table.close()
