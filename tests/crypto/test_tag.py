"""Tags: what the index holds instead of tokens."""

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.tag import TAG_SIZE, IndexKey, TagMaker
from tests.crypto import reference
from tests.vectors import load

KEY = IndexKey(bytes(range(32)))
keys = st.binary(min_size=32, max_size=32)


def lagged_fibonacci(size: int, seed: int) -> bytes:
    """Return the input that RFC 7693, appendix E, calls selftest_seq."""
    a, b = 0xDEAD4BAD * seed & 0xFFFFFFFF, 1
    out = bytearray()
    for _ in range(size):
        a, b = b, a + b & 0xFFFFFFFF
        out.append(b >> 24)
    return bytes(out)


def test_the_reference_agrees_with_rfc_7693() -> None:
    """Appendix E: one digest over outputs of 20 to 64 bytes, with and without a key."""
    outputs = b""
    for size in (20, 32, 48, 64):
        for length in (0, 3, 128, 129, 255, 1024):
            message = lagged_fibonacci(length, length)
            outputs += reference.blake2b(message, b"", size)
            outputs += reference.blake2b(message, lagged_fibonacci(size, size), size)

    assert reference.blake2b(outputs, b"", 32).hex() == load("rfc7693-blake2b.json")["hash"]


@pytest.mark.parametrize("vector", load("blake2b-keyed.json")["tests"])
def test_the_authors_keyed_vectors(vector: dict[str, Any]) -> None:
    """Both implementations, on both sides of a block's end."""
    message, key = bytes.fromhex(vector["in"]), bytes.fromhex(vector["key"])

    assert blake2b(message, key=key).hexdigest() == vector["hash"]
    assert reference.blake2b(message, key, 64).hex() == vector["hash"]


@given(keys, st.binary(min_size=32, max_size=32))
def test_a_second_implementation_agrees(key: bytes, token: bytes) -> None:
    """No vectors are published for 96 bits; the reference above is held to those that are."""
    assert TagMaker(IndexKey(key)).make(token) == reference.tag(key, token)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_many_are_made_as_one_is(tokens: list[bytes]) -> None:
    maker = TagMaker(KEY)

    assert maker.make_each(tokens) == [maker.make(token) for token in tokens]


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_two_tokens_have_two_tags(a: bytes, b: bytes) -> None:
    assert (TagMaker(KEY).make(a) == TagMaker(KEY).make(b)) == (a == b)
    assert len(TagMaker(KEY).make(a)) == TAG_SIZE


def test_another_tables_key_gives_unrelated_tags() -> None:
    """Tags of two tables cannot be joined."""
    token = bytes(32)

    assert TagMaker(IndexKey.generate()).make(token) != TagMaker(IndexKey.generate()).make(token)
