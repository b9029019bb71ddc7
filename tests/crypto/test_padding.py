"""Sizes say little, and padding hides nothing."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.aead import wipe
from crypto.padding import LENGTH_SIZE, InvalidPadding, pad, padme, unpad

Rule = Callable[[int], int]

RULES: dict[str, Rule] = {
    "padme": padme,
    "as it is": lambda size: size,
    "to the next hundred": lambda size: -(-size // 100) * 100,
}
rules = st.sampled_from(list(RULES.values()))


@given(st.binary(max_size=3000), rules)
def test_unpad_gives_back_what_pad_was_given(data: bytes, rule: Rule) -> None:
    padded = pad(data, rule)

    assert unpad(padded) == data
    assert len(padded) == rule(LENGTH_SIZE + len(data))


@given(st.binary(max_size=64))
def test_whatever_unpad_accepts_is_a_length_the_data_and_zeros(padded: bytes) -> None:
    """Nothing hides behind the data: exactly one padding of a size is accepted."""
    try:
        data = bytes(unpad(padded))
    except InvalidPadding:
        return
    assert pad(data, lambda _: len(padded)) == padded


MALFORMED = {
    "nothing": b"",
    "half a length": b"\0\0\0",
    "half a length that says one": b"\0\0\1",
    "a length beyond the end": b"\0\0\0\2x",
    "a length of 4 GiB": b"\xff\xff\xff\xff" + bytes(60),
    "a byte behind the data": b"\0\0\0\1x\0\0\1",
    "a byte behind no data": b"\0\0\0\0\1",
}


@pytest.mark.parametrize("padded", MALFORMED.values(), ids=MALFORMED)
def test_what_pad_does_not_make_is_refused(padded: bytes) -> None:
    with pytest.raises(InvalidPadding):
        unpad(padded)


@given(st.integers(2, 2**40))
def test_padme_costs_at_most_12_percent(size: int) -> None:
    """Nikitin et al., PETS 2019, section 4: the worst case is 11.11 %, at nine bytes."""
    assert size <= padme(size) <= size * 1.12


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_padme_never_turns_a_larger_size_into_a_smaller_one(a: int, b: int) -> None:
    assert (a <= b) <= (padme(a) <= padme(b))


@given(st.integers(0, 2**40))
def test_padme_of_a_padded_size_is_itself(size: int) -> None:
    assert padme(padme(size)) == padme(size)


def test_padme_leaves_few_sizes_to_tell_apart() -> None:
    """O(log log n) bits: of a million sizes, a few hundred remain."""
    assert len({padme(size) for size in range(1_000_000)}) < 500


def test_padme_of_the_smallest_sizes() -> None:
    """The exponent has no mantissa below two; from nine on, low bits go."""
    assert [padme(size) for size in range(18)] == [*range(9), 10, 10, 12, 12, 14, 14, 16, 16, 18]


def test_a_rule_that_gives_less_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="negative count"):
        pad(b"four", lambda size: size - 1)


def test_data_can_be_viewed_in_a_buffer_and_then_wiped() -> None:
    """The view is no copy: wiping the buffer wipes what the view shows."""
    buffer = bytearray(pad(b"a name", padme))
    view = unpad(buffer)
    assert view.tobytes() == b"a name"

    wipe(buffer)

    assert view.tobytes() == bytes(6)
