"""Root slots: where an epoch key lives, and what can be made to forget it.

A slot holds at most two keys at a time: the current epoch's, and while an epoch changes the next
one's. Each key is labelled with its epoch and the intent it was made for, durably, before it
wraps anything.

Invariants that every slot keeps:

* `stage` makes a key that has never wrapped anything, and destroys every key but the one it is
  told to keep. It returns only when the medium shows the new key as it will be needed: from then
  on the vault depends on it.
* `destroy_all_but` destroys nothing until it has seen the key that stays, and returns only when
  enumerating the slot shows nothing else.
* Keys never leave: callers hand in what is to be wrapped.

A slot's class says what it promises (DESTRUCTION below); it is printed on every report. One class
exists so far, D; A (PKCS#11 object) and B (TPM) have their letters reserved.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from crypto.aead import Sealed
from keys.page import RootKey, VaultId
from keys.pages import SlotId
from keys.slot.lock import Lock

DESTRUCTION: Final = {
    "A": "an HSM object, non-extractable and outside every backup domain",
    "B": "a TPM object bound to a counter that only goes up",
    "D": "a file, overwritten in place: holds unless the medium or a snapshot kept the old bytes"
    " and the passphrase is known",
}


@dataclass(frozen=True, slots=True)
class Held:
    """One key that a slot holds."""

    epoch: int
    intent: bytes


class RootSlot(Protocol):
    """Holds epoch keys, and can be made to forget them."""

    @property
    def id(self) -> SlotId:
        """The slot's random id, as registered in the map."""
        ...

    @property
    def vault(self) -> VaultId:
        """The vault that it was made for."""
        ...

    @property
    def letter(self) -> str:
        """The class, a key of DESTRUCTION."""
        ...

    def held(self) -> tuple[Held, ...]:
        """Enumerate the keys, from the medium, by epoch. Raises SlotUnreachable, SlotDamaged."""
        ...

    def stage(self, epoch: int, intent: bytes, keep: int, lock: Lock | None) -> None:
        """Make a fresh key, durable and labelled; destroy every key but that of epoch `keep`.

        A new `lock` closes over this key and all later ones, also when the slot is out of reach
        just now; slots that no passphrase opens leave it aside. Raises SlotUnreachable, or
        SlotDamaged when the key of `keep` was there and is not any more.
        """
        ...

    def wrap(self, epoch: int, root_key: RootKey) -> Sealed:
        """Wrap a root key under the key of this epoch."""
        ...

    def opens(self, epoch: int) -> bool:
        """Say whether `unwrap` can use the key of this epoch."""
        ...

    def unwrap(self, epoch: int, wrapped: Sealed) -> RootKey:
        """Return the root key, or raise InvalidCiphertext."""
        ...

    def destroy_all_but(self, epoch: int) -> None:
        """Destroy every key but that of `epoch`; confirm it by enumerating.

        Raises SlotUnreachable, SlotDamaged if the key of `epoch` is not there, or SlotUnwilling if
        something else still is.
        """
        ...

    def destroy_all(self) -> None:
        """Destroy every key, for good: the slot leaves the vault."""
        ...

    def prepare(self) -> None:
        """Use an idle moment to make the next `destroy_all_but` fast."""
        ...
