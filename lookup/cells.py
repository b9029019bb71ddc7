"""Cells: what each worker has counted of each client, shared by all workers of a site.

    cell  = mark u64 | rate u64 | day u64 | 40 spare bytes      64 bytes, one cache line
    mark  = the first 8 bytes of the client's random id
    rate, day: a time in the upper 32 bits, tokens in the lower (lookup/worker/quota.py)
    cells = those of client 0 by worker slot, those of client 1, …

One sealed memfd: the supervisor makes it and passes its descriptor to every worker.

Invariants:

* A cell has one writer, the process in its worker slot; everybody reads. Words are aligned and in
  the machine's own order, so that each is stored and read whole: no count is ever half old.
  (struct.pack_into would not do: it writes zeros first.)
* A cell belongs to the worker *slot*: what a worker has counted survives its restart, until the
  supervisor ends.
* A client's number comes with the hand-off and is the same for all workers. It is given again when
  a client was revoked; a cell with another mark counts for nobody, so nothing is inherited.
* Nobody can shrink it (which would kill the others with SIGBUS). A hacked worker can write nonsense
  into it: it can answer without counting as well.

Only pages that are written take memory: 64 bytes for each client and worker.
"""

import fcntl
import mmap
import os
import struct
from typing import Final

MAX_CLIENTS: Final = 10_000
MAX_WORKERS: Final = 64
WORDS: Final = 3
_CELL: Final = "3Q40x"
_SIZE: Final = struct.calcsize(f"@{_CELL}")
_STRIDE: Final = _SIZE // struct.calcsize("@Q")
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def make_cells(workers: int) -> int:
    """Make the cells of so many worker slots; return their descriptor, which the caller closes."""
    descriptor = os.memfd_create("lacuna-cells", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, _size(workers))
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def _size(workers: int) -> int:
    return MAX_CLIENTS * workers * _SIZE


class Cells:
    """The cells, mapped. Does not close the descriptor."""

    __slots__ = ("_page", "_row", "_words", "workers")

    def __init__(self, descriptor: int) -> None:
        """Map them. Raises ValueError unless they are what `make_cells` makes."""
        self.workers = _workers_of(descriptor)
        self._row = struct.Struct("@" + _CELL * self.workers)
        self._page = mmap.mmap(descriptor, _size(self.workers))
        self._words = memoryview(self._page).cast("Q")

    def row(self, client: int) -> tuple[int, ...]:
        """Return mark, rate and day of a client's cells, worker by worker."""
        return self._row.unpack_from(self._page, client * self._row.size)

    def write(self, client: int, worker: int, mark: int, rate: int, day: int) -> None:
        """Write a cell. Only for the process in this worker slot."""
        at = (client * self.workers + worker) * _STRIDE
        words = self._words
        same = words[at] == mark
        if not same:
            words[at] = 0  # until another client's counts are gone it is nobody's
        words[at + 1] = rate
        words[at + 2] = day
        if not same:
            words[at] = mark


def _workers_of(descriptor: int) -> int:
    try:
        sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        workers, rest = divmod(os.fstat(descriptor).st_size, _size(1))
    except OSError:
        sealed, workers, rest = 0, 0, 0
    if not (sealed and 1 <= workers <= MAX_WORKERS and rest == 0):
        raise ValueError("cells must be a memfd of whole rows, sealed against shrinking")
    return workers
