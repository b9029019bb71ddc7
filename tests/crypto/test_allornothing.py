"""An epoch key needs every byte of its blob, and the passphrase."""

from hashlib import sha512

from hypothesis import given
from hypothesis import strategies as st

from crypto.allornothing import BlobDigest, EpochKey, digest, fold
from crypto.derive import Kek
from tests.crypto import reference

KEK = Kek(bytes(range(32)))
BLOB = bytes(range(256)) * 256  # 64 KiB
VAULT, SLOT = b"v" * 16, b"s" * 16
EPOCH_KEY = fold(KEK, digest(BLOB), VAULT, SLOT).expose()


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.binary(), st.binary())
def test_a_second_implementation_agrees(kek: bytes, blob: bytes, vault: bytes, slot: bytes) -> None:
    """E = HKDF(KEK || SHA-512(blob)): a change of this formula would lose every vault."""
    info = reference.fields(b"lacuna/epoch-key/v1", vault, slot)
    expected = reference.hkdf_sha256(kek + sha512(blob).digest(), b"", info, 32)

    assert fold(Kek(kek), digest(blob), vault, slot).expose() == expected


@given(st.integers(0, len(BLOB) * 8 - 1))
def test_every_bit_of_the_blob_counts(bit: int) -> None:
    """One stale sector less, and E is another key."""
    changed = bytearray(BLOB)
    changed[bit // 8] ^= 1 << bit % 8

    assert fold(KEK, digest(changed), VAULT, SLOT).expose() != EPOCH_KEY


def test_length_counts() -> None:
    assert digest(BLOB[:-1]).expose() != digest(BLOB).expose()
    assert digest(BLOB + b"\0").expose() != digest(BLOB).expose()


def test_passphrase_vault_and_slot_count() -> None:
    """The same blob, copied to another slot or vault, gives another key."""
    others = (
        fold(Kek(bytes(32)), digest(BLOB), VAULT, SLOT),
        fold(KEK, digest(BLOB), b"w" * 16, SLOT),
        fold(KEK, digest(BLOB), VAULT, b"t" * 16),
        fold(KEK, digest(BLOB), SLOT, VAULT),
    )

    assert len({EPOCH_KEY, *(other.expose() for other in others)}) == 5


def test_the_kinds_of_key_keep_each_other_apart() -> None:
    assert type(digest(b"")) is BlobDigest
    assert type(fold(KEK, digest(b""), VAULT, SLOT)) is EpochKey
