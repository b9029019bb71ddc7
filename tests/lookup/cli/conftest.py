"""Sites for the commands: one that runs for all tests of a process, and folders for a new one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lookup.cli.commanding import SAMPLE, Folders, Served, serving


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """A demonstration site with the sample in it. Tests leave it healthy and its keys alone."""
    # Not tmp_path: the path of a UNIX socket has to stay below 108 bytes.
    site = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    made = site.init("--demo")
    assert made.status == 0, made.stderr
    try:
        with serving(site) as running:
            assert site.run("import", SAMPLE).status == 0
            yield running
    finally:
        site.remove()


@pytest.fixture
def site() -> Iterator[Folders]:
    """Folders for a site that is still to be made."""
    site = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    yield site
    site.remove()
