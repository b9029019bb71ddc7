import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup.index.reader import TableReader
from lookup.index.writer import Table


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private folder on tmpfs."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def table(folder: Path) -> Iterator[Table]:
    """An empty table, live and incomplete."""
    table = Table.create(folder, generation=1, capacity_links=0)
    yield table
    table.close()


@pytest.fixture
def reader(table: Table) -> Iterator[TableReader]:
    """A reader of that table."""
    reader = TableReader(table.path)
    yield reader
    reader.close()
