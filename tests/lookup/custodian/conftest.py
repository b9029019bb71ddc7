from collections.abc import Iterator

import pytest

from tests.lookup.custodian.depot import Depot, opened, start
from tests.simulator import Custodian, Site


@pytest.fixture
def site() -> Iterator[Site]:
    """A site of the test's own; nothing runs."""
    with Site() as made:
        yield made


@pytest.fixture
def custodian(site: Site) -> Iterator[Custodian]:
    """A custodian of the test's own, in this process, that must not have failed."""
    with site.open() as running:
        yield running
    assert running.failures == []


@pytest.fixture(scope="module")
def shared() -> Iterator[Custodian]:
    """The same for the tests of a module that keep apart by their sources and identifiers."""
    with Site() as made:
        with made.open() as running:
            yield running
        assert running.failures == []


@pytest.fixture
def depot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Depot]:
    """A site of which the test has the clocks; officers' tokens are of its time, too."""
    with Site() as site:
        clocks = site.clocks = start()
        monkeypatch.setattr("tests.officers.time.time", clocks.wall)
        with opened(site) as custodian:
            yield Depot(custodian, clocks)
            assert custodian.failures == []
