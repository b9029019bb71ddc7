"""The map behaves like a dict, leaves no trace of what it lost, and never uses a key twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.aead import Sealed
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove
from keys.errors import EntryMissing, PageDamaged
from keys.page import FANOUT, PageKey, Position, RootKey, VaultId
from keys.pages import Change
from keys.tree import Tree

VAULT = VaultId(b"v" * 16)
# Few leaves and few ids in each, so that batches meet; two in one leaf on level 2, two below one
# interior page, one at the far end.
IDS = [EntryId(head + bytes(14)) for head in (b"\0\0", b"\0\1", b"\7\7", b"\7\xff", b"\xff\xff")]
IDS.append(EntryId(b"\7\7" + bytes(13) + b"\1"))
KINDS = [Kind.RECORD, Kind.CLIENT]

Name = tuple[Kind, EntryId]


def allowed(entry: tuple[Kind, EntryId]) -> bool:
    return entry[0] is Kind.RECORD or entry[1][:2] == b"\0\0"


names = st.tuples(st.sampled_from(KINDS), st.sampled_from(IDS)).filter(allowed)
bodies = st.sampled_from([b"", b"one", b"two", b"long" * 300])
puts = st.builds(
    lambda name, body, version, flags: Put(Entry(name[0], name[1], body, version, flags)),
    names,
    bodies,
    st.integers(1, 3),
    st.integers(0, 2),
)
steps = st.one_of(puts, names.map(lambda name: Remove(*name)))
histories = st.lists(st.lists(steps, max_size=5).map(tuple), max_size=8)
depths = st.sampled_from([1, 2])


@dataclass
class Kept:
    """A tree, its pages, and every key that sealed one."""

    depth: int
    pages: dict[int, Sealed] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = Tree.plant(VAULT, self.depth, RootKey.generate())

    def page(self, number: int) -> Sealed | None:
        return self.pages.get(number)

    def span(self, numbers: range) -> dict[int, Sealed]:
        return {number: self.pages[number] for number in numbers if number in self.pages}

    def adopt(self, change: Change) -> None:
        self.tree.adopt(change)
        for number, sealed in change.pages.items():
            self.pages.pop(number, None)
            if sealed is not None:
                self.pages[number] = sealed
                self.keys.append(self._key(number).expose())

    def _key(self, number: int) -> PageKey:
        level = 1 if number <= FANOUT else 2
        ordinal = number - Position(level, 0).number
        key = (
            self.tree._leaf_key(ordinal)
            if level == self.depth
            else self.tree._opened.root.get(ordinal)
        )
        assert key is not None
        return key

    def commit(self, batch: Batch) -> Change:
        change = self.tree.plan(self, batch)
        self.adopt(change)
        return change

    def contents(self) -> dict[int, dict[bytes, bytes]]:
        """Return what the leaves of these tests hold, empty ones left out."""
        indices = {self.tree.leaf_of(entry_id) for entry_id in IDS}
        leaves = {index: self.tree.leaf(self, index) for index in indices}
        return {index: leaf for index, leaf in leaves.items() if leaf}


def apply(model: dict[Name, Entry], batch: Batch) -> bool:
    """Do to a dict what a batch does to the map; say whether something must be forgotten."""
    forgets = False
    for step in batch:
        if isinstance(step, Put):
            old = model.get((step.entry.kind, step.entry.id))
            forgets |= old is not None and old.body != step.entry.body
            model[step.entry.kind, step.entry.id] = step.entry
        else:
            del model[step.kind, step.id]
            forgets = True
    return forgets


@given(depths, histories)
def test_the_map_behaves_like_a_dict(depth: int, history: list[Batch]) -> None:
    """Also when a batch is refused: then nothing of it happens."""
    kept, model = Kept(depth), dict[Name, Entry]()
    for batch in history:
        tried = dict(model)
        try:
            forgets = apply(tried, batch)
        except KeyError:
            with pytest.raises(EntryMissing):
                kept.tree.plan(kept, batch)
            continue
        model = tried
        assert kept.commit(batch).removes == forgets
    for kind in KINDS:
        for entry_id in IDS:
            assert kept.tree.get(kept, kind, entry_id) == model.get((kind, entry_id))
        for index in {kept.tree.leaf_of(entry_id) for entry_id in IDS}:
            here = [
                e for e in model.values() if e.kind is kind and kept.tree.leaf_of(e.id) == index
            ]
            found = list(kept.tree.scan_leaf(kept, kind, index))
            assert found == sorted(here, key=lambda entry: entry.id)


@given(depths, histories)
def test_what_was_removed_leaves_no_trace(depth: int, history: list[Batch]) -> None:
    """G1: page numbers, sizes and contents equal those of a map that never held it."""
    kept, model = Kept(depth), dict[Name, Entry]()
    for batch in history:
        tried = dict(model)
        try:
            apply(tried, batch)
        except KeyError:
            continue
        kept.commit(batch)
        model = tried
    never = Kept(depth)
    never.commit(tuple(Put(entry) for entry in model.values()))
    assert kept.contents() == never.contents()
    assert {n: len(s) for n, s in kept.pages.items()} == {n: len(s) for n, s in never.pages.items()}


@given(depths, histories)
def test_no_two_pages_share_a_key(depth: int, history: list[Batch]) -> None:
    """One key, one page version, ever: so an older version of a page does not open."""
    kept = Kept(depth)
    for batch in history:
        try:
            kept.commit(batch)
        except EntryMissing:
            continue
    assert len(set(kept.keys)) == len(kept.keys)


@given(depths, st.lists(puts, min_size=1, max_size=4).map(tuple), st.integers(0, 9))
def test_flags_and_versions_change_in_the_epoch(depth: int, batch: Batch, number: int) -> None:
    """The removal rule: only a body is forgotten when it changes."""
    kept = Kept(depth)
    kept.commit(batch)
    entries = [
        entry for leaf in kept.contents() for entry in kept.tree.scan_leaf(kept, KINDS[0], leaf)
    ]
    flipped = tuple(Put(Entry(e.kind, e.id, e.body, number, number)) for e in entries)
    assert not kept.tree.plan(kept, flipped).removes


def test_a_plan_changes_nothing() -> None:
    """An epoch that is planned and dropped is as if it had never been thought of."""
    kept = Kept(2)
    kept.commit((Put(Entry(Kind.RECORD, IDS[2], b"kept")),))
    before, pages = kept.tree.stored, dict(kept.pages)
    change = kept.tree.plan_epoch(kept, (Remove(Kind.RECORD, IDS[2]),), RootKey.generate(), {}, 9)
    assert change.root.version == (1, 10)
    assert (kept.tree.stored, kept.pages) == (before, pages)
    assert kept.tree.get(kept, Kind.RECORD, IDS[2]) is not None


@pytest.mark.parametrize("depth", [1, 2])
def test_a_commit_writes_few_pages(depth: int) -> None:
    """The changed leaf and what lies above it; all others keep their bytes."""
    kept = Kept(depth)
    kept.commit(tuple(Put(Entry(Kind.RECORD, entry_id, b"")) for entry_id in IDS))
    change = kept.tree.plan(kept, (Put(Entry(Kind.RECORD, IDS[2], b"new")),))
    assert len(change.pages) == depth


@pytest.mark.parametrize("depth", [1, 2])
def test_a_tree_opens_from_its_pages_alone(depth: int) -> None:
    kept = Kept(depth)
    kept.commit(tuple(Put(Entry(Kind.RECORD, entry_id, b"x")) for entry_id in IDS))
    again = Tree.open(kept, kept.tree.stored, kept.tree.root_key)
    assert again.depth == depth
    assert all(again.get(kept, Kind.RECORD, entry_id) for entry_id in IDS)
    assert again.get(kept, Kind.RECORD, EntryId(b"\1" * 16)) is None


@pytest.mark.parametrize("what", ["missing", "changed", "an older version", "another page"])
@pytest.mark.parametrize("number", [Position(1, 7).number, Position(2, 7 * FANOUT + 7).number])
def test_a_page_that_does_not_open_is_named(number: int, what: str) -> None:
    """By its number, from which nothing follows about what it held."""
    kept = Kept(2)
    kept.commit(
        (
            Put(Entry(Kind.RECORD, IDS[2], b"old")),
            Put(Entry(Kind.RECORD, IDS[4], b"")),
        )
    )
    old = kept.pages[number]
    kept.commit((Put(Entry(Kind.RECORD, IDS[2], b"new")),))
    if what == "missing":
        del kept.pages[number]
    else:
        kept.pages[number] = {
            "changed": Sealed(bytes(len(old))),
            "an older version": old,
            "another page": kept.pages[max(kept.pages)],
        }[what]
    with pytest.raises(PageDamaged, match=f"page {number} does not open") as caught:
        read_all(kept)
    assert caught.value.number == number


def read_all(kept: Kept) -> Mapping[int, object]:
    kept.tree = Tree.open(kept, kept.tree.stored, kept.tree.root_key)
    return kept.contents()


def test_interior_keys_are_overwritten_when_they_are_replaced() -> None:
    """What Python can wipe, it wipes; keys that became immutable objects it cannot."""
    kept = Kept(2)
    kept.commit(tuple(Put(Entry(Kind.RECORD, entry_id, b"")) for entry_id in IDS))
    before = kept.tree._opened
    kept.commit((Remove(Kind.RECORD, IDS[2]), Put(Entry(Kind.RECORD, IDS[2], b"new"))))
    after = kept.tree._opened
    assert not before.root.any()
    assert [index for index, one in before.interiors.items() if not one.any()] == [7]
    assert after.interiors[7].any()
    kept.tree.wipe()
    assert not any(children.any() for children in after.all())


def test_a_tree_has_one_or_two_levels() -> None:
    with pytest.raises(ValueError, match="one or two levels"):
        Tree.plant(VAULT, 3, RootKey.generate())
