"""Playing a fault: a copy of a prepared site, one operation under strace, and what is left.

All of it lies on tmpfs: the kernel keeps what it was given when a process is killed, so that a
sync, which costs nothing there, makes no difference.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self, TypeVar

import msgspec

from tests.faults.strace import Call, Fault, attach, calls_in

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[2]
_MEMORY: Final = "/dev/shm"  # noqa: S108  # a folder of our own is made there
_SOCKETS: Final = shutil.ignore_patterns("*.sock")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a process did before it ended, in a folder that is left as it was then."""

    folder: Path
    answers: int
    status: int
    raised: str
    calls: list[Call]

    @property
    def log(self) -> str:
        """What it said on standard error."""
        return self.folder.with_name(f"{self.folder.name}.log").read_text()

    @property
    def copy(self) -> Path:
        """Where the bytes of that moment are kept for the thief."""
        return self.folder.with_name(f"{self.folder.name}.then")


class Refused(Exception):
    """An act ended in an exception of its own; these are its type and message."""

    @property
    def type(self) -> str:
        """The name of its type."""
        return str(self).partition(":")[0]


class Stage:
    """A folder, and a process with everything imported that plays one act after the other."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lacuna-", dir=_MEMORY))
        self._cases = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.stage"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stdin.close()
        self._process.wait()
        self._stdout.close()
        shutil.rmtree(self.folder)

    def base(self, name: str) -> Path:
        """Return a prepared site. Nobody opens it: what is opened is a copy."""
        folder = self.folder / "bases" / name.replace(" ", "-")
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            self.do("prepare", name, str(folder))
        return folder

    def perform(self, name: str, base: Path, fault: Fault | None = None) -> Outcome:
        """Perform an operation on a copy of `base`, under a fault; the outcome has the folder."""
        folder = self.copy(base)
        log = self.folder / "strace"
        self._command("perform", name, str(folder))
        ready = self._line()
        assert ready.startswith("ready "), ready
        tracer = attach(int(ready.removeprefix("ready ")), log, fault)
        self._send(b"go\n")
        status, lines = self._finish_at_last()
        tracer.communicate()
        raised = "".join(line.removeprefix("raised ") for line in lines if line != "answer")
        outcome = Outcome(folder, lines.count("answer"), status, raised, calls_in(log, folder))
        shutil.copytree(folder, outcome.copy, ignore=_SOCKETS)
        return outcome

    def ask(self, answer: type[T], act: str, *arguments: str) -> T:
        """Play another act and return what it reports. Raises Refused."""
        (line,) = self.do(act, *arguments)
        return msgspec.json.decode(line, type=answer)

    def do(self, act: str, *arguments: str) -> list[str]:
        """Play another act and return the lines that it says. Raises Refused."""
        self._command(act, *arguments)
        return self._finish()

    def copy(self, folder: Path) -> Path:
        """Return a copy of a site's folder."""
        self._cases += 1
        copy = self.folder / f"case-{self._cases}"
        shutil.copytree(folder, copy, ignore=_SOCKETS)
        return copy

    def forget(self, outcome: Outcome) -> None:
        """Remove what a case left."""
        self.remove(outcome.folder)
        self.remove(outcome.copy)

    def remove(self, folder: Path) -> None:
        """Remove a copy, and what was said about it."""
        shutil.rmtree(folder)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)

    def _command(self, *words: str) -> None:
        self._send(msgspec.json.encode(words) + b"\n")

    def _finish(self) -> list[str]:
        status, lines = self._finish_at_last()
        if status:
            raise Refused("".join(lines).removeprefix("raised "))
        return lines

    def _finish_at_last(self) -> tuple[int, list[str]]:
        lines: list[str] = []
        while not (line := self._line()).startswith("ended "):
            lines.append(line)
        return int(line.removeprefix("ended ")), lines

    def _send(self, line: bytes) -> None:
        self._stdin.write(line)
        self._stdin.flush()

    def _line(self) -> str:
        line = self._stdout.readline().decode()
        assert line, "the stage has ended"
        return line.removesuffix("\n")

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout
