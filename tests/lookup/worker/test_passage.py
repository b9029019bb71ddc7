"""What a custodian may conclude from a worker's pass page."""

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.handoff import PassPage, PassReader
from lookup.worker.passage import Passage
from tests.lookup.raw_http import wait_until
from tests.lookup.worker.plane import Plane, make_batch, make_body, make_request

UNKNOWN = b"?" * 32


@pytest.fixture
def pages() -> Iterator[tuple[Passage, PassReader]]:
    page = PassPage()
    yield Passage(page), PassReader(os.dup(page.descriptor))
    os.close(page.descriptor)


def settled(plane: Plane) -> int:
    """How many lookups there were; `left` is written just after the kernel took the answer."""
    wait_until(lambda: plane.passes.entered() == plane.passes.left())
    return plane.passes.entered()


@given(st.data())
def test_left_passes_no_lookup_in_flight(data: st.DataObject) -> None:
    """In whatever order lookups end: e = entered, later left ≥ e, and all up to e have ended.

    Two bare counts would fail this: a later lookup would stand in for an earlier one.
    """
    page = PassPage()
    passage, reader = Passage(page), PassReader(os.dup(page.descriptor))
    in_flight: dict[int, int] = {}  # how many of a number have not ended
    snapshots: list[tuple[int, set[int]]] = []
    for _ in range(data.draw(st.integers(1, 30))):
        ending = data.draw(st.sampled_from([0, *sorted(in_flight)]))
        if ending:
            in_flight[ending] -= 1
            in_flight = {number: count for number, count in in_flight.items() if count}
            passage.leave(ending)
        else:
            count = data.draw(st.integers(1, 3))
            in_flight[passage.enter(count)] = count
        snapshots.append((reader.entered(), set(in_flight)))
        for entered, then_in_flight in snapshots:
            if reader.left() >= entered:
                assert not then_in_flight & in_flight.keys()
    for each, count in in_flight.items():
        for _ in range(count):
            passage.leave(each)
    assert reader.left() == reader.entered()
    os.close(page.descriptor)


def test_numbers_are_counted_from_nothing(pages: tuple[Passage, PassReader]) -> None:
    passage, reader = pages
    assert (reader.entered(), reader.left()) == (0, 0)
    assert (passage.enter(), passage.enter()) == (1, 2)
    assert (reader.entered(), reader.left()) == (2, 0)
    passage.leave(2)
    assert reader.left() == 0
    passage.leave(1)
    assert reader.left() == 2


def test_every_lookup_passes(shared: Plane) -> None:
    """Also those that end as could-not-check."""
    before = settled(shared)
    for kid in ("k" * 16, "kid-of-the-tests"):
        shared.look_up(UNKNOWN, kid=kid)
    shared.ask(make_request(make_batch([UNKNOWN] * 10), "/v1/lookups"))

    wait_until(lambda: shared.passes.entered() == shared.passes.left() == before + 3)


@pytest.mark.parametrize("missing", [1, 50, 400])
def test_a_request_that_is_not_here_yet_holds_nobody_up(shared: Plane, missing: int) -> None:
    """A slow body, and a client that leaves in the middle of one, begin no lookup."""
    before = settled(shared)
    with shared.connect() as connection:
        connection.send(make_request(make_body(UNKNOWN))[:-missing])
        time.sleep(0.05)
        assert shared.passes.entered() == shared.passes.left() == before
    shared.look_up(UNKNOWN)
    wait_until(lambda: shared.passes.entered() == shared.passes.left() == before + 1)


def test_clients_that_leave_leave_nothing_behind(shared: Plane) -> None:
    """Whatever they had asked, and whenever they went."""
    request = make_request(make_body(UNKNOWN))
    for n in range(60):
        with shared.connect() as connection:
            connection.send(request * (n % 4) + request[: 40 * (n % 9)])
            if n % 2:
                linger = b"\1\0\0\0\0\0\0\0"  # close by reset
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert shared.look_up(UNKNOWN).status == 200
    wait_until(lambda: shared.passes.entered() == shared.passes.left())


def test_the_kernel_takes_a_whole_batch_from_a_client_that_never_reads(shared: Plane) -> None:
    """So that not even the largest answer keeps a removal waiting."""
    before = settled(shared)
    with shared.connect(receive_buffer=2_048) as connection:
        connection.send(make_request(make_batch([UNKNOWN] * 1_000), "/v1/lookups"))
        wait_until(lambda: shared.passes.entered() == before + 1)
        wait_until(lambda: shared.passes.left() == before + 1, seconds=0.5)


@pytest.mark.parametrize(("count", "end"), [(8, b""), (3, b"\0 no request\r\n\r\n")])
def test_a_client_that_never_reads_is_thrown_out(plane: Plane, count: int, end: bytes) -> None:
    """Its answers do not lie here: a removal waits for it one second and a bit, never longer.

    Others are answered meanwhile, and `left` shows that something is still here: also when nobody
    listens any more to what the client says.
    """
    known = plane.custodian.add()
    batch = make_request(make_batch([known] * 1_000), "/v1/lookups")
    with plane.connect(receive_buffer=2_048) as connection:
        connection.send(batch * count + end)  # half a megabyte of answers or more
        time.sleep(0.3)
        stuck = plane.passes.entered()
        assert plane.passes.left() < stuck
        plane.custodian.table.remove(plane.custodian.tag(known), plane.custodian.handles[known])
        removed = time.monotonic()
        assert plane.look_up(known).json["outcome"] == "no-record"
        assert plane.passes.left() < stuck

        wait_until(lambda: plane.passes.left() >= stuck)
        assert time.monotonic() - removed < 3
        received = b""
        while data := receive_until_reset(connection.socket):
            received += data
    assert received.count(b'{"outcome":') < count * 1_000  # the rest was thrown away
    assert settled(plane) == stuck + 1


def receive_until_reset(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""


def test_a_stopped_worker_has_passed_if_nothing_was_in_flight(plane: Plane) -> None:
    """The custodian does not need a worker to run to know that it answers from nothing old."""
    plane.look_up(UNKNOWN)
    assert settled(plane) == 1
    plane.worker.send_signal(signal.SIGSTOP)
    assert plane.passes.entered() == plane.passes.left() == 1
    plane.worker.send_signal(signal.SIGCONT)
