"""What one vault's keys live in: tree, store, mirror, slots and anchors, and how a commit passes.

Invariant: the order of a commit is store, mirror, memory. So the mirror is never ahead of the
store, and memory never stands where storage does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from keys.anchor import Anchor, AnchorFile, AnchorKey
from keys.entry import Batch
from keys.errors import AnchorLost, MirrorBehind, PageDamaged, SlotUnreachable
from keys.pages import NO_BLOBS, BlobChange, Change, Pages, SlotId
from keys.slot import RootSlot
from keys.tree import Tree

T = TypeVar("T")


@dataclass(slots=True)
class State:
    """One opened vault. `slots` holds the registered slots that are at hand."""

    tree: Tree
    store: Pages
    mirror: Pages
    slots: dict[SlotId, RootSlot]
    anchors: list[AnchorFile]
    anchor_key: AnchorKey
    clock: Callable[[], int]
    serial: int = 0

    @property
    def epoch(self) -> int:
        """The epoch of the last commit."""
        return self.tree.version.epoch

    def plan(self, batch: Batch) -> Change:
        """Plan a batch; a page that does not open is first repaired from the mirror."""
        return self.mending(lambda: self.tree.plan(self.store, batch))

    def commit(self, change: Change, blobs: BlobChange = NO_BLOBS) -> None:
        """Make a change durable in store and mirror, and stand on it."""
        self.store.commit(change, blobs)
        self.mirror.commit(change, NO_BLOBS)
        self.tree.adopt(change)

    def confirm_mirror(self) -> None:
        """Return once store and mirror hold the same root, synced. Raises MirrorBehind."""
        self.store.checkpoint()
        self.mirror.checkpoint()
        if self.mirror.root() != self.tree.stored:
            raise MirrorBehind("the mirror does not hold the root that it confirmed")

    def write_anchors(self, *, closed: bool = False) -> None:
        """Say on every anchor at hand where the vault stands; on one at least."""
        self.serial += 1
        anchor = Anchor(
            vault=self.tree.vault,
            version=self.tree.version,
            root_hash=sha256(self.tree.stored.sealed).digest(),
            time=self.clock(),
            closed=closed,
            serial=self.serial,
        )
        if not [file for file in self.anchors if self._write_anchor(file, anchor)]:
            raise AnchorLost("no anchor can be written: the media of all slots are gone")

    def _write_anchor(self, file: AnchorFile, anchor: Anchor) -> bool:
        try:
            file.store(anchor, self.anchor_key)
        except SlotUnreachable:
            return False
        return True

    def mending(self, read: Callable[[], T]) -> T:
        """Read; where a page does not open, put back the mirror's and read again.

        Raises PageDamaged when the mirror's does not open either.
        """
        mended: set[int] = set()
        while True:
            try:
                return read()
            except PageDamaged as damage:
                sealed = self.mirror.page(damage.number)
                if damage.number in mended or sealed is None:
                    raise
                if not self.tree.opens(damage.number, sealed):
                    raise
                mended.add(damage.number)
                self.store.repair(damage.number, sealed)
