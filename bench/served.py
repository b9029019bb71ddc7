"""A site's real processes: the custodian as the supervisor starts it, and one worker.

A connection is made to the listening socket before the process is started, and asks whether it is
ready: the answer comes at the moment that the custodian can give it, without any polling.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, Final

from bench.sites import Site
from lookup.config import Address
from lookup.supervisor import listen, listen_shared

_LOOPBACK: Final = Address("127.0.0.1", 0)
_DEADLINE: Final = 300.0
_PR_SET_PDEATHSIG: Final = 1
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_INDEXED: Final = re.compile(r"records indexed in ([0-9.]+) s")
_MEMORY: Final = re.compile(r"(VmHWM|VmRSS|RssAnon|RssFile|RssShmem):\s+(\d+) kB\n")
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Served:
    """A custodian that is ready, and what it took it to become so."""

    site: Site
    process: subprocess.Popen[bytes]
    connection: HTTPConnection  # to its TCP port
    ready_after: float
    cpu_at_ready: float
    indexed_in: float

    def cpu(self) -> float:
        """Return the seconds of CPU that the process has had."""
        return _cpu(self.process.pid)

    def memory(self) -> dict[str, int]:
        """Return proc_pid_status(5)'s memory lines, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return {name: int(size) * 1024 for name, size in _MEMORY.findall(text)}

    def local(self) -> HTTPConnection:
        """Return a connection over the officers' socket."""
        connection = HTTPConnection("custodian")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(_DEADLINE)
        connection.sock.connect(str(self.site.config.officer_socket))
        return connection


def ask(
    connection: HTTPConnection, path: str, content: object = None, token: str | None = None
) -> dict[str, Any]:
    """Call a path: with content by POST, else by GET. Raises on any refusal."""
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    body = json.dumps(content) if content is not None else None
    connection.request("GET" if content is None else "POST", path, body, headers)
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    if response.status >= 400:
        raise RuntimeError(f"{path} answered {response.status}: {answer.get('detail')}")
    return answer


@contextmanager
def served(site: Site, *, worker: bool = True, under: Sequence[str] = ()) -> Iterator[Served]:
    """Run a site's custodian until the block is left; `under` is a tracer's command.

    With a worker, which is up before: so the custodian finds it, as after any restart. Without
    one it waits a moment, in case one comes back.
    """
    log = site.config.run / "log"
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("wb"))
        if worker:
            stack.enter_context(_worker(site, errors))
        yield stack.enter_context(_custodian(site, under, errors, log))


@contextmanager
def _worker(site: Site, errors: IO[bytes]) -> Iterator[None]:
    (listening,) = listen_shared(_LOOPBACK, 1)
    with listening:
        connection = _connected(listening)
        number = listening.fileno()
        command = _python(
            "lookup.worker.main",
            *("--fd", number, "--socket", site.config.worker_socket, "--slot", 0),
        )
        process = _start(command, number, errors)
    with _ending(process):
        ask(connection, "/health/live")
        connection.close()
        yield


@contextmanager
def _custodian(site: Site, under: Sequence[str], errors: IO[bytes], log: Path) -> Iterator[Served]:
    with listen(_LOOPBACK) as listening:
        connection = _connected(listening)
        number = listening.fileno()
        command = _python("lookup.custodian.main", "--config", site.config.path, "--fd", number)
        begun = time.perf_counter()
        process = _start([*under, *command], number, errors)
    with _ending(process):
        try:
            ask(connection, "/health/ready")
        except OSError:
            raise RuntimeError(f"the custodian did not start: {log.read_text()}") from None
        ready_after = time.perf_counter() - begun
        found = _INDEXED.search(log.read_text())
        yield Served(
            site,
            process,
            connection,
            ready_after,
            _cpu(process.pid),
            float(found[1]) if found else 0.0,
        )
        connection.close()


def _connected(listening: socket.socket) -> HTTPConnection:
    host, port = listening.getsockname()
    connection = HTTPConnection(host, port, timeout=_DEADLINE)
    connection.connect()
    return connection


def _start(command: Sequence[str], descriptor: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        preexec_fn=_end_with_parent,  # noqa: PLW1509  # prctl(2) alone, which takes no lock
    )


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait(_DEADLINE)


def _python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
