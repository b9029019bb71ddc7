"""A vault: the forgetful map with everything that makes it forget, behind a few calls.

`commit` takes a batch and decides by itself whether it needs an epoch change, so that no caller
can remove something and leave it readable.

Invariants:

* A failure after the first write stops the vault for good (`Stopped`): what is durable is then
  unknown, and the next start finds out.
* What a batch cannot do is found out before anything is written. An intent, once stored, is
  carried out at every start until it is done; one that cannot be would end the vault's life.
* One thread at a time. The service has one writer thread, and reads go through it too: a page and
  the key that opens it must come from the same commit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from keys.anchor import AnchorFile, AuditMark
from keys.entry import LEAVING, OWN, Batch, Entry, EntryId, Kind, Put, is_gathered, is_pinned
from keys.epoch import Destruction, change_epoch
from keys.errors import EntryMissing, EntryTooLarge, LastSlot, OtherVault, Stopped
from keys.intent import Intent
from keys.log import MAX_LEAF, LogMark
from keys.page import FANOUT, VaultId, Version
from keys.pages import NO_BLOBS, BlobChange, Change, PageSource, SlotId
from keys.slot import RootSlot
from keys.slot.lock import Lock
from keys.state import State

T = TypeVar("T")

KEEP_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Receipt:
    """A batch is durable; if it removed anything, this is what can be said of that.

    `logged` are the positions that its leaves have in the log.
    """

    version: Version
    destruction: Destruction | None
    logged: range = range(0)


def _nothing_to_withdraw() -> None:
    """Most changes take no answer away."""


def _nobody_to_tell(renewed: tuple[Entry, ...]) -> None:
    """Nobody uses the renewed entries."""


class Vault:
    """An opened vault; `keys.opening` opens one.

    `started_with` is what a crash had left to destroy, and `former` what that start renewed, as
    it was before; `mended_log` says that the store's log was not what the anchors know, and that
    the mirror's is in its place. `announce` is called in every epoch change, when its intent is
    durable and before anything is destroyed, with the renewed entries; it returns when nobody uses
    the former ones any more, and may add entries by commits of its own.
    """

    def __init__(
        self,
        state: State,
        started_with: tuple[Destruction, ...],
        former: tuple[Entry, ...] = (),
        *,
        mended_log: bool = False,
        rehearsal: bool = False,
    ) -> None:
        self._state = state
        self._rehearsal = rehearsal
        self.started_with = started_with
        self.former = former
        self.mended_log = mended_log
        self.announce: Callable[[tuple[Entry, ...]], None] = _nobody_to_tell

    @property
    def stopped(self) -> bool:
        """Say whether a failure, or `close`, has ended this vault."""
        return self._state.stopped

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
        return self._read(lambda pages: self._state.tree.get(pages, kind, entry_id))

    def scan(self, kind: Kind) -> Iterator[Entry]:
        """Yield the entries of a pinned or gathered kind.

        Raises PageDamaged when store and mirror both are.
        """
        if is_pinned(kind):
            return iter(self.scan_leaf(kind, 0))
        if not is_gathered(kind):
            raise ValueError(f"{kind.name} entries lie in all leaves: use scan_leaf")
        gathered = range(self.leaves // FANOUT)
        return (entry for index in gathered for entry in self.scan_leaf(kind, index))

    def scan_leaf(self, kind: Kind, index: int) -> list[Entry]:
        """Return the entries of a kind in one leaf. Raises PageDamaged as `get` does."""
        return self._read(lambda pages: list(self._state.tree.scan_leaf(pages, kind, index)))

    def scan_bodies(self, kind: Kind, leaves: range) -> list[tuple[EntryId, bytes]]:
        """Return id and body of the entries of a kind in these leaves. Raises as `get` does."""
        return self._read(lambda pages: self._state.tree.scan_bodies(pages, kind, leaves))

    def commit(
        self,
        batch: Batch,
        blobs: BlobChange = NO_BLOBS,
        withdraw: Callable[[], None] = _nothing_to_withdraw,
        log: tuple[bytes, ...] = (),
    ) -> Receipt:
        """Make a batch durable; forget, by an epoch change, whatever it removes or replaces.

        `withdraw` is called when the removal is decided and before anything is destroyed; it
        returns when no answer can leave any more that the removal forbids. `log` are leaves that
        the log gets in the same transaction. Raises EntryMissing, EntryTooLarge or PageDamaged
        before anything is written; any later error stops the vault.
        """
        if any(not 0 < len(leaf) <= MAX_LEAF for leaf in log):
            raise EntryTooLarge(f"a leaf of the log has 1 to {MAX_LEAF} bytes")
        for step in batch:
            if (step.entry if isinstance(step, Put) else step).kind in OWN:
                raise ValueError("a batch from outside holds none of the vault's own entries")
        change = self._plan(batch)
        if change.removes or blobs.delete:
            return self._change_epoch(Intent.make(batch, blobs.delete, log=log), blobs, withdraw)
        return self._commit(replace(change, log=log), blobs)

    def purge(self) -> Receipt:
        """Change the epoch without any other change: forget aborted writes."""
        return self._change_epoch(Intent.make(()))

    def change_lock(self, lock: Lock) -> Receipt:
        """Give every slot another passphrase's lock."""
        return self._change_epoch(Intent.make((), lock=lock))

    @property
    def lagging(self) -> frozenset[SlotId]:
        """The registered slots that have not shown that this epoch's key is all they hold."""
        self._must_run()
        staying, _ = self._state.registered()
        return staying - self._state.confirmed

    @property
    def confirmed(self) -> tuple[tuple[SlotId, str], ...]:
        """The slots that have shown it, by id and class: a start or an epoch change asks them."""
        self._must_run()
        slots = self._state.slots.values()
        return tuple((each.id, each.letter) for each in slots if each.id in self._state.confirmed)

    @property
    def lost(self) -> frozenset[SlotId]:
        """The slots that left without having shown that they hold nothing."""
        self._must_run()
        _, leaving = self._state.registered()
        return leaving - self._state.confirmed

    @property
    def audit(self) -> AuditMark:
        """What the anchors say of the audit chain."""
        return self._state.audit

    @property
    def log(self) -> LogMark:
        """What the anchors say of the log."""
        return LogMark(self._state.log.size, self._state.log.root())

    @property
    def elapsed(self) -> int:
        """The seconds that this site's custodian has been running, over all its starts."""
        return self._state.elapsed

    @property
    def elapsed_before(self) -> int:
        """The seconds that it had been running when it was started this time."""
        return self._state.elapsed_before

    def keep_time(self) -> None:
        """Write the seconds down, if that was ten minutes ago: a crash loses no more than that."""
        if self._state.unanchored >= KEEP_SECONDS:
            self._guarded(self._state.write_anchors)

    def note_audit(self, mark: AuditMark) -> None:
        """Have the anchors say how far the audit chain reaches; its rows are durable by now."""

        def write() -> None:
            self._state.audit = mark
            self._state.write_anchors()

        self._guarded(write)

    def add_slot(self, slot: RootSlot, anchor: AnchorFile, entry: Entry) -> Receipt:
        """Register a slot, with the anchor beside it, and give it the next epoch's key."""
        if slot.vault != self.id or EntryId(slot.id) != entry.id:
            raise OtherVault("this slot was not made for this vault")
        batch = (Put(entry),)
        self._plan(batch)
        self._state.slots[slot.id] = slot
        self._state.anchors[slot.id] = anchor
        return self._change_epoch(Intent.make(batch))

    def remove_slot(self, slot_id: SlotId) -> Receipt:
        """Let a slot leave: it destroys every key if it is at hand, and counts as lost if not.

        A lost slot stays named in every later destruction, because what it opens with an old
        backup stays true, until it is at hand at a start and confirms after all. Raises
        EntryMissing, or LastSlot when no other slot at hand opens the vault.
        """
        entry = self.get(Kind.SLOT, EntryId(slot_id))
        if entry is None:
            raise EntryMissing("no slot of this id is registered")
        _, leaving = self._state.registered()
        others = [s for s in self._state.slots.values() if s.id not in leaving | {slot_id}]
        if not any(slot.opens(self.version.epoch) for slot in others):
            raise LastSlot("no other slot at hand opens the vault")
        change = self._plan((Put(replace(entry, flags=entry.flags | LEAVING)),))
        self._commit(change, NO_BLOBS)
        receipt = self.purge()
        if slot_id not in self._state.confirmed:
            return receipt
        return replace(receipt, version=self.purge().version)

    def prepare(self) -> None:
        """Use an idle moment to make the next epoch change fast."""
        for slot in self._state.slots.values():
            slot.prepare()

    def stop(self) -> None:
        """Refuse everything from now on, as after a failed write."""
        self._state.stopped = True

    def close(self) -> None:
        """Say on the anchors that nothing was left unfinished. A stopped vault says nothing."""
        try:
            if not (self._state.stopped or self._rehearsal):
                self._state.write_anchors(closed=True)
        finally:
            self._state.stopped = True
            self._state.tree.wipe()

    def _plan(self, batch: Batch) -> Change:
        return self._read(lambda pages: self._state.tree.plan(pages, batch))

    def _commit(self, change: Change, blobs: BlobChange) -> Receipt:
        def write() -> None:
            self._state.commit(change, blobs)
            self._state.write_anchors()

        self._guarded(write)
        return Receipt(self.version, None, self._logged(change.log))

    def _logged(self, leaves: tuple[bytes, ...]) -> range:
        """Return the positions of the leaves that were appended last."""
        size = self._state.log.size
        return range(size - len(leaves), size)

    def _change_epoch(
        self,
        intent: Intent,
        blobs: BlobChange = NO_BLOBS,
        withdraw: Callable[[], None] = _nothing_to_withdraw,
    ) -> Receipt:
        def withdraw_and_announce(renewed: tuple[Entry, ...]) -> None:
            withdraw()
            self.announce(renewed)

        destruction = self._guarded(
            lambda: change_epoch(self._state, intent, blobs, withdraw_and_announce)
        )
        return Receipt(self.version, destruction, self._logged(intent.log))

    def _read(self, read: Callable[[PageSource], T]) -> T:
        self._must_run()
        return self._state.read(read)

    def _guarded(self, write: Callable[[], T]) -> T:
        self._must_run()
        if self._rehearsal:
            raise Stopped("a rehearsal writes nothing")
        return self._state.guarded(write)

    def _must_run(self) -> None:
        if self._state.stopped:
            raise Stopped("this vault was closed, or an earlier failure stopped it; start it again")
