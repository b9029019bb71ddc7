"""Pages open in one place, under one key, as one version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.aead import OVERHEAD, InvalidCiphertext, seal
from keys import page as pages
from keys.entry import Entry, EntryId, Kind
from keys.page import (
    FANOUT,
    Children,
    PageKey,
    Position,
    RootKey,
    VaultId,
    Version,
    leaf_size,
    open_interior,
    open_leaf,
    open_root,
    seal_interior,
    seal_leaf,
    seal_root,
)

VAULT, OTHER = VaultId(b"v" * 16), VaultId(b"w" * 16)
HERE = Position(1, 7)
ENTRY = Entry(Kind.RECORD, EntryId(bytes(16)), b"a body")
AT = Version(3, 40)


def children(*indices: int) -> Children:
    made = Children()
    for index in indices:
        made.set(index, PageKey.generate())
    return made


@pytest.mark.parametrize(
    ("vault", "position"),
    [(OTHER, HERE), (VAULT, Position(1, 8)), (VAULT, Position(2, 7))],
    ids=["another vault", "another place", "another level"],
)
def test_a_page_opens_nowhere_else(vault: VaultId, position: Position) -> None:
    key = PageKey.generate()
    leaf = seal_leaf(key, [ENTRY.encode()], VAULT, HERE)
    interior = seal_interior(key, children(1), VAULT, HERE)
    assert open_leaf(key, leaf, VAULT, HERE) == {ENTRY.id + b"\x01": ENTRY.encode()}
    assert open_interior(key, interior, VAULT, HERE).get(0) is None
    with pytest.raises(InvalidCiphertext):
        open_leaf(key, leaf, vault, position)
    with pytest.raises(InvalidCiphertext):
        open_interior(key, interior, vault, position)


@pytest.mark.parametrize("at", [Version(2, 40), Version(3, 39)])
def test_a_root_opens_as_one_version(at: Version) -> None:
    """So a row whose numbers were turned back does not open."""
    key, inside = RootKey.generate(), children(0, 255)
    sealed = seal_root(key, 2, inside, VAULT, AT)
    depth, opened = open_root(key, sealed, VAULT, AT)
    assert depth == 2
    assert opened.encode() == inside.encode()
    with pytest.raises(InvalidCiphertext):
        open_root(key, sealed, VAULT, at)
    with pytest.raises(InvalidCiphertext):
        open_root(key, sealed, OTHER, AT)


@given(st.integers(0, 200_000))
def test_a_leafs_size_says_little(size: int) -> None:
    """It fits, with its seal, into 31/32 of a power of two: few sizes, and none is wasteful."""
    sealed = leaf_size(size) + OVERHEAD
    assert leaf_size(size) >= size
    assert sealed in {992 << doublings for doublings in range(20)}
    assert sealed == 992 or leaf_size(size) < 2 * size + 2 * OVERHEAD


def test_a_leafs_size_does_not_tell_how_many_entries_it_has() -> None:
    sizes = [
        len(seal_leaf(PageKey.generate(), [ENTRY.encode()] * entries, VAULT, HERE))
        for entries in (0, 1, 25, 40, 50)
    ]
    assert sizes == [992, 992, 992, 1984, 1984]


def test_numbers_name_one_place_each() -> None:
    level_1 = {Position(1, ordinal).number for ordinal in range(FANOUT)}
    level_2 = {Position(2, ordinal).number for ordinal in (0, 1, FANOUT * FANOUT - 1)}
    assert level_1 == set(range(1, FANOUT + 1))
    assert level_2 == {FANOUT + 1, FANOUT + 2, FANOUT + FANOUT * FANOUT}


def test_children_change_by_copy() -> None:
    before = children(3)
    after = before.copy()
    after.set(3, None)
    assert before.get(3) is not None
    assert before.any()
    assert not after.any()
    before.wipe()
    assert before.get(3) is None


def test_a_format_of_tomorrow_is_refused() -> None:
    """By whoever could read it: the format lies inside the seal."""
    key = PageKey.generate()
    sealed = seal(key, b"\x02" + bytes(FANOUT * 32), pages._place(VAULT, HERE))
    with pytest.raises(ValueError, match="page format 2 is not known"):
        open_interior(key, sealed, VAULT, HERE)
