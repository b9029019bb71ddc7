"""Class D: an epoch key as a large random blob in a file.

    file   = area 0 || area 1
    area   = header (4 KiB) || blob (1 MiB unless a test says otherwise)
    header = "LACUNA/D" || format || state || vault || slot || epoch || intent || blob size
             || lock || SHA-256 of all that
    E      = fold(KEK, SHA-512(blob))           crypto/allornothing.py

Invariants:

* A *spare* area holds a random blob that has never been part of a key. Only `stage` labels it,
  and only `_refill` makes it: the blob is overwritten and synced first, the header after, so that
  a crash between the two leaves a label on a broken key, never a spare with an old blob.
* A key is made of the blob that the medium shows at that moment, not of a remembered one: a
  medium that was changed in the meantime must not cost the vault.
* Areas are overwritten in place. Once made, the file is never renamed, truncated or copied.
* A header's digest guards against torn writes, not against people: whoever can write the slot can
  destroy it anyway, and an altered label only makes the vault refuse to start.

What it cannot promise: a medium that keeps old sectors (flash translation, copy-on-write, VM
snapshots) may keep the old blob. `keys.claims` looks for the cases that can be seen.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Final, Self, TypeVar

from crypto.aead import AssociatedData, Sealed, associate, seal, unseal
from crypto.allornothing import EpochKey, digest, fold
from crypto.encoding import uint
from keys.disk import Disk
from keys.entry import Kind, new_entry_id
from keys.errors import SlotDamaged, SlotUnreachable, SlotUnwilling, WrongPassphrase
from keys.page import RootKey, VaultId
from keys.pages import SlotId
from keys.slot import Held
from keys.slot import lock as locks
from keys.slot.lock import Lock, Passphrase

HEADER_SIZE: Final = 4096
BLOB_SIZE: Final = 1 << 20
FILE_NAME: Final = "slot"
_MAGIC = b"LACUNA/D"
_FORMAT = 1
_SPARE, _LABELLED = 0, 1
_HEAD = Struct(">8sBB16s16sQ16sQ")
_DIGEST_SIZE = 32
_NOT_READ_BACK = "the slot's medium does not read back what was written"
_NOT_DESTROYED = "the slot still shows a key that was overwritten"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Header:
    state: int
    vault: VaultId
    slot: SlotId
    epoch: int
    intent: bytes
    blob_size: int
    lock: bytes

    def encode(self) -> bytes:
        head = _HEAD.pack(
            _MAGIC,
            _FORMAT,
            self.state,
            self.vault,
            self.slot,
            self.epoch,
            self.intent,
            self.blob_size,
        )
        content = head + self.lock
        return (content + sha256(content).digest()).ljust(HEADER_SIZE, b"\0")

    @classmethod
    def parse(cls, raw: bytes) -> Self | None:
        """Return the header, or None for bytes that are none (a write was torn)."""
        length = _HEAD.size + locks.SIZE
        content, checksum = raw[:length], raw[length : length + _DIGEST_SIZE]
        if len(raw) != HEADER_SIZE or sha256(content).digest() != checksum:
            return None
        magic, known, *fields = _HEAD.unpack_from(content)
        if magic != _MAGIC or known != _FORMAT:
            return None
        state, vault, slot, epoch, intent, blob_size = fields
        lock = content[_HEAD.size :]
        return cls(state, VaultId(vault), SlotId(slot), epoch, intent, blob_size, lock)


class FileSlot:
    """A class D slot: one file, two areas."""

    letter: Final = "D"

    def __init__(self, disk: Disk, path: Path, header: _Header, lock: Lock) -> None:
        self.path = path
        self.vault = header.vault
        self.lock = lock
        self._disk = disk
        self._spare = replace(header, state=_SPARE, epoch=0, intent=bytes(16))
        self._keys: dict[int, EpochKey] = {}
        self._fresh: bytes | None = None

    @classmethod
    def create(
        cls, disk: Disk, folder: Path, vault: VaultId, lock: Lock, blob_size: int = BLOB_SIZE
    ) -> Self:
        """Make a slot with two spare areas. Raises FileExistsError."""
        slot = SlotId(new_entry_id(Kind.SLOT))
        spare = _Header(_SPARE, vault, slot, 0, bytes(16), blob_size, lock.close(vault))
        content = b"".join(spare.encode() + secrets.token_bytes(blob_size) for _ in range(2))
        disk.create(folder / FILE_NAME, content)
        return cls(disk, folder / FILE_NAME, spare, lock)

    @classmethod
    def open(cls, disk: Disk, folder: Path, passphrase: Passphrase) -> Self:
        """Open a slot. Raises SlotUnreachable, SlotDamaged or WrongPassphrase.

        While a change of passphrase is unfinished, one area opens with the old passphrase and one
        with the new; either will do here. Whether it holds the epoch that is needed is for
        `keys.opening` to see.
        """
        path = folder / FILE_NAME
        headers = _examine(disk, path)
        slot = cls(disk, path, headers[0], _open_lock(headers, passphrase))
        slot._take_keys(passphrase)
        return slot

    @classmethod
    def reclaim(cls, disk: Disk, folder: Path, lock: Lock) -> Self:
        """Open a slot that was away while the passphrase changed. Raises as `open` does.

        What it holds stays shut, and is of no use any more: it lags, and the next epoch change
        gives it a key under this lock. So nobody has to remember the old passphrase.
        """
        path = folder / FILE_NAME
        return cls(disk, path, _examine(disk, path)[0], lock)

    @property
    def id(self) -> SlotId:
        """The slot's random id."""
        return self._spare.slot

    def held(self) -> tuple[Held, ...]:
        """Enumerate the labelled areas, from the medium."""
        found = [Held(h.epoch, h.intent) for h in self._headers() if h and h.state == _LABELLED]
        return tuple(sorted(found, key=lambda key: key.epoch))

    def stage(self, epoch: int, intent: bytes, keep: int, lock: Lock | None) -> None:
        """Label a spare blob with its epoch and intent; destroy every key but that of `keep`."""
        self.lock = lock or self.lock
        area = self._free_area(keep)
        blob_digest = digest(self._blob(area))
        label = replace(self._locked(), state=_LABELLED, epoch=epoch, intent=intent).encode()
        self._write(self._offset(area), label)
        if self._read(self._offset(area), HEADER_SIZE) != label:
            raise SlotUnwilling(_NOT_READ_BACK)
        self._keys = {held: key for held, key in self._keys.items() if held == keep}
        self._keys[epoch] = fold(self.lock.kek, blob_digest, self.vault, self.id)

    def wrap(self, epoch: int, root_key: RootKey) -> Sealed:
        """Wrap a root key. One message per epoch key, ever."""
        return seal(self._keys[epoch], root_key.expose(), self._place(epoch))

    def unwrap(self, epoch: int, wrapped: Sealed) -> RootKey:
        """Return the root key, or raise InvalidCiphertext."""
        return RootKey(unseal(self._keys[epoch], wrapped, self._place(epoch)))

    def opens(self, epoch: int) -> bool:
        """Say whether the key of this epoch is here and its lock is open."""
        return epoch in self._keys

    def destroy_all_but(self, epoch: int) -> None:
        """Overwrite every other area's blob in place, read it back, then enumerate."""
        self._see(epoch)
        for area, header in enumerate(self._headers()):
            if header is None or (header.state == _LABELLED and header.epoch != epoch):
                self._refill(area)
        self._keys = {held: key for held, key in self._keys.items() if held == epoch}
        if any(key.epoch != epoch for key in self.held()):
            raise SlotUnwilling(_NOT_DESTROYED)

    def destroy_all(self) -> None:
        """Overwrite both areas: the slot leaves the vault."""
        for area in range(2):
            self._refill(area)
        self._keys = {}
        if self.held():
            raise SlotUnwilling(_NOT_DESTROYED)

    def prepare(self) -> None:
        """Draw the next blob now: 1 MiB of randomness costs 3 ms."""
        if self._fresh is None:
            self._fresh = secrets.token_bytes(self._spare.blob_size)

    def _refill(self, area: int) -> None:
        """Destroy what an area holds and make it spare: blob first, header after."""
        blob = self._fresh or secrets.token_bytes(self._spare.blob_size)
        self._fresh = None
        self._write(self._offset(area) + HEADER_SIZE, blob)
        if self._blob(area) != blob:
            raise SlotUnwilling(_NOT_READ_BACK)
        self._write(self._offset(area), self._locked().encode())

    def _locked(self) -> _Header:
        """Return a spare area's header under the lock of now."""
        return replace(self._spare, lock=self.lock.close(self.vault))

    def _free_area(self, keep: int) -> int:
        """Return a spare area. A torn header counts as free, once `keep` has been seen."""
        if keep in self._keys:
            self._see(keep)
        for area, header in enumerate(self._headers()):
            if header is None or (header.state == _LABELLED and header.epoch != keep):
                self._refill(area)
        for area, header in enumerate(self._headers()):
            if header is not None and header.state == _SPARE:
                return area
        raise SlotDamaged(f"both areas of the slot claim epoch {keep}")

    def _see(self, epoch: int) -> None:
        """Refuse to destroy anything while the key that stays is not on the medium."""
        if all(key.epoch != epoch for key in self.held()):
            raise SlotDamaged(f"the slot at {self.path} has lost its key of epoch {epoch}")

    def _take_keys(self, passphrase: Passphrase) -> None:
        for area, header in enumerate(self._headers()):
            if header is None or header.state == _SPARE:
                continue
            with suppress(WrongPassphrase):
                lock = Lock.open(header.lock, passphrase, self.vault)
                blob_digest = digest(self._blob(area))
                self._keys[header.epoch] = fold(lock.kek, blob_digest, self.vault, self.id)

    def _place(self, epoch: int) -> AssociatedData:
        return associate("lacuna/wrap/v1", self.vault, self.id, uint(epoch))

    def _offset(self, area: int) -> int:
        return area * (HEADER_SIZE + self._spare.blob_size)

    def _headers(self) -> list[_Header | None]:
        return [_Header.parse(self._read(self._offset(area), HEADER_SIZE)) for area in range(2)]

    def _blob(self, area: int) -> bytes:
        blob = self._read(self._offset(area) + HEADER_SIZE, self._spare.blob_size)
        if len(blob) != self._spare.blob_size:
            raise SlotDamaged(f"the slot at {self.path} is shorter than it was made")
        return blob

    def _read(self, offset: int, size: int) -> bytes:
        return _reached(self.path, lambda: self._disk.read(self.path, offset, size))

    def _write(self, offset: int, data: bytes) -> None:
        # Only "not there" is unreachable: after any other error of a write nobody knows what the
        # medium holds, and that ends the vault.
        try:
            self._disk.overwrite(self.path, offset, data)
        except FileNotFoundError as error:
            raise _unreachable(self.path, error) from None


