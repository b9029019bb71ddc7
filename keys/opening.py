"""Making a vault, and opening one: what a start checks and what it finishes.

A start touches nothing until it knows that store, slots, anchors and mirror belong to one
history (`keys.refusing`). Then it goes forward, never back:

    store at n, an intent in it          destroy what was staged, do the epoch change again
    store at n + 1, a slot still at n    confirm the mirror, let the slot destroy the old key
    not closed cleanly                   an epoch change: aborted writes must not stay readable
    a slot lags, or is to leave          an epoch change, which gives or denies it a new key
    a page does not open                 put back the mirror's; for the root, an epoch change
    the mirror is behind or new          mend the store, then copy it
    one log is shorter, or changed       copy the one that the anchors know (`keys.log`)
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_bytes
from typing import Final

from crypto.aead import InvalidCiphertext
from keys.anchor import NOTHING_AUDITED, Anchor, AnchorFile, AnchorKey
from keys.entry import Batch, Entry, EntryId, Kind, Put, new_entry_id
from keys.epoch import Destruction, finish, purge, settle
from keys.errors import KeysError, NoSlotOpens, PageDamaged, VersionConflict
from keys.intent import Intent, parse_intents
from keys.log import Clock, equal, log_that_counts, nothing_moves
from keys.mending import mended
from keys.page import RootKey, VaultId, open_root
from keys.pages import Pages, PageSource, SlotId, StoredRoot
from keys.refusing import (
    refuse_ahead,
    refuse_behind_anchor,
    refuse_other_vault,
    refuse_staged,
    refuse_unknown,
    why_closed,
)
from keys.slot import RootSlot
from keys.slot.lock import DatabaseKey
from keys.state import State
from keys.tree import Tree
from keys.vault import Vault

LABEL_SIZE: Final = 200


def nothing_audited(row: int) -> bytes | None:
    """Tell the heads of an audit chain without rows."""
    return NOTHING_AUDITED.head if row == 0 else None


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a vault is kept in: two storages, and slots with the anchors beside them.

    `audit_head` tells the head of the audit chain at a row; the store keeps it beside the pages.
    `running` tells seconds that nobody can set: what `elapsed` on the anchors is counted by.
    """

    store: Pages
    mirror: Pages
    slots: Sequence[tuple[RootSlot, AnchorFile]]
    database_key: DatabaseKey
    clock: Callable[[], int]
    audit_head: Callable[[int], bytes | None] = nothing_audited
    running: Clock = nothing_moves

    def at_hand(self) -> list[RootSlot]:
        """Return the slots."""
        return [slot for slot, _ in self.slots]

    def of(self, registered: frozenset[SlotId]) -> "Keeping":
        """Leave aside slots that the vault does not know of; raise SlotUnknown if they hold keys.

        Empty ones were let go, or made and not yet registered: they concern nobody.
        """
        refuse_unknown(self.at_hand(), registered)
        return replace(self, slots=[pair for pair in self.slots if pair[0].id in registered])

    def state(self, tree: Tree, anchor_key: AnchorKey, seen: Anchor | None) -> State:
        """Return the state of a vault that is kept here; `seen` is the newest anchor."""
        return State(
            tree,
            self.store,
            self.mirror,
            {slot.id: slot for slot, _ in self.slots},
            {slot.id: anchor for slot, anchor in self.slots},
            anchor_key,
            self.clock,
            seen.serial if seen else 0,
            seen.audit if seen else NOTHING_AUDITED,
            self.store.log.frontier(),
            self.running,
            seen.elapsed if seen else 0,
        )


def new_vault_id() -> VaultId:
    """Draw the id that every page of a new vault is bound to."""
    return VaultId(token_bytes(16))


def slot_entry(slot: RootSlot, label: str) -> Entry:
    """Return the entry that registers a slot; the label tells people which one it is."""
    return Entry(Kind.SLOT, EntryId(slot.id), slot.letter.encode() + label.encode()[:LABEL_SIZE])


