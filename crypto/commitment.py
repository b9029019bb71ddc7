"""Commitments: what the public log says of a message without saying anything of it.

    commitment     = HMAC-SHA-256(nonce, encode("lacuna/commitment/v1", message))
    committed leaf = 0x01 || commitment
    public leaf    = 0x02 || text in UTF-8

Invariants:

* Hiding: the nonce is 32 random bytes, the key of a PRF. Until it is disclosed, nobody can test
  a guess of the message; once every copy is destroyed, nobody ever can.
* Binding: nonces have one length, so they are not padded alike, and HMAC-SHA-256 collides only
  where SHA-256 does. Nobody can open one commitment to two messages.
* One nonce commits to one message.
* The first byte of a leaf says what it is, so text never poses as a commitment.

HMAC is RFC 2104. A leaf is what `merkle.leaf_hash` hashes. Pure.
"""

import hmac
import secrets
from typing import Final, NewType

from crypto.encoding import encode

Nonce = NewType("Nonce", bytes)  # secret until disclosed, public afterwards: hence no SecretBytes
Commitment = NewType("Commitment", bytes)
Leaf = NewType("Leaf", bytes)

NONCE_SIZE: Final = 32
COMMITMENT_SIZE: Final = 32

_COMMITTED: Final = b"\1"
_PUBLIC: Final = b"\2"


class InvalidCommitment(Exception):
    """The nonce and the message are not what was committed to."""


def new_nonce() -> Nonce:
    """Draw a nonce for one message."""
    return Nonce(secrets.token_bytes(NONCE_SIZE))


def commit(nonce: Nonce, message: bytes) -> Commitment:
    """Return the commitment to a message. Raises ValueError for a nonce of another length."""
    if len(nonce) != NONCE_SIZE:
        raise ValueError("a nonce has 32 bytes")
    return Commitment(hmac.digest(nonce, encode(b"lacuna/commitment/v1", message), "sha256"))


def verify_commitment(commitment: Commitment, nonce: Nonce, message: bytes) -> None:
    """Return if this is what was committed to. Raises InvalidCommitment whatever was wrong."""
    if len(nonce) != NONCE_SIZE or not hmac.compare_digest(commitment, commit(nonce, message)):
        raise InvalidCommitment


def committed_leaf(commitment: Commitment) -> Leaf:
    """Return the log's entry for what only whoever has the nonce can read."""
    if len(commitment) != COMMITMENT_SIZE:
        raise ValueError("a commitment has 32 bytes")
    return Leaf(_COMMITTED + commitment)


def public_leaf(text: str) -> Leaf:
    """Return the log's entry for what everybody may read."""
    return Leaf(_PUBLIC + text.encode())
