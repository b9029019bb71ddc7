from collections.abc import Iterator

import pytest

from tests.lookup.worker.plane import Plane, running_plane


@pytest.fixture
def plane() -> Iterator[Plane]:
    """A plane of the test's own, with a complete table handed over."""
    with running_plane() as running:
        yield running.ready()


@pytest.fixture(scope="module")
def shared() -> Iterator[Plane]:
    """The same for all tests of a module that leave it as it is, but for links."""
    with running_plane() as running:
        yield running.ready()
