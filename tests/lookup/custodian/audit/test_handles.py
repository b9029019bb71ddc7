"""From a handle to its record's leaf: found while it lives, not a byte left when it is gone."""

import secrets
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.custodian.audit import handles as module
from lookup.custodian.audit.handles import Handles

HANDLES = st.lists(st.binary(min_size=10, max_size=10), unique_by=lambda h: h[:8], max_size=30)


@pytest.fixture(params=[0, 10_000], ids=["sorted", "unsorted"], autouse=True)
def _few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNSORTED", request.param)


def content(handles: Handles) -> bytes:
    return handles._keys.tobytes() + bytes(handles._new_keys)


@pytest.mark.parametrize("between", [lambda _: None, lambda handles: handles.leaves_of(bytes(10))])
def test_a_handle_leads_to_its_leaf(between: Callable[[Handles], object]) -> None:
    names = [secrets.token_bytes(10) for _ in range(1_000)]
    handles = Handles()
    for leaf, name in enumerate(names):
        handles.note(name, leaf)
        if leaf == 500:
            between(handles)
    assert [handles.leaves_of(name) for name in names] == [{leaf} for leaf in range(1_000)]
    assert handles.leaves_of(secrets.token_bytes(10)) == set()
    assert len(handles) == 1_000


def test_handles_that_begin_alike_lead_to_all_their_leaves() -> None:
    handles = Handles()
    handles.note(b"12345678ab", 1)
    handles.note(b"12345678cd", 65_535)
    assert handles.leaves_of(b"12345678ab") == {1, 65_535}


@given(HANDLES, st.data())
def test_what_is_forgotten_leaves_no_byte(names: list[bytes], data: st.DataObject) -> None:
    """G1: nor does it disturb the others."""
    handles = Handles()
    for leaf, name in enumerate(names):
        handles.note(name, leaf)
    gone = data.draw(st.sets(st.sampled_from(names))) if names else set()
    if data.draw(st.booleans()):
        handles.leaves_of(bytes(10))
    for name in gone:
        handles.forget(name)
    kept = [(leaf, name) for leaf, name in enumerate(names) if name not in gone]
    for leaf, name in kept:
        assert leaf in handles.leaves_of(name)
    left = content(handles)
    for name in gone - {bytes(8) + name[8:] for name in gone}:
        key = int.from_bytes(name[:8], "big").to_bytes(8, "little")
        places = [at for at in range(0, len(left), 8) if left[at : at + 8] == key]
        assert not places
