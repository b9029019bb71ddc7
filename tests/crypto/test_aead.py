"""AES-256-GCM: a fresh nonce each time, associated data always, one error for every cause."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import aead
from crypto.aead import (
    AUTH_TAG_SIZE,
    NONCE_SIZE,
    OVERHEAD,
    AssociatedData,
    InvalidCiphertext,
    associate,
    seal,
    unseal,
    unseal_wipeable,
    wipe,
)
from crypto.encoding import encode
from crypto.secret import SecretBytes
from tests.vectors import load


class Key(SecretBytes):
    """The key of these tests."""


KEY = Key(bytes(range(32)))
HERE = associate("test/v1", b"here")
WYCHEPROOF = load("wycheproof-aes-256-gcm.json")["tests"]


@pytest.mark.parametrize("vector", WYCHEPROOF, ids=lambda vector: vector["tcId"])
def test_wycheproof(vector: dict[str, Any]) -> None:
    """Each valid message opens to its plaintext, each forged one is refused."""
    key, nonce, message, ciphertext, auth_tag, bound = (
        bytes.fromhex(vector[name]) for name in ("key", "iv", "msg", "ct", "tag", "aad")
    )
    sealed = nonce + ciphertext + auth_tag

    if vector["result"] == "valid":
        assert unseal(Key(key), sealed, AssociatedData(bound)) == message
    else:
        with pytest.raises(InvalidCiphertext):
            unseal(Key(key), sealed, AssociatedData(bound))


def test_wycheproof_has_both_kinds() -> None:
    assert {vector["result"] for vector in WYCHEPROOF} == {"valid", "invalid"}


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_what_was_sealed_opens_in_its_place(plaintext: bytes, place: bytes) -> None:
    associated_data = associate("test/v1", place)
    sealed = seal(KEY, plaintext, associated_data)

    assert unseal(KEY, sealed, associated_data) == plaintext
    assert unseal_wipeable(KEY, sealed, associated_data) == bytearray(plaintext)
    assert len(sealed) == len(plaintext) + OVERHEAD == len(plaintext) + NONCE_SIZE + AUTH_TAG_SIZE


def test_no_nonce_is_used_twice() -> None:
    """The caller cannot choose one; equal plaintexts give unrelated ciphertexts."""
    sealed = [seal(KEY, b"same", HERE) for _ in range(1000)]

    assert len({each[:NONCE_SIZE] for each in sealed}) == 1000
    assert len({each[NONCE_SIZE:] for each in sealed}) == 1000


@given(st.data())
def test_any_changed_bit_is_refused(data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, b"plaintext", HERE))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(InvalidCiphertext):
        unseal(KEY, bytes(sealed), HERE)


@pytest.mark.parametrize("size", range(OVERHEAD + len(b"plaintext")))
def test_a_truncated_message_is_refused_like_a_forged_one(size: int) -> None:
    """Also below nonce and tag, where the library would raise something else."""
    with pytest.raises(InvalidCiphertext):
        unseal(KEY, seal(KEY, b"plaintext", HERE)[:size], HERE)


FORGERIES = {
    "another key": (Key(bytes(32)), HERE),
    "another place": (KEY, associate("test/v1", b"there")),
    "another label": (KEY, associate("test/v2", b"here")),
    "no place": (KEY, AssociatedData(b"")),
}


@pytest.mark.parametrize(("key", "place"), FORGERIES.values(), ids=FORGERIES)
def test_one_error_for_every_cause(key: Key, place: AssociatedData) -> None:
    """Nothing distinguishes a wrong key from a moved page, not even the traceback's context."""
    with pytest.raises(InvalidCiphertext) as caught:
        unseal(key, seal(KEY, b"plaintext", HERE), place)

    assert caught.value.args == ()
    assert caught.value.__suppress_context__


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> list[bytearray]:
    """Return the buffers that `aead` makes from now on."""
    made: list[bytearray] = []

    class Remembered(bytearray):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            made.append(self)

    monkeypatch.setattr(aead, "bytearray", Remembered, raising=False)
    return made


def test_a_refused_message_leaves_no_plaintext_behind(buffers: list[bytearray]) -> None:
    """OpenSSL decrypts first and verifies then: the buffer of a moved page holds its plaintext."""
    with pytest.raises(InvalidCiphertext):
        unseal(KEY, seal(KEY, b"plaintext", HERE), associate("test/v1", b"there"))

    assert buffers == [bytes(len(b"plaintext"))]


def test_an_opened_message_leaves_one_copy_and_not_two(buffers: list[bytearray]) -> None:
    """Of the two that Python makes, the buffer can be wiped and is."""
    assert unseal(KEY, seal(KEY, b"plaintext", HERE), HERE) == b"plaintext"
    assert buffers == [bytes(len(b"plaintext"))]


def test_only_256_bits_are_a_key() -> None:
    """The library would take 128 and 192 bits in silence."""

    class Short(SecretBytes):
        SIZE = 16

    with pytest.raises(ValueError, match="256 bits"):
        seal(Short.generate(), b"", HERE)
    with pytest.raises(ValueError, match="256 bits"):
        unseal(Short.generate(), bytes(OVERHEAD), HERE)


def test_associated_data_is_the_injective_encoding_of_label_and_place() -> None:
    assert associate("label/v1", b"a", b"b") == encode(b"label/v1", b"a", b"b")


def test_wiping_overwrites_in_place() -> None:
    buffer = unseal_wipeable(KEY, seal(KEY, b"plaintext", HERE), HERE)
    view = memoryview(buffer)

    wipe(buffer)

    assert view == bytes(len(b"plaintext"))
