"""A vault on real files in one process: SQLCipher store and mirror, file slots, anchors.

`Watched` puts a point of accident before and after whatever a storage makes durable.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from crypto.aead import Sealed
from crypto.derive import TESTING_ONLY_COST
from keys.anchor import AnchorFile
from keys.disk import Disk
from keys.entry import Batch, Entry, EntryId, Kind, new_entry_id
from keys.log import Log, LogSource
from keys.opening import Keeping, create_vault, new_vault_id, nothing_audited, open_vault
from keys.page import VaultId
from keys.pages import BlobChange, Change, Pages, StoredRoot
from keys.slot.file import FileSlot
from keys.slot.lock import DatabaseKey, Lock, Passphrase
from keys.vault import Vault
from lookup.custodian.store.database import Database
from lookup.custodian.store.pages import Mirror, Store
from tests.keys.disks import Accidents

BLOB_SIZE = 4096
DATABASE_KEY = DatabaseKey(bytes(range(32)))
OLD, NEW = b"the old passphrase", b"the new passphrase"


def record(body: bytes = b"a record", first: int = 7) -> Entry:
    """Return a record's entry, in the leaf of this first byte."""
    return Entry(Kind.RECORD, EntryId(bytes((first,)) + new_entry_id(Kind.RECORD)[1:]), body)


def lock_of(passphrase: bytes) -> Lock:
    """Return a lock that this passphrase opens; one salt, so that a test stretches once."""
    return Lock.make(Passphrase(passphrase), bytes(16), TESTING_ONLY_COST, DATABASE_KEY)


class Watched:
    """A storage with points of accident around everything that it makes durable."""

    def __init__(self, pages: Pages, accidents: Accidents) -> None:
        self._pages = pages
        self._accidents = accidents
        self.commits = 0

    def root(self) -> StoredRoot | None:
        return self._pages.root()

    def page(self, number: int) -> Sealed | None:
        return self._pages.page(number)

    def span(self, numbers: range) -> dict[int, Sealed]:
        return self._pages.span(numbers)

    def pages(self) -> Iterator[tuple[int, Sealed]]:
        return self._pages.pages()

    def commit(self, change: Change, blobs: BlobChange) -> None:
        self._accidents.point()
        self._pages.commit(change, blobs)
        self.commits += 1
        self._accidents.point()

    @property
    def log(self) -> Log:
        return self._pages.log

    def take_log(self, source: LogSource, *, anew: bool = False) -> None:
        self._accidents.point()
        self._pages.take_log(source, anew=anew)
        self._accidents.point()

    def checkpoint(self) -> None:
        self._accidents.point()
        self._pages.checkpoint()

    def repair(self, number: int, sealed: Sealed) -> None:
        self._accidents.point()
        self._pages.repair(number, sealed)
        self._accidents.point()

    def replace(self, root: StoredRoot, pages: Iterable[tuple[int, Sealed]]) -> None:
        self._accidents.point()
        self._pages.replace(root, pages)
        self._accidents.point()


@dataclass(frozen=True)
class Place:
    """Where a site lies. Slots are folders `slot-0`, `slot-1` ... that may come and go."""

    folder: Path
    vault: VaultId
    disk: Disk

    def slots(self) -> list[Path]:
        """Return the folders of the slots that are at hand."""
        return sorted(path.parent for path in self.folder.glob("slot-*/slot"))

    def slot_folder(self, number: int) -> Path:
        return self.folder / f"slot-{number}"

    def open_slot(self, folder: Path, passphrase: bytes = OLD) -> tuple[FileSlot, AnchorFile]:
        slot = FileSlot.open(self.disk, folder, Passphrase(passphrase))
        return slot, AnchorFile(self.disk, folder)

    def make_slot(self, number: int, passphrase: bytes = OLD) -> tuple[FileSlot, AnchorFile]:
        folder = self.slot_folder(number)
        slot = FileSlot.create(self.disk, folder, self.vault, lock_of(passphrase), BLOB_SIZE)
        anchor = AnchorFile(self.disk, folder)
        anchor.create()
        return slot, anchor

    @contextmanager
    def storages(self) -> Iterator[tuple[Store, Mirror]]:
        """Open store and mirror; close their files, whatever happens."""
        with (
            closing(Store(Database(self.folder / "store" / "vault.db", DATABASE_KEY))) as store,
            closing(Mirror(Database(self.folder / "mirror" / "mirror.db", DATABASE_KEY))) as mirror,
        ):
            yield store, mirror

    @contextmanager
    def keeping(
        self,
        passphrase: bytes = OLD,
        accidents: Accidents | None = None,
        audit_head: Callable[[int], bytes | None] = nothing_audited,
    ) -> Iterator[Keeping]:
        """Open everything that a vault is kept in."""
        with self.storages() as (store, mirror):
            slots = [self.open_slot(folder, passphrase) for folder in self.slots()]
            keeping = Keeping(store, mirror, slots, DATABASE_KEY, lambda: 1_000, audit_head)
            if accidents:
                watched = Watched(store, accidents), Watched(mirror, accidents)
                keeping = replace(keeping, store=watched[0], mirror=watched[1])
            yield keeping

    @contextmanager
    def opened(self, passphrase: bytes = OLD) -> Iterator[Vault]:
        """Open the vault, and close it cleanly."""
        with self.keeping(passphrase) as keeping, closing(open_vault(keeping)) as vault:
            yield vault

    def copy(self, folder: Path, disk: Disk | None = None) -> "Place":
        """Return a copy of a site that nobody has open."""
        shutil.copytree(self.folder, folder)
        return Place(folder, self.vault, disk or self.disk)

    def bytes(self) -> dict[str, bytes]:
        """Return every file's bytes: what a refusal must leave as they are.

        A WAL and its index come and go with whoever opens the database.
        """
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in files
            if not path.name.endswith(("-wal", "-shm"))
        }


def make_place(
    folder: Path, *, slots: int = 1, depth: int = 1, first: Batch = (), disk: Disk | None = None
) -> Place:
    """Make a site with a vault in it, cleanly closed."""
    place = Place(folder, new_vault_id(), disk or Disk())
    pairs = [place.make_slot(number) for number in range(slots)]
    labels = [f"slot {number}" for number in range(slots)]
    with place.storages() as (store, mirror):
        keeping = Keeping(store, mirror, pairs, DATABASE_KEY, lambda: 1_000)
        create_vault(place.vault, depth, keeping, labels, first).close()
    return place
