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


def describe(folder: Path) -> Json:
    """Return the facts; `folder` is where the sites lie."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "filesystem": _filesystem(folder),
        "fdatasync_ms": round(_fdatasync(folder) * 1e3, 3),
    }


def in_short(machine: Json) -> str:
    """Return the facts that tell machines apart at a glance."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']},"
        f" Python {machine['python']}"
    )


def load() -> list[float]:
    """Return the load averages of 1, 5 and 15 minutes."""
    return [round(each, 2) for each in os.getloadavg()]


def doubts(machine: Json, load_at_start: list[float]) -> list[str]:
    """Say what here makes the figures worth less."""
    found = []
    if machine["filesystem"] in {"tmpfs", "ramfs"}:
        found.append(
            "the sites lie in memory (TMPDIR): syncs cost nothing there, on a disk they do"
        )
    if load_at_start[0] > machine["cores"] / 4:
        found.append(
            "other processes were running on this machine: times by the clock are too long, CPU"
            " times less so"
        )
    return found


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()


def _filesystem(folder: Path) -> str:
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    return filesystem_of(folder.stat().st_dev, mounts) or "unknown"


def _fdatasync(folder: Path) -> float:
    """Return the median of overwriting 4 KiB in place and syncing them."""
    path = folder / "fdatasync"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    took = []
    try:
        for _ in range(_SYNCS):
            begun = time.perf_counter()
            os.pwrite(descriptor, os.urandom(4096), 0)
            os.fdatasync(descriptor)
            took.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return median(took)
