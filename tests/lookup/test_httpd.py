"""What is said over both planes' HTTP, by the byte."""

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup.httpd import BoundedProtocol, Limits
from tests.lookup.raw_http import wait_until
from tests.lookup.serving import (
    MARKER,
    REQUEST_ID,
    App,
    Running,
    assert_problem,
    make_head,
    post,
    running,
)


@pytest.fixture(scope="module")
def site() -> Iterator[Running]:
    """One server with the usual bounds, for whatever does not need its own."""
    with running() as server:
        yield server


class TestAnswers:
    """What a well-behaved client sees."""

    def test_an_answer_says_when_but_not_by_what(self, site: Running) -> None:
        response = site.ask(post("/echo", b"hello"))

        assert (response.status, response.body) == (200, b"hello")
        assert "date" in response.headers
        assert "server" not in response.headers

    def test_asgi_answers_work_as_ever(self, site: Running) -> None:
        assert site.ask(make_head("/plain", method="GET")).body == b"plain"

    def test_connections_are_kept(self, site: Running) -> None:
        with site.connect() as connection:
            for body in (b"one", b"", b"two", bytes(200_000)):
                connection.send(post("/echo", body))
                assert connection.receive().body == body

    def test_a_byte_at_a_time(self, site: Running) -> None:
        with site.connect() as connection:
            for byte in post("/echo", b"slow"):
                connection.send(bytes([byte]))
            assert connection.receive().body == b"slow"

    def test_chunks_are_taken(self, site: Running) -> None:
        head = make_head("/echo", "Transfer-Encoding: chunked")
        assert site.ask(head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").body == b"abc"

    def test_continue_is_said_only_when_the_body_is_wanted(self, site: Running) -> None:
        wanted = make_head("/echo", "Content-Length: 2", "Expect: 100-continue")
        with site.connect() as connection:
            connection.send(wanted)
            assert connection.receive().status == 100
            connection.send(b"ok")
            assert connection.receive().body == b"ok"
            connection.send(make_head("/refuse", "Content-Length: 2", "Expect: 100-continue"))
            assert connection.receive().status == 401

    def test_close_is_honoured(self, site: Running) -> None:
        with site.connect() as connection:
            connection.send(post("/echo", b"x", "Connection: close"))
            assert connection.receive().headers["connection"] == "close"
            assert connection.closed_by_peer()

    def test_head_has_no_body(self, site: Running) -> None:
        with site.connect() as connection:
            connection.send(make_head("/refuse", method="HEAD"))
            assert connection.receive(head_only=True).status == 401
            connection.send(post("/echo", b"in step"))
            assert connection.receive().body == b"in step"

    def test_tcp_and_unix_together(self, tmp_path: Path) -> None:
        """An app can tell the local socket by its missing port."""
        local = socket.socket(socket.AF_UNIX)
        local.bind(str(tmp_path / "s"))
        server = Running(App(), [socket.create_server(("127.0.0.1", 0)), local], Limits())
        try:
            assert server.ask(post("/echo", b"tcp")).body == b"tcp"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "s"))
                client.sendall(post("/echo", b"unix", "Connection: close"))
                assert client.makefile("rb").read().endswith(b"unix")
            assert [each[1] is None for each in server.app.servers] == [False, True]
        finally:
            server.stop()
            server.join()


