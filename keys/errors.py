"""What can be so about keys.

    KeysError
    ├── EntryTooLarge       an entry does not fit its bound
    ├── EntryMissing        a batch removes what is not there
    ├── VersionConflict     the store is not where the change began: someone else wrote
    ├── PageDamaged         a page does not open, neither in the store nor in the mirror
    ├── LogDamaged          entries of the log, or hashes of them, are missing in a storage
    ├── MirrorBehind        the mirror does not hold what it has confirmed
    ├── RefusedToStart      a person has to decide; nothing was touched
    │   ├── OtherVault      store, mirror and slots are not of one vault
    │   ├── SlotUnknown     a slot at hand is not registered
    │   ├── RolledBack      the store, the mirror or a slot is older than what has been seen
    │   ├── NoSlotOpens     no slot holds the key of the store's epoch, or none can take the next
    │   ├── AnchorLost      there is no anchor that could say whether anything is missing
    │   ├── LogLost         entries of the log that were seen are in no copy at hand
    │   └── LogForked       two copies of the log contradict each other
    ├── SlotError
    │   ├── SlotUnreachable the medium is not there or does not answer
    │   ├── SlotDamaged     the slot's bytes are not a slot's
    │   ├── SlotUnwilling   the slot still holds a key it was told to destroy
    │   ├── LastSlot        without this slot nothing at hand would open the vault
    │   └── WrongPassphrase
    └── Stopped             this vault writes no more: it failed, was closed, or is a rehearsal

No message holds a key, an identifier or the content of an entry.
"""


class KeysError(Exception):
    """Base of all facts about keys."""


class EntryTooLarge(KeysError):
    """An entry does not fit its bound."""


class EntryMissing(KeysError):
    """A batch removes an entry that is not there."""


class VersionConflict(KeysError):
    """The store is not at the version that the change was planned on."""


class PageDamaged(KeysError):
    """A page does not open: other bytes than were written, or another page's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"page {number} does not open")
        self.number = number


class LogDamaged(KeysError):
    """Entries of the log, or hashes of them, are missing in a storage."""


class MirrorBehind(KeysError):
    """The mirror does not hold what it has confirmed."""


class RefusedToStart(KeysError):
    """Starting would be wrong; a person has to decide, and nothing was touched."""


class OtherVault(RefusedToStart):
    """A slot or a storage belongs to another vault."""


class SlotUnknown(RefusedToStart):
    """A slot at hand is not registered in the vault."""


class RolledBack(RefusedToStart):
    """Something is older than what has been seen: an old copy was put back."""


class NoSlotOpens(RefusedToStart):
    """No slot at hand holds the key of the store's epoch."""


class AnchorLost(RefusedToStart):
    """No anchor is left that could say whether the store is the newest."""


class LogLost(RefusedToStart):
    """Entries of the log that have been seen are in no copy of it at hand."""


class LogForked(RefusedToStart):
    """Two copies of the log say different things of the same entries."""


class SlotError(KeysError):
    """Base of the facts about one slot."""


class SlotUnreachable(SlotError):
    """The slot's medium is not there, or does not answer."""


class SlotDamaged(SlotError):
    """The slot's bytes are not a slot's."""


class SlotUnwilling(SlotError):
    """The slot still holds a key that it was told to destroy."""


class LastSlot(SlotError):
    """No other slot at hand could open the vault."""


class WrongPassphrase(SlotError):
    """The slot's lock does not open with this passphrase."""


class Stopped(KeysError):
    """This vault writes no more; after a failure only a new start can tell what is durable."""
