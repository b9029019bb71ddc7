"""Key material refuses to be printed, compared, pickled or mistaken for another key."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from crypto.secret import SecretBytes


class Key(SecretBytes):
    """A kind of key."""


class Long(SecretBytes):
    """A kind of key of another size."""

    SIZE = 64


RAW = bytes(range(32))


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r:>20}".format, "%s".__mod__])
def test_a_key_shows_its_kind_and_nothing_else(show: Callable[[object], str]) -> None:
    assert show(Key(RAW)).strip() == "<Key>"


def test_expose_is_the_only_way_to_the_bytes() -> None:
    key: Any = Key(RAW)  # as a caller without a type checker sees it

    assert key.expose() == RAW
    for way in (bytes, list, len, iter, memoryview, bytearray):
        with pytest.raises(TypeError):
            way(key)


@pytest.mark.parametrize(
    "compare",
    [
        lambda a, b: a == b,
        lambda a, b: a != b,
        lambda a, b: [a].count(b) > 0,
        lambda a, _: a == a.expose(),
        lambda a, _: a == None,  # noqa: E711  # the comparison is the point
    ],
)
def test_keys_are_never_compared(compare: Callable[[Key, Key], bool]) -> None:
    """A comparison of keys would leak its timing, and equal keys are found by key id."""
    with pytest.raises(TypeError, match="compare key ids"):
        compare(Key(RAW), Key(RAW))


def test_a_key_is_no_dictionary_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Key(RAW))


def test_frozen_dataclasses_around_a_key_refuse_too() -> None:
    @dataclass(frozen=True)
    class Holder:
        key: Key

    assert repr(Holder(Key(RAW))).endswith("Holder(key=<Key>)")
    with pytest.raises(TypeError, match="compare key ids"):
        assert Holder(Key(RAW)) == Holder(Key(RAW))


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_keys_are_wrapped_not_serialized(duplicate: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="wrapped"):
        duplicate(Key(RAW))


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_has_its_size_or_is_none(size: int) -> None:
    """The message names the kind and the size it should have, never the bytes."""
    with pytest.raises(ValueError, match=r"^Key must be 32 bytes$"):
        Key(bytes(size))


def test_each_kind_says_its_own_size() -> None:
    assert len(Long(bytes(64)).expose()) == 64
    with pytest.raises(ValueError, match=r"^Long must be 64 bytes$"):
        Long(RAW)


def test_a_key_keeps_no_view_of_the_buffer_it_came_from() -> None:
    """A caller may wipe the buffer: the key stays what it was."""
    buffer: Any = bytearray(RAW)
    key = Key(buffer)
    buffer[:] = bytes(32)

    assert key.expose() == RAW


def test_generated_keys_differ_and_have_the_kind_asked_for() -> None:
    keys = [Long.generate() for _ in range(100)]

    assert all(type(key) is Long for key in keys)
    assert len({key.expose() for key in keys}) == 100
