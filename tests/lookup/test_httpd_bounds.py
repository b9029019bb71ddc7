"""What nobody may hold: connections, memory, time; with small numbers."""

import contextlib
import resource
import time

import pytest

from tests.lookup.raw_http import Connection, wait_until
from tests.lookup.serving import (
    LARGE,
    assert_problem,
    make_head,
    post,
    running,
)


class TestPatience:
    """Nobody holds a connection by being slow."""

    def test_what_takes_too_long_is_closed(self) -> None:
        """Told why, if anything was asked; the sweeper comes once a second."""
        limits = {"head_seconds": 0.4, "body_seconds": 0.4, "idle_seconds": 0.4}
        half_head = post("/echo", b"x")[:-20]
        half_body = post("/echo", b"body")[:-2]
        with running(**limits) as server, contextlib.ExitStack() as stack:
            silent, head, body, idle, next_head = [
                stack.enter_context(server.connect()) for _ in range(5)
            ]
            head.send(half_head)
            body.send(half_body)
            idle.send(post("/echo", b"x"))
            next_head.send(post("/echo", b"x") + half_head)

            assert idle.receive().status == next_head.receive().status == 200
            assert_problem(head.receive(), 408, "request-timed-out")
            assert_problem(next_head.receive(), 408, "request-timed-out")
            assert_problem(body.receive(), 408, "request-timed-out")
            assert all(each.closed_by_peer() for each in (silent, head, body, idle, next_head))
            wait_until(lambda: not server.connections)
            assert server.app.disconnects == 1

    def test_a_steady_body_may_take_its_time_where_that_is_allowed(self) -> None:
        """An import streams for hours; only a silence ends it."""
        with (
            running(body_seconds=None, body_idle_seconds=0.8) as server,
            server.connect() as steady,
            server.connect() as stopping,
        ):
            for connection in (steady, stopping):
                connection.send(post("/echo", b"x" * 10)[:-10])
            for _ in range(10):
                steady.send(b"x")
                time.sleep(0.25)
            assert steady.receive().body == b"x" * 10
            assert_problem(stopping.receive(), 408, "request-timed-out")

    def test_work_is_not_a_silence(self) -> None:
        """While a request is worked on its client may rightly wait."""
        limits = {"head_seconds": 0.2, "body_seconds": 0.2, "idle_seconds": 0.2}
        with running(**limits) as server, server.connect() as connection:
            connection.send(post("/wait"))
            time.sleep(1.3)
            server.app.release.set()
            assert connection.receive().body == b"waited"


class TestConnections:
    """So many, and no more."""

    def test_a_surplus_connection_is_told(self) -> None:
        with running(max_connections=2) as server, contextlib.ExitStack() as stack:
            first, second, surplus = [stack.enter_context(server.connect()) for _ in range(3)]
            wait_until(lambda: len(server.connections) == 3)
            surplus.send(post("/echo", b"x"))
            assert_problem(surplus.receive(), 503, "too-many-connections")
            assert surplus.closed_by_peer()
            for each in (first, second):
                each.send(post("/echo", b"x"))
                assert each.receive().status == 200

    def test_far_too_many_are_not(self) -> None:
        with running(max_connections=2) as server, contextlib.ExitStack() as stack:
            many = [stack.enter_context(server.connect()) for _ in range(30)]
            assert many[-1].closed_by_peer()
            assert len(server.connections) <= 2 + 16

    def test_the_limit_of_open_files_is_raised(self) -> None:
        with running():
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == hard


def send_for_ever(connection: Connection) -> None:
    while True:
        connection.send(bytes(10_000))


