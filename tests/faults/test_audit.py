"""G3: SIGKILL at every step of the audit's writer: what was acknowledged is in a segment.

In `dying.py` the process kills itself at a step of its own code, also in the middle of a write;
here at some of the steps, in `make soak` at all. With strace it dies at a system call, whoever
made it. The kernel keeps what it was given: losing power is not what this shows.
"""

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import SOAK
from tests.faults.dying import BURST, BURSTS
from tests.lookup.worker.audited import find_segments, fits, make_folder

Live = Callable[[int, Path], tuple[list[int], int]]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """Live once in a folder, up to a step; return what was acknowledged and the steps passed."""
    command = (sys.executable, "-m", "tests.faults.dying", "serve")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ask, answers = server.stdin, server.stdout

        def play(step: int, folder: Path) -> tuple[list[int], int]:
            ask.write(f"{step} {folder}\n")
            said = answers.readline().split()
            passed = int(said[-1]) if "passed" in said else step
            return [int(each) for each in said if each.isdigit()][: BURST * BURSTS], passed

        yield play


def judge(folder: Path, acknowledged: list[int]) -> None:
    """See that nothing acknowledged is missing, that nothing is there twice, nor out of order."""
    assert fits(acknowledged, len(acknowledged))
    found = [number for segment in find_segments(folder) for number in segment.numbers]
    assert fits(found, len(found))
    assert len(acknowledged) <= len(found) <= len(acknowledged) + BURST


def test_at_every_step_of_the_writer(live: Live, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    acknowledged, steps = live(0, folder)
    judge(folder, acknowledged)
    assert len(acknowledged) == BURST * BURSTS
    assert steps > 100
    shutil.rmtree(folder)

    # The number of slices depends on the time; what comes first and last is much the same.
    chosen = range(1, steps) if SOAK else {*range(1, 34), *range(34, steps, 9), steps - 1}
    died = 0
    for step in sorted(chosen):
        folder = make_folder(tmp_path)
        acknowledged, passed = live(step, folder)
        died += passed == step
        try:
            judge(folder, acknowledged)
        except Exception as error:
            raise AssertionError(f"step {step} of {steps}") from error
        shutil.rmtree(folder)
    assert died > len(chosen) * 0.9


# Of calls that the interpreter makes at its start, too, only late ones are the writer's.
CALLS = {
    "fallocate": (1, 2, 3),
    "pwritev2": (1, 4, 5, 6, 7, 12, 20),
    "flock": (1, 2),
    "fsync": (1, 2, 3, 4),
    "unlink,unlinkat": (1,),
    "io_submit": (1, 2, 9, 30),
    "io_getevents": (1, 2, 9, 30),
}
DIRECT = frozenset({"io_submit", "io_getevents"})


@pytest.mark.faults
@pytest.mark.parametrize("call", CALLS)
def test_at_system_calls(call: str, tmp_path: Path) -> None:
    """Also those that the medium makes between two steps of its own."""
    for nth in CALLS[call] if not SOAK else range(1, 40):
        folder = make_folder(tmp_path)
        done = trace(folder, call, f"signal=SIGKILL:when={nth}")
        assert done.returncode in ({-9, 137} if not SOAK else {-9, 137, 0}), (nth, done.stderr)
        judge(folder, [int(line) for line in done.stdout.split()])
        shutil.rmtree(folder)


@pytest.mark.faults
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize(
    ("call", "nth"),
    [
        *(("pwritev2", 7), ("pwritev2", 15), ("fsync", 1), ("fsync", 4)),
        *(("io_submit", 1), ("io_submit", 7), ("io_getevents", 1), ("io_getevents", 7)),
    ],
)
def test_at_a_system_call_that_fails(call: str, nth: int, error: int, tmp_path: Path) -> None:
    """The kernel's own errors: everything after them is refused, everything before is there."""
    folder = make_folder(tmp_path)
    done = trace(folder, call, f"error={errno.errorcode[error]}:when={nth}")

    assert done.returncode == 0, done.stderr
    acknowledged = [int(line) for line in done.stdout.split()]
    assert len(acknowledged) < BURST * BURSTS or error == errno.ENOSPC
    judge_failed(folder, acknowledged)


def judge_failed(folder: Path, acknowledged: list[int]) -> None:
    found = [number for segment in find_segments(folder) for number in segment.numbers]
    assert set(acknowledged) <= set(found)
    assert len(set(found)) == len(found)


def trace(folder: Path, call: str, what: str) -> subprocess.CompletedProcess[str]:
    """Live once under strace, with a fault."""
    how = "direct" if call in DIRECT else "run"
    return subprocess.run(
        (
            *("strace", "-f", "-o", "/dev/null", f"--trace={call}"),
            f"--inject={call}:{what}",
            *(sys.executable, "-m", "tests.faults.dying", how, str(folder)),
        ),
        capture_output=True,
        text=True,
        check=False,
    )
