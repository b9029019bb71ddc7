"""Folders for vaults: in memory where there is a tmpfs, for a sync costs nothing there."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keys.site import Place, make_place

MEMORY = Path("/dev/shm")  # noqa: S108  # the folder made in it is our own


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="lacuna-", dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def place(folder: Path) -> Place:
    """A site with one slot and an empty vault of depth 1."""
    return make_place(folder / "site")


@pytest.fixture
def two_slots(folder: Path) -> Place:
    """A site with two slots."""
    return make_place(folder / "site", slots=2)
