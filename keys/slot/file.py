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
* Areas are overwritten in place. The file is never renamed, truncated or copied.
* A header's digest guards against torn writes, not against people: whoever can write the slot can
  destroy it anyway, and an altered label only makes the vault refuse to start.

What it cannot promise: a medium that keeps old sectors (flash translation, copy-on-write, VM
snapshots) may keep the old blob. `keys.claims` looks for the cases that can be seen.
"""

import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Final, Self

from crypto.aead import AssociatedData, Sealed, associate, seal, unseal
from crypto.allornothing import BlobDigest, EpochKey, digest, fold
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

    def __init__(self, disk: Disk, path: Path, spare: _Header, lock: Lock) -> None:
        self.path = path
        self.vault = spare.vault
        self.lock = lock
        self._disk = disk
        self._spare_header = spare
        self._blob_size = spare.blob_size
        self._keys: dict[int, EpochKey] = {}
        self._spare: dict[int, BlobDigest] = {}
        self._fresh: tuple[bytes, BlobDigest] | None = None

    @classmethod
    def create(
        cls, disk: Disk, folder: Path, vault: VaultId, lock: Lock, blob_size: int = BLOB_SIZE
    ) -> Self:
        """Make a slot with two spare areas. Raises FileExistsError."""
        slot = SlotId(new_entry_id(Kind.SLOT))
        spare = _Header(_SPARE, vault, slot, 0, bytes(16), blob_size, lock.close(vault))
        content = b"".join(spare.encode() + secrets.token_bytes(blob_size) for _ in range(2))
        disk.create(folder / FILE_NAME, content)
        made = cls(disk, folder / FILE_NAME, spare, lock)
        made._read_areas(None)
        return made

    @classmethod
    def open(cls, disk: Disk, folder: Path, passphrase: Passphrase) -> Self:
        """Open a slot. Raises SlotUnreachable, SlotDamaged or WrongPassphrase.

        While a change of passphrase is unfinished, one area opens with the old passphrase and one
        with the new; either will do here. Whether it holds the epoch that is needed is for
        `keys.vault` to see.
        """
        path = folder / FILE_NAME
        headers = [header for header in _read_headers(disk, path, None) if header]
        if not headers:
            raise SlotDamaged(f"neither area of the slot in {folder} has a valid header")
        lock = _open_lock(headers, passphrase)
        spare = replace(headers[0], state=_SPARE, epoch=0, intent=bytes(16))
        slot = cls(disk, path, spare, lock)
        slot._read_areas(passphrase)
        return slot

    @property
    def id(self) -> SlotId:
        """The slot's random id."""
        return self._spare_header.slot

    def held(self) -> tuple[Held, ...]:
        """Enumerate the labelled areas, from the medium."""
        found = [Held(h.epoch, h.intent) for h in self._headers() if h and h.state == _LABELLED]
        return tuple(sorted(found, key=lambda key: key.epoch))

    def stage(self, epoch: int, intent: bytes, keep: int, lock: Lock | None) -> None:
        """Label a spare blob with its epoch and intent; destroy every key but that of `keep`."""
        self.lock = lock or self.lock
        area = self._free_area(keep)
        label = replace(self._locked(), state=_LABELLED, epoch=epoch, intent=intent)
        self._write(self._offset(area), label.encode())
        blob_digest = self._spare.pop(area)
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
        for area, header in enumerate(self._headers()):
            if header is None or (header.state == _LABELLED and header.epoch != epoch):
                self._refill(area)
        self._keys = {held: key for held, key in self._keys.items() if held == epoch}
        if any(key.epoch != epoch for key in self.held()):
            raise SlotUnwilling("the slot still shows a key that was overwritten")

    def destroy_all(self) -> None:
        """Overwrite both areas: the slot leaves the vault."""
        for area in range(2):
            self._refill(area)
        self._keys = {}
        if self.held():
            raise SlotUnwilling("the slot still shows a key that was overwritten")

    def prepare(self) -> None:
        """Draw the next blob now: 1 MiB of randomness and its digest cost 4 ms."""
        if self._fresh is None:
            blob = secrets.token_bytes(self._blob_size)
            self._fresh = blob, digest(blob)

    def _refill(self, area: int) -> None:
        """Destroy what an area holds and make it spare: blob first, header after."""
        self.prepare()
        assert self._fresh is not None  # noqa: S101  # prepared above; for the type checker
        blob, blob_digest = self._fresh
        self._fresh = None
        self._spare.pop(area, None)
        self._write(self._offset(area) + HEADER_SIZE, blob)
        if self._read(self._offset(area) + HEADER_SIZE, self._blob_size) != blob:
            raise SlotUnwilling("the slot's medium does not read back what was written")
        self._write(self._offset(area), self._locked().encode())
        self._spare[area] = blob_digest

    def _locked(self) -> _Header:
        """Return a spare area's header under the lock of now."""
        return replace(self._spare_header, lock=self.lock.close(self.vault))

    def _free_area(self, keep: int) -> int:
        for area, header in enumerate(self._headers()):
            if header is None or (header.state == _LABELLED and header.epoch != keep):
                self._refill(area)
        if not self._spare:
            raise SlotDamaged(f"both areas of the slot claim epoch {keep}")
        return min(self._spare)

    def _read_areas(self, passphrase: Passphrase | None) -> None:
        for area, header in enumerate(self._headers()):
            if header is None:
                continue
            blob_digest = digest(self._read(self._offset(area) + HEADER_SIZE, self._blob_size))
            if header.state == _SPARE:
                self._spare[area] = blob_digest
            elif passphrase is not None:
                self._take_key(header, blob_digest, passphrase)

    def _take_key(self, header: _Header, blob_digest: BlobDigest, passphrase: Passphrase) -> None:
        try:
            lock = Lock.open(header.lock, passphrase, self.vault)
        except WrongPassphrase:
            return
        self._keys[header.epoch] = fold(lock.kek, blob_digest, self.vault, self.id)

    def _place(self, epoch: int) -> AssociatedData:
        return associate("lacuna/wrap/v1", self.vault, self.id, uint(epoch))

    def _offset(self, area: int) -> int:
        return area * (HEADER_SIZE + self._blob_size)

    def _headers(self) -> list[_Header | None]:
        return _read_headers(self._disk, self.path, self._blob_size)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return self._disk.read(self.path, offset, size)
        except FileNotFoundError:
            raise SlotUnreachable(f"there is no slot at {self.path}") from None

    def _write(self, offset: int, data: bytes) -> None:
        try:
            self._disk.overwrite(self.path, offset, data)
        except FileNotFoundError:
            raise SlotUnreachable(f"there is no slot at {self.path}") from None


def _read_headers(disk: Disk, path: Path, blob_size: int | None) -> list[_Header | None]:
    """Return both areas' headers, None for torn ones.

    The size of the blobs stands in the headers; with a torn first one it follows from the file's
    length, which never changes.
    """
    try:
        if blob_size is None:
            blob_size = path.stat().st_size // 2 - HEADER_SIZE
        offsets = (0, HEADER_SIZE + blob_size)
        return [_Header.parse(disk.read(path, offset, HEADER_SIZE)) for offset in offsets]
    except FileNotFoundError:
        raise SlotUnreachable(f"there is no slot at {path}") from None


def _open_lock(headers: list[_Header], passphrase: Passphrase) -> Lock:
    wrong: WrongPassphrase | None = None
    for header in sorted(headers, key=lambda header: -header.epoch):
        try:
            return Lock.open(header.lock, passphrase, header.vault)
        except WrongPassphrase as error:
            wrong = error
    raise wrong or SlotDamaged("unreachable: a slot has at least one header here")
