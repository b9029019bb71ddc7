"""A payload under a key of its own, bound to its place."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.aead import OVERHEAD, InvalidCiphertext, seal
from crypto.padding import InvalidPadding
from crypto.record import Dek, _place, blob_size, seal_payload, unseal_payload


class Place(NamedTuple):
    """Where a blob lies."""

    vault: bytes
    record_id: bytes
    version: int


DEK = Dek(bytes(range(32)))
HERE = Place(b"v" * 16, b"r" * 16, 1)


@given(st.binary(max_size=2000), st.integers(0, 2**64 - 1))
def test_a_payload_opens_where_it_was_sealed(payload: bytes, version: int) -> None:
    place = HERE._replace(version=version)

    assert unseal_payload(DEK, seal_payload(DEK, payload, *place), *place) == payload


ELSEWHERE = {
    "another vault": HERE._replace(vault=b"w" * 16),
    "another record": HERE._replace(record_id=b"s" * 16),
    "an older version": HERE._replace(version=0),
    "a newer version": HERE._replace(version=2),
    "a boundary that moved": HERE._replace(vault=b"v" * 15, record_id=b"v" + b"r" * 16),
}


@pytest.mark.parametrize("place", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_moved_blob_does_not_open(place: Place) -> None:
    """Swapped rows, and a version put back, are refused."""
    with pytest.raises(InvalidCiphertext):
        unseal_payload(DEK, seal_payload(DEK, b"payload", *HERE), *place)


def test_a_blob_does_not_open_without_its_key() -> None:
    """This is all that forgetting rests on."""
    with pytest.raises(InvalidCiphertext):
        unseal_payload(Dek.generate(), seal_payload(DEK, b"payload", *HERE), *HERE)


@given(st.integers(0, 252))
def test_short_payloads_are_all_of_one_size(size: int) -> None:
    """One line or three: the blob does not tell."""
    assert len(seal_payload(DEK, bytes(size), *HERE)) == 256 + OVERHEAD


@given(st.integers(0, 2**20))
def test_the_size_of_a_blob_grows_in_padmes_steps(size: int) -> None:
    assert blob_size(size) >= max(256, size)
    assert blob_size(size) <= max(256, size * 1.12)


def test_a_blob_that_was_sealed_but_not_padded_is_a_bug_not_an_attack() -> None:
    with pytest.raises(InvalidPadding):
        unseal_payload(DEK, seal(DEK, b"\xff" * 8, _place(*HERE)), *HERE)
