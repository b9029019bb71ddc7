"""A1, the outsider on the network: others are served meanwhile, and memory is bounded.

Against the worker's own process, with its own limits. How long others waited is reported by
`pytest -rP`, not asserted: on a shared machine it would measure the neighbours.
"""

import contextlib
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.lookup.raw_http import WAIT, Connection, wait_until
from tests.lookup.worker.plane import Plane, make_batch, make_body, make_request, running_plane

ROOT = Path(__file__).parents[2]
MEGABYTE = 1 << 20
KNOWN = b"k" * 32
LOOKUP = make_request(make_body(KNOWN))
Report = Callable[[str, object], None]


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Call it with a name and a figure."""

    def say(name: str, figure: object) -> None:
        request.node.add_report_section("call", "measured", f"{name} {figure}")

    return say


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """One worker for all attacks: what one of them leaves behind is the next one's trouble."""
    with running_plane() as running:
        running.custodian.add_to(KNOWN)
        running.ready()
        for _ in range(200):  # what it allocates once is no growth
            running.ask(LOOKUP)
        yield running


def resident(plane: Plane) -> int:
    """The worker's resident memory, in bytes."""
    pages = int(Path(f"/proc/{plane.worker.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Others:
    """Honest clients: one with a connection of its own, one that comes anew each time."""

    def __init__(self, plane: Plane) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._plane = plane
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _ask_on(self) -> None:
        with self._plane.connect() as kept:
            while not self._enough.wait(0.02):
                try:
                    self._ask(kept)
                    with self._plane.connect() as anew:
                        self._ask(anew)
                except (OSError, EOFError) as error:
                    self.failures.append(type(error).__name__)
                    return

    def _ask(self, connection: Connection) -> None:
        began = time.monotonic()
        connection.send(LOOKUP)
        outcome = connection.receive().json.get("outcome")
        self.seconds.append(time.monotonic() - began)
        if outcome != "known":
            self.failures.append(outcome)


@contextlib.contextmanager
def others_are_served(plane: Plane, report: Report, growth: int) -> Iterator[None]:
    """Run an attack; assert that each of the others got an answer, and how much memory it took."""
    before = resident(plane)
    with Others(plane) as others:
        yield
        after = resident(plane)
        wait_until(lambda: len(others.seconds) >= 4 or bool(others.failures))
    assert others.failures == []
    waited = sorted(others.seconds)
    report("answers", len(waited))
    report("median_ms", round(1e3 * waited[len(waited) // 2], 1))
    report("worst_ms", round(1e3 * waited[-1], 1))
    report("growth_mb", round((after - before) / MEGABYTE, 1))
    assert after - before < growth
    assert plane.worker.poll() is None


class TestSlow:
    """Who sends as slowly as it can."""

    COUNT = 100

    def test_heads_and_bodies_by_the_byte(self, plane: Plane, report: Report) -> None:
        """Every byte that comes does not buy more time: 5 s for a head, 10 s for a body."""
        beginnings = (LOOKUP[:20], LOOKUP[:-100], self._chunked())
        with contextlib.ExitStack() as stack:
            slow = [
                (stack.enter_context(plane.connect()).socket, beginning)
                for beginning in beginnings
                for _ in range(self.COUNT)
            ]
            with others_are_served(plane, report, 32 * MEGABYTE):
                for connected, beginning in slow:
                    connected.sendall(beginning)
                began = time.monotonic()
                left = [connected for connected, _ in slow]
                while left and time.monotonic() - began < 14:
                    time.sleep(0.25)
                    left = [connected for connected in left if _trickle(connected)]
        report("all_closed_after_s", round(time.monotonic() - began, 1))
        assert left == []

    @staticmethod
    def _chunked() -> bytes:
        head = make_request(b"", content_length=None, transfer_encoding="chunked")
        return head + b"1\r\n{\r\n"


def _trickle(connected: socket.socket) -> bool:
    """Send one more byte; False once the other side has closed."""
    try:
        connected.sendall(b"1")
    except OSError:
        return False
    return True


def _pipelined() -> bytes:
    return b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 1_500


FLOODS: dict[str, tuple[bytes, bytes]] = {
    # what is sent first, and what then, as long as it is taken
    "a head that never ends": (LOOKUP[:-400], b"X-Y: " + b"z" * 8_000 + b"\r\n"),
    "one field that never ends": (LOOKUP[:20], b"z" * 60_000),
    "a first line that never ends": (b"POST /", b"z" * 60_000),
    "tiny fields": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a:b\r\n" * 10_000),
    "a body without a credential": (
        make_request(b"", authorization=None, content_length=str(1 << 40)),
        b"z" * 60_000,
    ),
    "a body of a client": (make_request(b"", content_length=str(1 << 40)), b"z" * 60_000),
    "chunks of one byte": (TestSlow._chunked(), b"1\r\n \r\n" * 10_000),
    "a chunk's endless extension": (TestSlow._chunked(), b"1;" + b"z" * 60_000),
    "wrong secrets": (b"", make_request(make_body(KNOWN), authorization="Bearer x") * 60),
    "malformed requests": (b"", b"\x16\x03\x01 NONSENSE \xff\r\n\r\n" * 100),
    "broken json": (b"", make_request(b'{"user":' * 400) * 60),
    "pipelined without end": (b"", _pipelined()),
    "empty lines": (b"", b"\r\n" * 30_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(plane: Plane, report: Report, name: str) -> None:
    """As fast as one machine can, over new connections each time they are closed."""
    first, then = FLOODS[name]
    port = str(plane.address[1])
    command = [sys.executable, "-m", "tests.attacks.flood", port, str(len(first)), "0.5"]
    with others_are_served(plane, report, 48 * MEGABYTE):
        done = subprocess.run(
            command, input=first + then, stdout=subprocess.PIPE, check=True, timeout=30, cwd=ROOT
        )
    report("connections", int(done.stdout))


def test_clients_that_never_read(plane: Plane, report: Report) -> None:
    """Each asks for thirty times a quarter of a megabyte, and leaves it where it is."""
    batch = make_request(make_batch([KNOWN] * 1_000), "/v1/lookups")
    begun = plane.passes.entered()
    with contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(plane.connect(receive_buffer=2_048)) for _ in range(25)]
        with others_are_served(plane, report, 64 * MEGABYTE):
            for connection in deaf:
                connection.socket.settimeout(0)
                with contextlib.suppress(OSError):
                    for _ in range(30):
                        connection.socket.send(batch)
            wait_until(lambda: plane.passes.entered() >= begun + 2 * len(deaf))
            wait_until(lambda: plane.passes.left() == plane.passes.entered())
            wait_until(lambda: all(each.closed_by_peer(0.01) for each in deaf))


def test_ten_thousand_idle_connections(report: Report) -> None:
    """A process holds them, and still answers; what one of them costs is reported."""
    count, room = 10_000, 16_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < room + 100:
        pytest.skip(f"this machine allows a process {hard} open files, and {room + 100} are needed")
    with running_plane("--max-connections", str(room)) as plane:
        plane.custodian.add_to(KNOWN)
        plane.ready()
        plane.ask(LOOKUP)
        before = resident(plane)
        command = [sys.executable, "-m", "tests.attacks.crowd", str(plane.address[1]), str(count)]
        with others_are_served(plane, report, 400 * MEGABYTE):
            crowd = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            with crowd:
                assert crowd.stdout is not None
                assert int(crowd.stdout.readline()) == count
                time.sleep(0.5)
                report("bytes_each", (resident(plane) - before) // count)
                crowd.communicate("")


def test_idle_connections_do_not_keep_others_out(report: Report) -> None:
    """Where all are taken by someone without a credential, they are soon taken back."""
    with running_plane("--max-connections", "60") as plane, contextlib.ExitStack() as stack:
        plane.custodian.add_to(KNOWN)
        plane.ready()
        idle = [stack.enter_context(plane.connect()) for _ in range(60)]
        for connection in idle:
            connection.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.receive().status == 404
        assert plane.ask(LOOKUP).status == 503
        began = time.monotonic()
        wait_until(lambda: plane.ask(LOOKUP).status == 200)
        report("served_after_s", round(time.monotonic() - began, 1))
        assert time.monotonic() - began < WAIT / 2
