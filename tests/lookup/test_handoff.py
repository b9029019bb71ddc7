import array
import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.handoff import (
    MAX_FRAME,
    PASS_PAGE_SIZE,
    Channel,
    Client,
    Confirm,
    Former,
    Frames,
    HandoffClosed,
    HandoffError,
    Hello,
    PassPage,
    PassReader,
    View,
    make_frame,
    peer_of,
    verify_peer,
)

VIEW = View(
    number=7,
    vault=b"v" * 16,
    table="/dev/shm/t",  # noqa: S108  # a name; nothing is opened
    index_key=b"SECRET-INDEX-KEY" * 2,
    kids=["k" * 16],
    clients={"f" * 64: Client("client-1", "St. Elsewhere")},
    authorities=[],
    categories=[],
    belt_seconds=900,
)

Pair = tuple[Channel, Channel, socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    one, other = Channel(left), Channel(right)
    yield one, other, left, right
    one.close()
    other.close()


@given(st.lists(st.integers(1, 50)))
def test_messages_survive_any_cutting(cuts: list[int]) -> None:
    stream = make_frame(VIEW) + make_frame(VIEW)
    frames, taken = Frames(), []
    while stream:
        size = cuts.pop() if cuts else len(stream)
        frames.feed(stream[:size])
        stream = stream[size:]
        while (view := frames.take(View)) is not None:
            taken.append(view)

    assert taken == [VIEW, VIEW]


BAD_FRAMES = {
    "longer than a frame": (MAX_FRAME + 1).to_bytes(4, "big"),
    "no msgpack": b"\0\0\0\1\xc1",
    "another message": make_frame(Hello(slot=0, pid=1)),
    "unknown member": b"\0\0\0\x19"
    + msgspec.msgpack.encode({"type": "confirm", "number": 1, "x": 1}),
    "nothing": b"\0\0\0\0",
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_what_is_no_confirmation_is_refused(name: str) -> None:
    frames = Frames()
    frames.feed(BAD_FRAMES[name])
    with pytest.raises(HandoffError):
        frames.take(Confirm)


def test_no_message_is_larger_than_a_frame() -> None:
    large = msgspec.structs.replace(VIEW, vault=bytes(MAX_FRAME))
    with pytest.raises(HandoffError):
        make_frame(large)


def test_no_repr_shows_a_key_or_a_client() -> None:
    shown = repr(VIEW) + repr(next(iter(VIEW.clients.values()))) + repr(Former("c", 1))
    assert shown == "<View 7><Client><Former>"


def test_a_view_and_its_confirmation_cross(pair: Pair) -> None:
    """In both directions, also when it is larger than any socket's buffer."""
    worker, custodian, _, _ = pair
    large = msgspec.structs.replace(VIEW, clients={str(n): Client("c", "n") for n in range(50_000)})
    sender = threading.Thread(target=custodian.send, args=(large,))
    sender.start()

    assert worker.receive(View, 10) == large
    sender.join()
    worker.send(Confirm(7))
    assert custodian.receive(Confirm, 10) == Confirm(7)


def test_waiting_ends_and_keeps_what_came(pair: Pair) -> None:
    worker, _, _, raw = pair
    frame = make_frame(VIEW)
    raw.sendall(frame[:20])

    assert worker.receive(View, 0.02) is None
    raw.sendall(frame[20:])
    assert worker.receive(View, 10) == VIEW


def test_the_end_of_the_other_side_is_noticed(pair: Pair) -> None:
    worker, custodian, _, _ = pair
    custodian.close()

    with pytest.raises(HandoffClosed):
        worker.receive(View, 10)
    with pytest.raises(HandoffClosed):
        worker.send(Confirm(1))


def test_a_pass_page_comes_with_the_hello(pair: Pair) -> None:
    """The custodian reads what the worker writes."""
    worker, custodian, _, _ = pair
    page = PassPage()
    worker.send(Hello(slot=3, pid=os.getpid()), page.descriptor)

    assert custodian.receive(Hello, 10) == Hello(slot=3, pid=os.getpid())
    reader = PassReader(custodian.take_descriptor())
    page.write_entered(2**40 + 1)
    page.write_left(2**40)
    assert (reader.entered(), reader.left()) == (2**40 + 1, 2**40)
    os.close(page.descriptor)


def test_a_hello_without_a_pass_page_is_refused(pair: Pair) -> None:
    worker, custodian, _, _ = pair
    worker.send(Hello(slot=0, pid=1))
    custodian.receive(Hello, 10)

    with pytest.raises(HandoffError):
        custodian.take_descriptor()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def receive_until_it_fails(channel: Channel) -> None:
    while True:
        channel.receive(Hello, 1)


def test_a_worker_cannot_fill_the_custodian_with_descriptors(pair: Pair) -> None:
    """At most one is kept, and that one is closed with the channel."""
    worker, custodian, raw, _ = pair
    page = PassPage()
    before = open_descriptors()
    many = array.array("i", [page.descriptor] * 20)
    for _ in range(5):
        raw.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
    worker.close()
    with pytest.raises(HandoffError):
        receive_until_it_fails(custodian)

    assert open_descriptors() == before  # less the worker's end, plus the one that is kept
    custodian.close()
    assert open_descriptors() == before - 2
    os.close(page.descriptor)


def unsealed() -> int:
    descriptor = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, PASS_PAGE_SIZE)
    return descriptor


def too_small() -> int:
    descriptor = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return descriptor


def no_memfd() -> int:
    return os.open("/dev/null", os.O_RDWR)


@pytest.mark.parametrize("make", [unsealed, too_small, no_memfd])
def test_only_a_sealed_page_is_mapped(make: Callable[[], int]) -> None:
    """A page that shrinks under the custodian's reading would kill it."""
    before = open_descriptors()
    with pytest.raises(HandoffError):
        PassReader(make())
    assert open_descriptors() == before


def test_a_pass_page_cannot_shrink() -> None:
    page = PassPage()
    with pytest.raises(PermissionError):
        os.ftruncate(page.descriptor, 0)
    os.close(page.descriptor)


def test_the_kernel_says_who_is_there(pair: Pair) -> None:
    _, _, left, _ = pair
    assert (peer_of(left).pid, peer_of(left).uid) == (os.getpid(), os.getuid())
    assert verify_peer(left, frozenset({os.getuid()})) == peer_of(left)
    with pytest.raises(HandoffError):
        verify_peer(left, frozenset({os.getuid() + 1}))
