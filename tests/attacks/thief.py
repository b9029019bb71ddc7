"""The thief of a running site: every byte of its files at each moment, then every secret of now."""

from collections.abc import Iterator
from typing import Self

import msgspec

from crypto.aead import InvalidCiphertext, Sealed
from crypto.record import Dek, unseal_payload
from keys.entry import EntryId
from lookup.demo.recover import Evidence, Loot, read_database, recover
from tests.attacks.copier import Copier
from tests.simulator import PASSPHRASE, Custodian, Site


class Thief:
    """Copies files as they are at each moment, and opens what they open together."""

    def __init__(self, site: Site) -> None:
        self.site, self.copier = site, Copier()
        self.written = Evidence(passphrases={PASSPHRASE.encode()})

    def __enter__(self) -> Self:
        self.copier.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.copier.__exit__()

    def look(self, custodian: Custodian) -> None:
        """Copy store and mirror."""
        key = custodian.opened.database_key
        for file in (self.site.config.store_file, self.site.config.mirror_file):
            copy = self.site.folder / "copy.db"
            self.copier.copy(file, copy)
            haul = read_database(copy, [key.expose()])
            assert haul is not None
            haul.into(self.written)
            for rest in self.site.folder.glob("copy.db*"):
                rest.unlink()

    def steal(self) -> Loot:
        """Open everything, with the slots and the passphrase of now; cases' keys on all blobs."""
        slots = {file.read_bytes() for file in self.site.folder.glob("slot-*/slot")}
        self.written.slots = slots
        loot = recover(self.written)
        keys = {value for entry in loot.entries for value in keys_in(entry.body)}
        for blob in self.written.blobs:
            for key in keys:
                try:
                    sealed, vault = Sealed(blob.sealed), self.site.vault
                    name = EntryId(blob.id)
                    loot.texts.append(unseal_payload(Dek(key), sealed, vault, name, blob.version))
                except InvalidCiphertext:
                    continue
        return Loot(loot.entries, loot.payloads, loot.texts)


def keys_in(body: bytes) -> Iterator[bytes]:
    """Yield what in an entry may be a key."""
    try:
        left = [msgspec.msgpack.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    while left:
        value = left.pop()
        if isinstance(value, bytes) and len(value) == 32:
            yield value
        elif isinstance(value, list | tuple):
            left.extend(value)
