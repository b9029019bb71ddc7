"""The supervisor, `lacuna serve`: sockets, one custodian, N workers, and no secret.

Invariants:

* One site runs once, and has its folders to itself: exclusive locks in the run folder and in the
  index folder are held from start to stop. Two sites with one index folder would supersede each
  other's tables.
* A port that somebody else has is noticed (a plain bind comes first: with SO_REUSEPORT alone two
  sites of one user would share it without a word, and answer each other's hospitals).
* Each worker slot has a listening socket of its own, kept over the worker's restarts, so that no
  connection that waits in it is reset. What workers count together (lookup/cells.py) is kept, too.
* Processes are started by exec, never forked from one that held a key, and they end with this one.
* A process that ends is started again, after a pause that grows up to five seconds; one whose exit
  says that another start could not help ends the site.
"""

import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from lookup import exits
from lookup.cells import make_cells
from lookup.config import Address, Config
from lookup.tls import TlsFiles

logger = logging.getLogger("lookup.supervisor")

_STEADY: Final = 30.0  # seconds after which a process has earned a quick restart
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 5.0
_STOP_DEADLINE: Final = 15.0
_BACKLOG: Final = 1024
_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None)


class CannotServe(Exception):
    """The site cannot be started; message and hint say what is in the way, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(slots=True)
class Child:
    """One process of the site, and how it is started again."""

    name: str
    command: Sequence[str]
    descriptors: tuple[int, ...]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    due: float = 0.0

    def start(self) -> None:
        """Start the process; where the system has no room for one, plan the next attempt."""
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(  # noqa: S603  # our own modules, no shell
                self.command,
                pass_fds=self.descriptors,
                stdin=None if self.name == "custodian" else subprocess.DEVNULL,
                preexec_fn=partial(_end_with_parent, os.getpid()),  # noqa: PLW1509  # one thread
            )
        except (OSError, subprocess.SubprocessError) as error:
            logger.error("%s cannot be started: %s", self.name, error)  # noqa: TRY400  # one line
            self._plan()

    def ended(self) -> int | None:
        """Return the exit status of a process that has just ended; plan its next start."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self.process = None
        self._plan()
        return status

    def _plan(self) -> None:
        steady = time.monotonic() - self.started > _STEADY
        self.pause = _FIRST_PAUSE if steady else min(2 * self.pause, _LAST_PAUSE)
        self.due = time.monotonic() + self.pause


@dataclass(slots=True)
class Supervisor:
    """A site's processes."""

    config: Config
    children: list[Child] = field(default_factory=list)
    stopping: bool = False
    status: int = exits.OK

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit status."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._stop)
        with hold(self.config.run), hold(self.config.index), contextlib.ExitStack() as sockets:
            self._plan(sockets)
            for child in self.children:
                child.start()
            while not self.stopping:
                self._look_after()
                time.sleep(0.05)
            self._end()
        return self.status

    def _plan(self, sockets: contextlib.ExitStack) -> None:
        config = self.config
        logs = ("--log-format", config.log_format)
        custodian = sockets.enter_context(listen(config.custodian)).fileno()
        command = _python("lookup.custodian.main", "--config", config.path, "--fd", custodian)
        descriptors = [custodian]
        if config.operator is not None:
            operator = sockets.enter_context(listen(config.operator)).fileno()
            command += ["--operator-fd", str(operator)]
            descriptors.append(operator)
        self.children.append(Child("custodian", [*command, *logs], tuple(descriptors)))
        cells = make_cells(config.workers)
        sockets.callback(os.close, cells)
        for slot, listening in enumerate(listen_shared(config.lookup, config.workers)):
            sockets.enter_context(listening)
            number = listening.fileno()
            command = _python(
                "lookup.worker.main",
                *("--fd", number, "--cells", cells),
                *("--socket", config.worker_socket, "--slot", slot, *logs),
                *_tls_options(config.tls),
            )
            self.children.append(Child(f"worker {slot}", command, (number, cells)))

    def _look_after(self) -> None:
        for child in self.children:
            status = child.ended()
            if status is not None:
                logger.warning("%s ended with status %d", child.name, status)
                if child.name == "custodian" and status in exits.HOPELESS:
                    logger.error("another start would end the same way: the site stops")
                    self.status, self.stopping = status, True
            if child.process is None and time.monotonic() >= child.due and not self.stopping:
                child.start()

    def _stop(self, _signal: int, _frame: object) -> None:
        self.stopping = True

    def _end(self) -> None:
        """End the workers first: what they answer is still true then."""
        workers = [child for child in self.children if child.name != "custodian"]
        custodian = [child for child in self.children if child.name == "custodian"]
        for group in (workers, custodian):
            running = [child.process for child in group if child.process is not None]
            for process in running:
                process.terminate()
            deadline = time.monotonic() + _STOP_DEADLINE
            late = []
            for process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    late.append(process)
            for process in late:
                logger.error("process %d did not stop in time: killed", process.pid)
                process.kill()
                process.wait()


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a private folder of the site's. Raises CannotServe."""
    lock = folder / "lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise CannotServe(f"{folder} is open to others", f"chmod 700 {folder}")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotServe(
            f"{folder} cannot be used: {error.strerror}",
            "serve.run and serve.index name folders of the account that the site runs as",
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CannotServe(
            f"this site is already running, or another one uses {folder}",
            f"`lacuna status` asks it; `fuser {lock}` names it",
        ) from None
    else:
        yield
    finally:
        os.close(descriptor)


def listen(address: Address) -> socket.socket:
    """Return a listening socket. Raises CannotServe, naming the address."""
    listening = _bound(address, shared=False)
    listening.listen(_BACKLOG)
    return listening


def listen_shared(address: Address, count: int) -> list[socket.socket]:
    """Return one listening socket per worker, all on the same port. Raises CannotServe."""
    with _bound(address, shared=False) as plain:
        port = plain.getsockname()[1]
    found = [_bound(Address(address.host, port), shared=True) for _ in range(count)]
    for listening in found:
        listening.listen(_BACKLOG)
    return found


def _bound(address: Address, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address.host, address.port))
    except OSError as error:
        made.close()
        raise CannotServe(
            f"cannot listen on {address}: {error.strerror}",
            "lookup, custodian and operator in [serve] name the addresses; `ss -ltnp` shows who"
            " listens",
        ) from None
    made.set_inheritable(True)
    return made


def _python(module: str, *arguments: object) -> list[str]:
    """Return the command of one of our modules; -P: a folder we stand in shadows nothing."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def _tls_options(files: TlsFiles | None) -> list[object]:
    """Return the paths, for workers to read: no key comes into this process."""
    if files is None:
        return []
    options: list[object] = ["--tls-certificate", files.certificate, "--tls-key", files.key]
    return options if files.client_ca is None else [*options, "--client-ca", files.client_ca]


def _end_with_parent(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # it died before the line above
