"""nginx with a fixed answer: what HTTP alone costs, and so the floor of every server.

One worker process. It reads the very requests that Lacuna gets, mirrors their X-Request-ID, and
answers with as many bytes as Lacuna does, from a buffer: no file, no log, no authentication.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.peers.process import HOST, Peer, free_port, require_program, running
from lookup.config import Address
from lookup.wire import ANSWER_SIZE

NAME: Final = "nginx, fixed body"

_CONFIG: Final = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    server_tokens off;
    server {{
        listen {address};
        location / {{
            default_type application/json;
            add_header cache-control "no-store, no-transform";
            add_header x-request-id $http_x_request_id;
            return 200 "{body}";
        }}
    }}
}}
"""


def make_config(folder: Path, address: Address) -> str:
    """Return the configuration: one location, whose body is as long as an answer."""
    body = b64encode(bytes(ANSWER_SIZE)).decode()[:ANSWER_SIZE]
    return _CONFIG.format(folder=folder, address=address, body=body)


@contextmanager
def nginx(folder: Path, cpu: int, calls: Sequence[bytes]) -> Iterator[Peer]:
    """Run nginx. Raises PeerMissing."""
    program = require_program("nginx", "nginx")
    folder.mkdir()
    address, config = Address(HOST, free_port()), folder / "nginx.conf"
    config.write_text(make_config(folder, address))
    command = (program, "-p", folder, "-e", "stderr", "-c", config)
    with running(command, folder / "log", cpu=cpu, ready=address) as process:
        yield Peer(NAME, address, (process.pid,), tuple(calls))
