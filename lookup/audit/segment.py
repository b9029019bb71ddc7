"""Segments: the files in which a worker makes audit entries durable, and the custodian finds them.

    segment = header (4,096) || group* || end? || zeros      groups and end begin at whole blocks
    header  = "LACUNA/A" | format u16 | worker slot u16 | segment id 16 | made u64 |
              wrapped segment key 80 | zeros | SHA-256 of all before
    group   = length u32 | number u32 | sealed
    end     = 0xFFFFFFFF | number u32 | sealed, of nothing
    sealed  = AES-256-GCM(segment key, for this number, plaintext: (length u32 | entry)*)

Groups and end are numbered 0, 1, 2, ... without gaps; `length` is that of `sealed`. Each begins at
the next multiple of 4,096, with zeros before it: what is written directly, past the page cache, is
written in whole blocks, and no block that is durable is ever written again. A segment is written
with zeros before anything else, and its header last of all, so a file without a whole header holds
nothing. Numbers are big-endian, `made` is in seconds since 1970.

Invariants:

* The wrapped key is bound to the vault and to all that the header says, a group to its segment and
  its number: changed, moved, repeated or left-out groups do not open.
* The end mark is sealed like a group (no other is empty), so a segment that has one is whole.
* A segment without one is whole as far as its writer acknowledged, once the writer has let go of
  its lock: at most the last group is torn, and that one was never acknowledged. That a group was
  cut off the end of such a segment cannot be seen in it; the custodian's chain takes over within
  seconds.
* What lies between a group's end and the next block says nothing, and is not looked at.
* Reading a segment while it is written finds groups whole or not yet.

Pure: reading the file is the caller's.
"""

import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from crypto.aead import AUTH_TAG_SIZE, InvalidCiphertext, associate
from crypto.audit import (
    AUDIT_ID_SIZE,
    WRAPPED_SIZE,
    AuditKey,
    AuditPublicKey,
    GroupOpener,
    GroupSealer,
    SegmentId,
    SegmentKey,
    public_of,
    unwrap_segment_key,
    wrap_segment_key,
)
from lookup.audit.entry import MAX_ENTRY, entry_size
from lookup.audit.errors import InvalidSegment

FORMAT: Final = 2
# What headers in the chain may say: groups of format 1 were sealed alike, and lay without gaps.
FORMATS: Final = frozenset({1, FORMAT})
MAGIC: Final = b"LACUNA/A"
BLOCK: Final = 4_096  # a multiple of what any medium in use writes at once
HEADER_SIZE: Final = BLOCK
SEGMENT_SIZE: Final = 16 * 1_024 * 1_024
MIN_SEGMENT: Final = 256 * 1_024  # holds the largest entry
MAX_SEGMENT: Final = 32 * 1_024 * 1_024

_LABEL: Final = "lacuna/audit-segment/v1"
_CLEAR: Final = Struct(">8sHH16sQ")
_DIGEST_SIZE: Final = 32
_HEADER_ZEROS: Final = bytes(HEADER_SIZE - _CLEAR.size - WRAPPED_SIZE - _DIGEST_SIZE)

_GROUP: Final = Struct(">II")
_LENGTH: Final = Struct(">I")
_END: Final = 0xFFFFFFFF
END_SIZE: Final = _GROUP.size + AUTH_TAG_SIZE

# The longest plaintext: many single entries, or five of the largest. A writer that has more makes
# two groups; a reader need not keep more of a torn one in mind.
MAX_PLAINTEXT: Final = 1_024 * 1_024
_MIN_ENTRY: Final = entry_size(1)
# Most groups are of entries for one token alone, and come apart in one call.
_MIN: Final = Struct(f">I{_MIN_ENTRY}s")
_MIN_SEALED: Final = _LENGTH.size + _MIN_ENTRY + AUTH_TAG_SIZE
_MAX_SEALED: Final = MAX_PLAINTEXT + AUTH_TAG_SIZE
MAX_GROUP: Final = _GROUP.size + _MAX_SEALED

Read = Callable[[int, int], bytes]


class Header(NamedTuple):
    """What a segment says of itself. Nothing in it is secret."""

    format: int
    slot: int
    segment: SegmentId
    made: int
    wrapped: bytes


