"""The processes of the story: the real command line, and the site it serves.

Invariants:

* Each process that is started here has ended when its block is left, however it is left; should
  this process be killed, the kernel ends the site.
* No identifier is ever an argument: it goes to standard input.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from lookup.demo.narrator import StepFailed

_DEADLINE: Final = 60.0
_STOP_DEADLINE: Final = 25.0  # the supervisor gives its own children 15
_PR_SET_PDEATHSIG: Final = 1
_LAST_LINES: Final = 5
_libc = ctypes.CDLL(None)

# The command line as this Python has it: no search in PATH, and -P: no folder we stand in.
LACUNA: Final = (sys.executable, "-P", "-c", "from lookup.cli.main import main; main()")
RECOVER: Final = (sys.executable, "-P", "-m", "lookup.demo.recover")


class Ran(NamedTuple):
    """What a program printed, what it warned of, how long it took, and how it ended."""

    output: str
    warnings: str
    seconds: float
    status: int = 0


def run(
    command: Sequence[str], *, typed: str = "", folder: Path | None = None, refused: int = 0
) -> Ran:
    """Run a program to its end. Raises StepFailed with what it said if it fails.

    `refused` is the status, besides 0, of an end that the story tells of.
    """
    begun = time.perf_counter()
    try:
        done = subprocess.run(  # noqa: S603  # our own programs, no shell
            command,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE,
            cwd=folder,
        )
    except subprocess.TimeoutExpired:
        raise StepFailed(f"the command did not end within {_DEADLINE:.0f} s") from None
    if done.returncode not in {0, refused}:
        said = " ".join(done.stderr.split())
        raise StepFailed(f"the command ended with status {done.returncode}: {said}")
    return Ran(done.stdout, done.stderr, time.perf_counter() - begun, done.returncode)


@contextmanager
def serving(config: Path, log: Path) -> Iterator["Site"]:
    """Serve a site until the block is left."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603  # our own program, no shell
            [*LACUNA, "--config", str(config), "serve"],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            # Ctrl-C is for this process, which then ends the site in order.
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # this process has one thread
        )
    finally:
        os.close(descriptor)
    try:
        yield Site(process, log)
    finally:
        _end(process)


class Site(NamedTuple):
    """A site that is being served."""

    process: subprocess.Popen[bytes]
    log: Path

    def require(self) -> None:
        """Raise StepFailed, with the end of the log, if the site has stopped."""
        if self.process.poll() is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            raise StepFailed(f"the site has stopped; the last it said: {' / '.join(lines)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its session holds what it started, nothing else
        process.wait()


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
