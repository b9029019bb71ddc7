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

from lookup.cells import MAX_CLIENTS
from lookup.custodian.clients import MAX_CERTIFICATES, MAX_FORMER, MAX_NAME
from lookup.handoff import (
    FROM_WORKER,
    MAX_FRAME,
    MOST_ACKNOWLEDGED,
    MOST_RECALLS,
    MOST_REQUESTS,
    MOST_REQUESTS_IN_ALL,
    PASS_PAGE_SIZE,
    Acknowledge,
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
    Recall,
    View,
    fit_recalls,
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
    shown += repr(RECALL) + repr(Acknowledge(RECALL.client, [RECALL.id]))
    assert shown == "<View 7><Client><Former><Recall><Acknowledge>"


ID = bytes(range(16))
RECALL = Recall("c1" * 14, ID, [ID])
BAD_ACKNOWLEDGEMENTS = {
    "nothing": Acknowledge(RECALL.client, []),
    "too much": Acknowledge(RECALL.client, [ID] * (MOST_ACKNOWLEDGED + 1)),
    "an id that is too short": Acknowledge(RECALL.client, [ID[:15]]),
    "an id that is too long": Acknowledge(RECALL.client, [ID + b"x"]),
    "a client in capitals": Acknowledge("C1" * 14, [ID]),
    "a client and a line": Acknowledge("c1" * 14 + "\n", [ID]),
    "a client that is too long": Acknowledge("c1" * 15, [ID]),
}


@pytest.mark.parametrize("name", BAD_ACKNOWLEDGEMENTS)
def test_what_is_no_acknowledgement_is_refused(name: str) -> None:
    """A worker faces the internet: the custodian takes nothing from it unread."""
    frames = Frames()
    frames.feed(make_frame(BAD_ACKNOWLEDGEMENTS[name]))
    with pytest.raises(HandoffError):
        frames.take(FROM_WORKER)


def test_a_worker_confirms_and_acknowledges(pair: Pair) -> None:
    """In any order, over one connection; nothing else is taken from it."""
    worker, custodian, _, _ = pair
    said: list[Confirm | Acknowledge] = [
        Acknowledge(RECALL.client, [ID] * MOST_ACKNOWLEDGED),
        Confirm(1),
        Confirm(2),
    ]
    for each in said:
        worker.send(each)
    assert [custodian.receive(FROM_WORKER, 10) for _ in said] == said
    worker.send(VIEW)
    with pytest.raises(HandoffError):
        custodian.receive(FROM_WORKER, 10)


def test_half_a_frame_is_the_end_of_a_connection(pair: Pair) -> None:
    """Whatever came behind it would be taken for its rest."""
    worker, custodian, raw, _ = pair
    raw.settimeout(0.05)
    large = msgspec.structs.replace(VIEW, vault=bytes(MAX_FRAME // 2))
    with pytest.raises(HandoffClosed):
        worker.send(large)
    with pytest.raises(HandoffClosed):
        worker.send(Confirm(1))
    with pytest.raises(HandoffClosed):
        custodian.receive(View, 10)


def full_view(recalls: list[Recall]) -> View:
    """A view of as many clients as there may be, each with all that it may have."""
    name, certificates = "\N{GRINNING FACE}" * MAX_NAME, ["f" * 64] * MAX_CERTIFICATES
    return msgspec.structs.replace(
        VIEW,
        clients={
            f"{n:064x}": Client(f"{n:028x}", name, 10**6, 10**9, certificates=certificates, cell=n)
            for n in range(MAX_CLIENTS)
        },
        former={f"{n:064x}": Former(f"{n:028x}", 2**32) for n in range(MAX_FORMER * MAX_CLIENTS)},
        recalls=recalls,
    )


def test_as_many_recalls_as_are_let_in_fit_into_a_frame() -> None:
    """Beside all clients, so that no number of recalls keeps a view from the workers."""
    share = MOST_REQUESTS_IN_ALL // MOST_RECALLS
    recall = msgspec.structs.replace(RECALL, requests=[ID] * share)
    frame = make_frame(full_view([recall] * MOST_RECALLS))

    assert len(frame) < MAX_FRAME - 2**20  # for authorities, categories and kids
    frames = Frames()
    frames.feed(frame)
    view = frames.take(View)
    assert view is not None
    assert len(view.recalls) == MOST_RECALLS


@given(
    st.lists(st.integers(0, MOST_REQUESTS), max_size=30), st.integers(0, 20), st.integers(0, 900)
)
def test_the_first_recalls_go_first(sizes: list[int], most: int, requests: int) -> None:
    """As many as fit, none is left out in between, and one that does not fit waits its turn."""
    recalls = [msgspec.structs.replace(RECALL, requests=[ID] * size) for size in sizes]
    fitting = fit_recalls(recalls, most, requests)

    count = len(fitting)
    assert fitting == recalls[:count]
    assert sum(sizes[:count]) <= requests
    assert count == len(sizes) or count == most or sum(sizes[: count + 1]) > requests


def test_recalls_have_bounds_by_themselves() -> None:
    """Whoever asks for no others gets those of a view."""
    large = msgspec.structs.replace(RECALL, requests=[ID] * MOST_REQUESTS)

    assert len(fit_recalls([RECALL] * (MOST_RECALLS + 1))) == MOST_RECALLS
    assert len(fit_recalls([large] * 1_000)) == MOST_REQUESTS_IN_ALL // MOST_REQUESTS


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
