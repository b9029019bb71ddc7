"""What is in a process's memory, and what of it Python still refers to."""

import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final

# Whatever leads everywhere: modules, classes, and functions by way of their globals.
_NOT_FOLLOWED: Final = (ModuleType, type, FunctionType)


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield what a process can read, mapping after mapping; needs root, or its parent."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, rights, *_ = line.split()
            start, end = (int(part, 16) for part in addresses.split("-"))
            if "r" not in rights or "[v" in line:
                continue
            memory.seek(start)
            try:
                yield memory.read(end - start)
            except OSError:
                continue  # a guard page, or a device


def find_in_memory(pid: int, needles: Mapping[str, bytes]) -> dict[str, int]:
    """Return how often each of these byte strings is there."""
    found = dict.fromkeys(needles, 0)
    for region in memory_of(pid):
        for name, needle in needles.items():
            found[name] += region.count(needle)
    return found


def find_reachable(roots: list[object], needles: Mapping[str, bytes]) -> set[str]:
    """Return which of these byte strings objects hold that can be reached from the roots."""
    found: set[str] = set()
    waiting, seen = list(roots), {id(needles)}
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _NOT_FOLLOWED):
            continue
        seen.add(id(each))
        raw = _bytes_of(each)
        found |= {name for name, needle in needles.items() if needle in raw}
        waiting += gc.get_referents(each)
    return found


def _bytes_of(each: object) -> bytes:
    if isinstance(each, bytes | bytearray):
        return bytes(each)
    return each.encode(errors="replace") if isinstance(each, str) else b""
