"""deploy/nginx.conf with the real nginx: it adds TLS, and takes nothing away."""

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import find_tool
from tests.lookup.cli.commanding import free_port
from tests.lookup.client.certificates import CertificateAuthority, make_certificate_authority
from tests.lookup.raw_http import Connection, Response, wait_until
from tests.lookup.worker.plane import Plane, make_batch, make_body, make_request, running_plane

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
# What every hop says for itself (RFC 9110, section 7.6).
HOP = {"connection", "date", "server", "keep-alive"}
AROUND = """\
daemon off;
master_process off;
pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/lacuna.conf;
}}
"""


@dataclass
class Proxy:
    """A running nginx."""

    folder: Path
    authority: CertificateAuthority
    port: int

    def connect(self) -> Connection:
        connection = Connection(("127.0.0.1", self.port))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.authority.file)
        connection.socket = context.wrap_socket(connection.socket, server_hostname="127.0.0.1")
        return connection

    def ask(self, request: bytes) -> Response:
        with self.connect() as connection:
            connection.send(request)
            return connection.receive(head_only=request.startswith(b"HEAD "))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def spooled(self) -> str:
        """Bodies that were written to a file: nginx warns of each; the file itself is unlinked."""
        return "\n".join(line for line in self.log.splitlines() if "temporary file" in line)


