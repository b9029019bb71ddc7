"""Mapping a table into memory: never into swap where that can be had, never into a core dump.

`MAP_LOCKED` is `mlock` at the moment of mapping. It is used because a read-only mapping has no
address that Python shows; a limit (RLIMIT_MEMLOCK, often 8 MiB) makes it fail as a whole, and then
the table is mapped unlocked, which `Mapped.locked` reports. The table's pages exist before it is
mapped (posix_fallocate), so locking has nothing to fault in.

Each process locks for itself: workers answer from a table whose custodian is dead.

**Who reads a table.** A reader holds a shared record lock on the file (fcntl(2)) for as long as it
may answer from it. Nobody ever waits for that lock: it is there to be found, with the reader's
process id, by a custodian that has to know that no answer from this table is left, and that never
met its readers, because another custodian handed it to them. The kernel drops the lock when the
process ends, and when it closes *any* descriptor of the file: one process opens a table once.
"""

import fcntl
import mmap
import os
from struct import Struct
from typing import Final, NamedTuple

# asm-generic/mman.h; Python 3.11 has no name for it. x86, Arm, RISC-V and s390 agree on it.
_MAP_LOCKED: Final = 0x2000
_FLOCK: Final = Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid


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


def announce_reader(descriptor: int) -> None:
    """Let this process be found as a reader of the file, until it ends or closes the descriptor."""
    fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def find_reader(descriptor: int) -> int | None:
    """Return the id of another process that reads the file, or None if there is none.

    It is 0 for a process that this one cannot name, in another PID namespace.
    """
    wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, *_, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))
    return None if kind == fcntl.F_UNLCK else max(pid, 0)