def make_header(
    slot: int, made: int, vault: bytes, public_key: AuditPublicKey
) -> tuple[bytes, GroupSealer]:
    """Return the header of a new segment, and the only thing that can ever seal its groups.

    Raises ValueError if the public key is none.
    """
    key = SegmentKey.generate()
    segment = SegmentId(secrets.token_bytes(AUDIT_ID_SIZE))
    clear = _CLEAR.pack(MAGIC, FORMAT, slot, segment, made)
    return _header(clear, key, vault, public_key), GroupSealer(key, segment)


def _header(clear: bytes, key: SegmentKey, vault: bytes, public_key: AuditPublicKey) -> bytes:
    wrapped = wrap_segment_key(public_key, key, associate(_LABEL, vault, clear))
    checked = clear + wrapped + _HEADER_ZEROS
    return checked + sha256(checked).digest()


def parse_header(header: bytes) -> Header:
    """Return what the first 4,096 bytes of a segment say, or raise InvalidSegment."""
    checked, digest = header[:-_DIGEST_SIZE], header[-_DIGEST_SIZE:]
    if len(header) != HEADER_SIZE or sha256(checked).digest() != digest:
        raise InvalidSegment("the header is not whole")
    magic, number, slot, segment, made = _CLEAR.unpack_from(checked)
    if magic != MAGIC or number not in FORMATS:
        raise InvalidSegment(f"not a segment of format {FORMAT}")
    wrapped = checked[_CLEAR.size : _CLEAR.size + WRAPPED_SIZE]
    if checked[_CLEAR.size + WRAPPED_SIZE :] != _HEADER_ZEROS:
        raise InvalidSegment("the header ends with zeros")
    return Header(number, slot, SegmentId(segment), made, wrapped)


def open_header(header: Header, key: AuditKey, vault: bytes) -> GroupOpener:
    """Return what opens the segment's groups, or raise InvalidCiphertext."""
    return GroupOpener(_segment_key(header, key, vault), header.segment)


def with_slot(header: Header, slot: int, key: AuditKey, vault: bytes) -> bytes:
    """Return a header that says another slot, and opens the same groups.

    Raises InvalidCiphertext, as `open_header`.
    """
    clear = _CLEAR.pack(MAGIC, header.format, slot, header.segment, header.made)
    return _header(clear, _segment_key(header, key, vault), vault, public_of(key))


def _segment_key(header: Header, key: AuditKey, vault: bytes) -> SegmentKey:
    clear = _CLEAR.pack(MAGIC, header.format, header.slot, header.segment, header.made)
    return unwrap_segment_key(key, header.wrapped, associate(_LABEL, vault, clear))


