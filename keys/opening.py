"""Making a vault, and opening one: what a start checks, refuses and finishes.

A start touches nothing until it knows that store, slots, anchors and mirror belong to one
history. Then it goes forward, never back:

    store at n, an intent in it          destroy what was staged, do the epoch change again
    store at n + 1, a slot still at n    confirm the mirror, let the slot destroy the old key
    not closed cleanly                   an epoch change: aborted writes must not stay readable
    a slot lags                          an epoch change, which gives it a new key

It refuses (RefusedToStart) what only an old copy put back can explain:

    a slot has a key of a later epoch, or a staged one without an intent in the store
    the store is behind its anchor, or differs from it at the same sequence
    the mirror is ahead of the store
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_bytes

from crypto.aead import InvalidCiphertext
from keys.anchor import Anchor, AnchorFile, AnchorKey
from keys.entry import Batch, Entry, EntryId, Kind, Put, new_entry_id
from keys.epoch import Destruction, finish, settle
from keys.errors import AnchorLost, NoSlotOpens, PageDamaged, RolledBack
from keys.intent import Intent, parse_intents
from keys.page import RootKey, VaultId
from keys.pages import NO_BLOBS, Pages, SlotId, StoredRoot
from keys.slot import RootSlot
from keys.slot.lock import DatabaseKey
from keys.state import State
from keys.tree import Tree
from keys.vault import Vault

LABEL_SIZE = 200


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a vault is kept in: two storages, and slots with the anchors beside them."""

    store: Pages
    mirror: Pages
    slots: Sequence[tuple[RootSlot, AnchorFile]]
    database_key: DatabaseKey
    clock: Callable[[], int]


def new_vault_id() -> VaultId:
    """Draw the id that every page of a new vault is bound to."""
    return VaultId(token_bytes(16))


def slot_entry(slot: RootSlot, label: str) -> Entry:
    """Return the entry that registers a slot; the label tells people which one it is."""
    return Entry(Kind.SLOT, EntryId(slot.id), slot.letter.encode() + label.encode()[:LABEL_SIZE])


def create_vault(
    vault: VaultId, depth: int, keeping: Keeping, labels: Sequence[str], first: Batch
) -> Vault:
    """Make a vault at epoch 1 that holds `first`, in empty storages and fresh slots."""
    anchor_key, root_key = AnchorKey.generate(), RootKey.generate()
    slots = {slot.id: slot for slot, _ in keeping.slots}
    for slot in slots.values():
        slot.stage(1, bytes(16), keep=0, lock=None)
    wraps = {slot.id: slot.wrap(1, root_key) for slot in slots.values()}
    registered = (slot_entry(s, label) for s, label in zip(slots.values(), labels, strict=True))
    key_entry = Entry(Kind.ANCHOR_KEY, new_entry_id(Kind.ANCHOR_KEY), anchor_key.expose())
    batch = (*(Put(entry) for entry in (*registered, key_entry)), *first)
    tree = Tree.plant(vault, depth, root_key)
    change = tree.plan_epoch(keeping.store, batch, root_key, wraps)
    anchors = [anchor for _, anchor in keeping.slots]
    state = State(tree, keeping.store, keeping.mirror, slots, anchors, anchor_key, keeping.clock)
    state.commit(change, NO_BLOBS)
    state.confirm_mirror()
    state.write_anchors()
    return Vault(state, ())


def open_vault(keeping: Keeping) -> Vault:
    """Open a vault, finish what was left unfinished, refuse what must not be finished.

    Raises NoSlotOpens, RolledBack, AnchorLost, PageDamaged or MirrorBehind.
    """
    stored = keeping.store.root()
    if stored is None:
        raise NoSlotOpens("the store holds no vault")
    root_key = unwrap(keeping, stored)
    tree = _open_tree(keeping, stored, root_key)
    stored = tree.stored
    state = make_state(keeping, tree)
    intents = intents_of(state, keeping.database_key)
    _refuse_staged_ahead(keeping, stored, intents)
    anchor = _refuse_behind_anchor(keeping, state)
    _refuse_mirror_ahead(keeping, stored)
    if keeping.mirror.root() != stored:
        keeping.mirror.replace(stored, keeping.store.pages())
    state.serial = anchor.serial
    return Vault(state, _go_forward(state, intents, anchor))


def unwrap(keeping: Keeping, stored: StoredRoot) -> RootKey:
    """Return the root key from whichever slot holds it."""
    epoch = stored.version.epoch
    for slot, _ in keeping.slots:
        wrapped = stored.wraps.get(slot.id)
        if wrapped is not None and slot.opens(epoch):
            try:
                return slot.unwrap(epoch, wrapped)
            except InvalidCiphertext:
                continue  # another slot may do; if none does, the error below says what to do
    newest = max((key.epoch for slot, _ in keeping.slots for key in slot.held()), default=0)
    if newest > epoch:
        raise RolledBack(f"the store is at epoch {epoch}, a slot has gone on to {newest}")
    raise NoSlotOpens(f"no slot at hand opens epoch {epoch}; the newest here holds {newest}")


