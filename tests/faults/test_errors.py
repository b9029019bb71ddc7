"""G6: a medium that fails or is full, at every write and sync: fail-stop, in words.

A write fails once, or from then on there is no space left. A sync fails once: whoever tries again
is told that all is well, although the kernel may have dropped what was to be synced.
"""

from collections.abc import Iterator
from typing import Final

import pytest

from lookup import exits
from tests.conftest import SOAK
from tests.faults.judging import Play
from tests.faults.operations import OPERATIONS
from tests.faults.playing import Outcome, Refused, Stage
from tests.faults.strace import SYNCS, WRITES, Call, Fault, some_of

pytestmark = pytest.mark.faults

# In a custodian, and where a command ends with an exception that it shows.
SERVED: Final = ("add", "add and checkpoint", "import", "shred", "add a slot", "purge")
ALONE: Final = ("back up", "start", "restore from the mirror", "restore from a damaged store")

NO_SPACE: Final = "No space left on device", "database or disk is full"
FAILED: Final = "Input/output error", "disk I/O error"


def faults(calls: list[Call]) -> Iterator[tuple[Call, Fault, tuple[str, str]]]:
    """Yield what can go wrong at calls, and what the system and SQLite say of it."""
    for call in calls if SOAK else some_of(calls, middle=0):
        if call.file in FOLDERS or call.file in MEMORY: ...
