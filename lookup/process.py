"""What each process of a site does before anything secret comes into it.

Invariants:

* No core dump, and no other process of this user reads its memory (prctl(2), PR_SET_DUMPABLE).
* SIGTERM and SIGINT end it with status 0 and through its `finally` clauses. uvicorn has handlers of
  its own while it serves, and raises the signal again when it has drained; these get it then.
"""

import ctypes
import os
import resource
import signal
from argparse import ArgumentParser
from typing import Final, NoReturn

_PR_SET_DUMPABLE: Final = 4
# mallopt(3) of the GNU library.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 32 * 1_024 * 1_024  # as much as the library allows for the second


def add_testing_options(parser: ArgumentParser) -> None:
    """Add what only a test may ask for."""
    parser.add_argument(
        "--testing-only-dumpable",
        action="store_true",
        help="let this user read the memory of the process",
    )


def settle_in(*, testing_only_dumpable: bool) -> None:
    """Forbid dumps and take the signals. Raises OSError if the kernel refuses."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _end)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if testing_only_dumpable:
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def keep_memory() -> None:
    """Have memory that is let go kept for what comes next, instead of given back to the kernel.

    A batch has bodies of some 200 KB; fresh pages for each of them take a fourteenth of its CPU.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:  # musl has none
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _KEPT)


def _end(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)
