"""An epoch key of which every byte of a large blob is needed.

    E = HKDF-SHA-256(KEK || SHA-512(blob), info=encode("lacuna/epoch-key/v1", vault, slot))

Why a blob: a disk may keep a few stale sectors after an overwrite; with a mebibyte or more, all
of them would have to survive for E to survive (Reardon, Basin and Capkun, "SoK: Secure Data
Deletion", IEEE S&P 2013). SHA-512 is preimage resistant, so a thief who misses one sector is
left with guessing it.

Invariant: E depends on the whole blob and on the passphrase; neither alone says anything.
"""

from hashlib import sha512

from crypto.derive import Kek, derive
from crypto.secret import SecretBytes


class EpochKey(SecretBytes):
    """E: wraps one root key, lives in one slot, dies at the next epoch change."""


class BlobDigest(SecretBytes):
    """SHA-512 of a blob. As secret as the blob: it can be kept while the blob is on its medium."""

    SIZE = 64


class _Ingredients(SecretBytes):
    SIZE = Kek.SIZE + BlobDigest.SIZE


def digest(blob: bytes | bytearray) -> BlobDigest:
    """Return the digest of a blob; 1.2 ms for a mebibyte."""
    return BlobDigest(sha512(blob).digest())


def fold(kek: Kek, blob_digest: BlobDigest, vault: bytes, slot: bytes) -> EpochKey:
    """Return the epoch key of this blob in this slot."""
    ingredients = _Ingredients(kek.expose() + blob_digest.expose())
    return derive(ingredients, EpochKey, "lacuna/epoch-key/v1", vault, slot)
