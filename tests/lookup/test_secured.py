"""TLS keeps every promise that the bounded protocol makes without it."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lookup.secured import Secured
from lookup.tls import TlsFiles, make_server_context
from tests.lookup.client.certificates import (
    CertificateAuthority,
    fingerprint,
    make_certificate_authority,
)
from tests.lookup.raw_http import WAIT, Connection, wait_until
from tests.lookup.serving import LARGE, App, Running, make_head, post, running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return make_certificate_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def context(authority: CertificateAuthority) -> ssl.SSLContext:
    path = authority.issue("site")
    return make_server_context(TlsFiles(path, path))


@pytest.fixture(scope="module")
def asking(authority: CertificateAuthority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.file)
    return context


@pytest.fixture(scope="module")
def site(context: ssl.SSLContext) -> Iterator[Running]:
    with running(tls=context) as server:
        yield server


Connect = Callable[..., Connection]


@pytest.fixture
def connect(asking: ssl.SSLContext) -> Iterator[Connect]:
    """A connection whose handshake is over."""
    with contextlib.ExitStack() as stack:

        def make(server: Running, **options: int) -> Connection:
            connection = stack.enter_context(server.connect(**options))
            secured = asking.wrap_socket(connection.socket, server_hostname="127.0.0.1")
            connection.socket = secured
            return connection

        yield make


class TestAnswers:
    """What a well-behaved client sees."""

    def test_connections_are_kept(self, site: Running, connect: Connect) -> None:
        connection = connect(site)
        for body in (b"one", b"", b"two", bytes(200_000)):
            connection.send(post("/echo", body))
            assert connection.receive().body == body

    def test_a_byte_at_a_time(self, site: Running, connect: Connect) -> None:
        """A record each."""
        connection = connect(site)
        for byte in post("/echo", b"slow"):
            connection.send(bytes([byte]))
        assert connection.receive().body == b"slow"

    def test_pipelined(self, site: Running, connect: Connect) -> None:
        """What came in one record with the first question waits for its answer."""
        connection = connect(site)
        connection.send(b"".join(post("/echo", b"%d" % number) for number in range(40)))
        assert [connection.receive().body for _ in range(40)] == [b"%d" % n for n in range(40)]

    def test_the_end_is_said(self, site: Running, connect: Connect) -> None:
        """By TLS: an answer that was cut off on the way cannot be taken for a whole one."""
        connection = connect(site)
        connection.send(make_head("/plain", "Connection: close", method="GET"))
        assert connection.receive().body == b"plain"
        assert connection.socket.recv(1) == b""

    def test_a_client_that_ends_first(self, site: Running, connect: Connect) -> None:
        connection = connect(site)
        connection.send(post("/echo", b"x"))
        assert connection.receive().body == b"x"
        with contextlib.suppress(ssl.SSLError, OSError):
            connection.socket.unwrap()  # type: ignore[attr-defined]  # it is an SSLSocket
        wait_until(lambda: not site.connections)

    def test_what_is_negotiated(self, site: Running, connect: Connect) -> None:
        secured = connect(site).socket
        assert isinstance(secured, ssl.SSLSocket)
        assert secured.version() == "TLSv1.3"
        assert secured.compression() is None
        assert not secured.session_reused

    def test_unix_sockets_are_in_the_clear(
        self, context: ssl.SSLContext, connect: Connect, tmp_path: Path
    ) -> None:
        """They lead to officers' commands on this machine."""
        local = socket.socket(socket.AF_UNIX)
        local.bind(str(tmp_path / "s"))
        with (
            running(tls=context, sockets=[local]) as server,
            socket.socket(socket.AF_UNIX) as client,
        ):
            client.connect(str(tmp_path / "s"))
            client.sendall(post("/echo", b"unix", "Connection: close"))
            assert client.makefile("rb").read().endswith(b"unix")
            connection = connect(server)
            connection.send(post("/echo", b"tcp"))
            assert connection.receive().body == b"tcp"


