"""What durability costs: how often a medium is waited for. bench/ quotes these numbers."""

from collections import Counter
from typing import Final

import pytest

from tests.faults.operations import OPERATIONS
from tests.faults.playing import Stage
from tests.faults.strace import SYNCS

pytestmark = pytest.mark.faults

STORE, MIRROR = "store/vault.db", "mirror/mirror.db"
# The intent, the change, and a WAL's own sync when it is moved into the file.
SHRED: Final = {
    f"{STORE}-wal": 3,
    STORE: 1,
    f"{MIRROR}-wal": 3,
    MIRROR: 1,
    "slot-0/slot": 3,  # the new key's label; the old one's blob, then its header
    "slot-0/anchor": 1,
}


def syncs(stage: Stage, name: str) -> dict[str, int]:
    """Count the syncs of an operation's last step, by file."""
    outcome = stage.perform(name, stage.base(OPERATIONS[name].base))
    stage.forget(outcome)
    answers = [at for at, call in enumerate(outcome.calls[:-1]) if call.file == "answer"]
    last_step = outcome.calls[max(answers, default=0) :]
    return dict(Counter(call.file for call in last_step if call.kind in SYNCS))


def test_an_addition_waits_for_store_mirror_and_anchor(stage: Stage) -> None:
    assert syncs(stage, "add") == {f"{STORE}-wal": 1, f"{MIRROR}-wal": 1, "slot-0/anchor": 1}


def test_a_shred_waits_twelve_times(stage: Stage) -> None:
    assert syncs(stage, "shred after add") == SHRED


def test_a_batch_of_shreds_waits_as_often_as_one(stage: Stage) -> None:
    assert syncs(stage, "shred a batch") == syncs(stage, "shred")


def test_each_further_slot_costs_four_more(stage: Stage) -> None:
    more = {"slot-1/slot": 3, "slot-1/anchor": 1}
    assert syncs(stage, "shred with two slots") == syncs(stage, "shred") | more
