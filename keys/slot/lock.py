"""Locks: what a passphrase opens.

    lock = salt || Argon2id cost || seal(KEK, database key)

Invariants:

* The KEK is what the passphrase becomes; it is computed once per salt at start and held.
* The database key is random and stays for the vault's life. It hides how many pages and blobs a
  store holds and how they are called; it is no part of the promise to forget, because every page
  and every blob is sealed before it reaches the database. So a change of passphrase need not
  rewrite the database, and a backup of any age opens with the slot of today.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final, Self

from crypto.aead import InvalidCiphertext, Sealed, associate, seal, unseal
from crypto.derive import SALT_SIZE, Argon2Cost, Kek, stretch
from crypto.secret import SecretBytes
from keys.errors import SlotDamaged, WrongPassphrase
from keys.page import VaultId

_COST = Struct(">III")
SIZE: Final = SALT_SIZE + _COST.size + 12 + 32 + 16


class DatabaseKey(SecretBytes):
    """Encrypts the database files of one vault: store, mirror and backups."""


class Passphrase:
    """What a person knows. Keeps the keys it has been stretched to, not to pay twice."""

    __slots__ = ("_keks", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._keks: dict[tuple[bytes, Argon2Cost], Kek] = {}

    def __repr__(self) -> str:
        return "<Passphrase>"

    def kek(self, salt: bytes, cost: Argon2Cost) -> Kek:
        """Return the key for this salt; takes the time that `cost` demands, once."""
        if (salt, cost) not in self._keks:
            self._keks[salt, cost] = stretch(self._text, salt, cost)
        return self._keks[salt, cost]


@dataclass(frozen=True, slots=True)
class Lock:
    """An opened lock: what a slot needs to close itself again around a new blob."""

    salt: bytes
    cost: Argon2Cost
    kek: Kek
    database_key: DatabaseKey = field(repr=False)

    @classmethod
    def make(
        cls, passphrase: Passphrase, salt: bytes, cost: Argon2Cost, database_key: DatabaseKey
    ) -> Self:
        """Return the lock that this passphrase opens."""
        return cls(salt, cost, passphrase.kek(salt, cost), database_key)

    @classmethod
    def open(cls, raw: bytes, passphrase: Passphrase, vault: VaultId) -> Self:
        """Open a lock as `close` wrote it. Raises WrongPassphrase or SlotDamaged."""
        salt = raw[:SALT_SIZE]
        try:
            cost = Argon2Cost.parse(*_COST.unpack_from(raw, SALT_SIZE))
        except ValueError as error:
            raise SlotDamaged(f"the slot's lock is damaged: {error}") from None
        kek = passphrase.kek(salt, cost)
        try:
            key = unseal(kek, raw[SALT_SIZE + _COST.size :], associate("lacuna/lock/v1", vault))
        except InvalidCiphertext:
            raise WrongPassphrase("this passphrase does not open the slot") from None
        return cls(salt, cost, kek, DatabaseKey(key))

    def close(self, vault: VaultId) -> bytes:
        """Return SIZE bytes that `open` accepts."""
        cost = _COST.pack(self.cost.passes, self.cost.memory_kib, self.cost.lanes)
        sealed: Sealed = seal(
            self.kek, self.database_key.expose(), associate("lacuna/lock/v1", vault)
        )
        return self.salt + cost + sealed
