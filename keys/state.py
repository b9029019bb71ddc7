"""What one vault's keys live in: tree, store, mirror, slots and anchors, and how a commit passes.

Invariant: the order of a commit is store, mirror, memory. So the mirror is never ahead of the
store, and memory never stands where storage does not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import TypeVar

from crypto.merkle import Frontier
from keys.anchor import NOTHING_AUDITED, Anchor, AnchorFile, AnchorKey, AuditMark
from keys.entry import LEAVING, RENEWED, Batch, Entry, Kind
from keys.errors import AnchorLost, MirrorBehind, PageDamaged, SlotUnreachable, VersionConflict
from keys.log import Clock, LogMark, grown, mark_of, nothing_moves
from keys.mending import mended
from keys.pages import NO_BLOBS, BlobChange, Change, Pages, PageSource, SlotId
from keys.slot import RootSlot
from keys.tree import Tree

T = TypeVar("T")


@dataclass(slots=True)
class State:
    """One opened vault.

    `slots` and `anchors` hold the registered ones that are at hand; `confirmed` names the slots
    that have shown that they hold this epoch's key and no other; `audit` is what the anchors say of
    the audit chain, `log` what they say of the log; `elapsed_before` are the seconds that earlier
    runs took, by `running`, a clock that nobody can set; `stopped` ends it all.
    """

    tree: Tree
    store: Pages
    mirror: Pages
    slots: dict[SlotId, RootSlot]
    anchors: dict[SlotId, AnchorFile]
    anchor_key: AnchorKey
    clock: Callable[[], int]
    serial: int = 0
    audit: AuditMark = NOTHING_AUDITED
    log: Frontier = field(default_factory=Frontier)
    running: Clock = nothing_moves
    elapsed_before: int = 0
    confirmed: frozenset[SlotId] = frozenset()
    stopped: bool = False
    _began: float = field(init=False)
    _anchored: int = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.running()
        self._anchored = self.elapsed_before

    @property
    def elapsed(self) -> int:
        """The seconds that this site's custodian has been running."""
        return self.elapsed_before + int(self.running() - self._began)

    @property
    def unanchored(self) -> int:
        """The seconds that no anchor knows of yet."""
        return self.elapsed - self._anchored

    @property
    def epoch(self) -> int:
        """The epoch of the last commit."""
        return self.tree.version.epoch

    def read(self, read: Callable[[PageSource], T]) -> T:
        """Read; a page that does not open is put back from the mirror.

        Raises PageDamaged, or VersionConflict when pages do not open because another custodian
        wrote them.
        """
        try:
            found, patches = mended(read, self.store, self.mirror)
        except PageDamaged:
            if self.store.root() != self.tree.stored:
                raise VersionConflict("the store is not where this vault left it") from None
            raise
        for number, sealed in patches.items():
            self.guarded(partial(self.store.repair, number, sealed))
        return found

    def guarded(self, write: Callable[[], T]) -> T:
        """Write; whatever fails, what is durable is unknown from then on."""
        try:
            return write()
        except BaseException:
            self.stopped = True
            raise

    def scan(self, kind: Kind) -> list[Entry]:
        """Return the entries of a pinned kind."""
        return self.read(lambda pages: list(self.tree.scan_leaf(pages, kind, 0)))

    def registered(self) -> tuple[frozenset[SlotId], frozenset[SlotId]]:
        """Name the slots that stay, and those that are to leave."""
        entries = self.scan(Kind.SLOT)
        leaving = frozenset(SlotId(entry.id) for entry in entries if entry.flags & LEAVING)
        return frozenset(SlotId(entry.id) for entry in entries) - leaving, leaving

    def renewable(self) -> tuple[Entry, ...]:
        """Return the entries that every epoch change renews."""
        return tuple(entry for kind in RENEWED for entry in self.scan(kind))

    def plan(self, batch: Batch) -> Change:
        """Plan a batch in this epoch."""
        return self.read(lambda pages: self.tree.plan(pages, batch))

    def commit(self, change: Change, blobs: BlobChange = NO_BLOBS) -> None:
        """Make a change durable in store and mirror, and stand on it."""
        self.store.commit(change, blobs)
        self.mirror.commit(change, NO_BLOBS)
        self.tree.adopt(change)
        self.log = grown(Frontier() if change.log_anew else self.log, change.log)

    def confirm_mirror(self) -> None:
        """Return once store and mirror hold the same root and log, synced. Raises MirrorBehind."""
        self.store.checkpoint()
        self.mirror.checkpoint()
        if self.mirror.root() != self.tree.stored:
            raise MirrorBehind("the mirror does not hold the root that it confirmed")
        if mark_of(self.mirror.log) != LogMark(self.log.size, self.log.root()):
            raise MirrorBehind("the mirror does not hold the log that it confirmed")

    def write_anchors(self, *, closed: bool = False) -> None:
        """Say on every anchor at hand where the vault stands; on one at least."""
        self.serial += 1
        elapsed = self.elapsed
        anchor = Anchor(
            vault=self.tree.vault,
            version=self.tree.version,
            root_hash=sha256(self.tree.stored.sealed).digest(),
            time=self.clock(),
            closed=closed,
            serial=self.serial,
            log_size=self.log.size,
            log_root=self.log.root(),
            audit_head=self.audit.head,
            audit_row=self.audit.row,
            elapsed=elapsed,
        )
        if not [file for file in self.anchors.values() if self._write_anchor(file, anchor)]:
            raise AnchorLost("no anchor can be written: the media of all slots are gone")
        self._anchored = elapsed

    def _write_anchor(self, file: AnchorFile, anchor: Anchor) -> bool:
        try:
            file.store(anchor, self.anchor_key)
        except SlotUnreachable:
            return False
        return True
