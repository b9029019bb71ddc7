"""A site's real processes: the custodian as the supervisor starts it, and its workers.

A connection is made to the listening socket before the process is started, and asks whether it is
ready: the answer comes at the moment that the custodian can give it, without any polling.

Workers can be pinned to CPUs of their own, away from the custodian and from who asks.
"""

import ctypes
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import IO, Any, Final

from bench.processors import pin
from bench.sites import Site
from lookup.config import Address
from lookup.supervisor import listen, listen_shared

_LOOPBACK: Final = Address("127.0.0.1", 0)
_DEADLINE: Final = 300.0
_PR_SET_PDEATHSIG: Final = 1
_SETTLED: Final = 16  # fresh connections in a row that find a ready worker
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_INDEXED: Final = re.compile(r"records indexed in ([0-9.]+) s")
_MEMORY: Final = re.compile(r"(VmHWM|VmRSS|RssAnon|RssFile|RssShmem):\s+(\d+) kB\n")
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers, where, and with which further arguments.

    `first_slot` lets them serve beside others. `module` is what is run: what takes a worker's
    arguments can stand in for one.
    """

    count: int = 1
    cpus: tuple[int, ...] = ()
    first_slot: int = 0
    module: str = "lookup.worker.main"
    switches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answering:
    """Workers that run, all on one port."""

    address: Address
    pids: tuple[int, ...]
    tls: bool = False

    def connect(self) -> HTTPConnection:
        """Return a connection to one of them."""
        host, port = self.address.host, self.address.port
        if not self.tls:
            return HTTPConnection(host, port, timeout=_DEADLINE)
        context = ssl._create_unverified_context()  # noqa: S323, SLF001  # it is our own
        return HTTPSConnection(host, port, timeout=_DEADLINE, context=context)

    def await_ready(self) -> None:
        """Return when every worker has its view. Raises RuntimeError if that takes too long."""
        deadline, settled = time.monotonic() + _DEADLINE, 0
        while settled < _SETTLED * len(self.pids):
            with closing(self.connect()) as connection:
                try:
                    ask(connection, "/health/ready")
                    settled += 1
                except RuntimeError:
                    settled = 0
                    time.sleep(0.05)
                    if time.monotonic() > deadline:
                        raise


@dataclass(frozen=True, slots=True)
class Served:
    """A custodian that is ready, and what it took it to become so."""

    site: Site
    process: subprocess.Popen[bytes]
    connection: HTTPConnection  # to its TCP port
    ready_after: float
    cpu_at_ready: float
    indexed_in: float
    answering: Answering | None = None

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
def served(
    site: Site,
    *,
    workers: Workers | None = Workers(),
    under: Sequence[str] = (),
    cpu: int | None = None,
) -> Iterator[Served]:
    """Run a site's custodian until the block is left; `under` is a tracer's command.

    With workers, which are up before: so the custodian finds them, as after any restart. Without
    one it waits a moment, in case one comes back.
    """
    log = site.config.run / "log"
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("wb"))
        answering = None
        if workers is not None:
            answering = stack.enter_context(answered(site, workers, errors))
        custodian = stack.enter_context(_custodian(site, under, errors, log, cpu))
        yield replace(custodian, answering=answering)


@contextmanager
def answered(site: Site, workers: Workers, errors: IO[bytes]) -> Iterator[Answering]:
    """Run workers, for whatever custodian comes to the site's socket."""
    with ExitStack() as stack:
        listening = listen_shared(_LOOPBACK, workers.count)
        for each in listening:
            stack.enter_context(each)
        host, port = listening[0].getsockname()
        processes = [
            stack.enter_context(_ending(_start_worker(site, workers, slot, each, errors)))
            for slot, each in enumerate(listening, start=workers.first_slot)
        ]
        found = Answering(
            Address(host, port),
            tuple(each.pid for each in processes),
            "--tls-key" in workers.switches,
        )
        with closing(found.connect()) as connection:
            ask(connection, "/health/live")
        yield found


def _start_worker(
    site: Site, workers: Workers, slot: int, listening: socket.socket, errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    number = listening.fileno()
    command = _python(
        workers.module,
        *("--fd", number, "--socket", site.config.worker_socket, "--slot", slot),
        *workers.switches,
    )
    cpu = workers.cpus[slot % len(workers.cpus)] if workers.cpus else None
    return _start(command, number, errors, cpu)


@contextmanager
def _custodian(
    site: Site, under: Sequence[str], errors: IO[bytes], log: Path, cpu: int | None
) -> Iterator[Served]:
    with listen(_LOOPBACK) as listening:
        connection = _connected(listening)
        number = listening.fileno()
        command = _python("lookup.custodian.main", "--config", site.config.path, "--fd", number)
        begun = time.perf_counter()
        process = _start([*under, *command], number, errors, cpu)
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


def _start(
    command: Sequence[str], descriptor: int, errors: IO[bytes], cpu: int | None
) -> subprocess.Popen[bytes]:
    settle = pin(cpu)

    def prepare() -> None:
        _end_with_parent()
        if settle is not None:
            settle()

    return subprocess.Popen(
        command,
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        preexec_fn=prepare,  # noqa: PLW1509  # two system calls, which take no lock
    )


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
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
