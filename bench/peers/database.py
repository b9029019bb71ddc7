"""Runs `ordinary`: a PostgreSQL server with as many records as our site has, and the application.

The records that are asked for are in it, the others are made by the server itself. Application,
server and all its backends are on the server's CPU, and all are counted.
"""

import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.peers.postgresql import cluster
from bench.peers.process import HOST, Peer, PeerMissing, free_port, running
from lookup.config import Address

if TYPE_CHECKING:
    import psycopg

NAME: Final = "FastAPI + pydantic + PostgreSQL"
_AUTHORITIES: Final = (
    ("AXT", "Axton Children's Services", "+44 1632 960001", "+44 1632 960002"),
    ("BSC", "Barsetshire County Council", "+44 1632 960003", "+44 1632 960004"),
)
_WAIT: Final = 30.0
_FILL: Final = """
INSERT INTO record (token_hash, category, since, until, answer_until, authority)
SELECT substr(sha256(n::text::bytea), 1, 16), 'child-in-need', date '2024-01-01' + n %% 700,
       NULL, NULL, 'BSC'
FROM generate_series(1, %s::integer) AS n
"""
_ADD: Final = """
INSERT INTO record (token_hash, category, since, until, answer_until, authority)
VALUES (%s, 'child-protection-plan', date '2026-01-02', NULL, NULL, 'AXT')
"""


@dataclass(frozen=True, slots=True)
class Content:
    """What the database is to hold: whom it lets in, who is known in it, how many are."""

    secret: str
    known: tuple[str, ...]
    records: int


@contextmanager
def database(folder: Path, cpu: int, calls: Sequence[bytes], content: Content) -> Iterator[Peer]:
    """Run both. Raises PeerMissing."""
    for name in ("psycopg", "psycopg_pool"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise PeerMissing(f"{name} is not installed (PyPI: psycopg[binary,pool])") from None
    folder.mkdir()
    address = Address(HOST, free_port())
    command = (
        *(sys.executable, "-m", "uvicorn", "bench.peers.ordinary:app", "--no-access-log"),
        *("--loop", "uvloop", "--http", "httptools", "--ws", "none", "--log-level", "warning"),
        "--no-proxy-headers",
        *("--host", address.host, "--port", str(address.port)),
    )
    with cluster(cpu) as server:
        _fill(server.conninfo, content)
        where = {"DATABASE": server.conninfo}
        log = folder / "log"
        with running(command, log, cpu=cpu, ready=address, environment=where) as process:
            yield Peer(NAME, address, (process.pid, server.pid), tuple(calls))


def _fill(conninfo: str, content: Content) -> None:
    # Where psycopg is missing, so is this peer alone.
    from bench.peers.ordinary import INDEX, SCHEMA, hash_token  # noqa: PLC0415

    secret_hash = sha256(content.secret.encode()).digest()
    with _connect(conninfo) as connection:
        connection.execute(SCHEMA)
        connection.execute("INSERT INTO client VALUES (%s, 1)", (secret_hash,))
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO authority VALUES (%s, %s, %s, %s)", _AUTHORITIES)
            cursor.executemany(_ADD, [(hash_token(token),) for token in content.known])
        connection.execute(_FILL, (max(0, content.records - len(content.known)),))
        connection.execute(INDEX)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _connect(conninfo: str) -> "psycopg.Connection":
    """Connect; a server listens a moment before it lets anybody in."""
    import psycopg  # noqa: PLC0415  # as above

    deadline = time.monotonic() + _WAIT
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