def _open_tree(keeping: Keeping, stored: StoredRoot, root_key: RootKey) -> Tree:
    """Open root and interior pages; take damaged ones from the mirror."""
    repaired: set[int] = set()
    while True:
        try:
            return Tree.open(keeping.store, stored, root_key)
        except PageDamaged as damage:
            sealed = keeping.mirror.page(damage.number)
            if sealed is None or damage.number in repaired:
                raise
            repaired.add(damage.number)
            keeping.store.repair(damage.number, sealed)
        except InvalidCiphertext:
            # The root itself is not what its slot's wrap opened. The mirror may hold it whole.
            mirrored = keeping.mirror.root()
            if mirrored is None or mirrored.version != stored.version or mirrored == stored:
                raise PageDamaged(0) from None
            keeping.store.replace(mirrored, keeping.mirror.pages())
            stored = mirrored


def make_state(keeping: Keeping, tree: Tree) -> State:
    """Return an opened vault's state. Raises RolledBack for slots that the vault does not know."""
    slots = {slot.id: slot for slot, _ in keeping.slots}
    anchors = [anchor for _, anchor in keeping.slots]
    state = State(
        tree, keeping.store, keeping.mirror, slots, anchors, AnchorKey(bytes(32)), keeping.clock
    )
    state.anchor_key = state.mending(lambda: anchor_key_of(tree, keeping.store))
    registered = {SlotId(entry.id) for entry in tree.scan(keeping.store, Kind.SLOT)}
    strangers = [slot_id for slot_id in slots if slot_id not in registered]
    if strangers:
        raise RolledBack("a configured slot is not registered in this vault")
    return state


def intents_of(state: State, database_key: DatabaseKey) -> list[Intent]:
    """Return what an epoch change had set out to do when it was cut off."""
    entries = list(state.tree.scan(state.store, Kind.INTENT))
    return parse_intents(entries, database_key)


def _refuse_staged_ahead(keeping: Keeping, stored: StoredRoot, intents: Sequence[Intent]) -> None:
    epoch = stored.version.epoch
    known = {intent.id for intent in intents}
    for slot, _ in keeping.slots:
        for key in slot.held():
            if key.epoch > epoch + 1:
                raise RolledBack(f"the store is at epoch {epoch}, a slot at {key.epoch}")
            if key.epoch == epoch + 1 and key.intent not in known:
                raise RolledBack("a slot was staged for an epoch change that the store forgot")


def _refuse_behind_anchor(keeping: Keeping, state: State) -> Anchor:
    found = [anchor.load(state.anchor_key) for _, anchor in keeping.slots]
    anchors = [anchor for anchor in found if anchor and anchor.vault == state.tree.vault]
    if not anchors:
        raise AnchorLost("no anchor verifies, so nothing can say whether the store is the newest")
    newest = max(anchors, key=lambda anchor: (anchor.version.sequence, anchor.serial))
    at = state.tree.version
    if at.sequence < newest.version.sequence:
        raise RolledBack(
            f"the store is at sequence {at.sequence}, its anchor at {newest.version.sequence}"
        )
    same = at == newest.version and newest.root_hash == sha256(state.tree.stored.sealed).digest()
    if at.sequence == newest.version.sequence and not same:
        raise RolledBack("store and anchor stand at the same sequence with different content")
    return newest


def _refuse_mirror_ahead(keeping: Keeping, stored: StoredRoot) -> None:
    mirrored = keeping.mirror.root()
    if mirrored is None:
        return
    if mirrored.vault != stored.vault:
        raise RolledBack("the mirror belongs to another vault")
    if mirrored.version.sequence > stored.version.sequence:
        raise RolledBack(
            f"the store is at sequence {stored.version.sequence},"
            f" its mirror at {mirrored.version.sequence}"
        )


def _go_forward(state: State, intents: Sequence[Intent], anchor: Anchor) -> tuple[Destruction, ...]:
    """Finish what a crash left; return what was destroyed by doing so."""
    done = [finish(state, intent) for intent in intents]
    if not intents:
        if _undestroyed(state):
            done = [settle(state, Intent.make(()))]
        elif not (anchor.closed and anchor.version == state.tree.version):
            done = [finish(state, Intent.make(()))]
    if any(slot_id not in state.tree.stored.wraps for slot_id in state.slots):
        done.append(finish(state, Intent.make(())))
    if not done:
        state.write_anchors()
    return tuple(done)


def _undestroyed(state: State) -> bool:
    """Say whether an epoch change was cut off between its commit and its last destruction."""
    return any(
        key.epoch != state.epoch
        for slot_id in state.tree.stored.wraps
        if slot_id in state.slots
        for key in state.slots[slot_id].held()
    )


def anchor_key_of(tree: Tree, pages: Pages) -> AnchorKey:
    """Return the key that authenticates this vault's anchors."""
    (key,) = tree.scan(pages, Kind.ANCHOR_KEY)
    return AnchorKey(key.body)