def create_vault(
    vault: VaultId, depth: int, keeping: Keeping, labels: Sequence[str], first: Batch
) -> Vault:
    """Make a vault at epoch 1 that holds `first`, in empty storages and fresh slots.

    Raises VersionConflict when a storage is not empty, with nothing touched.
    """
    if any(pages.root() or pages.log.size for pages in (keeping.store, keeping.mirror)):
        raise VersionConflict("expected empty storages, one holds a vault")
    anchor_key, root_key = AnchorKey.generate(), RootKey.generate()
    slots = keeping.at_hand()
    if not slots:
        raise NoSlotOpens("a vault needs a slot")
    for slot in slots:
        slot.stage(1, bytes(16), keep=0, lock=None)
    wraps = {slot.id: slot.wrap(1, root_key) for slot in slots}
    registered = (slot_entry(slot, label) for slot, label in zip(slots, labels, strict=True))
    key_entry = Entry(Kind.ANCHOR_KEY, new_entry_id(Kind.ANCHOR_KEY), anchor_key.expose())
    batch = (*(Put(entry) for entry in (*registered, key_entry)), *first)
    state = keeping.state(Tree.plant(vault, depth, root_key), anchor_key, None)
    state.commit(state.tree.plan_epoch(keeping.store, batch, root_key, wraps))
    settle(state, bytes(16))
    return Vault(state, ())


def open_vault(keeping: Keeping) -> Vault:
    """Open a vault, finish what was left unfinished, refuse what must not be finished.

    Raises RefusedToStart, WrongPassphrase or PageDamaged, with nothing touched.
    """
    stored, mirrored = keeping.store.root(), keeping.mirror.root()
    if stored is None:
        raise NoSlotOpens("the store holds no vault")
    slots = keeping.at_hand()
    refuse_other_vault(stored.vault, slots, mirrored)
    refuse_ahead(stored.version, slots, mirrored)
    root, root_key = _open_root(keeping, stored, mirrored)
    found, patches = mended(
        lambda pages: look(pages, root, root_key), keeping.store, keeping.mirror
    )
    intents = parse_intents(found.intent_parts, keeping.database_key)
    refuse_staged(root, slots, intents)
    keeping = keeping.of(found.registered(intents))
    newest = newest_anchor(keeping, found.anchor_key)
    anchor = refuse_behind_anchor(root, newest, keeping.audit_head)
    log = log_that_counts(
        keeping.store.log,
        keeping.mirror.log,
        anchor.log,
        exact=anchor.version == root.version,
        level=mirrored is not None and mirrored.version == root.version,
    )
    for number, sealed in patches.items():
        keeping.store.repair(number, sealed)
    for _, file in keeping.slots:
        file.ensure()
    for pages in (keeping.store, keeping.mirror):
        if not equal(pages.log, log):
            pages.take_log(log)
    state = keeping.state(found.tree, found.anchor_key, anchor)
    _catch_up(state, mirrored)
    clean = root == stored and anchor.closed and anchor.version == root.version
    sound = all(_opens(slot, root) for slot in state.slots.values())
    before = state.renewable()
    done = _go_forward(state, intents, renew=not (clean and sound))
    return Vault(state, done, before if done else (), mended_log=log is not keeping.store.log)


def unwrap(keeping: Keeping, stored: StoredRoot) -> RootKey:
    """Return the root key from whichever slot holds it.

    Raises NoSlotOpens, RolledBack or WrongPassphrase.
    """
    epoch, slots = stored.version.epoch, keeping.at_hand()
    for slot in slots:
        wrapped = stored.wraps.get(slot.id)
        if wrapped is not None and slot.opens(epoch):
            with suppress(InvalidCiphertext):  # another slot may do
                return slot.unwrap(epoch, wrapped)
    raise why_closed(stored, slots)


def _opens(slot: RootSlot, stored: StoredRoot) -> bool:
    """Say whether a slot opens the root: not if it lags, or if its blob or its wrap is damaged."""
    epoch, wrapped = stored.version.epoch, stored.wraps.get(slot.id)
    if wrapped is None or not slot.opens(epoch):
        return False
    try:
        slot.unwrap(epoch, wrapped)
    except InvalidCiphertext:
        return False
    return True


