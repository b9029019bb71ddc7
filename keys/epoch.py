"""The epoch change: how something is forgotten.

    (0) the intent becomes durable, by an ordinary commit, with what it renews; the caller takes
        the answers away and gives out the renewed keys
    (1) every slot at hand stages a key that has never wrapped anything
    (2) one transaction: the new pages, a new root key wrapped per slot, blobs deleted, leaves
        appended to the log
    (3) the store is checkpointed and synced, the mirror confirms, the anchors say so
    (4) every slot destroys every key but the new one, and shows that it did
    (5) only now the caller hears of it

Invariants:

* After (0) there is only forward. A start that finds an intent at epoch n destroys whatever was
  staged and goes on from (1) with new keys; a start that finds the store at n + 1 goes on from (3).
* Nothing is committed under a root key that no slot has wrapped.
* No key of the old epoch is destroyed before both store and mirror hold the new one.
* What was written before (2), by anyone, opens afterwards only if the current tree references it.

Every step may be repeated. Any error of I/O on the way ends the vault; the next start goes on.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove
from keys.errors import NoSlotOpens, SlotUnreachable
from keys.intent import Intent, intent_id_of
from keys.page import RootKey
from keys.pages import NO_BLOBS, BlobChange, SlotId
from keys.slot import RootSlot
from keys.state import State


@dataclass(frozen=True, slots=True)
class Destruction:
    """What an epoch change can say of itself.

    `confirmed` slots have shown that no earlier key is left, by id and class. `lagging` ones were
    out of reach: until they confirm, whoever holds one of them and an old backup can read on. Of
    `lost` ones it was decided to wait no longer; the same is true of whoever finds one.
    """

    intent: bytes
    epoch: int
    time: int
    confirmed: tuple[tuple[SlotId, str], ...]
    lagging: tuple[SlotId, ...]
    lost: tuple[SlotId, ...] = ()


def change_epoch(
    state: State,
    intent: Intent,
    blobs: BlobChange,
    withdraw: Callable[[tuple[Entry, ...]], None],
) -> Destruction:
    """Carry out an intent, and renew what every epoch change renews.

    `withdraw` gets the renewed entries; it returns when no answer can leave that must not, and
    nothing is sealed any more under a key that goes. It may add entries by commits of its own.
    `blobs.put` goes with the intent, for a new blob is a pure addition; `blobs.delete` is the
    intent's own.
    """
    renewed = tuple(entry.renewed() for entry in state.renewable())
    intent = renewing(intent, renewed)
    state.commit(state.plan(intent.entries()), BlobChange(put=blobs.put))
    withdraw(renewed)
    return finish(state, intent)


def renewing(intent: Intent, renewed: tuple[Entry, ...]) -> Intent:
    """Return the intent that also puts the renewed entries."""
    return replace(intent, batch=tuple(map(Put, renewed)) + intent.batch)


def purge(state: State) -> Destruction:
    """Change the epoch without any other change: forget what was written and never committed."""
    return change_epoch(state, Intent.make(()), NO_BLOBS, lambda _: None)


def finish(state: State, intent: Intent, floor: int = 0, *, log_anew: bool = False) -> Destruction:
    """Go on from (1). Also what a start does with an intent that it finds.

    The commit's sequence lies above `floor`: after a restore, above all that was ever seen.
    `log_anew` says that the intent's leaves begin another log.
    Raises NoSlotOpens, with nothing committed, when no slot at hand takes a key.
    """
    epoch = state.epoch + 1
    _, leaving = state.registered()
    departed = (leaving & state.confirmed) - state.tree.stored.wraps.keys()
    staying = state.slots.keys() - leaving  # and the one that the intent registers
    # A slot leaves when another has taken over, not before.
    staged = _stage(state, staying, epoch, intent) or _stage(state, leaving, epoch, intent)
    if not staged:
        raise NoSlotOpens(f"no slot at hand takes a key, so nothing would open epoch {epoch}")
    root_key = RootKey.generate()
    wraps = {slot.id: slot.wrap(epoch, root_key) for slot in staged}
    batch = intent.batch + _forget(state, intent) + tuple(map(_unregister, departed))
    change = state.read(lambda pages: state.tree.plan_epoch(pages, batch, root_key, wraps, floor))
    change = replace(change, log=intent.log, log_anew=log_anew)
    state.commit(change, BlobChange(delete=intent.blobs))
    for slot_id in departed:
        del state.slots[slot_id], state.anchors[slot_id]
    return settle(state, intent.id)


def settle(state: State, intent_id: bytes) -> Destruction:
    """Go on from (3). Also what a start does when a slot still holds an earlier key."""
    state.confirm_mirror()
    state.write_anchors()
    staying, leaving = state.registered()
    confirmed = [slot for slot in state.slots.values() if _confirms(state, slot, leaving)]
    state.confirmed = frozenset(slot.id for slot in confirmed)
    return Destruction(
        intent=intent_id,
        epoch=state.epoch,
        time=state.clock(),
        confirmed=tuple((slot.id, slot.letter) for slot in confirmed),
        lagging=tuple(sorted(staying - state.confirmed)),
        lost=tuple(sorted(leaving - state.confirmed)),
    )


def _stage(state: State, which: Collection[SlotId], epoch: int, intent: Intent) -> list[RootSlot]:
    """Stage a key in each; a slot that cannot be reached lags, and the vault goes on without it."""
    staged = []
    for slot in state.slots.values():
        if slot.id in which:
            with suppress(SlotUnreachable):
                slot.stage(epoch, intent.id, keep=epoch - 1, lock=intent.lock)
                staged.append(slot)
    return staged


def _confirms(state: State, slot: RootSlot, leaving: Collection[SlotId]) -> bool:
    """Have a slot destroy what it must; say whether it confirmed."""
    try:
        if slot.id in state.tree.stored.wraps:
            slot.destroy_all_but(state.epoch)
        elif slot.id in leaving:
            slot.destroy_all()
        else:
            return False
    except SlotUnreachable:
        return False
    return True


def _forget(state: State, intent: Intent) -> Batch:
    """Return the removals of the intent's own parts; after a restore there may be none."""
    parts = [entry for entry in state.scan(Kind.INTENT) if intent_id_of(entry) == intent.id]
    return tuple(Remove(Kind.INTENT, entry.id) for entry in parts)


def _unregister(slot_id: SlotId) -> Remove:
    return Remove(Kind.SLOT, EntryId(slot_id))
