"""AES-256-GCM with a fresh nonce and associated data that cannot be left out.

    sealed = nonce (12) || ciphertext || auth_tag (16)

Invariants:

* The nonce is drawn inside, at random: the caller cannot repeat one. With one key that is safe
  for 2**32 messages (NIST SP 800-38D, section 8.3); each key type says how far below it stays.
* One error for every cause, so that a caller cannot tell a wrong key from a changed byte.
* Nothing that failed authentication is left in a buffer.

AES-GCM is not key-committing. Nothing here relies on commitment: keys are random and are never
chosen by whoever supplies the ciphertext. The one key that comes from a passphrase (a slot's lock)
is no exception: who can plant a lock has the real one, and can try passphrases on it at home.
"""

import secrets
from typing import NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.encoding import encode
from crypto.secret import SecretBytes

KEY_SIZE = 32
NONCE_SIZE = 12
AUTH_TAG_SIZE = 16
OVERHEAD = NONCE_SIZE + AUTH_TAG_SIZE

Sealed = NewType("Sealed", bytes)
AssociatedData = NewType("AssociatedData", bytes)


class InvalidCiphertext(Exception):
    """Wrong key, wrong associated data, truncated or changed: the caller is not told which."""


def associate(label: str, *fields: bytes) -> AssociatedData:
    """Return associated data that says what is sealed and where it belongs."""
    return AssociatedData(encode(label.encode(), *fields))


def seal(key: SecretBytes, plaintext: bytes, associated_data: AssociatedData) -> Sealed:
    """Encrypt and authenticate under a fresh random nonce."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    return Sealed(nonce + _cipher(key).encrypt(nonce, plaintext, associated_data))


def unseal(key: SecretBytes, sealed: bytes, associated_data: AssociatedData) -> bytes:
    """Return the plaintext, or raise InvalidCiphertext whatever was wrong."""
    buffer = unseal_wipeable(key, sealed, associated_data)
    plaintext = bytes(buffer)
    wipe(buffer)
    return plaintext


def unseal_wipeable(key: SecretBytes, sealed: bytes, associated_data: AssociatedData) -> bytearray:
    """Return the plaintext in a buffer that the caller can overwrite, see `wipe`.

    Raises InvalidCiphertext whatever was wrong.
    """
    if len(sealed) < OVERHEAD:
        raise InvalidCiphertext  # as for a forgery; the library would raise ValueError
    view = memoryview(sealed)
    plaintext = bytearray(len(sealed) - OVERHEAD)
    try:
        _cipher(key).decrypt_into(view[:NONCE_SIZE], view[NONCE_SIZE:], associated_data, plaintext)
    except InvalidTag:
        # OpenSSL decrypts before it verifies: with the right key and the wrong associated data
        # (a page that was moved), the buffer holds the true plaintext by now.
        wipe(plaintext)
        raise InvalidCiphertext from None
    return plaintext


def _cipher(key: SecretBytes) -> AESGCM:
    if key.SIZE != KEY_SIZE:
        raise ValueError("the key must have 256 bits")  # AESGCM would take 128 and 192 too
    return AESGCM(key.expose())


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer. What was copied out of it is beyond reach."""
    buffer[:] = bytes(len(buffer))
