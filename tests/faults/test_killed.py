"""G6: SIGKILL at every call that changes a medium; judging.py says what must be true after it.

Here at some calls of each kind to each file, in `make soak` at all of them. The kernel keeps what
it was given: a machine that loses power is not what this shows (tests/keys, on torn writes).
"""

from collections.abc import Callable, Sequence
from typing import Final

import pytest

from tests.conftest import SOAK
from tests.faults.judging import Play
from tests.faults.operations import OPERATIONS
from tests.faults.playing import Outcome, Refused, Stage
from tests.faults.strace import Call, kill_at, some_of

pytestmark = pytest.mark.faults

# A site that was not made is one of these, said in words; it was never acknowledged.
NOT_MADE: Final = frozenset({"AnchorLost", "NoSlotOpens", "StoreError"})
# Operations that take the way of another one, or nearly.
VARIANTS: Final = frozenset(
    {
        "add a slot",
        "change the passphrase",
        "change the passphrase of two slots",
        "make a site",
        "purge",
        "restore from the mirror",
        "carry out a batch",
        "carry out after add",
        "carry out what is due",
        "start with two slots",
    }
)
# Operations, and the start that follows when they were cut off.
STARTS: Final = {
    "carry out": "start",
    "update": "start",
    "remove a slot": "start with two slots",
    "carry out with two slots": "start with two slots",
}
ATTEMPTS = 3


def _cut_off(play: Play, call: Call) -> Outcome:
    """Perform an operation until it ends at a call.

    On a busy machine one performance in thousands makes a call less than the one that was recorded
    (what is taken in twice is taken in at once): that one ends well, and is performed again.
    """
    for _ in range(ATTEMPTS):
        outcome = play.stage.perform(play.name, play.base, kill_at(call))
        if outcome.status == -9:
            return outcome
        assert outcome.status == 0, outcome.raised
        play.stage.forget(outcome)
    raise AssertionError(f"{call} was not reached")


def kill(
    play: Play, calls: Sequence[Call], judge: Callable[[Outcome], object] | None = None
) -> dict[str, str]:
    """Cut an operation off at each of these calls; return what is wrong afterwards, and where."""
    wrong: dict[str, str] = {}
    for call in calls:
        outcome = _cut_off(play, call)
        try:
            (judge or play.judge)(outcome)
        except (AssertionError, Refused) as error:
            wrong[f"{call}, {outcome.answers} answers"] = f"{type(error).__name__}: {error}"
        play.stage.forget(outcome)
    return wrong


def chosen(play: Play) -> Sequence[Call]:
    """Return the calls at which an operation is cut off."""
    if SOAK:
        return play.calls
    return some_of(play.calls, middle=0 if play.name in VARIANTS else 1)


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"back up", "make a site"}))
def test_the_next_start_goes_forward(stage: Stage, name: str) -> None:
    """Nothing acknowledged is lost, nothing destroyed comes back, nothing is there by halves.

    A restore that was cut off is repeated first.
    """
    play = Play(stage, name)

    assert not kill(play, chosen(play))


@pytest.mark.parametrize("name", sorted(STARTS))
def test_so_does_the_start_after_one_that_was_cut_off(stage: Stage, name: str) -> None:
    """Two accidents, one after the other."""
    play = Play(stage, name)
    wrong = {}
    for first in play.calls if SOAK else [play.calls[len(play.calls) // 2]]:
        outcome = stage.perform(name, play.base, kill_at(first))
        start = Play(stage, STARTS[name], outcome.copy, play.secrets)
        wrong[str(first)] = kill(start, start.calls if SOAK else start.calls[::6])
        stage.remove(start.past)
        stage.forget(outcome)

    assert not any(wrong.values()), wrong


def test_a_backup_that_was_cut_off_leaves_one_that_can_be_restored(stage: Stage) -> None:
    """The one of before, or the new one; and the next backup is the new one."""
    play = Play(stage, "back up")

    def judge(outcome: Outcome) -> None:
        folder = str(outcome.folder)
        restored = stage.ask(int, "rehearse", folder)
        assert restored in {3, 4}, f"{restored} records"
        stage.do("back up", folder)
        assert stage.ask(int, "rehearse", folder) == 4
        play.judge(outcome)

    assert not kill(play, chosen(play), judge)


def test_a_site_is_made_wholly_or_says_that_it_was_not(stage: Stage) -> None:
    """An answer is the last thing that is given; before it, starting may be refused, in words."""
    play = Play(stage, "make a site")

    def judge(outcome: Outcome) -> None:
        try:
            play.judge(outcome)
        except Refused as refused:
            if refused.type not in NOT_MADE:
                raise

    assert not kill(play, chosen(play), judge)
