"""What every test shares: how long it may look, what it may need, and that CI skips nothing."""

import os
import shutil
import signal
from collections.abc import Callable, Generator

import pytest
from hypothesis import settings

CI = bool(os.environ.get("CI"))
SOAK = os.environ.get("LACUNA_SOAK") == "1"

# No deadline: on a shared machine it would measure the neighbours. In CI the same examples each
# time: what is green stays green; the search for new ones belongs to `make soak`.
settings.register_profile("test", deadline=None, derandomize=CI, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("soak" if SOAK else "test")

# A shell that starts this in the background has it ignore Ctrl-C, and every process that a test
# starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def find_tool(name: str) -> str:
    """Return the path of a program, or skip the test; in CI a skip is a failure."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def require_tool() -> Callable[[str], str]:
    """Call it with a program's name in the body of a test that cannot do without."""
    return find_tool


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test of marker `faults` needs strace."""
    if item.get_closest_marker("faults") is not None:
        find_tool("strace")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of marker `soak` are for `make soak` alone: elsewhere they are not chosen at all."""
    if SOAK:
        return
    long = [item for item in items if item.get_closest_marker("soak") is not None]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"nothing is skipped in CI; .ci/run installs what tests need: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: a machine without the tool must not look green."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    _refuse_skip(report)
    return report
