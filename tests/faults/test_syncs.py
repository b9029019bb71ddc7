"""What durability costs: how often a medium is waited for. bench/ quotes these numbers."""

from collections import Counter
from typing import Final

import pytest

from tests.faults.operations import OPERATIONS
from tests.faults.playing import Stage
from tests.faults.strace import SYNCS

pytestmark = pytest.mark.faults

STORE, MIRROR = "store/vault.db", "mirror/mirror.db"
# The intent, the change, a WAL's own sync when it is moved into the file; the certificate, with
# which the WAL begins anew, so that its head is synced, too.
CARRY_OUT: Final = {
    f"{STORE}-wal": 5,
    STORE: 1,
    f"{MIRROR}-wal": 5,
    MIRROR: 1,
    "slot-0/slot": 3,  # the new key's label; the old one's blob, then its header
    "slot-0/anchor": 2,
}
# What each commit waits for.
COMMIT: Final = {f"{STORE}-wal": 1, f"{MIRROR}-wal": 1, "slot-0/anchor": 1}


def syncs(stage: Stage, name: str) -> dict[str, int]:
    """Count the syncs of an operation's last step, by file."""
    outcome = stage.perform(name, stage.base(OPERATIONS[name].base))
    stage.forget(outcome)
    answers = [at for at, call in enumerate(outcome.calls[:-1]) if call.file == "answer"]
    last_step = outcome.calls[max(answers, default=0) :]
    return dict(Counter(call.file for call in last_step if call.kind in SYNCS))


def test_an_addition_waits_for_store_mirror_and_anchor(stage: Stage) -> None:
    assert syncs(stage, "add") == COMMIT


def test_so_does_a_step_of_a_case(stage: Stage) -> None:
    assert syncs(stage, "work on a case") == COMMIT


def test_an_expungement_waits_seventeen_times(stage: Stage) -> None:
    assert syncs(stage, "carry out what is due") == CARRY_OUT


def test_that_an_officer_carries_it_out_is_a_step_more(stage: Stage) -> None:
    assert syncs(stage, "carry out") == dict(Counter(CARRY_OUT) + Counter(COMMIT))


def test_a_batch_of_cases_waits_as_often_as_one(stage: Stage) -> None:
    assert syncs(stage, "carry out a batch") == syncs(stage, "carry out what is due")


def test_each_further_slot_costs_five_more(stage: Stage) -> None:
    """Its key, and the anchors of the step, the change and the certificate."""
    more = {"slot-1/slot": 3, "slot-1/anchor": 3}
    assert syncs(stage, "carry out with two slots") == syncs(stage, "carry out") | more
