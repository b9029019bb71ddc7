"""No field can pose as another or move its boundary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import encode, uint
from tests.crypto import reference

field_lists = st.lists(st.binary(max_size=6), max_size=5)


def decode(encoded: bytes) -> list[bytes]:
    """The inverse: that it exists is what injective means."""
    fields = []
    while encoded:
        size = int.from_bytes(encoded[:4], "big")
        fields.append(encoded[4 : 4 + size])
        encoded = encoded[4 + size :]
    return fields


@given(field_lists, field_lists)
def test_no_two_lists_encode_alike(a: list[bytes], b: list[bytes]) -> None:
    """encode() is injective, so no field can pose as another."""
    assert (encode(*a) == encode(*b)) == (a == b)


@given(field_lists)
def test_every_encoding_decodes_to_the_list_it_came_from(fields: list[bytes]) -> None:
    assert decode(encode(*fields)) == fields


@given(field_lists)
def test_a_second_implementation_agrees(fields: list[bytes]) -> None:
    assert encode(*fields) == reference.fields(*fields)


def test_boundaries_count() -> None:
    assert encode(b"ab", b"c") != encode(b"a", b"bc")
    assert encode(b"", b"a") != encode(b"a", b"")
    assert encode() != encode(b"")


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_numbers_are_fields_of_one_size_in_their_order(a: int, b: int) -> None:
    assert len(uint(a)) == 8
    assert (uint(a) < uint(b)) == (a < b)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_that_does_not_fit_is_refused_not_truncated(number: int) -> None:
    with pytest.raises(OverflowError):
        uint(number)