class TestErrors:
    """Every failure is a problem; none is told as another."""

    def test_what_an_app_refuses_is_told_and_the_connection_kept(self, site: Running) -> None:
        with site.connect() as connection:
            connection.send(post("/refuse", b"unread"))
            response = connection.receive()
            assert_problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
            connection.send(post("/echo", b"go on"))
            assert connection.receive().body == b"go on"

    def test_what_is_refused_while_answering(self) -> None:
        with running() as server:
            assert_problem(server.ask(post("/refuse_late")), 503, "index-stale")
            assert server.app.left == 1

    @pytest.mark.parametrize("path", ["/defect", "/silent"])
    def test_a_defect_is_ours(
        self, site: Running, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """500, closed, and logged by type and place alone."""
        with site.connect() as connection:
            connection.send(post(path))
            assert_problem(connection.receive(), 500, "internal-error")
            assert connection.closed_by_peer()
        assert len(caplog.records) == 1
        assert MARKER not in caplog.text

    def test_half_an_answer_does_not_pass_for_one(
        self, site: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        with site.connect() as connection:
            connection.send(make_head("/half", method="GET"))
            with pytest.raises((EOFError, ConnectionResetError)):
                connection.receive()
        assert MARKER not in caplog.text

    def test_a_defect_while_parsing_is_not_the_callers_mistake(
        self, site: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """By itself, uvicorn would say 400."""

        def fail(*_: object) -> None:
            raise KeyError(MARKER)

        monkeypatch.setattr(BoundedProtocol, "_make_scope", fail)
        assert_problem(site.ask(post("/echo", b"x")), 500, "internal-error")
        assert "KeyError" in caplog.text
        assert MARKER not in caplog.text

    def test_a_defect_in_the_loop_is_logged_without_its_words(
        self, site: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise KeyError(MARKER)

        monkeypatch.setattr(BoundedProtocol, "eof_received", fail)
        with site.connect() as connection:
            connection.send(post("/echo", b"x"))
            connection.receive()
            connection.socket.shutdown(socket.SHUT_WR)
            wait_until(lambda: "KeyError" in caplog.text)
        assert MARKER not in caplog.text

    @pytest.mark.parametrize("sent", ["not-a-uuid", MARKER, f"{REQUEST_ID}x", "0" * 32])
    def test_only_a_uuid_is_mirrored(self, site: Running, sent: str) -> None:
        request = post("/refuse").replace(REQUEST_ID.encode(), sent.encode())
        assert_problem(site.ask(request), 401, "unauthorized", mirrored=False)

    def test_of_two_request_ids_none_is_mirrored(self, site: Running) -> None:
        request = post("/refuse", b"", f"X-Request-ID: {REQUEST_ID}")
        assert_problem(site.ask(request), 401, "unauthorized", mirrored=False)


def chunked(rest: bytes) -> bytes:
    return make_head("/echo", "Transfer-Encoding: chunked") + rest


BROKEN = {
    "no http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, False),
    "http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, False),
    "http/9": (b"GET /echo HTTP/9.0\r\n\r\n", 400, False),
    "unknown method": (make_head("/echo", method="BREW"), 400, False),
    "lower-case method": (make_head("/echo", method="post"), 400, False),
    "bare line feeds": (post("/echo").replace(b"\r\n", b"\n"), 400, False),
    "space before a colon": (post("/echo", b"", "A : b"), 400, True),
    "folded header": (post("/echo", b"", "A: b\r\n c"), 400, True),
    "null in a header": (post("/echo", b"", "A: b\0"), 400, True),
    "no host": (post("/echo").replace(b"Host: site.test\r\n", b""), 400, True),
    "two hosts": (post("/echo", b"", "Host: other.test"), 400, True),
    "target with a space": (make_head("/ec ho"), 400, False),
    "target is no path": (make_head("echo"), 400, False),
    "target beyond ascii": (make_head("/échø"), 400, False),
    "connect": (make_head("site.test:80", method="CONNECT"), 400, True),
    "upgrade": (post("/echo", b"", "Connection: Upgrade", "Upgrade: h2c"), 400, True),
    "two lengths": (post("/echo", b"ab", "Content-Length: 3"), 400, True),
    "negative length": (make_head("/echo", "Content-Length: -1"), 400, True),
    "length in words": (make_head("/echo", "Content-Length: two"), 400, True),
    "endless length": (make_head("/echo", f"Content-Length: {'9' * 40}"), 400, True),
    "length and chunks": (post("/echo", b"ab", "Transfer-Encoding: chunked"), 400, True),
    "unknown coding": (make_head("/echo", "Transfer-Encoding: gzip"), 400, True),
    "no chunk": (chunked(b"zz\r\n"), 400, True),
    "chunk too long": (chunked(b"1\r\nab\r\n"), 400, True),
    "trailers": (chunked(b"0\r\nAuthorization: x\r\n\r\n"), 400, True),
    "one large header": (post("/echo", b"", f"A: {'a' * 17_000}"), 431, True),
    "large target": (make_head(f"/{'a' * 17_000}"), 431, False),
    "many small headers": (post("/echo", b"", *["A: b"] * 100), 431, True),
    "endless header": (make_head("/echo")[:-2] + b"A: " + b"a" * 300_000, 431, True),
    "endless target": (b"GET /" + b"a" * 300_000, 431, False),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_request_is_refused(site: Running, name: str) -> None:
    """As a problem, and the connection ends: where the next request begins is unknown."""
    data, status, mirrored = BROKEN[name]
    problem = {400: "invalid-request", 431: "headers-too-large"}[status]
    with site.connect() as connection:
        for start in range(0, len(data), 40_000):  # more than the kernel's buffers is not read
            with contextlib.suppress(ConnectionError):
                connection.send(data[start : start + 40_000])
                time.sleep(0.001)
        assert_problem(connection.receive(), status, problem, mirrored=mirrored)
        assert connection.closed_by_peer()


def test_a_head_of_the_largest_size_is_taken(site: Running) -> None:
    assert site.ask(post("/echo", b"x", f"A: {'a' * 15_000}")).status == 200


class TestPipelining:
    """Answers come in the order of the questions: one child's is never taken for another's."""

    def test_order_is_kept(self) -> None:
        with running() as server, server.connect() as connection:
            connection.send(post("/wait") + post("/echo", b"second") + post("/refuse"))
            connection.send(post("/echo", b"fourth"))
            time.sleep(0.05)
            server.app.release.set()
            received = [connection.receive() for _ in range(4)]

        assert [each.status for each in received] == [200, 200, 401, 200]
        assert [received[n].body for n in (0, 1, 3)] == [b"waited", b"second", b"fourth"]

    def test_nonsense_is_answered_after_what_was_asked_before(self) -> None:
        with running() as server, server.connect() as connection:
            connection.send(post("/wait") + post("/echo", b"second") + b"nonsense\r\n\r\n")
            time.sleep(0.05)
            server.app.release.set()
            assert connection.receive().body == b"waited"
            assert connection.receive().body == b"second"
            assert_problem(connection.receive(), 400, "invalid-request", mirrored=False)
            assert connection.closed_by_peer()

    def test_a_broken_body_is_answered_in_its_turn(self) -> None:
        with running() as server, server.connect() as connection:
            connection.send(post("/wait") + chunked(b"zz\r\n"))
            time.sleep(0.05)
            server.app.release.set()
            assert connection.receive().body == b"waited"
            assert_problem(connection.receive(), 400, "invalid-request")
            assert connection.closed_by_peer()

    def test_the_queue_is_bounded(self) -> None:
        with running(pipelined=8) as server, server.connect() as connection:
            connection.send(post("/wait") + post("/echo", b"x") * 100)
            time.sleep(0.05)
            server.app.release.set()
            statuses = [connection.receive().status for _ in range(10)]
            assert statuses == [200] * 9 + [400]
            assert connection.closed_by_peer()

    def test_who_leaves_is_not_waited_for(self) -> None:
        """Also when a later request of the same connection is queued already."""
        with running() as server:
            with server.connect() as connection:
                connection.send(post("/wait") + post("/echo", b"never"))
                time.sleep(0.05)
            wait_until(lambda: server.app.disconnects == 1)
            wait_until(lambda: not server.connections)
            assert server.app.made == 0


def test_uvicorn_logs_no_requests(site: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        site.ask(post("/echo", b"x"))
        site.ask(b"nonsense\r\n\r\n")
    assert [record for record in caplog.records if record.name != "asyncio"] == []
