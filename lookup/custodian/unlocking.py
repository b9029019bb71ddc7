"""From a configuration and a passphrase to an opened vault, or a new one.

Invariants:

* One custodian per store: an exclusive lock on the store's folder is held from here to the end of
  the process.
* A slot whose medium is away lags; with none at hand nothing is opened. One that was away while
  the passphrase changed lags, too: nobody has to remember what it was closed with.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from crypto.derive import SALT_SIZE, Argon2Cost
from keys.anchor import AnchorFile
from keys.disk import Disk
from keys.entry import Batch
from keys.errors import NoSlotOpens, SlotUnreachable, WrongPassphrase
from keys.opening import Keeping, create_vault, new_vault_id, open_vault
from keys.page import VaultId
from keys.slot.file import BLOB_SIZE, FileSlot
from keys.slot.lock import DatabaseKey, Lock, Passphrase
from keys.vault import Vault
from lookup.config import Config
from lookup.custodian.store.database import Database, StoreError
from lookup.custodian.store.pages import Mirror, Store


class InUse(Exception):
    """Another process has this store open."""


@dataclass(frozen=True, slots=True)
class OpenSite:
    """An opened vault with its storages."""

    vault: Vault
    store: Store
    mirror: Mirror
    slots: tuple[FileSlot, ...]
    absent: tuple[Path, ...]
    database_key: DatabaseKey
    lock: int

    def close(self) -> None:
        """Close the vault cleanly, and its files."""
        self.vault.close()
        self.store.close()
        self.mirror.close()
        os.close(self.lock)


def lock_store(folder: Path) -> int:
    """Return a descriptor that holds the store's lock. Raises InUse."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise InUse(f"the store in {folder} is open in another process") from None
    return descriptor


def open_slots(
    config: Config, passphrase: Passphrase, disk: Disk
) -> tuple[list[FileSlot], list[Path]]:
    """Open the slots at hand; return them and the folders of those that are away.

    Raises WrongPassphrase if it opens none, SlotDamaged, and NoSlotOpens if none is at hand.
    """
    slots, absent, shut = [], [], []
    wrong: WrongPassphrase | None = None
    for folder in config.slots:
        try:
            slots.append(FileSlot.open(disk, folder, passphrase))
        except SlotUnreachable:
            absent.append(folder)
        except WrongPassphrase as error:
            shut.append(folder)
            wrong = error
    if not slots:
        raise wrong or NoSlotOpens("no slot is at hand: are the media of vault.slots mounted?")
    # Were it the passphrase that is old, what it opened would open no epoch: `open_vault` says so.
    slots += [FileSlot.reclaim(disk, folder, slots[0].lock) for folder in shut]
    return slots, absent


def running() -> float:
    """Tell seconds that nobody can set; those in which the machine sleeps count."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def open_site(
    config: Config,
    passphrase: Passphrase,
    clock: Callable[[], int],
    disk: Disk | None = None,
    *,
    running: Callable[[], float] = running,
) -> OpenSite:
    """Open a site's vault, whatever its last stop left to finish.

    Raises InUse, StoreError, and what `open_slots` and `open_vault` raise.
    """
    disk = disk or Disk()
    with ExitStack() as undo:
        lock = lock_store(config.store)
        undo.callback(os.close, lock)
        # An empty file in its place would look like a store to the restore that is needed now.
        if not config.store_file.exists():
            raise StoreError(
                f"there is no store at {config.store_file}: restore it, or mount its disk"
            )
        # An empty folder is how a person says that a new mirror is to begin here.
        if not config.mirror.is_dir():
            raise StoreError(
                f"there is no mirror at {config.mirror}: mount its disk, or make the folder"
            )
        slots, absent = open_slots(config, passphrase, disk)
        store, mirror = _open_storages(config, slots[0].lock.database_key, undo)
        vault = open_vault(_keeping(store, mirror, slots, clock, disk, running))
        undo.pop_all()
    key = slots[0].lock.database_key
    return OpenSite(vault, store, mirror, tuple(slots), tuple(absent), key, lock)


def create_site(  # noqa: PLR0913  # a vault is made once, and everything about it is decided here
    config: Config,
    passphrase: Passphrase,
    clock: Callable[[], int],
    first: Callable[[VaultId], Batch],
    *,
    cost: Argon2Cost,
    depth: int,
    blob_size: int = BLOB_SIZE,
) -> OpenSite:
    """Make a site's vault in empty folders. Raises FileExistsError if a slot is already there."""
    disk = Disk()
    with ExitStack() as undo:
        held = lock_store(config.store)
        undo.callback(os.close, held)
        vault_id, key = new_vault_id(), DatabaseKey.generate()
        lock = Lock.make(passphrase, secrets.token_bytes(SALT_SIZE), cost, key)
        slots = [FileSlot.create(disk, at, vault_id, lock, blob_size) for at in config.slots]
        for folder in config.slots:
            AnchorFile(disk, folder).create()
        store, mirror = _open_storages(config, key, undo)
        keeping = _keeping(store, mirror, slots, clock, disk, running)
        disk.make_folder(config.audit)
        labels = [str(folder) for folder in config.slots]
        vault = create_vault(vault_id, depth, keeping, labels, first(vault_id))
        undo.pop_all()
    return OpenSite(vault, store, mirror, tuple(slots), (), key, held)


def _open_storages(config: Config, key: DatabaseKey, undo: ExitStack) -> tuple[Store, Mirror]:
    store = Store(Database(config.store_file, key))
    undo.callback(store.close)
    mirror = Mirror(Database(config.mirror_file, key))
    undo.callback(mirror.close)
    return store, mirror


def _keeping(  # noqa: PLR0913, PLR0917  # all that a vault is kept with
    store: Store,
    mirror: Mirror,
    slots: Sequence[FileSlot],
    clock: Callable[[], int],
    disk: Disk,
    running: Callable[[], float],
) -> Keeping:
    pairs = [(slot, AnchorFile(disk, slot.path.parent)) for slot in slots]
    key = slots[0].lock.database_key
    return Keeping(store, mirror, pairs, key, clock, store.audit.head, running)
