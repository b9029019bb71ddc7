"""Which CPU a process runs on, and how much of it a tree of processes has used.

Invariants:

* What is measured has one CPU, with all its processes and threads; whoever asks has another one.
  Where there is one CPU in all they share it, and the results say so.
* CPU time is the scheduler's own count in nanoseconds (/proc/PID/task/TID/schedstat), summed over
  every thread of every process of a tree: processes that work in ticks of 10 ms, such as twenty
  database backends, would vanish in the rounding of /proc/PID/stat.
* A process that ends between two readings is not counted; nothing that is measured here has any.

On loopback the kernel delivers a packet in the context of who sends it. So each side pays for what
it sends, the peers as much as we.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Processors:
    """The CPU of what is measured, and that of who asks (and of everything else of a run)."""

    server: int
    load: int

    @classmethod
    def choose(cls) -> "Processors":
        """Take the last CPU for servers: the first one has most of a machine's interrupts."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(server=allowed[-1], load=allowed[0])

    @property
    def apart(self) -> bool:
        """Say whether there are two."""
        return self.server != self.load


ONE_CPU: Final = "there is one CPU: servers and load share it, so that throughputs mean little"


def pin(cpu: int | None) -> Callable[[], None] | None:
    """Return what Popen is to call in the child, so that it and its threads stay on this CPU."""
    return None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Keep the calling thread on this CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the seconds of CPU that these processes and all below them have had."""
    return sum(_process_seconds(pid) for pid in tree(roots))


def resident(roots: Iterable[int]) -> int:
    """Return the bytes of memory that these processes and all below them have to themselves."""
    return sum(_private(pid) for pid in tree(roots))


def tree(roots: Iterable[int]) -> set[int]:
    """Return these processes and all below them."""
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def _parent(folder: Path) -> int | None:
    try:
        text = (folder / "stat").read_text()
    except OSError:
        return None  # it has ended
    return int(text.rpartition(") ")[2].split()[1])


def _process_seconds(pid: int) -> float:
    spent = 0
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
    except OSError:
        pass  # it has ended
    return spent / 1e9


def _private(pid: int) -> int:
    try:
        text = (_PROC / str(pid) / "status").read_text()
    except OSError:
        return 0
    return sum(
        int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon:")
    )
