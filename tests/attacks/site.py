"""A whole site in one process, on a temporary folder: real store, mirror, slots and anchors.

It can crash at any point, lose sight of a slot, change its passphrase, back up and restore; and
it keeps for the thief what he may have: everything ever written, and what the slots hold now.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any, Self
from unittest import mock

from crypto.derive import TESTING_ONLY_COST
from keys.anchor import AnchorFile
from keys.entry import EntryId, Kind
from keys.errors import KeysError, NoSlotOpens, SlotUnreachable, WrongPassphrase
from keys.opening import Keeping, create_vault, new_vault_id, open_vault, slot_entry
from keys.pages import SlotId
from keys.slot.file import FileSlot
from keys.slot.lock import DatabaseKey, Lock, Passphrase
from keys.vault import Receipt, Vault
from lookup.custodian.records.record import Record
from lookup.custodian.store.backup import Backup, back_up
from lookup.custodian.store.pages import Mirror, Store
from lookup.custodian.store.restore import Held, RestoreReport, rehearse, restore
from lookup.demo.recover import Evidence, Loot, recover
from tests.attacks.accidents import (
    Accidents,
    Book,
    CutOffDatabase,
    RecordedMirror,
    RecordedStore,
    TearingDisk,
)

BLOB_SIZE = 4096
MEMORY = Path("/dev/shm")  # noqa: S108  # a sync costs nothing there, and the folder is our own


def wanted_blobs(vault: Vault) -> Iterator[tuple[EntryId, int]]:
    """Name the blob of each record."""
    for index in range(vault.leaves):
        for entry in vault.scan_leaf(Kind.RECORD, index):
            yield entry.id, entry.version


class Site:
    """Folders `store`, `mirror`, `slot-0` and so on, and the vault that is kept in them."""

    def __init__(self, slots: int = 1, depth: int = 1) -> None:
        place = MEMORY if MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="lacuna-", dir=place))
        self.accidents = Accidents()
        self.book = Book()
        self.vault_id = new_vault_id()
        self.database_key = DatabaseKey.generate()
        self.passphrases = [b"passphrase 0"]
        self.passphrase = self.passphrases[0]
        self.folders: dict[SlotId, Path] = {}
        self.not_configured: set[SlotId] = set()
        self.put_away = 0
        self._disk = TearingDisk(self.accidents)
        bound = {"book": self.book, "accidents": self.accidents}
        self._types: dict[str, Any] = {
            "Store": type("Store", (RecordedStore,), bound),
            "Mirror": type("Mirror", (RecordedMirror,), bound),
            "Database": type("Database", (CutOffDatabase,), bound),
        }
        self.keeping = self._keep([self.make_slot() for _ in range(slots)])
        labels = [folder.name for folder in self.folders.values()]
        self.vault = create_vault(self.vault_id, depth, self.keeping, labels, ())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        shutil.rmtree(self.folder)

    @property
    def store(self) -> Path:
        return self.folder / "store" / "vault.db"

    @property
    def mirror(self) -> Path:
        return self.folder / "mirror" / "mirror.db"

    def records(self) -> dict[EntryId, Record]:
        """Read all records from the vault."""
        return {
            entry.id: Record.of(entry)
            for index in range(self.vault.leaves)
            for entry in self.vault.scan_leaf(Kind.RECORD, index)
        }

    def blob_names(self) -> set[tuple[EntryId, int]]:
        """Name every blob in the store."""
        store = self.keeping.store
        assert isinstance(store, Store)
        return set(store.blob_names())

    def leave(self) -> None:
        """Stop existing: files are let go, nothing is closed that could still say something."""
        self.accidents.after(0)
        for storage in (self.keeping.store, self.keeping.mirror):
            assert isinstance(storage, Mirror)
            storage.close()

    def restart(self) -> None:
        """Stop cleanly and start again."""
        self.vault.close()
        self.leave()
        self.open()

    def open(self) -> None:
        """Start with the newest passphrase that opens the vault."""
        refusal: KeysError | None = None
        for passphrase in reversed(self.passphrases):
            slots = self._open_slots(passphrase)
            if not slots:
                continue
            self.keeping = self._keep(slots)
            try:
                self.vault = open_vault(self.keeping)
            except (NoSlotOpens, WrongPassphrase) as error:
                self.leave()
                refusal = error
            except BaseException:
                self.leave()
                raise
            else:
                self.passphrase = self._find_passphrase()
                return
        raise refusal or AssertionError("there is no slot to try")

    def _find_passphrase(self) -> bytes:
        """Return the one that counts now: a start may have finished a change of it."""
        return next(
            passphrase
            for passphrase in reversed(self.passphrases)
            if any(slot.opens(self.vault.version.epoch) for slot in self._open_slots(passphrase))
        )

    # Slots

    def make_slot(self) -> FileSlot:
        """Make a slot with its anchor; registering it is the vault's business."""
        folder = self.folder / f"slot-{token_hex(4)}"
        lock = self.make_lock(self.passphrase)
        slot = FileSlot.create(self._disk, folder, self.vault_id, lock, BLOB_SIZE)
        AnchorFile(self._disk, folder).create()
        self.folders[slot.id] = folder
        return slot

    def make_lock(self, passphrase: bytes) -> Lock:
        salt = len(self.passphrases).to_bytes(16, "big")
        return Lock.make(Passphrase(passphrase), salt, TESTING_ONLY_COST, self.database_key)

    def add_slot(self, name: SlotId) -> Receipt:
        folder = self.folders[name]
        slot = FileSlot.open(self._disk, folder, Passphrase(self.passphrase))
        anchor = AnchorFile(self._disk, folder)
        return self.vault.add_slot(slot, anchor, slot_entry(slot, folder.name))

    def registered(self) -> list[SlotId]:
        """Return the slots that the vault knows, in the order in which they were made."""
        known = {SlotId(entry.id) for entry in self.vault.scan(Kind.SLOT)}
        return [slot for slot in self.folders if slot in known]

    def take_away(self, slot: SlotId) -> None:
        """Make a slot's medium unreachable; a second call brings it back."""
        here, away = self.folders[slot], self.folders[slot].with_suffix(".away")
        if here.exists():
            here.rename(away)
        else:
            away.rename(here)

    def is_here(self, slot: SlotId) -> bool:
        return self.folders[slot].exists()

    def at_hand(self) -> set[SlotId]:
        """Return the slots that the running vault reaches."""
        return {slot for slot in self.vault._state.slots if self.is_here(slot)}

    def current(self) -> set[SlotId]:
        """Return the slots with which the vault could be opened again now."""
        staying, _ = self.vault._state.registered()
        slots = self.vault._state.slots
        epoch = self.vault.version.epoch
        return {slot for slot in self.at_hand() & staying if slots[slot].opens(epoch)}

    def lose(self, slot: SlotId) -> None:
        """Lose a slot's medium for good: nobody has it."""
        if self.is_here(slot):
            self.take_away(slot)
        shutil.rmtree(self.folders.pop(slot).with_suffix(".away"))

    # Backups

    def back_up(self, name: str) -> Backup:
        """Back up into a folder of that name."""
        return back_up(
            self.store,
            self.database_key,
            folder=self.folder / name,
            apart_from=[self.store.parent, self.mirror.parent, *self.folders.values()],
            clock=self._clock,
            progress=lambda _done, _total: self.accidents.point(),
        )

    def put_aside(self, file: Path) -> Path:
        """Put a database away, with its folder; return where it is now."""
        self.put_away += 1
        aside = self.folder / f"lost-{self.put_away}"
        file.parent.rename(aside)
        return aside / file.name

    def put_back(self, aside: Path, file: Path) -> None:
        """Put a database back where it was."""
        aside.parent.rename(file.parent)

    def rehearse(self, sources: Sequence[Path]) -> RestoreReport:
        return rehearse(sources, self._held(), wanted_blobs, scratch=self.folder)

    def restore(self, sources: Sequence[Path], *, accept_loss: bool = True) -> RestoreReport:
        """Restore, with everything recorded and able to crash as elsewhere."""
        with mock.patch.multiple("lookup.custodian.store.restore", **self._types):
            return restore(
                sources,
                self._held(),
                wanted_blobs,
                store=self.store,
                mirror=self.mirror,
                accept_loss=accept_loss,
                progress=lambda _done, _total: self.accidents.point(),
            )

    # The thief

    def slot_bytes(self) -> frozenset[bytes]:
        """Return what every slot file holds now, wherever it is; lost ones are nowhere."""
        lost = {self.folders[slot].name for slot in self.vault.lost}
        files = self.folder.glob("slot-*/slot")
        return frozenset(file.read_bytes() for file in files if file.parent.stem not in lost)

    def steal(self, old_slots: frozenset[bytes], written: Evidence) -> Loot:
        """Give the thief what was written and every secret of now; see what opens."""
        slots = set(self.slot_bytes() | old_slots)
        return recover(replace(written, passphrases=set(self.passphrases), slots=slots))

    def _held(self) -> Held:
        return Held(
            self._with_anchors(self._open_slots(self.passphrase)), self.database_key, self._clock
        )

    def _clock(self) -> int:
        return 1_800_000_000

    def _open_slots(self, passphrase: bytes) -> list[FileSlot]:
        """Open what is at hand; slots that were away while the passphrase changed come back."""
        opened, old = [], []
        for slot, folder in self.folders.items():
            if slot not in self.not_configured:
                try:
                    opened.append(FileSlot.open(self._disk, folder, Passphrase(passphrase)))
                except WrongPassphrase:
                    old.append(folder)
                except SlotUnreachable:
                    continue
        if opened:
            opened += [FileSlot.reclaim(self._disk, folder, opened[0].lock) for folder in old]
        return opened

    def _with_anchors(self, slots: Sequence[FileSlot]) -> list[tuple[FileSlot, AnchorFile]]:
        return [(slot, AnchorFile(self._disk, slot.path.parent)) for slot in slots]

    def _keep(self, slots: Sequence[FileSlot]) -> Keeping:
        database = self._types["Database"]
        store = self._types["Store"](database(self.store, self.database_key))
        return Keeping(
            store,
            self._types["Mirror"](database(self.mirror, self.database_key)),
            self._with_anchors(slots),
            self.database_key,
            self._clock,
            store.audit.head,
        )
