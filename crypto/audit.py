"""The audit's cryptography: entries that forget with the record, in groups that workers only write.

    witness  = BLAKE2b-128(key=witness key, handle (10) || entry id (16) || position u16)
    answers  = nonce (12) || AES-256-GCM(answer key, handles; entry id || count u16)
    wrapped  = HPKE(audit key's public half, info, segment key): encapsulated key (32) ||
               segment key (32) || auth_tag (16)
    group    = AES-256-GCM(segment key, nonce = number; segment id || number u32)

What stands behind a semicolon is associated data; numbers are big-endian.

Invariants:

* A witness is a PRF of a handle that nobody can guess (80 random bits) and an entry id that is
  used once. Without the handle it cannot be told from 16 random bytes, nor from the witness of the
  same handle in another entry; also not by whoever has the witness key.
* One segment key seals one segment, and a `GroupSealer` uses each number once, so the counter is a
  safe nonce (NIST SP 800-38D, section 8.2.1); there is one sealer for each key.
* The nonces of answers are random: an answer key lives for one epoch, at most a day, and seals far
  fewer than the 2**32 entries that SP 800-38D, section 8.3, allows for.
* A worker can wrap a segment key and not unwrap it: what it has let go of it cannot read again.
* One error for every cause, as in `aead`.

HPKE is RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Keyed BLAKE2b is
RFC 7693. The parts of all inputs have constant length, so that none can pose as another.
"""

import secrets
from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import Final, NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from crypto.aead import AUTH_TAG_SIZE, NONCE_SIZE, OVERHEAD, AssociatedData, InvalidCiphertext
from crypto.secret import SecretBytes

SegmentId = NewType("SegmentId", bytes)
AuditPublicKey = NewType("AuditPublicKey", bytes)

WITNESS_SIZE: Final = 16
HANDLE_SIZE: Final = 10
AUDIT_ID_SIZE: Final = 16
PUBLIC_KEY_SIZE: Final = 32
WRAPPED_SIZE: Final = 32 + SecretBytes.SIZE + AUTH_TAG_SIZE

_WITNESSED_SIZE: Final = HANDLE_SIZE + AUDIT_ID_SIZE + 2
_SIZES: Final = "a handle has 10 bytes, an entry id 16"
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_NUMBER: Final = Struct(">I")
# As many as a batch has; packed once, because each would cost a tenth of a witness.
_POSITIONS: Final = tuple(map(Struct(">H").pack, range(1_024)))


class WitnessKey(SecretBytes):
    """What witnesses are made with; workers and the custodian have it."""


class AnswerKey(SecretBytes):
    """What answers are sealed under, for one epoch."""


class SegmentKey(SecretBytes):
    """What the groups of one segment are sealed under."""


class AuditKey(SecretBytes):
    """The X25519 private key that segment keys are wrapped to. Only the custodian has it."""


def public_of(key: AuditKey) -> AuditPublicKey:
    """Return what workers wrap segment keys to."""
    private = X25519PrivateKey.from_private_bytes(key.expose())
    return AuditPublicKey(private.public_key().public_bytes_raw())


class Noise:
    """Random bytes for many small draws: a third of what asking the system each time would cost.

    A pool is the AES-256-CTR key stream of a fresh key, which nothing holds once the pool is made;
    no byte is given out twice. A large draw has a key stream of its own. For one thread, and for
    processes that do not fork.
    """

    POOL_SIZE: Final = 128 * 1_024
    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def draw(self, size: int) -> bytes:
        """Return so many bytes that nobody had before."""
        at = self._at
        end = at + size
        if end > len(self._pool):
            if size > self.POOL_SIZE // 2:
                return _key_stream(size)
            self._pool = _key_stream(self.POOL_SIZE)
            at, end = 0, size
        self._at = end
        return self._pool[at:end]


_POOL: Final = bytes(Noise.POOL_SIZE)


def _key_stream(size: int) -> bytes:
    seed = secrets.token_bytes(48)
    zeros = _POOL if size == len(_POOL) else bytes(size)
    return Cipher(AES(seed[:32]), CTR(seed[32:])).encryptor().update(zeros)


class WitnessMaker:
    """Makes witnesses under one key; the keyed state is computed once and copied for each."""

    __slots__ = ("_keyed",)

    def __init__(self, key: WitnessKey) -> None:
        self._keyed = blake2b(digest_size=WITNESS_SIZE, key=key.expose())

    def make(self, handle: bytes, entry_id: bytes, position: int) -> bytes:
        """Return what shows, to whoever has the handle, that the entry is about it."""
        witnessed = handle + entry_id + _POSITIONS[position]
        if len(witnessed) != _WITNESSED_SIZE:
            raise ValueError(_SIZES)
        state = self._keyed.copy()
        state.update(witnessed)
        return state.digest()

    def make_each(self, handles: Sequence[bytes], entry_id: bytes) -> list[bytes]:
        """Return the witness of each of these handles, at its place in the list."""
        if len(b"".join(handles)) != HANDLE_SIZE * len(handles) or len(entry_id) != AUDIT_ID_SIZE:
            raise ValueError(_SIZES)
        copy = self._keyed.copy
        witnesses = []
        for handle, position in zip(handles, _POSITIONS, strict=False):
            state = copy()
            state.update(handle + entry_id + position)
            witnesses.append(state.digest())
        return witnesses


