"""Pages: leaves hold entries, interior pages hold their children's keys.

    leaf     = seal(page key, pad(format || entries by id, leaf_size))
    interior = seal(page key, format || 256 child keys)          a zero key: no such child
    root     = seal(root key, format || depth || 256 child keys)

Invariants:

* A page key seals one version of one page, ever. So an older version of a page does not open
  under the current key, and its seal is all the integrity that the tree needs.
* The associated data binds vault, level and position (root: vault, epoch, sequence), so a page
  moved elsewhere does not open.
* A sealed leaf has 31/32 of a power of two, at least of 1 KiB: few sizes say little, and four,
  two or one of them fill a page of the database (a whole power of two would leave half of every
  other page empty). A leaf without entries, or an interior page without children, is no page at
  all: as if it had never been there.

The root key seals as many versions of the root page as an epoch has commits; the nightly purge
keeps that far below the 2**32 that random nonces allow (NIST SP 800-38D, section 8.3).
"""

from collections.abc import Iterable
from typing import NamedTuple, NewType

from crypto.aead import OVERHEAD, AssociatedData, Sealed, associate, seal, unseal_wipeable, wipe
from crypto.encoding import uint
from crypto.padding import pad, unpad
from crypto.secret import SecretBytes
from keys.entry import EntryId, Kind, bodies_of, decode_all

VaultId = NewType("VaultId", bytes)

FANOUT = 256
FORMAT = b"\x01"
SMALLEST_LEAF = 1024
_ABSENT = bytes(32)


class PageKey(SecretBytes):
    """Seals one version of one page below the root; kept in the parent's version of that moment."""


class RootKey(SecretBytes):
    """Seals the root page for one epoch; wrapped once per slot."""


class Version(NamedTuple):
    """Where a store stands. Sequence counts commits over all epochs."""

    epoch: int
    sequence: int


class Position(NamedTuple):
    """Where a page hangs: level 1 is right below the root."""

    level: int
    ordinal: int

    @property
    def number(self) -> int:
        """The page's number in storage: 1 to 256 on level 1, from 257 on level 2."""
        return self.ordinal + (1 if self.level == 1 else 1 + FANOUT)


class Children:
    """The child keys of an interior page, in a buffer that changes by copy."""

    __slots__ = ("_keys",)

    def __init__(self, keys: bytearray | None = None) -> None:
        self._keys = bytearray(FANOUT * PageKey.SIZE) if keys is None else keys

    def get(self, index: int) -> PageKey | None:
        """Return the key of a child, or None where there is no such child."""
        key = bytes(self._keys[index * PageKey.SIZE : (index + 1) * PageKey.SIZE])
        return None if key == _ABSENT else PageKey(key)

    def copy(self) -> "Children":
        """Return a copy to change; the original stays as committed."""
        return Children(bytearray(self._keys))

    def set(self, index: int, key: PageKey | None) -> None:
        """Give a child another key, or none."""
        raw = _ABSENT if key is None else key.expose()
        self._keys[index * PageKey.SIZE : (index + 1) * PageKey.SIZE] = raw

    def any(self) -> bool:
        """Say whether there is a child at all."""
        return any(self._keys)

    def encode(self) -> bytes:
        """Return the keys as the page holds them."""
        return bytes(self._keys)

    def wipe(self) -> None:
        """Overwrite the buffer."""
        wipe(self._keys)


def leaf_size(size: int) -> int:
    """Return the size before sealing of a leaf that holds `size` bytes."""
    step = SMALLEST_LEAF
    while (room := step - step // 32 - OVERHEAD) < size:
        step *= 2
    return room


def _place(vault: VaultId, position: Position) -> AssociatedData:
    return associate("lacuna/page/v1", vault, uint(position.level), uint(position.ordinal))


def _root_place(vault: VaultId, version: Version) -> AssociatedData:
    return associate("lacuna/root/v1", vault, uint(version.epoch), uint(version.sequence))


def seal_leaf(
    key: PageKey, encoded_entries: Iterable[bytes], vault: VaultId, position: Position
) -> Sealed:
    """Return the page of these entries, which stand in the order of their ids."""
    plaintext = pad(FORMAT + b"".join(encoded_entries), leaf_size)
    return seal(key, plaintext, _place(vault, position))


def open_leaf(
    key: PageKey, sealed: bytes, vault: VaultId, position: Position
) -> dict[bytes, bytes]:
    """Return the leaf's encoded entries by (id || kind), or raise InvalidCiphertext.

    The opened page is wiped; the entries that were cut out of it are ordinary bytes, and Python
    cannot wipe those.
    """
    return dict(decode_all(_leaf_content(key, sealed, vault, position)))


def scan_leaf(
    key: PageKey, sealed: bytes, vault: VaultId, position: Position, kind: Kind
) -> list[tuple[EntryId, bytes]]:
    """Return id and body of the leaf's entries of a kind. Raises and wipes as `open_leaf`."""
    return bodies_of(_leaf_content(key, sealed, vault, position), kind)


def _leaf_content(key: PageKey, sealed: bytes, vault: VaultId, position: Position) -> bytes:
    plaintext = unseal_wipeable(key, sealed, _place(vault, position))
    try:
        return bytes(_content(unpad(plaintext)))
    finally:
        wipe(plaintext)


def seal_interior(key: PageKey, children: Children, vault: VaultId, position: Position) -> Sealed:
    """Return the page of these child keys."""
    return seal(key, FORMAT + children.encode(), _place(vault, position))


def open_interior(key: PageKey, sealed: bytes, vault: VaultId, position: Position) -> Children:
    """Return the child keys of an interior page, or raise InvalidCiphertext."""
    plaintext = unseal_wipeable(key, sealed, _place(vault, position))
    try:
        return Children(bytearray(_content(plaintext)))
    finally:
        wipe(plaintext)


def seal_root(
    key: RootKey, depth: int, children: Children, vault: VaultId, version: Version
) -> Sealed:
    """Return the root page."""
    plaintext = FORMAT + bytes((depth,)) + children.encode()
    return seal(key, plaintext, _root_place(vault, version))


def open_root(
    key: RootKey, sealed: bytes, vault: VaultId, version: Version
) -> tuple[int, Children]:
    """Return the tree's depth and the root's child keys, or raise InvalidCiphertext."""
    plaintext = unseal_wipeable(key, sealed, _root_place(vault, version))
    try:
        content = _content(plaintext)
        return content[0], Children(bytearray(content[1:]))
    finally:
        wipe(plaintext)


def _content(plaintext: bytearray | memoryview) -> memoryview:
    if bytes(plaintext[:1]) != FORMAT:
        raise ValueError(f"page format {plaintext[0]} is not known to this version of lacuna")
    return memoryview(plaintext)[1:]
