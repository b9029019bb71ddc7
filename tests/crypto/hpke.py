"""A second implementation of HPKE's base mode, from the text of RFC 9180.

X25519 and AES-GCM are the library's; HKDF is that of reference.py, and everything that is HPKE's
own is written out here: labels, key encapsulation (section 4.1), key schedule (5.1).
"""

from struct import pack
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.crypto import reference

ENCAPSULATED_SIZE = 32
_KEM, _KDF = 0x0020, 0x0001  # DHKEM(X25519, HKDF-SHA256), HKDF-SHA256
_KEM_SUITE = b"KEM" + pack(">H", _KEM)
_KEY_SIZES = {0x0001: 16, 0x0002: 32}  # AES-128-GCM, AES-256-GCM


class Schedule(NamedTuple):
    """What sender and receiver agree on."""

    key: bytes
    base_nonce: bytes


def _extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    """LabeledExtract, section 4; no salt is 32 zero bytes (RFC 5869)."""
    return reference.hmac_sha256(salt or bytes(32), b"HPKE-v1" + suite + label + secret)


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    """LabeledExpand, section 4; every size here is at most one block of SHA-256."""
    labeled = pack(">H", size) + b"HPKE-v1" + suite + label + info
    return reference.hmac_sha256(key, labeled + b"\x01")[:size]


def schedule(private_key: bytes, encapsulated: bytes, info: bytes, aead: int) -> Schedule:
    """SetupBaseR, section 5.1.1."""
    private = X25519PrivateKey.from_private_bytes(private_key)
    agreed = private.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    context = encapsulated + private.public_key().public_bytes_raw()
    shared = _expand(
        _KEM_SUITE,
        _extract(_KEM_SUITE, b"", b"eae_prk", agreed),
        b"shared_secret",
        context,
        32,
    )
    suite = b"HPKE" + pack(">HHH", _KEM, _KDF, aead)
    context = (
        b"\x00"
        + _extract(suite, b"", b"psk_id_hash", b"")
        + _extract(suite, b"", b"info_hash", info)
    )
    secret = _extract(suite, shared, b"secret", b"")
    return Schedule(
        _expand(suite, secret, b"key", context, _KEY_SIZES[aead]),
        _expand(suite, secret, b"base_nonce", context, 12),
    )


def decrypt(
    private_key: bytes, encapsulated_and_sealed: bytes, info: bytes, aead: int = 0x0002
) -> bytes:
    """Open the one message of a context, without associated data."""
    encapsulated = encapsulated_and_sealed[:ENCAPSULATED_SIZE]
    agreed = schedule(private_key, encapsulated, info, aead)
    sealed = encapsulated_and_sealed[ENCAPSULATED_SIZE:]
    return AESGCM(agreed.key).decrypt(agreed.base_nonce, sealed, b"")
