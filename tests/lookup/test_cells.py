"""The cells that all workers of a site count in."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lookup.cells import MAX_CLIENTS, WORDS, Cells, make_cells


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = make_cells(2)
    yield made
    os.close(made)


def test_what_one_writes_all_read(descriptor: int) -> None:
    """Also another process, that was given the descriptor; nobody else's cell is touched."""
    here = Cells(descriptor)
    code = (
        "import sys; from lookup.cells import Cells\n"
        f"Cells({descriptor}).write({MAX_CLIENTS - 1}, 1, 2**64 - 1, 2**63, 7)"
    )
    subprocess.run([sys.executable, "-c", code], pass_fds=[descriptor], check=True)

    assert here.row(MAX_CLIENTS - 1) == (0, 0, 0, 2**64 - 1, 2**63, 7)
    assert not any(here.row(MAX_CLIENTS - 2))


def test_counts_outlive_who_made_them(descriptor: int) -> None:
    """A restarted worker maps them again, and finds its own."""
    Cells(descriptor).write(3, 0, 1, 2, 3)

    assert Cells(descriptor).row(3)[:WORDS] == (1, 2, 3)


def test_nobody_can_shrink_them(descriptor: int) -> None:
    """Whoever reads beyond the end of a file is killed."""
    for size in (0, 1 << 40):
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(descriptor, size)
    with pytest.raises(OSError, match="not permitted"):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_what_no_one_uses_takes_no_memory() -> None:
    made = make_cells(64)
    Cells(made).write(MAX_CLIENTS - 1, 63, 1, 1, 1)

    assert os.fstat(made).st_size == 64 * 64 * MAX_CLIENTS
    assert os.fstat(made).st_blocks * 512 <= 64 * 1024
    os.close(made)


def test_only_cells_are_taken_for_cells(tmp_path: os.PathLike[str]) -> None:
    unsealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, 64 * MAX_CLIENTS)
    odd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(odd, 4_096)
    fcntl.fcntl(odd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    folder = os.open(tmp_path, os.O_RDONLY)
    for each in (unsealed, odd, folder):
        with pytest.raises(ValueError, match="sealed against shrinking"):
            Cells(each)
        os.close(each)
