"""An injective encoding of lists of byte strings, for whatever is hashed, MACed or bound.

    encode(f1, ..., fn) = len32(f1) || f1 || ... || len32(fn) || fn

Invariants:

* Different lists give different bytes, so no field can pose as another or move its boundary.
* The first field is a label with a version ("lacuna/token/v1"); two uses never share one.

Lengths are 32-bit big-endian. Pure.
"""

from struct import Struct

_length = Struct(">I").pack


def encode(*fields: bytes) -> bytes:
    """Return one byte string that no other list of fields gives."""
    parts: list[bytes] = []
    for field in fields:  # a loop, not a nested generator: this runs four times a record
        parts += (_length(len(field)), field)
    return b"".join(parts)


def uint(number: int) -> bytes:
    """Return a number below 2**64 as a field of constant size."""
    return number.to_bytes(8, "big")
