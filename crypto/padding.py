"""Sizes that say little.

    pad(data, size) = len32(data) || data || zeros, up to size(4 + len(data))

`padme` is the rule for blobs (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
Communication with PURBs", PETS 2019, section 4: at most 12 % overhead, O(log log) bits of
leakage). Whoever has another reason has another rule.

Invariant: `unpad(pad(data, rule)) == data`; whatever is not a length, that many bytes and zeros
is refused, so nothing can hide in the padding. It lies inside the authenticated plaintext, so the
check need not take constant time.
"""

from collections.abc import Callable

LENGTH_SIZE = 4


class InvalidPadding(Exception):
    """The bytes are not what `pad` makes; the writer had a bug, for the AEAD vouched for them."""


def padme(size: int) -> int:
    """Return the Padmé size for `size` bytes."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    mantissa_bits = exponent.bit_length()
    mask = (1 << (exponent - mantissa_bits)) - 1
    return (size + mask) & ~mask


def pad(data: bytes, rule: Callable[[int], int]) -> bytes:
    """Return `data` behind its length, filled with zeros to the size the rule gives."""
    length = LENGTH_SIZE + len(data)
    return len(data).to_bytes(LENGTH_SIZE, "big") + data + bytes(rule(length) - length)


def unpad(padded: bytes | bytearray | memoryview) -> memoryview:
    """Return a view of the data inside, or raise InvalidPadding."""
    view = memoryview(padded)
    end = LENGTH_SIZE + int.from_bytes(view[:LENGTH_SIZE], "big")
    # On a page the padding is most of the bytes: bytes compare at memory speed, a loop would not.
    if len(view) < end or bytes(view[end:]) != bytes(len(view) - end):
        raise InvalidPadding
    return view[LENGTH_SIZE:end]
