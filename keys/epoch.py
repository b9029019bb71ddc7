"""The epoch change: how something is forgotten.

    (0) the intent becomes durable, by an ordinary commit; the caller takes the answers away
    (1) every slot at hand stages a key that has never wrapped anything
    (2) one transaction: the new pages, a new root key wrapped per slot, blobs deleted
    (3) the store is checkpointed and synced, the mirror confirms, the anchors say so
    (4) every slot destroys every key but the new one, and shows that it did
    (5) only now the caller hears of it

Invariants:

* After (0) there is only forward. A start that finds an intent at epoch n destroys whatever was
  staged and goes on from (1) with new keys; a start that finds the store at n + 1 goes on from (3).
* No key of the old epoch is destroyed before both store and mirror hold the new one.
* What was written before (2), by anyone, opens afterwards only if the current tree references it.

Every step may be repeated. Any error of I/O on the way ends the vault; the next start goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass

from keys.entry import Batch, Kind, Remove
from keys.errors import SlotUnreachable
from keys.intent import Intent
from keys.page import RootKey
from keys.pages import BlobChange, SlotId
from keys.slot import RootSlot
from keys.state import State

BlobPuts = tuple[tuple[bytes, int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Destruction:
    """What an epoch change can say of itself.

    `confirmed` slots have shown that no earlier key is left, by id and class; `lagging` ones were
    out of reach: until they confirm, whoever holds one of them and an old backup can read on.
    """

    intent: bytes
    epoch: int
    time: int
    confirmed: tuple[tuple[SlotId, str], ...]
    lagging: tuple[SlotId, ...]


def change_epoch(
    state: State, intent: Intent, blobs: BlobChange, withdraw: Callable[[], None]
) -> Destruction:
    """Carry out an intent. `withdraw` returns when no answer can leave that must not.

    `blobs.put` goes with the intent, for a new blob is a pure addition; `blobs.delete` is the
    intent's own.
    """
    stored = state.plan(intent.entries())
    state.commit(stored, BlobChange(put=blobs.put))
    withdraw()
    return finish(state, intent)


def finish(state: State, intent: Intent, floor: int = 0) -> Destruction:
    """Go on from (1). Also what a start does with an intent that it finds.

    The commit's sequence lies above `floor`: after a restore, above all that was ever seen.
    """
    epoch = state.epoch + 1
    staged = [slot for slot in _staying(state, intent) if _stage(slot, epoch, intent)]
    root_key = RootKey.generate()
    wraps = {slot.id: slot.wrap(epoch, root_key) for slot in staged}
    batch = intent.batch + _forget_intents(state)
    change = state.mending(
        lambda: state.tree.plan_epoch(state.store, batch, root_key, wraps, floor)
    )
    state.commit(change, BlobChange(delete=intent.blobs))
    return settle(state, intent)


def settle(state: State, intent: Intent) -> Destruction:
    """Go on from (3). Also what a start does when a slot still holds an earlier key."""
    state.confirm_mirror()
    state.write_anchors()
    wrapped = state.tree.stored.wraps
    confirmed = [slot for slot in state.slots.values() if _settle_slot(state, slot, intent)]
    done = tuple((slot.id, slot.letter) for slot in confirmed)
    known = {entry.id for entry in state.tree.scan(state.store, Kind.SLOT)}
    missing = (known | set(wrapped)) - {slot.id for slot in confirmed}
    for slot_id in intent.leaving:
        state.slots.pop(slot_id, None)
    lagging = tuple(sorted(SlotId(slot) for slot in missing))
    return Destruction(intent.id, state.epoch, state.clock(), done, lagging)


def _staying(state: State, intent: Intent) -> list[RootSlot]:
    return [slot for slot in state.slots.values() if slot.id not in intent.leaving]


def _stage(slot: RootSlot, epoch: int, intent: Intent) -> bool:
    """Stage a key; a slot that cannot be reached lags, and the vault goes on without it."""
    try:
        slot.stage(epoch, intent.id, keep=epoch - 1, lock=intent.lock)
    except SlotUnreachable:
        return False
    return True


def _settle_slot(state: State, slot: RootSlot, intent: Intent) -> bool:
    """Have a slot destroy what it must; say whether it confirmed."""
    try:
        if slot.id in intent.leaving:
            slot.destroy_all()
        elif slot.id in state.tree.stored.wraps:
            slot.destroy_all_but(state.epoch)
        else:
            return False
    except SlotUnreachable:
        return False
    return True


def _forget_intents(state: State) -> Batch:
    found = state.mending(lambda: list(state.tree.scan(state.store, Kind.INTENT)))
    return tuple(Remove(Kind.INTENT, entry.id) for entry in found)
