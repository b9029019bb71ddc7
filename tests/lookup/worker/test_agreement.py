"""Two ways of serving lookups answer every raw request alike, byte for byte.

Each case goes to both over a connection of its own; then both connections, if they are open, are
asked for a health, so that two servers that disagree on where a request ends are found out. Only
the date and the random padding (but not its length) may differ, and the order of header fields.
"""

import re
import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import pytest

from lookup.index.layout import NO_DAY
from tests.conftest import SOAK
from tests.lookup.worker.corpus import CASES, Given, make_mutants
from tests.lookup.worker.plane import ACCESS_TOKEN, KID, Plane, running_plane

# What the worker's command is given beside the usual: two ways to serve, to be compared.
WAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "the hot path and the application": ((), ("--testing-only-cold",)),
}
KNOWN, UNKNOWN = bytes(range(32)), b"?" * 32
PROBE = b"GET /health/live HTTP/1.1\r\nHost: probe\r\n\r\n"
QUIET_SECONDS, PATIENT_SECONDS = 0.25, 1.5
AT_ONCE = 420  # of the 750 above which a worker closes what is idle
MUTANTS = 20_000 if SOAK else 400

_DATE = re.compile(rb"(?im)^date: .*\r\n")
_PADDING = re.compile(rb'"padding":"([A-Za-z0-9+/]*)"')
_ANSWER = re.compile(rb"(?=HTTP/1\.1 \d{3} )")

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """As itertools has it from Python 3.12 on."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class Seen(NamedTuple):
    """What became of a connection: answers and end, and the same once more after a probe."""

    answers: tuple[bytes, ...]
    open: bool
    probed: tuple[bytes, ...]
    open_after: bool


@dataclass
class Talk:
    """One connection, and what came over it so far."""

    connected: socket.socket
    data: bytearray = field(default_factory=bytearray)
    open: bool = True

    def send(self, data: bytes) -> None:
        if self.open:
            with suppress(OSError):  # closed at half of it: what it said before is what counts
                self.connected.sendall(data)

    def receive(self) -> None:
        try:
            data = self.connected.recv(1 << 16)
        except OSError:
            data = b""
        self.data += data
        self.open = bool(data)

    def take(self) -> tuple[bytes, ...]:
        """The answers since the last time, without what may differ."""
        data, self.data = bytes(self.data), bytearray()
        data = _PADDING.sub(lambda found: b'"padding":%d' % len(found[1]), _DATE.sub(b"", data))
        return tuple(_canonical(answer) for answer in _ANSWER.split(data) if answer)


def _canonical(answer: bytes) -> bytes:
    head, end, body = answer.partition(b"\r\n\r\n")
    start, *fields = head.split(b"\r\n")
    return b"\r\n".join((start, *sorted(fields))) + end + body


def _gather(talks: Iterable[Talk], quiet: float) -> None:
    """Read from all until none has said anything for so long."""
    with selectors.DefaultSelector() as selector:
        for talk in talks:
            if talk.open:
                selector.register(talk.connected, selectors.EVENT_READ, talk)
        last = time.monotonic()
        while selector.get_map() and time.monotonic() - last < quiet:
            for key, _ in selector.select(quiet / 5):
                last = time.monotonic()
                key.data.receive()
                if not key.data.open:
                    selector.unregister(key.fileobj)


def see(
    planes: tuple[Plane, Plane],
    requests: Sequence[bytes],
    quiet: float,
    cut: float = 1,
    before: bytes = b"",
) -> list[list[Seen]]:
    """What each plane makes of each request, sent whole or cut at this part of its length.

    What is to be sent `before`, on each connection, is answered before.
    """
    first_parts = [request[: int(cut * len(request))] for request in requests]
    last_parts = [request[int(cut * len(request)) :] for request in requests]
    with ExitStack() as stack:
        talks = [
            [Talk(stack.enter_context(plane.connect()).socket) for _ in requests]
            for plane in planes
        ]
        if before:
            _send(talks, [before] * len(requests))
            _gather(chain(*talks), quiet)
            assert all(len(talk.take()) == 1 for talk in chain(*talks))
        if cut < 1:
            _send(talks, first_parts)
            time.sleep(quiet / 5)  # so that they do not arrive as one
        _send(talks, last_parts if cut < 1 else requests)
        _gather(chain(*talks), quiet)
        first = [[(talk.take(), talk.open) for talk in each] for each in talks]
        _send(talks, [PROBE] * len(requests))
        _gather(chain(*talks), quiet)
        return [
            [Seen(*before, talk.take(), talk.open) for before, talk in zip(*pair, strict=True)]
            for pair in zip(first, talks, strict=True)
        ]


def _send(talks: list[list[Talk]], parts: Sequence[bytes]) -> None:
    for each in talks:
        for talk, part in zip(each, parts, strict=True):
            talk.send(part)


def disagreements(
    planes: tuple[Plane, Plane],
    requests: Iterable[tuple[str, bytes]],
    cut: float = 1,
    before: bytes = b"",
) -> Iterator[tuple[str, bytes, Seen, Seen]]:
    """Yield what the two see differently, also when it is asked again and with more patience.

    Again, but together: on a busy machine hundreds may differ at first by their time alone.
    """
    for some in batched(requests, AT_ONCE):
        differing = [
            each
            for each, one, other in _seen(planes, some, QUIET_SECONDS, cut, before)
            if one != other
        ]
        for patience in (PATIENT_SECONDS, 2 * PATIENT_SECONDS):
            seen = _seen(planes, differing, patience, cut, before)
            differing = [each for each, one, other in seen if one != other]
        for (name, request), one, other in _seen(planes, differing, PATIENT_SECONDS, cut, before):
            if one != other:
                yield name, request, one, other


def _seen(
    planes: tuple[Plane, Plane],
    requests: Sequence[tuple[str, bytes]],
    seconds: float,
    cut: float,
    before: bytes,
) -> list[tuple[tuple[str, bytes], Seen, Seen]]:
    """Return each request, and what the two see of it."""
    if not requests:
        return []
    ones, others = see(planes, [each for _, each in requests], seconds, cut, before)
    return list(zip(requests, ones, others, strict=True))


@pytest.fixture(scope="module", params=WAYS)
def planes(request: pytest.FixtureRequest) -> Iterator[tuple[Plane, Plane]]:
    """Both ways, each with a table of its own in which the same child is known."""
    one, other = WAYS[request.param]
    with running_plane(*one) as first, running_plane(*other) as second:
        for plane in (first, second):
            plane.custodian.add_to(KNOWN, authority=1, until=None, answer_until=NO_DAY)
            plane.ready()
        yield first, second


def given(token: bytes) -> Given:
    return Given(token, ACCESS_TOKEN, "0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5d", KID)


def usual(token: bytes) -> bytes:
    """A lookup as it is usually sent."""
    return CASES["POST /v1/lookup"](given(token))


@pytest.mark.parametrize("token", [KNOWN, UNKNOWN], ids=["known", "unknown"])
def test_every_case_is_seen_alike(planes: tuple[Plane, Plane], token: bytes) -> None:
    about = given(token)
    requests = [(name, build(about)) for name, build in CASES.items()]

    assert list(disagreements(planes, requests)) == []


@pytest.mark.parametrize("cut", [0.2, 0.55, 0.9])
def test_so_is_what_comes_in_two_parts(planes: tuple[Plane, Plane], cut: float) -> None:
    """Cut in its head, somewhere about the end of that, and in its body."""
    requests = [(name, build(given(UNKNOWN))) for name, build in CASES.items()]

    assert list(disagreements(planes, requests[::2], cut)) == []


@pytest.mark.parametrize("cut", [1, 0.55, 0.9])
def test_so_is_what_follows_a_lookup(planes: tuple[Plane, Plane], cut: float) -> None:
    """On its connection, where the head of another one like it is recognized by its bytes."""
    requests = [(name, build(given(KNOWN))) for name, build in CASES.items()]
    wanted = requests if cut == 1 else requests[1::4]

    assert list(disagreements(planes, wanted, cut, usual(UNKNOWN))) == []


@pytest.mark.parametrize("before", [b"", usual(UNKNOWN)], ids=["first", "after a lookup"])
def test_what_is_damaged_is_seen_alike(planes: tuple[Plane, Plane], before: bytes) -> None:
    """Seeded, so that what is green stays green; `make soak` looks further."""
    mutants = make_mutants(given(KNOWN), MUTANTS, seed=3)

    assert list(disagreements(planes, mutants, before=before)) == []


def test_the_cases_reach_every_answer(planes: tuple[Plane, Plane]) -> None:
    """A corpus that is refused at the door would agree on everything."""
    about = given(KNOWN)
    statuses: set[bytes] = set()
    for some in batched(CASES.values(), AT_ONCE):
        for seen in see(planes, [build(about) for build in some], QUIET_SECONDS)[0]:
            statuses |= {answer[9:12] for answer in seen.answers}

    assert {b"100", b"200", b"204", b"400", b"401", b"404", b"405", b"411"} <= statuses
    assert {b"413", b"415", b"422", b"431"} <= statuses
    assert b"500" not in statuses


def test_a_difference_would_be_seen(planes: tuple[Plane, Plane]) -> None:
    """Told apart: an outcome, a length, a header, and a request that ends elsewhere."""
    build = CASES["POST /v1/lookup"]
    [known], _ = see(planes, [build(given(KNOWN))], QUIET_SECONDS)
    [unknown], _ = see(planes, [build(given(UNKNOWN))], QUIET_SECONDS)
    [half], _ = see(planes, [CASES["all but the last byte"](given(KNOWN))], QUIET_SECONDS)
    [closed], _ = see(planes, [CASES["Connection 0 b'close'"](given(KNOWN))], QUIET_SECONDS)

    assert len({known, unknown, half, closed}) == 4
    assert known.open
    assert not closed.open
    assert known.probed != half.probed