class WitnessFinder:
    """Looks for the witnesses of some links; what all entries share is hashed once."""

    __slots__ = ("_begun",)

    def __init__(self, key: WitnessKey, handles: Sequence[bytes]) -> None:
        if any(len(handle) != HANDLE_SIZE for handle in handles):
            raise ValueError(_SIZES)
        keyed = blake2b(digest_size=WITNESS_SIZE, key=key.expose())
        self._begun = []
        for handle in handles:
            state = keyed.copy()
            state.update(handle)
            self._begun.append(state.copy)

    def is_in(self, places: bytes, begin: int, end: int, entry_id: bytes, position: int) -> bool:
        """Say whether the witness of one of the links stands between two places of some bytes."""
        named = entry_id + _POSITIONS[position]
        for copy in self._begun:
            state = copy()
            state.update(named)
            if places.find(state.digest(), begin, end) >= 0:
                return True
        return False


class AnswerSealer:
    """Seals the handles of entries under one answer key."""

    __slots__ = ("_cipher", "_noise")

    def __init__(self, key: AnswerKey, noise: Noise) -> None:
        self._cipher = AESGCM(key.expose())
        self._noise = noise

    def seal(self, answers: bytes | bytearray, entry_id: bytes, count: int) -> bytes:
        """Encrypt and authenticate under a fresh random nonce."""
        nonce = self._noise.draw(NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, answers, entry_id + _POSITIONS[count])


def unseal_answers(key: AnswerKey, sealed: bytes, entry_id: bytes, count: int) -> bytes:
    """Return the handles, or raise InvalidCiphertext whatever was wrong."""
    if len(sealed) < OVERHEAD:
        raise InvalidCiphertext
    nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
    try:
        return AESGCM(key.expose()).decrypt(nonce, ciphertext, entry_id + _POSITIONS[count])
    except InvalidTag:
        raise InvalidCiphertext from None


def wrap_segment_key(public_key: AuditPublicKey, key: SegmentKey, info: AssociatedData) -> bytes:
    """Encrypt a segment key to the audit key, bound to what `info` says of the segment.

    Raises ValueError if that is no public key.
    """
    public = X25519PublicKey.from_public_bytes(public_key)
    return _SUITE.encrypt(key.expose(), public, info)


def unwrap_segment_key(key: AuditKey, wrapped: bytes, info: AssociatedData) -> SegmentKey:
    """Return the segment key, or raise InvalidCiphertext whatever was wrong."""
    private = X25519PrivateKey.from_private_bytes(key.expose())
    try:
        return SegmentKey(_SUITE.decrypt(wrapped, private, info))
    except (InvalidTag, ValueError):  # ValueError: not 32 bytes, or no point to agree on a key with
        raise InvalidCiphertext from None


class GroupSealer:
    """Seals the groups of one segment, numbered 0, 1, 2, ...; the caller cannot repeat a number.

    There must be one for each segment key.
    """

    __slots__ = ("_cipher", "_next", "segment")

    def __init__(self, key: SegmentKey, segment: SegmentId) -> None:
        self._cipher = AESGCM(key.expose())
        self.segment = segment
        self._next = 0

    def seal(self, plaintext: bytes) -> tuple[int, bytes]:
        """Return the group's number and its ciphertext."""
        number, self._next = self._next, self._next + 1
        packed = _NUMBER.pack(number)
        return number, self._cipher.encrypt(_nonce(packed), plaintext, self.segment + packed)


class GroupOpener:
    """Opens the groups of one segment."""

    __slots__ = ("_cipher", "_segment")

    def __init__(self, key: SegmentKey, segment: SegmentId) -> None:
        self._cipher = AESGCM(key.expose())
        self._segment = segment

    def open(self, number: int, sealed: bytes) -> bytes:
        """Return the plaintext of a group, or raise InvalidCiphertext whatever was wrong."""
        packed = _NUMBER.pack(number)
        try:
            return self._cipher.decrypt(_nonce(packed), sealed, self._segment + packed)
        except InvalidTag:
            raise InvalidCiphertext from None


def _nonce(packed: bytes) -> bytes:
    return packed.rjust(NONCE_SIZE, b"\0")
