"""Slots and the passphrase: what holds the vault's epoch keys, changed while it runs.

Invariant: each of these is an epoch change, so that what an old slot or an old passphrase opened
opens nothing any more.
"""

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from crypto.derive import SALT_SIZE
from keys.anchor import AnchorFile
from keys.entry import Kind
from keys.errors import LastSlot
from keys.opening import slot_entry
from keys.pages import SlotId
from keys.slot.file import FileSlot
from keys.slot.lock import Lock, Passphrase
from keys.vault import Receipt
from lookup.custodian.custody import Custody
from lookup.custodian.running import Running
from lookup.errors import Conflict, InvalidRequest, NotFound

LEAST_PASSPHRASE: Final = 12
MAX_PASSPHRASE: Final = 1024
MAX_SLOTS: Final = 8


def check_passphrase(text: str) -> bytes:
    """Return a passphrase's bytes, or raise InvalidRequest for one that nobody could type again."""
    if not (LEAST_PASSPHRASE <= len(text) <= MAX_PASSPHRASE and text.isprintable()):
        raise InvalidRequest(
            f"a passphrase has {LEAST_PASSPHRASE} to {MAX_PASSPHRASE} printable characters"
        )
    return text.encode()


def change_passphrase(text: str, site: Running) -> Callable[[Custody], Receipt]:
    """Lock every slot at hand with another passphrase."""
    passphrase = Passphrase(check_passphrase(text))

    def run(custody: Custody) -> Receipt:
        salt = secrets.token_bytes(SALT_SIZE)
        lock = Lock.make(passphrase, salt, site.cost, site.database_key)
        receipt = custody.vault.change_lock(lock)
        custody.lock = lock
        return receipt

    return run


def add_slot(folder: Path, site: Running) -> Callable[[Custody], Receipt]:
    """Make a slot in a folder. Raises Conflict if it cannot be there, or there is no more room."""

    def run(custody: Custody) -> Receipt:
        vault = custody.vault
        if len(list(vault.scan(Kind.SLOT))) >= MAX_SLOTS:
            raise Conflict(f"a vault has at most {MAX_SLOTS} slots")
        _refuse_near(folder, (site.config.store, site.config.mirror, *site.config.slots))
        anchor = AnchorFile(site.disk, folder)
        try:
            slot = FileSlot.create(site.disk, folder, vault.id, custody.lock)
            anchor.ensure()
        except FileExistsError:
            raise Conflict("there is a slot in that folder already") from None
        except OSError as error:
            raise Conflict(f"no slot can be made in that folder: {error.strerror}") from None
        return vault.add_slot(slot, anchor, slot_entry(slot, str(folder)))

    return run


def _refuse_near(folder: Path, others: Iterable[Path]) -> None:
    """Keep a slot out of every copy of the store: such a copy would never forget."""
    mine = folder.resolve()
    for other in others:
        theirs = other.resolve()
        if mine.is_relative_to(theirs) or theirs.is_relative_to(mine):
            raise Conflict("a slot lies apart from store, mirror and the other slots")


def remove_slot(slot_id: SlotId) -> Callable[[Custody], Receipt]:
    """Let a slot leave. Raises NotFound, or Conflict for the last one."""

    def run(custody: Custody) -> Receipt:
        if slot_id not in [SlotId(entry.id) for entry in custody.vault.scan(Kind.SLOT)]:
            raise NotFound("no slot of this id is registered")
        try:
            return custody.vault.remove_slot(slot_id)
        except LastSlot:
            raise Conflict("the last slot at hand stays: nothing else opens the vault") from None

    return run
