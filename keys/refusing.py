"""What a start refuses, before it touches anything: whatever only an old copy can explain.

    a slot or the mirror is another vault's
    a slot has a key of a later epoch, or a staged one without an intent in the store
    a slot that wrapped this epoch's root key does not hold this epoch's key
    the mirror is ahead of the store
    the store is behind its anchor, or differs from it at the same sequence
    the audit chain is behind the anchor, or differs from it at the same row

It cannot tell a store, its mirror, and every slot and anchor at hand, all put back together, from
the past itself.
"""

from collections.abc import Callable, Collection
from hashlib import sha256

from keys.anchor import Anchor
from keys.errors import (
    AnchorLost,
    KeysError,
    NoSlotOpens,
    OtherVault,
    RolledBack,
    SlotUnknown,
    WrongPassphrase,
)
from keys.intent import Intent
from keys.page import VaultId, Version
from keys.pages import SlotId, StoredRoot
from keys.slot import RootSlot


def refuse_other_vault(
    vault: VaultId, slots: Collection[RootSlot], mirrored: StoredRoot | None
) -> None:
    """Raise OtherVault for a slot or a mirror of another vault."""
    if any(slot.vault != vault for slot in slots):
        raise OtherVault("a slot belongs to another vault than the store")
    if mirrored is not None and mirrored.vault != vault:
        raise OtherVault("the mirror belongs to another vault than the store")


def refuse_ahead(at: Version, slots: Collection[RootSlot], mirrored: StoredRoot | None) -> None:
    """Raise RolledBack for a mirror or a slot that has seen what the store has not."""
    if mirrored is not None and mirrored.version.sequence > at.sequence:
        raise RolledBack(
            f"the store is at sequence {at.sequence}, its mirror at {mirrored.version.sequence}"
        )
    newest = max((key.epoch for slot in slots for key in slot.held()), default=0)
    if newest > at.epoch + 1:
        raise RolledBack(f"the store is at epoch {at.epoch}, a slot has gone on to {newest}")


def why_closed(stored: StoredRoot, slots: Collection[RootSlot]) -> KeysError:
    """Return what says best why no slot opens the store's epoch."""
    epoch = stored.version.epoch
    held = {slot.id: {key.epoch for key in slot.held()} for slot in slots}
    has_key = [slot for slot in slots if slot.id in stored.wraps and epoch in held[slot.id]]
    shut = [slot for slot in has_key if not slot.opens(epoch)]
    if shut and any(slot.opens(epoch + 1) for slot in slots):
        return WrongPassphrase(
            "a change of passphrase was cut off before it took effect: start with the old"
            " passphrase, and the change will be completed"
        )
    if shut:
        return WrongPassphrase("the passphrase was changed: start with the new one")
    newest = max((key for epochs in held.values() for key in epochs), default=0)
    if newest > epoch:
        return RolledBack(f"the store is at epoch {epoch}, a slot has gone on to {newest}")
    return NoSlotOpens(f"no slot at hand opens epoch {epoch}; the newest here holds {newest}")


def refuse_staged(
    stored: StoredRoot, slots: Collection[RootSlot], intents: Collection[Intent]
) -> None:
    """Raise RolledBack for slots whose keys the store cannot explain."""
    epoch = stored.version.epoch
    known = {intent.id for intent in intents}
    for slot in slots:
        held = {key.epoch: key.intent for key in slot.held()}
        if epoch + 1 in held and held[epoch + 1] not in known:
            raise RolledBack("a slot was staged for an epoch change that the store forgot")
        if slot.id in stored.wraps and epoch not in held:
            raise RolledBack(
                f"a slot does not hold its key of epoch {epoch}: an old copy of it was put back,"
                " or it is damaged; without this slot, another may open the vault"
            )


def refuse_unknown(slots: Collection[RootSlot], registered: Collection[SlotId]) -> None:
    """Raise SlotUnknown for a slot with keys in it that the vault does not know of."""
    if any(slot.id not in registered and slot.held() for slot in slots):
        raise SlotUnknown("a slot at hand holds keys and is not registered in this vault")


def refuse_behind_anchor(
    stored: StoredRoot, newest: Anchor | None, audit_head: Callable[[int], bytes | None]
) -> Anchor:
    """Return the newest anchor. Raises AnchorLost or RolledBack.

    `audit_head` tells the head of the store's audit chain at a row, None where there is none.
    """
    if newest is None:
        raise AnchorLost("no anchor verifies, so nothing can say whether the store is the newest")
    at = stored.version
    if at.sequence < newest.version.sequence:
        raise RolledBack(
            f"the store is at sequence {at.sequence}, its anchor at {newest.version.sequence}"
        )
    same = at == newest.version and newest.root_hash == sha256(stored.sealed).digest()
    if at.sequence == newest.version.sequence and not same:
        raise RolledBack("store and anchor stand at the same sequence with different content")
    row, head = newest.audit
    if audit_head(row) != head:
        raise RolledBack(
            f"the anchor has seen {row} rows of the audit chain, and the store's are not these"
        )
    return newest
