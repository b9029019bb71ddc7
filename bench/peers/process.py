"""A peer's processes: started in a group of their own, stopped together.

Invariants:

* Stopped by SIGTERM to the group, never by SIGKILL: an nginx worker outlives a killed master, keeps
  the port, and the next run measures it. One that does not stop within ten seconds is reported.
* A peer is ready when its port accepts connections; its log is told when it ends before.
* All of a peer's files lie in one folder, which the caller removes.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processors import pin
from lookup.config import Address

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0


class PeerMissing(Exception):
    """A peer cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that answers: where, by which processes, and what it is asked."""

    name: str
    address: Address
    pids: tuple[int, ...]
    calls: tuple[bytes, ...]


def require_program(name: str, package: str, *folders: str) -> str:
    """Return a program's path. Raises PeerMissing, naming the Debian package that has it."""
    path = shutil.which(name, path=os.pathsep.join([*folders, os.environ["PATH"], "/usr/sbin"]))
    if path is None:
        raise PeerMissing(f"{name} is not installed (Debian package {package})")
    return path


def free_port() -> int:
    """Return a port that nobody has at the moment."""
    with socket.socket() as probing:
        probing.bind((HOST, 0))
        port: int = probing.getsockname()[1]
        return port


@contextmanager
def running(  # noqa: PLR0913  # a process has this many sides
    command: Sequence[str | Path],
    log: Path,
    *,
    cpu: int,
    ready: Address | Path,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block is left. `ready`: the port, or the UNIX socket, that it opens.

    Raises PeerMissing with the end of its log if it does not start.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=pin(cpu),  # noqa: PLW1509  # sched_setaffinity(2) alone, which takes no lock
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            env=None if environment is None else {**os.environ, **environment},
            cwd=folder,
        )
    try:
        _await(process, ready, log)
        yield process
    finally:
        _stop(process)


def _await(process: subprocess.Popen[bytes], ready: Address | Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _accepts(ready):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace").strip()[-300:]
            raise PeerMissing(f"{Path(str(process.args[0])).name} did not start: {tail}")  # type: ignore[index]  # a sequence, see above
        time.sleep(0.02)


def _accepts(ready: Address | Path) -> bool:
    by_path = isinstance(ready, Path)
    with socket.socket(socket.AF_UNIX if by_path else socket.AF_INET) as probing:
        try:
            probing.connect(str(ready) if isinstance(ready, Path) else (ready.host, ready.port))
        except OSError:
            return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"process {process.pid} does not stop on SIGTERM") from None
