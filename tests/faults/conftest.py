"""The stage on which faults are played, one for each process that runs tests."""

from collections.abc import Iterator

import pytest

from tests.faults.playing import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage
