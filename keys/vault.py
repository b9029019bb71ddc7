"""A vault: the forgetful map with everything that makes it forget, behind a few calls.

`commit` takes a batch and decides by itself whether it needs an epoch change, so that no caller
can remove something and leave it readable.

Invariants:

* A failure after the first write stops the vault for good (`Stopped`): what is durable is then
  unknown, and the next start finds out.
* One thread at a time. The service has one writer thread, and reads go through it too: a page and
  the key that opens it must come from the same commit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from keys.anchor import AnchorFile
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove
from keys.epoch import Destruction, change_epoch
from keys.errors import Stopped
from keys.intent import Intent
from keys.page import VaultId, Version
from keys.pages import NO_BLOBS, BlobChange, Change, SlotId
from keys.slot import RootSlot
from keys.slot.lock import Lock
from keys.state import State

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A batch is durable; if it removed anything, this is what can be said of that."""

    version: Version
    destruction: Destruction | None


def _nothing_to_withdraw() -> None:
    """Most changes take no answer away."""


class Vault:
    """An opened vault; `keys.opening` opens one."""

    def __init__(self, state: State, started_with: tuple[Destruction, ...]) -> None:
        self._state = state
        self._stopped = False
        self.started_with = started_with  # what a crash had left to destroy

    @property
    def stopped(self) -> bool:
        """Say whether a failure has ended this vault."""
        return self._stopped

    @property
    def id(self) -> VaultId:
        """The vault's random id."""
        return self._state.tree.vault

    @property
    def version(self) -> Version:
        """Epoch and sequence of the last commit."""
        return self._state.tree.version

    @property
    def leaves(self) -> int:
        """The number of leaves; `scan_leaf` takes their indices."""
        return self._state.tree.leaves

    def leaf_of(self, entry_id: EntryId) -> int:
        """Return the index of the leaf that an entry lies in."""
        return self._state.tree.leaf_of(entry_id)

    def get(self, kind: Kind, entry_id: EntryId) -> Entry | None:
        """Return an entry, or None. Raises PageDamaged when store and mirror both are."""
        state = self._state
        return self._read(lambda: state.tree.get(state.store, kind, entry_id))

    def scan(self, kind: Kind) -> Iterator[Entry]:
        """Yield the entries of a pinned kind. Raises PageDamaged when store and mirror both are."""
        return iter(self.scan_leaf(kind, 0))

    def scan_leaf(self, kind: Kind, index: int) -> list[Entry]:
        """Return the entries of a kind in one leaf. Raises PageDamaged as `get` does."""
        state = self._state
        return self._read(lambda: list(state.tree.scan_leaf(state.store, kind, index)))

    def commit(
        self,
        batch: Batch,
        blobs: BlobChange = NO_BLOBS,
        withdraw: Callable[[], None] = _nothing_to_withdraw,
    ) -> Receipt:
        """Make a batch durable; forget, by an epoch change, whatever it removes or replaces.

        `withdraw` is called when the removal is decided and before anything is destroyed; it
        returns when no answer can leave any more that the removal forbids. Raises EntryMissing,
        EntryTooLarge or PageDamaged before anything is written; any later error stops the vault.
        """
        self._must_run()
        change = self._state.plan(batch)
        if change.removes or blobs.delete:
            return self._change_epoch(Intent.make(batch, blobs.delete), blobs, withdraw)
        with_anchor = self._guarded(lambda: self._commit(change, blobs))
        return Receipt(with_anchor, None)

    def purge(self) -> Receipt:
        """Change the epoch without any other change: forget aborted writes."""
        return self._change_epoch(Intent.make(()))

    def change_lock(self, lock: Lock) -> Receipt:
        """Give every slot another passphrase's lock."""
        return self._change_epoch(Intent.make((), lock=lock))

    @property
    def lagging(self) -> frozenset[SlotId]:
        """The registered slots that hold no key of this epoch: they were out of reach."""
        wrapped = self._state.tree.stored.wraps
        registered = (SlotId(entry.id) for entry in self.scan(Kind.SLOT))
        return frozenset(slot for slot in registered if slot not in wrapped)

    def add_slot(self, slot: RootSlot, anchor: AnchorFile, entry: Entry) -> Receipt:
        """Register a slot, with the anchor beside it, and give it the next epoch's key."""
        self._must_run()
        self._state.slots[slot.id] = slot
        self._state.anchors.append(anchor)
        return self._change_epoch(Intent.make((Put(entry),)))

    def remove_slot(self, slot_id: SlotId) -> Receipt:
        """Unregister a slot; it destroys every key if it is at hand, and is lost if it is not."""
        batch = (Remove(Kind.SLOT, EntryId(slot_id)),)
        return self._change_epoch(Intent.make(batch, leaving=frozenset({slot_id})))

    def prepare(self) -> None:
        """Use an idle moment to make the next epoch change fast."""
        for slot in self._state.slots.values():
            slot.prepare()

    def stop(self) -> None:
        """Refuse everything from now on, as after a failed write."""
        self._stopped = True

    def close(self) -> None:
        """Say on the anchors that nothing was left unfinished. A stopped vault says nothing."""
        if not self._stopped:
            self._guarded(lambda: self._state.write_anchors(closed=True))
            self._stopped = True
        self._state.tree.wipe()

    def _commit(self, change: Change, blobs: BlobChange) -> Version:
        self._state.commit(change, blobs)
        self._state.write_anchors()
        return self.version

    def _change_epoch(
        self,
        intent: Intent,
        blobs: BlobChange = NO_BLOBS,
        withdraw: Callable[[], None] = _nothing_to_withdraw,
    ) -> Receipt:
        self._must_run()
        state = self._state
        destruction = self._guarded(lambda: change_epoch(state, intent, blobs, withdraw))
        return Receipt(self.version, destruction)

    def _read(self, read: Callable[[], T]) -> T:
        self._must_run()
        return self._state.mending(read)

    def _guarded(self, write: Callable[[], T]) -> T:
        try:
            return write()
        except BaseException:
            self._stopped = True
            raise

    def _must_run(self) -> None:
        if self._stopped:
            raise Stopped("an earlier failure stopped this vault; start it again to go on")
