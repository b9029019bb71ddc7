"""Mapping a table into memory: never into swap where that can be had, never into a core dump.

`MAP_LOCKED` is `mlock` at the moment of mapping. It is used because a read-only mapping has no
address that Python shows; a limit (RLIMIT_MEMLOCK, often 8 MiB) makes it fail as a whole, and then
the table is mapped unlocked, which `Mapped.locked` reports. The table's pages exist before it is
mapped (posix_fallocate), so locking has nothing to fault in.

Each process locks for itself: workers answer from a table whose custodian is dead.
"""

import mmap
from typing import Final, NamedTuple

# asm-generic/mman.h; Python 3.11 has no name for it. x86, Arm, RISC-V and s390 agree on it.
_MAP_LOCKED: Final = 0x2000


class Mapped(NamedTuple):
    """A mapping, and whether its pages are kept out of swap."""

    memory: mmap.mmap
    locked: bool


def map_table(descriptor: int, size: int, *, writable: bool) -> Mapped:
    """Map a whole table, shared. The descriptor may be closed afterwards."""
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    try:
        memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED | _MAP_LOCKED, access)
        locked = True
    except OSError:  # over RLIMIT_MEMLOCK; whatever else is wrong is wrong below too
        memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, access)
        locked = False
    memory.madvise(mmap.MADV_DONTDUMP)
    return Mapped(memory, locked)
