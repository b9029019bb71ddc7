"""One run of the benchmarks: which sizes, how many rounds, and how far it is."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

from bench.claim import CLAIMED_SIZE, LEAST_SIZE
from bench.sites import Sites

T = TypeVar("T")

_EVERY: Final = 5.0  # seconds between lines where no terminal overwrites them


class Progress:
    """Says on standard error what is being done; on a terminal in one line."""

    def __init__(self) -> None:
        self._overwrite = sys.stderr.isatty()
        self._told = 0.0

    def step(self, text: str) -> None:
        """Say what begins."""
        print(f"\r\x1b[K{text}" if self._overwrite else text, file=sys.stderr, flush=True)
        self._told = time.monotonic()

    def tell(self, text: str) -> None:
        """Say how far it is, now and then."""
        pause = time.monotonic() - self._told
        if pause < (0.2 if self._overwrite else _EVERY):
            return
        self._told = time.monotonic()
        if self._overwrite:
            print(f"\r\x1b[K  {text}", end="", file=sys.stderr, flush=True)
        else:
            print(f"  {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False)
class Run:
    """What every benchmark is given. Compared by identity, so that it can be a cache's key."""

    sizes: tuple[int, ...]
    quick: bool
    sites: Sites
    progress: Progress
    flame: Path | None = None  # where a flame graph of the worker is wanted

    @property
    def largest(self) -> int:
        """The size that claims are made of."""
        return self.sizes[-1]

    @property
    def judged(self) -> bool:
        """Say whether that is the size which was promised something of."""
        return self.largest == CLAIMED_SIZE

    @property
    def compared(self) -> bool:
        """The same of a ratio between the largest and the least size."""
        return self.judged and self.sizes[0] == LEAST_SIZE

    def rounds(self, wanted: int) -> int:
        """Return how often to measure: a quick run looks whether it works, and no more."""
        return 1 if self.quick else wanted


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock and seconds of CPU, in all threads of this process."""

    wall: float
    cpu: float


def timed(operation: Callable[[], T]) -> tuple[T, Took]:
    """Do it; return its result and what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = operation()
    return result, Took(time.perf_counter() - wall, time.process_time() - cpu)


def summed_up(took: list[Took], unit: float) -> tuple[float, float, float, float]:
    """Return median, ninth decile and maximum of wall time, and median CPU time, in a unit."""
    wall = sorted(each.wall * unit for each in took)
    cpu = median(each.cpu * unit for each in took)
    return median(wall), wall[len(wall) * 9 // 10], wall[-1], cpu
