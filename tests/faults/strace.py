"""strace: which calls a process makes, and what happens at one of them.

SIGKILL comes at the entry of a call, which is then not made: to die at call n is to die between
n - 1 and n. Counting is by thread and kind of call, from the moment strace attaches.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

# Whatever changes what a later process finds; a file that was created and not written to is
# found as the next call's fault leaves it. What is mapped (the table on tmpfs, SQLite's -shm)
# changes without calls.
WRITES: Final = ("pwrite64", "write", "fallocate")
SYNCS: Final = ("fsync", "fdatasync")
OTHERS: Final = ("ftruncate", "unlink", "unlinkat", "rename", "mkdir")
CHANGING: Final = (*WRITES, *SYNCS, *OTHERS)

_ANSWER: Final = "answer"
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_OPENED = re.compile(r"\d+<([^>]*)>")
_NAMED = re.compile(r'(?:AT_FDCWD<[^>]*>|\d+<(?P<within>[^>]*)>)?(?:, )?"(?P<name>[^"]*)"')


class Call(NamedTuple):
    """The n-th call of a kind, from 1, and the file it is about."""

    kind: str
    nth: int
    file: str

    def __str__(self) -> str:
        return f"{self.kind} {self.nth} ({self.file})"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a call: a signal or an error; `lasting`: and at all later ones of its kind.

    `files` limits both counting and fault to calls about these files.
    """

    kind: str
    nth: int
    what: str
    lasting: bool = False
    files: Sequence[Path] = ()

    def options(self) -> Iterator[str]:
        """Yield strace's options for it."""
        plus = "+" if self.lasting else ""
        yield f"--inject={self.kind}:{self.what}:when={self.nth}{plus}"
        for file in self.files:
            yield from ("-P", str(file))


def kill_at(call: Call) -> Fault:
    """SIGKILL at this call."""
    return Fault(call.kind, call.nth, "signal=SIGKILL")


def some_of(calls: Sequence[Call], middle: int = 1) -> list[Call]:
    """Choose of each kind of call to each file the first, the last, and some between them."""
    groups: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        groups.setdefault((call.kind, call.file), []).append(call)
    return [group[at] for group in groups.values() for at in _spread(len(group), middle + 2)]


def _spread(length: int, count: int) -> list[int]:
    return sorted({round(step * (length - 1) / (count - 1)) for step in range(count)})


def attach(pid: int, log: Path, fault: Fault | None) -> subprocess.Popen[str]:
    """Attach to a process and all its threads; return when it is under strace's eyes."""
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={','.join(CHANGING)}"]
    command += [*(fault.options() if fault else ()), "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, said
    return tracer


def calls_in(log: Path, folder: Path) -> list[Call]:
    """Return the calls of a finished strace, in their order, files named from the site's folder.

    Raises AssertionError if two threads made calls of one kind: their counts would be two.
    """
    found, counts, threads = [], Counter[tuple[str, str]](), dict[str, str]()
    for line in log.read_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            continue  # a signal, an exit, the second half of a call
        thread, kind, arguments = match.groups()
        counts[thread, kind] += 1
        file = _file(arguments, folder)
        if file is not None:
            assert threads.setdefault(kind, thread) == thread, line
            found.append(Call(kind, counts[thread, kind], file))
    return found


def _file(arguments: str, folder: Path) -> str | None:
    """Name what a call is about, or None: it says something on standard error."""
    opened, named = _OPENED.match(arguments), _NAMED.match(arguments)
    if named is not None:
        path = str(Path(named["within"] or "/") / named["name"])
    elif opened is not None:
        path = opened[1].removesuffix(" (deleted)")
    else:
        return None
    if path.startswith("pipe:"):
        return _ANSWER
    if not path.startswith(f"{folder}/"):
        return None
    return re.sub(r"[0-9a-f]{32}\.table", "*.table", path.removeprefix(f"{folder}/"))