@contextlib.contextmanager
def proxying(folder: Path, upstream: int, **changes: str) -> Iterator[Proxy]:
    """Run nginx with the configuration as it is shipped, but for places, and for the changes."""
    # Debian keeps it where only root's PATH looks.
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or find_tool("nginx")
    authority = make_certificate_authority(folder)
    pem = authority.issue("proxy")
    proxy = Proxy(folder, authority, free_port())
    text = CONFIGURATION.read_text()
    for old, new in {
        "127.0.0.1:8440 max_fails": f"127.0.0.1:{upstream} max_fails",
        "listen 443": f"listen 127.0.0.1:{proxy.port}",
        "/etc/lacuna/site.pem": str(pem),
        "/etc/lacuna/site.key": str(pem),
        "/var/log/nginx/lacuna.log crit": f"{folder}/log info",
        **changes,
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "lacuna.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [nginx, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        wait_until(lambda: process.poll() is not None or _listens(proxy.port))
        assert process.poll() is None, (folder / "stderr").read_text()
        yield proxy
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with running_plane() as running:
        running.custodian.add_to(b"k" * 32)
        yield running.ready()


@pytest.fixture(scope="module")
def proxy(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxying(tmp_path_factory.mktemp("nginx"), plane.address[1]) as running:
        yield running


LARGE = [os.urandom(32) for _ in range(1_000)]
SAME_ID = {"x_request_id": str(uuid4())}
REQUESTS = {
    "known": make_request(make_body(b"k" * 32), **SAME_ID),
    "no record": make_request(make_body(b"?" * 32), **SAME_ID),
    "a batch": make_request(make_batch([b"k" * 32, b"?" * 32]), "/v1/lookups", **SAME_ID),
    "the largest batch": make_request(make_batch(LARGE), "/v1/lookups", **SAME_ID),
    "unauthorized": make_request(make_body(b"k" * 32), authorization="Bearer x", **SAME_ID),
    "another media type": make_request(make_body(b"k" * 32), content_type="text/json", **SAME_ID),
    "another kid": make_request(make_body(b"k" * 32, kid="k" * 16), **SAME_ID),
    "no json": make_request(b"{", **SAME_ID),
    "too large": make_request(make_body(b"k" * 32).ljust(5_000), **SAME_ID),
    "a query": make_request(make_body(b"k" * 32), "/v1/lookup?x=1", **SAME_ID),
    "no such path": make_request(b"{}", "/v1/nothing", **SAME_ID),
    "an escaped path": make_request(make_body(b"k" * 32), "/v1/%6cookup", **SAME_ID),
    "dots in the path": make_request(make_body(b"k" * 32), "/v1/x/../lookup", **SAME_ID),
    "get": make_request(b"", method="GET", **SAME_ID),
    "options": make_request(b"", method="OPTIONS", **SAME_ID),
    "a head request": make_request(b"", "/health/live", method="HEAD", **SAME_ID),
    "health": make_request(b"", "/health/ready", method="GET", **SAME_ID),
    "asking for gzip": make_request(make_body(b"?" * 32), accept_encoding="gzip", **SAME_ID),
}


def comparable(response: Response) -> tuple[int, dict[str, str], bytes]:
    """All but what each hop says for itself; the padding by its length."""
    fields = {name: value for name, value in response.headers.items() if name not in HOP}
    mask = re.compile(rb'"padding":"([^"]*)"')
    body = mask.sub(lambda found: b'"padding":%d' % len(found[1]), response.body)
    return response.status, fields, body


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_is_the_same_through_nginx(plane: Plane, proxy: Proxy, name: str) -> None:
    """Status, header fields, body, and so its length."""
    request = REQUESTS[name]
    assert comparable(proxy.ask(request)) == comparable(plane.ask(request))


def test_connections_are_kept_on_both_sides(plane: Plane, proxy: Proxy) -> None:
    with proxy.connect() as connection:
        for _ in range(50):
            connection.send(REQUESTS["no record"])
            assert connection.receive().status == 200
    descriptors = Path(f"/proc/{plane.worker.pid}/fd")
    assert len(list(descriptors.iterdir())) < 40


def test_no_body_is_written_to_a_file(proxy: Proxy) -> None:
    """Not the largest question, sent slowly or in chunks, nor its answer, read slowly."""
    request = REQUESTS["the largest batch"]
    with proxy.connect() as connection:
        for at in range(0, len(request), 9_000):
            connection.send(request[at : at + 9_000])
        assert connection.receive().status == 200
        head, _, body = request.partition(b"\r\n\r\n")
        head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head)
        connection.send(head + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert connection.receive().status == 200
    assert proxy.spooled == ""


def test_where_it_would_be_it_would_be_seen(plane: Plane, tmp_path: Path) -> None:
    """A smaller buffer, and the test above would fail."""
    smaller = {"client_body_buffer_size 160k": "client_body_buffer_size 8k"}
    with proxying(tmp_path, plane.address[1], **smaller) as proxy:
        assert proxy.ask(REQUESTS["the largest batch"]).status == 200
        assert "client request body is buffered to a temporary file" in proxy.spooled


@dataclass
class Careless:
    """An upstream that takes requests; it answers the first few, then closes without a word."""

    answers: int
    taken: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self.listening.accept()
            except OSError:
                return
            with connected:
                self._serve(connected)

    def _serve(self, connected: socket.socket) -> None:
        while data := connected.recv(65_536):
            self.taken.append(data)
            if len(self.taken) > self.answers:
                return
            connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.parametrize("answers", [0, 1, 3])
def test_a_question_is_never_sent_twice(tmp_path: Path, answers: int) -> None:
    """Also where the connection was a kept one, which nginx by itself would try again."""
    upstream = Careless(answers)
    more = f"server 127.0.0.1:{upstream.port};\n    keepalive 64"
    with (
        contextlib.closing(upstream.listening),
        proxying(tmp_path, upstream.port, **{"keepalive 64": more}) as proxy,
        proxy.connect() as connection,
    ):
        for _ in range(answers):
            connection.send(REQUESTS["no record"])
            assert connection.receive().status == 200
        connection.send(REQUESTS["no record"])
        response = connection.receive()

        assert response.status == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "1"
        assert response.json["outcome"] == "could-not-check"
        assert len(upstream.taken) == answers + 1


def test_where_it_would_be_that_would_be_seen(tmp_path: Path) -> None:
    """Told to try again, nginx does."""
    upstream = Careless(0)
    again = {
        "proxy_next_upstream off": "proxy_next_upstream error non_idempotent",
        "keepalive 64": f"server 127.0.0.1:{upstream.port};\n    keepalive 64",
    }
    with (
        contextlib.closing(upstream.listening),
        proxying(tmp_path, upstream.port, **again) as proxy,
    ):
        assert proxy.ask(REQUESTS["no record"]).status == 503
        assert len(upstream.taken) == 2


def test_without_a_worker_it_could_not_check(tmp_path: Path) -> None:
    with proxying(tmp_path, free_port()) as proxy:
        response = proxy.ask(REQUESTS["no record"])
        assert response.status == 503
        assert response.json["outcome"] == "could-not-check"


def test_as_it_is_shipped_it_logs_no_request(plane: Plane, tmp_path: Path) -> None:
    """Tokens in a URL are the caller's mistake, and stay in no log for it."""
    shipped = {f"{tmp_path}/log info": f"{tmp_path}/log crit"}
    with proxying(tmp_path, plane.address[1], **shipped) as proxy:
        proxy.ask(make_request(b"{}", "/v1/lookup?token=QUITE-A-MARKER"))
        proxy.ask(make_request(b"{}", "/QUITE-A-MARKER"))
        proxy.ask(make_request(bytes(200_000), "/QUITE-A-MARKER"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if b"QUITE-A-MARKER" in path.read_bytes()] == []
