"""Slots and the passphrase: what holds the vault's epoch keys, changed while it runs.

Invariant: each of these is an epoch change, so that what an old slot or an old passphrase opened
opens nothing any more.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from crypto.derive import SALT_SIZE
from keys.anchor import AnchorFile
from keys.entry import Kind
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
    """Return a passphrase's bytes, or raise InvalidRequest for one that is too short or long."""
    if not LEAST_PASSPHRASE <= len(text) <= MAX_PASSPHRASE:
        raise InvalidRequest(f"a passphrase has {LEAST_PASSPHRASE} to {MAX_PASSPHRASE} characters")
    return text.encode()


def change_passphrase(text: str, site: Running) -> Callable[[Custody], Receipt]:
    """Lock every slot at hand with another passphrase."""
    passphrase = Passphrase(check_passphrase(text))

    def run(custody: Custody) -> Receipt:
        salt = secrets.token_bytes(SALT_SIZE)
        lock = Lock.make(passphrase, salt, site.cost, site.database_key)
        return custody.vault.change_lock(lock)

    return run


def add_slot(folder: Path, site: Running) -> Callable[[Custody], Receipt]:
    """Make a slot in a folder. Raises Conflict if there is one already, or no more room."""

    def run(custody: Custody) -> Receipt:
        vault = custody.vault
        if len(list(vault.scan(Kind.SLOT))) >= MAX_SLOTS:
            raise Conflict(f"a vault has at most {MAX_SLOTS} slots")
        try:
            slot = FileSlot.create(site.disk, folder, vault.id, site.slots[0].lock)
        except FileExistsError:
            raise Conflict("there is a slot in that folder already") from None
        anchor = AnchorFile(site.disk, folder)
        anchor.create()
        return vault.add_slot(slot, anchor, slot_entry(slot, str(folder)))

    return run


def remove_slot(slot_id: SlotId) -> Callable[[Custody], Receipt]:
    """Let a slot leave. Raises NotFound, or Conflict for the last one."""

    def run(custody: Custody) -> Receipt:
        known = [SlotId(entry.id) for entry in custody.vault.scan(Kind.SLOT)]
        if slot_id not in known:
            raise NotFound("no slot of this id is registered")
        if len(known) == 1:
            raise Conflict("the last slot stays: without one nothing opens the vault")
        return custody.vault.remove_slot(slot_id)

    return run
