"""Blobs: a record's payload under a key of its own.

    blob = seal(DEK, pad(payload, blob_size), associated data: vault, record_id, version)

Invariants:

* One DEK seals one version of one record: a new version has a new DEK, so that destroying the
  old one is all it takes to forget the old version.
* The associated data binds the place: a blob moved to another record or version does not open.

Whoever imports this module may hold data keys. Workers, gateways and clients cannot reach it.
"""

from crypto.aead import AssociatedData, Sealed, associate, seal, unseal
from crypto.encoding import uint
from crypto.padding import pad, padme, unpad
from crypto.secret import SecretBytes


class Dek(SecretBytes):
    """Data encryption key of one blob version."""


def blob_size(size: int) -> int:
    """Padmé, but never below 256 bytes: short notes would otherwise give their length away."""
    return max(256, padme(size))


def _place(vault: bytes, record_id: bytes, version: int) -> AssociatedData:
    return associate("lacuna/blob/v1", vault, record_id, uint(version))


def seal_payload(dek: Dek, payload: bytes, vault: bytes, record_id: bytes, version: int) -> Sealed:
    """Return the blob of a payload (up to 4 GiB; callers bound it far lower)."""
    return seal(dek, pad(payload, blob_size), _place(vault, record_id, version))


def unseal_payload(dek: Dek, sealed: bytes, vault: bytes, record_id: bytes, version: int) -> bytes:
    """Return the payload, or raise InvalidCiphertext whatever was wrong.

    InvalidPadding would mean a blob that was sealed, but not by `seal_payload`.
    """
    return bytes(unpad(unseal(dek, sealed, _place(vault, record_id, version))))