def _open_root(
    keeping: Keeping, stored: StoredRoot, mirrored: StoredRoot | None
) -> tuple[StoredRoot, RootKey]:
    """Return a root that opens, and its key: the store's, or what the mirror has of the same."""
    candidates = [stored]
    if mirrored and mirrored.version.epoch == stored.version.epoch:
        candidates.append(replace(stored, wraps=mirrored.wraps))
        if mirrored.version == stored.version:
            candidates.append(mirrored)
    failures: list[KeysError] = []
    for candidate in candidates:
        try:
            root_key = unwrap(keeping, candidate)
            open_root(root_key, candidate.sealed, candidate.vault, candidate.version)
        except InvalidCiphertext:
            failures.append(PageDamaged(0))
        except KeysError as failure:
            failures.append(failure)
        else:
            return candidate, root_key
    raise failures[0]


@dataclass(frozen=True, slots=True)
class Found:
    """What a start has to know of a vault before it may touch anything."""

    tree: Tree
    anchor_key: AnchorKey
    slots: list[Entry]
    intent_parts: list[Entry]

    def registered(self, intents: Sequence[Intent]) -> frozenset[SlotId]:
        """Name the registered slots, and those that an intent is about to register."""
        put = (step.entry for intent in intents for step in intent.batch if isinstance(step, Put))
        return frozenset(SlotId(e.id) for e in (*self.slots, *put) if e.kind is Kind.SLOT)


def look(pages: PageSource, stored: StoredRoot, root_key: RootKey) -> Found:
    """Open a tree and read what a start needs. Raises InvalidCiphertext or PageDamaged."""
    tree = Tree.open(pages, stored, root_key)
    (anchor_key,) = tree.scan_leaf(pages, Kind.ANCHOR_KEY, 0)
    slots, parts = (list(tree.scan_leaf(pages, k, 0)) for k in (Kind.SLOT, Kind.INTENT))
    return Found(tree, AnchorKey(anchor_key.body), slots, parts)


def newest_anchor(keeping: Keeping, key: AnchorKey) -> Anchor | None:
    """Return the newest of the anchors at hand that verify, or None."""
    found = [anchor for _, file in keeping.slots if (anchor := file.load(key))]
    return max(found, key=lambda anchor: (anchor.version.sequence, anchor.serial), default=None)


def _catch_up(state: State, mirrored: StoredRoot | None) -> None:
    """Make the mirror hold the store's tree, where it is behind, damaged or new.

    First mend the store: the mirror may hold the only whole bytes of a page that did not change.
    """
    if mirrored == state.tree.stored:
        return
    for index in range(state.tree.leaves if mirrored else 0):
        with suppress(PageDamaged):  # in both; it stays as it is
            state.read(partial(state.tree.leaf, index=index))
    state.mirror.replace(state.tree.stored, state.store.pages())


def _go_forward(state: State, intents: Sequence[Intent], *, renew: bool) -> tuple[Destruction, ...]:
    """Finish what a crash left; return what was destroyed by doing so."""
    done = [finish(state, intent) for intent in intents]
    if not intents:
        cut_off = _cut_off(state)
        if cut_off:
            done.append(settle(state, cut_off))
        if renew:
            done.append(purge(state))
    _, leaving = state.registered()
    if leaving & state.slots.keys():
        done.append(purge(state))  # it has confirmed by now, so this unregisters it
    if not done:
        state.confirmed = frozenset(state.slots)
        state.write_anchors()
    return tuple(done)


def _cut_off(state: State) -> bytes | None:
    """Name the intent of an epoch change that ended between its commit and a destruction."""
    for slot_id in state.slots.keys() & state.tree.stored.wraps.keys():
        held = {key.epoch: key.intent for key in state.slots[slot_id].held()}
        if len(held) > 1:
            return held[state.epoch]
    return None
