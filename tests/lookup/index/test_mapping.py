import os
import subprocess
import sys
from pathlib import Path

from lookup.index.reader import TableReader
from lookup.index.writer import Table

ROOT = Path(__file__).parents[3]

UNPRIVILEGED = """
import os, resource, sys
from lookup.index.mapping import map_table

path = sys.argv[1]
descriptor = os.open(path, os.O_RDONLY)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
memory, locked = map_table(descriptor, os.path.getsize(descriptor), writable=False)
assert memory[:8] == b"lacuna-i"
print(locked)
"""


def _flags(path: Path) -> list[list[str]]:
    """VmFlags of every mapping of a file in this process."""
    found, ours = [], False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            ours = line.endswith(str(path))
        elif ours and line.startswith("VmFlags:"):
            found.append(line.split()[1:])
    return found


def test_neither_side_is_in_a_core_dump_or_writable_by_a_reader(table: Table) -> None:
    """DESIGN 6: undumpable, and locked where the limit allows; both sides say which."""
    reader = TableReader(table.path)
    flags = _flags(table.path)
    assert len(flags) == 2
    assert all("dd" in each for each in flags)
    assert sorted("wr" in each for each in flags) == [False, True]
    assert sorted("lo" in each for each in flags) == sorted([table.locked, reader.locked])
    reader.close()


def test_over_the_limit_the_table_is_mapped_unlocked(table: Table) -> None:
    """And that is reported: swap is then the operator's to switch off."""
    result = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(table.path)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert result.stdout == "False\n"