def _examine(disk: Disk, path: Path) -> list[_Header]:
    """Return the valid headers, one at least. A torn one is None and left out.

    The areas' size follows from the file's, which never changes.
    """
    size = _reached(path, lambda: disk.size(path))
    blob_size = size // 2 - HEADER_SIZE
    if blob_size <= 0:
        raise SlotDamaged(f"the file at {path} is too short for a slot")
    raw = [_reached(path, partial(disk.read, path, at, HEADER_SIZE)) for at in (0, size // 2)]
    headers = [header for header in map(_Header.parse, raw) if header]
    if not headers:
        raise SlotDamaged(f"neither area of the slot at {path} has a valid header")
    if any(header.blob_size != blob_size for header in headers):
        raise SlotDamaged(f"the slot at {path} is not as long as its headers say")
    return headers


def _open_lock(headers: list[_Header], passphrase: Passphrase) -> Lock:
    """Open the newest lock that this passphrase opens."""
    *older, oldest = sorted(headers, key=lambda header: -header.epoch)
    for header in older:
        with suppress(WrongPassphrase):
            return Lock.open(header.lock, passphrase, header.vault)
    return Lock.open(oldest.lock, passphrase, oldest.vault)


def _reached(path: Path, read: Callable[[], T]) -> T:
    """Read; a medium that is gone or does not answer is unreachable, whatever it says."""
    try:
        return read()
    except OSError as error:
        raise _unreachable(path, error) from None


def _unreachable(path: Path, error: OSError) -> SlotUnreachable:
    return SlotUnreachable(f"the slot at {path} is out of reach: {error.strerror}")
