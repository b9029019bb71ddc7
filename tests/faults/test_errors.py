"""G6: a medium that fails or is full, at every write and sync: fail-stop, in words.

A write fails once, or there is no space left from then on. A sync fails once: whoever tried again
would hear that all is well, although the kernel may have dropped what was to be synced.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pytest

from lookup import exits
from tests.conftest import SOAK
from tests.faults.judging import Play
from tests.faults.playing import Outcome, Refused, Stage
from tests.faults.strace import SYNCS, WRITES, Call, Fault, kill_at, some_of

pytestmark = pytest.mark.faults

# What a custodian does, and what ends in an exception that a command shows.
SERVED: Final = (
    "add",
    "add and checkpoint",
    "carry out with two slots",
    "add a slot",
    "take segments in",
)
ALONE: Final = ("back up", "start", "restore from a damaged store")

# In the words of the system, of SQLite and of the index.
WORDS: Final[Mapping[str, Sequence[str]]] = {
    "ENOSPC": ("No space left on device", "disk is full", "disk I/O error", "no room"),
    "EIO": ("Input/output error", "disk I/O error"),
}
# SQLite syncs a folder when it makes a WAL or a journal there, and does not mind when that fails.
# By then or afterwards the names in it are synced by us, and we do.
FOLDERS: Final = frozenset({"store", "mirror", "backup"})


def faults(calls: Sequence[Call]) -> Iterator[tuple[Call, str, Fault]]:
    """Yield what can go wrong at calls: in `make soak` everything, otherwise in turn."""
    for at, call in enumerate(calls if SOAK else some_of(calls, middle=0)):
        if call.file == "answer" or call.file.startswith("damaged/"):
            continue  # nothing is written to a medium: SQLite only reads a restore's sources
        if call.kind in WRITES and (SOAK or at % 2 == 0):
            # A lasting fault of `write` would keep the process from saying what happened.
            full = Fault(call.kind, call.nth, "error=ENOSPC", lasting=call.kind != "write")
            yield call, "ENOSPC", full
        if call.kind in SYNCS or (call.kind in WRITES and (SOAK or at % 2 == 1)):
            yield call, "EIO", Fault(call.kind, call.nth, "error=EIO")


def fail(play: Play) -> dict[str, str]:
    """Let calls of an operation fail; return what is wrong afterwards, and where."""
    wrong: dict[str, str] = {}
    for call, error, fault in faults(play.calls):
        outcome = play.stage.perform(play.name, play.base, fault)
        try:
            if not (call.file in FOLDERS and outcome.status == 0):
                hear(play, outcome, WORDS[error])
            play.judge(outcome)
        except (AssertionError, Refused) as problem:
            wrong[f"{error} at {call}"] = f"{type(problem).__name__}: {problem}"
        play.stage.forget(outcome)
    return wrong


def hear(play: Play, outcome: Outcome, words: Sequence[str]) -> None:
    """See that the process ended, and said why."""
    said = outcome.raised or outcome.log
    assert outcome.answers < len(play.states) - 1, "acknowledged, although a call failed"
    assert any(each in said for each in words), said
    if outcome.status == exits.FAIL_STOP:
        assert "the cause: " in said, said
    else:
        assert outcome.status == 1, f"status {outcome.status}"
        assert play.name in ALONE or outcome.raised.startswith("Conflict: "), said


@pytest.mark.parametrize("name", [*SERVED, *ALONE])
def test_what_fails_is_not_acknowledged_and_ends_the_process(stage: Stage, name: str) -> None:
    """A custodian exits with 70 and says which file it was; the next start finds all in order.

    A new slot that cannot be made is no failure of the vault: nothing depends on it yet.
    """
    assert not fail(Play(stage, name))


def test_so_does_what_fails_while_a_start_finishes_an_expungement(stage: Stage) -> None:
    """An epoch change again, from where another one was cut off."""
    play = Play(stage, "carry out")
    outcome = stage.perform("carry out", play.base, kill_at(play.calls[len(play.calls) // 2]))

    assert not fail(Play(stage, "start", outcome.copy, play.secrets))
