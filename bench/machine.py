"""What was measured on: facts of the machine that the figures depend on, and name nobody."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

from bench.claim import Json
from lookup.index.folder import filesystem_of

_LIBRARIES: Final = ("cryptography", "sqlcipher3", "numpy")
_SYNCS: Final = 100
_QUIET: Final = 0.2  # cores


def describe(folder: Path) -> Json:
    """Return the facts; `folder` is where the sites lie."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "python_loop_ms": round(python_loop() * 1e3, 2),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "filesystem": _filesystem(folder),
        "fdatasync_ms": round(fdatasync(folder, _SYNCS) * 1e3, 3),
    }


def python_loop() -> float:
    """Return the seconds of a fixed loop: interpreters of one version differ by half.

    It calls, counts, and puts into lists and dictionaries, as a lookup does; the best of ten.
    """

    def step(number: int, seen: dict[int, int]) -> int:
        seen[number & 255] = seen.get(number & 255, 0) + 1
        return len([number, number]) + seen[number & 255] % 2

    def loop() -> float:
        begun, seen = time.perf_counter(), dict[int, int]()
        for number in range(50_000):
            step(number, seen)
        return time.perf_counter() - begun

    return min(loop() for _ in range(10))


def in_short(machine: Json) -> str:
    """Return the facts that tell machines apart at a glance."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']},"
        f" Python {machine['python']}"
    )


def load() -> list[float]:
    """Return the load averages of 1, 5 and 15 minutes."""
    return [round(each, 2) for each in os.getloadavg()]


class Others:
    """What other processes take of this machine, from here on."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._busy = _busy() - _own()

    def cores(self) -> float:
        """Return how many cores they have used on average, time stolen by a hypervisor included."""
        return max(0.0, (_busy() - _own() - self._busy) / (time.monotonic() - self._begun))


def doubts(machine: Json, others: float) -> list[str]:
    """Say what here makes the figures worth less."""
    found = []
    if machine["filesystem"] in {"tmpfs", "ramfs"}:
        found.append(
            "the sites lie in memory (TMPDIR): syncs cost nothing there, on a disk they do"
        )
    if others > _QUIET:
        found.append(
            "other processes were busy on this machine: times by the clock are too long, CPU times"
            " less so"
        )
    return found


def _busy() -> float:
    """Return the seconds that all cores together were not idle (proc_stat(5))."""
    user, nice, system, _idle, _iowait, *others = (
        int(text) for text in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    )
    irq, softirq, steal = others[:3]
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Return the seconds of CPU of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()


def _filesystem(folder: Path) -> str:
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    return filesystem_of(folder.stat().st_dev, mounts) or "unknown"


def fdatasync(folder: Path, times: int) -> float:
    """Return the median of overwriting 4 KiB in place and syncing them, in seconds."""
    return median(sync_times(folder, times))


def sync_times(folder: Path, times: int) -> list[float]:
    """Overwrite 4 KiB in place and sync them, so often; return the seconds that each took."""
    path = folder / "fdatasync"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    took = []
    try:
        for _ in range(1 + times):
            begun = time.perf_counter()
            os.pwrite(descriptor, os.urandom(4096), 0)
            os.fdatasync(descriptor)
            took.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return took[1:]  # the first one allocates
