"""From a configuration and a passphrase to an opened vault, or a new one.

Invariants:

* One custodian per store: an exclusive lock on the store's folder is held from here to the end of
  the process.
* A slot whose medium is away lags; with none at hand nothing is opened.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crypto.derive import SALT_SIZE, Argon2Cost
from keys.anchor import AnchorFile
from keys.disk import Disk
from keys.entry import Batch
from keys.errors import NoSlotOpens, SlotUnreachable
from keys.opening import Keeping, create_vault, new_vault_id, open_vault
from keys.slot.file import BLOB_SIZE, FileSlot
from keys.slot.lock import DatabaseKey, Lock, Passphrase
from keys.vault import Vault
from lookup.config import Config
from lookup.custodian.store.database import Database
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

    Raises WrongPassphrase, SlotDamaged, and NoSlotOpens if none is at hand.
    """
    slots, absent = [], []
    for folder in config.slots:
        try:
            slots.append(FileSlot.open(disk, folder, passphrase))
        except SlotUnreachable:
            absent.append(folder)
    if not slots:
        raise NoSlotOpens("no slot is at hand: are the media of vault.slots mounted?")
    return slots, absent


def open_site(
    config: Config, passphrase: Passphrase, clock: Callable[[], int], disk: Disk | None = None
) -> OpenSite:
    """Open a site's vault, whatever its last stop left to finish."""
    disk = disk or Disk()
    lock = lock_store(config.store)
    slots, absent = open_slots(config, passphrase, disk)
    keeping = _keeping(config, slots, clock, disk)
    vault = open_vault(keeping)
    return _open_site(keeping, vault, slots, absent, lock)


def create_site(  # noqa: PLR0913  # a vault is made once, and everything about it is decided here
    config: Config,
    passphrase: Passphrase,
    clock: Callable[[], int],
    first: Callable[[], Batch],
    *,
    cost: Argon2Cost,
    depth: int,
    blob_size: int = BLOB_SIZE,
) -> OpenSite:
    """Make a site's vault in empty folders. Raises FileExistsError if a slot is already there."""
    disk = Disk()
    lock_descriptor = lock_store(config.store)
    vault_id = new_vault_id()
    salt = secrets.token_bytes(SALT_SIZE)
    lock = Lock.make(passphrase, salt, cost, DatabaseKey.generate())
    slots = [FileSlot.create(disk, folder, vault_id, lock, blob_size) for folder in config.slots]
    for folder in config.slots:
        AnchorFile(disk, folder).create()
    keeping = _keeping(config, slots, clock, disk)
    vault = create_vault(vault_id, depth, keeping, [str(f) for f in config.slots], first())
    return _open_site(keeping, vault, slots, (), lock_descriptor)


def _keeping(
    config: Config, slots: Sequence[FileSlot], clock: Callable[[], int], disk: Disk
) -> Keeping:
    key = slots[0].lock.database_key
    return Keeping(
        Store(Database(config.store_file, key)),
        Mirror(Database(config.mirror_file, key)),
        [(slot, AnchorFile(disk, slot.path.parent)) for slot in slots],
        key,
        clock,
    )


def _open_site(
    keeping: Keeping, vault: Vault, slots: Sequence[FileSlot], absent: Sequence[Path], lock: int
) -> OpenSite:
    assert isinstance(keeping.store, Store)  # noqa: S101  # as _keeping made it
    assert isinstance(keeping.mirror, Mirror)  # noqa: S101  # as _keeping made it
    return OpenSite(
        vault,
        keeping.store,
        keeping.mirror,
        tuple(slots),
        tuple(absent),
        keeping.database_key,
        lock,
    )