class TestRefused:
    """Who does not get as far as HTTP."""

    def test_what_is_older_than_1_3(self, site: Running) -> None:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with site.connect() as connection, pytest.raises(ssl.SSLError, match=r"(?i)version"):
            old.wrap_socket(connection.socket)

    @pytest.mark.parametrize(
        "sent", [post("/echo", b"x"), bytes(100), b"\x16\x03\x01\xff\xff" + bytes(70_000)]
    )
    def test_what_is_no_handshake(
        self, site: Running, sent: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Closed without a word in the log, which anyone could fill."""
        with site.connect() as connection:
            with contextlib.suppress(OSError):
                connection.send(sent)
            assert connection.closed_by_peer()
        assert caplog.records == []
        assert not site.connections

    def test_a_record_that_was_changed(self, site: Running, connect: Connect) -> None:
        connection = connect(site)
        raw = socket.socket(fileno=connection.socket.detach())
        raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        connection.socket = raw
        assert connection.closed_by_peer()


class TestBounds:
    """Nobody holds a connection, or memory, by way of TLS."""

    def test_a_handshake_that_takes_too_long(self, context: ssl.SSLContext) -> None:
        with running(tls=context, head_seconds=0.4) as server, contextlib.ExitStack() as stack:
            silent, half = [stack.enter_context(server.connect()) for _ in range(2)]
            half.send(b"\x16\x03\x01\x02\x00\x01")
            assert silent.closed_by_peer()
            assert half.closed_by_peer()

    def test_handshakes_count_as_connections(
        self, context: ssl.SSLContext, connect: Connect
    ) -> None:
        """Before anything is known of them."""
        with running(tls=context, max_connections=2) as server, contextlib.ExitStack() as stack:
            known = connect(server)
            many = [stack.enter_context(server.connect()) for _ in range(40)]
            assert many[-1].closed_by_peer()
            known.send(post("/echo", b"x"))
            assert known.receive().status == 200
            wait_until(lambda: 1 < len(handshaking(server)) <= 2 + 16)

    def test_a_client_that_never_reads_is_disconnected(
        self, context: ssl.SSLContext, connect: Connect
    ) -> None:
        """What is not with the kernel is not *left*: uvloop's TLS would say that it is."""
        with running(tls=context, unread_seconds=0.3) as server:
            connection = connect(server, receive_buffer=4096)
            connection.send(post("/large") + post("/large"))
            wait_until(lambda: server.app.made == 1)
            assert server.app.left == 0
            wait_until(lambda: server.app.left == 1)
            wait_until(lambda: not server.connections)
            assert server.app.made == 1

    def test_a_client_that_reads_is_not(self, context: ssl.SSLContext, connect: Connect) -> None:
        with running(tls=context, unread_seconds=WAIT) as server:
            connection = connect(server)
            connection.send(post("/large") * 2)
            assert [len(connection.receive().body) for _ in range(2)] == [LARGE] * 2
            wait_until(lambda: server.app.left == 2)

    def test_stopping_does_not_wait_for_handshakes(self, context: ssl.SSLContext) -> None:
        with running(tls=context, head_seconds=WAIT) as server, server.connect() as silent:
            wait_until(lambda: len(handshaking(server)) == 1)
            began = time.monotonic()
            server.stop()
            assert silent.closed_by_peer()
            server.join()
            assert time.monotonic() - began < WAIT / 2


def handshaking(server: Running) -> set[Secured]:
    handshakes = server.server._handshakes
    assert handshakes is not None
    return set(handshakes.running)


class TestCertificates:
    """Callers' certificates, where they must show one."""

    @pytest.fixture
    def strict(self, authority: CertificateAuthority) -> ssl.SSLContext:
        path = authority.issue("strict")
        return make_server_context(TlsFiles(path, path, authority.file))

    def test_the_protocol_knows_which_was_shown(
        self, strict: ssl.SSLContext, authority: CertificateAuthority
    ) -> None:
        """Also the app, by its scope."""
        hospital = authority.issue("hospital")
        showing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        showing.load_verify_locations(authority.file)
        showing.load_cert_chain(hospital)
        app = App()
        with running(app, tls=strict) as server, server.connect() as connection:
            connection.socket = showing.wrap_socket(connection.socket, server_hostname="127.0.0.1")
            connection.send(post("/echo", b"x"))
            assert connection.receive().status == 200
            assert [each.certificate for each in server.connections] == [fingerprint(hospital)]
            assert app.certificates == [fingerprint(hospital)]

    def test_none_without_tls_and_none_where_none_is_asked_for(
        self, site: Running, connect: Connect
    ) -> None:
        connection = connect(site)
        connection.send(post("/echo", b"x"))
        assert connection.receive().status == 200
        assert [each.certificate for each in site.connections][-1] is None

    def test_who_shows_none_or_a_wrong_one_gets_no_http(
        self,
        strict: ssl.SSLContext,
        asking: ssl.SSLContext,
        tmp_path: Path,
        authority: CertificateAuthority,
    ) -> None:
        forged = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        forged.load_verify_locations(authority.file)
        forged.load_cert_chain(make_certificate_authority(tmp_path).issue("hospital"))
        app = App()
        with running(app, tls=strict) as server:
            for context in (asking, forged):
                with server.connect() as connection:
                    with contextlib.suppress(OSError):
                        connection.socket = context.wrap_socket(
                            connection.socket, server_hostname="127.0.0.1"
                        )
                        connection.send(post("/echo", b"x"))
                    with pytest.raises((OSError, EOFError)):
                        connection.receive()
            assert app.bodies == []