def whole_blocks(size: int) -> int:
    """Return how many bytes so many take in a segment."""
    return -(-size // BLOCK) * BLOCK


def group_size(entries: Sequence[bytes]) -> int:
    """Return how many bytes the group of these entries has."""
    return _GROUP.size + sum(map(len, entries)) + len(entries) * _LENGTH.size + AUTH_TAG_SIZE


def make_group(sealer: GroupSealer, entries: Sequence[bytes]) -> bytes:
    """Return the next group of a segment. Raises ValueError if it is empty or too large."""
    number, sealed = seal_group(sealer, entries)
    return _GROUP.pack(len(sealed), number) + sealed


def seal_group(sealer: GroupSealer, entries: Sequence[bytes]) -> tuple[int, bytes]:
    """Return number and ciphertext of the next group, as `split_group` takes them."""
    if not entries or group_size(entries) > MAX_GROUP:
        raise ValueError(f"a group holds 1 to {MAX_PLAINTEXT} bytes")
    pack = _LENGTH.pack
    return sealer.seal(b"".join([part for entry in entries for part in (pack(len(entry)), entry)]))


def make_end(sealer: GroupSealer) -> bytes:
    """Return what is written behind the last group, of `END_SIZE` bytes."""
    number, sealed = sealer.seal(b"")
    return _GROUP.pack(_END, number) + sealed


class Position(NamedTuple):
    """Where a group may begin, and its number."""

    offset: int
    number: int


START: Final = Position(HEADER_SIZE, 0)


class Group(NamedTuple):
    """A group as it was sealed, and the entries in it."""

    number: int
    sealed: bytes
    entries: list[bytes]

    def __repr__(self) -> str:
        return f"<Group {self.number}>"


class Reading(NamedTuple):
    """What was found from a position on, where it stopped, and whether that is the end."""

    groups: list[Group]
    stopped: Position
    ended: bool


def read_groups(
    read: Read, opener: GroupOpener, start: Position = START, most: int = 4 * MAX_GROUP
) -> Reading:
    """Return the groups that are whole, from a position on, of at most so many bytes.

    `read(offset, size)` gives what the file has there, less at its end. Where the reading stops
    another can begin, now or later: unless it ended, a group may be missing, be written just now,
    or be torn. Raises InvalidSegment if a group was sealed that is none.
    """
    data = read(start.offset, whole_blocks(max(most, MAX_GROUP)))
    groups: list[Group] = []
    at, number = 0, start.number
    while True:
        opened = _open_group(data, at, number, opener)
        if opened is None:
            return Reading(groups, Position(start.offset + at, number), ended=False)
        sealed, plaintext = opened
        if not plaintext:
            return Reading(groups, Position(start.offset + at, number), ended=True)
        groups.append(Group(number, sealed, _split(plaintext)))
        at, number = whole_blocks(at + _GROUP.size + len(sealed)), number + 1


def _open_group(
    data: bytes, at: int, number: int, opener: GroupOpener
) -> tuple[bytes, bytes] | None:
    """Return ciphertext and plaintext of the group at a place; an end's plaintext is empty."""
    if at + END_SIZE > len(data):
        return None
    length, found = _GROUP.unpack_from(data, at)
    size = AUTH_TAG_SIZE if length == _END else length
    begin = at + _GROUP.size
    if found != number or begin + size > len(data):
        return None
    if length != _END and not _MIN_SEALED <= length <= _MAX_SEALED:
        return None
    sealed = data[begin : begin + size]
    try:
        return sealed, opener.open(number, sealed)
    except InvalidCiphertext:
        return None


def split_group(opener: GroupOpener, number: int, sealed: bytes) -> list[bytes]:
    """Return the entries of a group that was kept as it was sealed.

    Raises InvalidCiphertext if it does not open, InvalidSegment if it is no group.
    """
    return _split(opener.open(number, sealed))


def _split(plaintext: bytes) -> list[bytes]:
    if len(plaintext) % _MIN.size == 0:
        every = [entry for length, entry in _MIN.iter_unpack(plaintext) if length == _MIN_ENTRY]
        if every and len(every) * _MIN.size == len(plaintext):
            return every
    entries = []
    at, end = 0, len(plaintext)
    while at + _LENGTH.size <= end:
        (length,) = _LENGTH.unpack_from(plaintext, at)
        at += _LENGTH.size
        if not _MIN_ENTRY <= length <= MAX_ENTRY:
            break
        entries.append(plaintext[at : at + length])
        at += length
    if at != end or not entries:
        raise InvalidSegment("a group is entries, each behind its length")
    return entries


def require_torn(read: Read, opener: GroupOpener, stopped: Position, size: int) -> None:
    """Return if what follows where a reading stopped can be what a crash leaves.

    To be called for a segment of this size with its lock held, when a reading under that lock has
    stopped before the end. A crash leaves nothing, or the last group in part, never a group behind
    that one. Raises InvalidSegment if a group was damaged or taken out.
    """
    rest = read(stopped.offset, max(0, size - stopped.offset)).rstrip(b"\0")
    if len(rest) > MAX_GROUP:
        raise InvalidSegment("more follows than one group that is torn")
    rest = rest.ljust(len(rest) + END_SIZE, b"\0")  # an auth_tag may end with zeros
    for at in range(0, len(rest) - _GROUP.size, BLOCK):
        _, number = _GROUP.unpack_from(rest, at)
        if number >= stopped.number and _open_group(rest, at, number, opener) is not None:
            raise InvalidSegment("a group is damaged or missing")