class TestOutput:
    """What a client does not read does not stay here."""

    def test_a_client_that_never_reads_is_disconnected(self) -> None:
        """The next question of that client is not even looked at."""
        with running(unread_seconds=0.2) as server:
            with server.connect(receive_buffer=4096) as connection:
                connection.send(post("/large") + post("/large"))
                wait_until(lambda: server.app.made == 1)
                assert server.app.left == 0
                wait_until(lambda: server.app.left == 1)
            wait_until(lambda: not server.connections)
            assert server.app.made == 1

    def test_also_one_that_asked_to_be_closed(self) -> None:
        with (
            running(unread_seconds=0.2) as server,
            server.connect(receive_buffer=4096) as connection,
        ):
            connection.send(post("/large", b"", "Connection: close"))
            wait_until(lambda: server.app.made == 1)
            assert server.app.left == 0
            wait_until(lambda: server.app.left == 1)
            wait_until(lambda: not server.connections)

    def test_a_client_that_reads_is_not(self) -> None:
        with running(unread_seconds=10) as server, server.connect() as connection:
            connection.send(post("/large") * 3)
            assert [len(connection.receive().body) for _ in range(3)] == [LARGE] * 3
            wait_until(lambda: server.app.left == 3)

    def test_a_client_that_leaves_lets_go(self) -> None:
        with running(unread_seconds=60) as server:
            with server.connect(receive_buffer=4096) as connection:
                connection.send(post("/large"))
                wait_until(lambda: server.app.made == 1)
            wait_until(lambda: server.app.left == 1)

    def test_a_refused_body_is_read_only_so_far(self) -> None:
        """Far enough that the refusal is not lost, not for ever."""
        with running(discarded_bytes=100_000) as server:
            with server.connect() as connection:
                connection.send(post("/refuse", bytes(90_000)) + post("/echo", b"next"))
                assert connection.receive().status == 401
                assert connection.receive().body == b"next"
            with server.connect() as connection:
                connection.send(make_head("/refuse", "Content-Length: 100000000"))
                assert connection.receive().status == 401
                with pytest.raises(ConnectionError):
                    send_for_ever(connection)


class TestCrumbs:
    """A body costs what its bytes cost, not what its pieces do."""

    HEAD = make_head("/echo", "Transfer-Encoding: chunked")

    def test_a_body_in_crumbs_is_refused(self) -> None:
        """By itself, a byte a chunk keeps a process busy ten times as long as whole requests do."""
        with running() as server:
            response = server.ask(self.HEAD + b"1\r\nx\r\n" * 1_100)
            assert_problem(response, 400, "invalid-request")
            assert server.app.bodies == []

    def test_many_small_pieces_are_not_crumbs(self) -> None:
        """Imports come by the line, and small bodies as the network has cut them."""
        with running() as server:
            lines = b"28\r\n" + bytes(40) + b"\r\n"
            assert server.ask(self.HEAD + lines * 3_000 + b"0\r\n\r\n").body == bytes(120_000)
            crumbs = b"1\r\nx\r\n" * 900
            assert server.ask(self.HEAD + crumbs + b"0\r\n\r\n").body == b"x" * 900

    @pytest.mark.parametrize("between", [b"5;" + b"x" * 40_000, b"0" * 40_000])
    def test_what_stands_between_chunks_is_bounded(self, between: bytes) -> None:
        """Counted from one reading of the socket to the next."""
        with running() as server, server.connect() as connection:
            connection.send(self.HEAD + b"1\r\nx\r\n")
            time.sleep(0.05)
            connection.send(between)
            assert_problem(connection.receive(), 400, "invalid-request")
            assert server.app.bodies == []

    def test_large_chunks_are_taken(self) -> None:
        with running() as server:
            chunk = b"%x;a=b\r\n%b\r\n" % (300_000, bytes(300_000))
            assert len(server.ask(self.HEAD + chunk * 2 + b"0\r\n\r\n").body) == 600_000


class TestStopping:
    """What was asked is answered, within a time."""

    def test_answers_that_are_owed_are_given(self) -> None:
        with running() as server:
            with server.connect() as waiting, server.connect() as idle:
                idle.send(post("/echo", b"x"))
                assert idle.receive().status == 200
                waiting.send(post("/wait"))
                time.sleep(0.05)
                server.stop()
                assert idle.closed_by_peer()
                server.app.release.set()
                assert waiting.receive().headers["connection"] == "close"
                assert waiting.closed_by_peer()
            server.join()

    def test_but_not_waited_for_for_ever(self) -> None:
        with running(drain_seconds=1) as server, server.connect() as connection:
            connection.send(post("/stuck"))
            time.sleep(0.05)
            server.stop()
            assert_problem(connection.receive(), 503, "unavailable")
            server.join()
