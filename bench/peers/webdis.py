"""Redis behind webdis: a hash table over HTTP, without authentication and without audit.

GET of values that are as long as an answer, each under a key as long as a tag in hexadecimal;
persistence is off. Both processes are on the server's CPU, and both are counted.
"""

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.peers.process import HOST, Peer, free_port, require_program, running
from crypto.tag import TAG_SIZE
from lookup.config import Address
from lookup.wire import ANSWER_SIZE

NAME: Final = "webdis + Redis, GET"
_KEYS: Final = 1_000


def make_config(http: Address, redis: Address) -> dict[str, Any]:
    """Return webdis' configuration. One thread: there is one CPU."""
    return {
        "redis_host": redis.host,
        "redis_port": redis.port,
        "redis_auth": None,
        "http_host": http.host,
        "http_port": http.port,
        "threads": 1,
        "pool_size": 8,
        "daemonize": False,
        "websockets": False,
        "database": 0,
        "acl": [{"disabled": ["DEBUG"]}],
        "hiredis": {"keep_alive_sec": 180},
        "verbosity": 0,
        "logfile": "/dev/null",
    }


@contextmanager
def webdis(folder: Path, cpu: int) -> Iterator[Peer]:
    """Run redis-server and webdis. Raises PeerMissing."""
    redis_program = require_program("redis-server", "redis-server")
    webdis_program = require_program("webdis", "webdis")
    folder.mkdir()
    redis, http = Address(HOST, free_port()), Address(HOST, free_port())
    config = folder / "webdis.json"
    config.write_text(json.dumps(make_config(http, redis)))
    redis_command = (
        *(redis_program, "--bind", HOST, "--port", str(redis.port), "--dir", str(folder)),
        *("--save", "", "--appendonly", "no", "--daemonize", "no"),
    )
    with running(redis_command, folder / "redis.log", cpu=cpu, ready=redis) as store:
        keys = [secrets.token_hex(TAG_SIZE) for _ in range(_KEYS)]
        _fill(redis, keys)
        command = (webdis_program, config)
        with running(
            command,
            folder / "webdis.log",
            cpu=cpu,
            ready=http,
            folder=folder,  # it makes a log of its own where it is started, whatever is configured
        ) as front:
            calls = tuple(
                f"GET /GET/{key}.txt HTTP/1.1\r\nHost: {http}\r\n\r\n".encode() for key in keys
            )
            yield Peer(NAME, http, (store.pid, front.pid), calls)


def _fill(redis: Address, keys: list[str]) -> None:
    """Set all values: RESP2, one command after another, and as many answers."""
    value = b"v" * ANSWER_SIZE
    with socket.create_connection((redis.host, redis.port), timeout=10) as connected:
        answers = connected.makefile("rb")
        for key in keys:
            parts = (b"SET", key.encode(), value)
            connected.sendall(
                b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
            )
            if answers.readline() != b"+OK\r\n":
                raise RuntimeError("redis did not take a value")
