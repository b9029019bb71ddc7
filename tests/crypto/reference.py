"""A second implementation of what other languages must compute too, from the standards' text.

It shares no code with `crypto`, and of the primitives only SHA-256: HMAC (RFC 2104), HKDF
(RFC 5869) and BLAKE2b (RFC 7693) are written out here. Slow, and not safe for real keys.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256
from struct import pack, unpack

WORD = (1 << 64) - 1

BLAKE2B_START = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
BLAKE2B_ORDER = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
BLAKE2B_QUARTERS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def fields(*parts: bytes) -> bytes:
    """Encode a list of fields: each behind its length, 32 bits, big-endian."""
    out = b""
    for part in parts:
        out += pack(">I", len(part)) + part
    return out


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 as in RFC 2104, section 2."""
    if len(key) > 64:
        key = sha256(key).digest()
    block = key.ljust(64, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF as in RFC 5869, section 2; no salt is 32 zero bytes."""
    pseudorandom_key = hmac_sha256(salt or bytes(32), secret)
    out = block = b""
    while len(out) < size:
        counter = bytes((len(out) // 32 + 1,))
        block = hmac_sha256(pseudorandom_key, block + info + counter)
        out += block
    return out[:size]


def blake2b(message: bytes, key: bytes, size: int) -> bytes:
    """Keyed BLAKE2b as in RFC 7693, section 3."""
    state = list(BLAKE2B_START)
    state[0] ^= 0x01010000 ^ (len(key) << 8) ^ size
    data = (key.ljust(128, b"\0") if key else b"") + message
    blocks = max(1, -(-len(data) // 128))
    for number in range(blocks):
        last = number == blocks - 1
        done = len(data) if last else (number + 1) * 128
        block = data[number * 128 : (number + 1) * 128].ljust(128, b"\0")
        _compress(state, unpack("<16Q", block), done, last=last)
    return pack("<8Q", *state)[:size]


def _compress(state: list[int], message: tuple[int, ...], done: int, *, last: bool) -> None:
    work = state + list(BLAKE2B_START)
    work[12] ^= done & WORD
    work[13] ^= done >> 64
    if last:
        work[14] ^= WORD
    for step in range(12):
        order = BLAKE2B_ORDER[step % 10]
        for quarter, positions in enumerate(BLAKE2B_QUARTERS):
            x, y = message[order[2 * quarter]], message[order[2 * quarter + 1]]
            _mix(work, positions, x, y)
    for index in range(8):
        state[index] ^= work[index] ^ work[index + 8]


def _mix(work: list[int], positions: tuple[int, int, int, int], x: int, y: int) -> None:
    a, b, c, d = positions
    for word, first, second in ((x, 32, 24), (y, 16, 63)):
        work[a] = (work[a] + work[b] + word) & WORD
        work[d] = _rotate(work[d] ^ work[a], first)
        work[c] = (work[c] + work[d]) & WORD
        work[b] = _rotate(work[b] ^ work[c], second)


def _rotate(word: int, bits: int) -> int:
    return (word >> bits | word << (64 - bits)) & WORD


def token(lookup_key: bytes, scheme: str, value: str) -> bytes:
    """What a hospital sends instead of an identifier."""
    return hmac_sha256(lookup_key, fields(b"lacuna/token/v1", scheme.encode(), value.encode()))


def kid(lookup_key: bytes) -> str:
    """The fingerprint of a lookup key."""
    return urlsafe_b64encode(hmac_sha256(lookup_key, fields(b"lacuna/kid/v1"))[:12]).decode()


def tag(index_key: bytes, token: bytes) -> bytes:
    """What a worker looks for in the index."""
    return blake2b(token, index_key, 12)


def witness(witness_key: bytes, handle: bytes, entry_id: bytes, position: int) -> bytes:
    """What shows whom an audit entry is about, to whoever has the handle."""
    return blake2b(handle + entry_id + pack(">H", position), witness_key, 16)
