import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crypto.tag import Tag
from lookup.errors import IndexNotReady, IndexSuperseded
from lookup.index import layout
from lookup.index.errors import (
    LinkExists,
    LinkNotFound,
    TableError,
    TooManyLinks,
    WindowFull,
)
from lookup.index.layout import Link, pack_slot
from lookup.index.reader import TableReader
from lookup.index.writer import Table
from tests.lookup.index.links import fits, link_of, links, slots_of, spelled_out

# 20 neighbouring homes, of any table here, and the last ones: windows overlap and fill up.
TAGS = [Tag(bytes([0, 9 * i, 0]) + bytes(9)) for i in range(20)]
TAGS += [Tag(b"\xff" * 11 + bytes([i])) for i in range(3)]
TAG = st.sampled_from(TAGS)
NUMBER = st.integers(0, 19)
CATEGORY = st.integers(0, 15)


class TableMachine(RuleBasedStateMachine):
    """A table against a dictionary, through a reader that is told nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.model: dict[tuple[Tag, bytes], Link] = {}
        self.complete = False
        self.generation = 1
        self.table = Table.create(self.folder, 1, 0)
        self.reader = TableReader(self.table.path)

    @rule(tag=TAG, number=NUMBER, category=CATEGORY)
    def add(self, tag: Tag, number: int, category: int) -> None:
        """One link."""
        link = link_of(number, category)
        refusal = self.refusal(tag, link)
        if refusal is None:
            self.table.add(tag, link)
            self.model[tag, link.handle] = link
        else:
            with pytest.raises(refusal):
                self.table.add(tag, link)

    def refusal(self, tag: Tag, link: Link) -> type[TableError] | None:
        """What the definition says of adding a link."""
        if (tag, link.handle) in self.model:
            return LinkExists
        if sum(other == tag for other, _ in self.model) == layout.MAX_LINKS_PER_TAG:
            return TooManyLinks
        slots = [*self.slots(), pack_slot(tag, link)]
        return None if fits(slots, self.table._homes) else WindowFull

    @rule(tag=TAG, numbers=st.sets(NUMBER))
    def crowd(self, tag: Tag, numbers: set[int]) -> None:
        """Several links of one tag."""
        for number in numbers:
            self.add(tag, number, number % 16)

    @rule(tag=TAG, number=NUMBER)
    def remove(self, tag: Tag, number: int) -> None:
        """One link, if there is one."""
        handle = link_of(number).handle
        if self.model.pop((tag, handle), None):
            self.table.remove(tag, handle)
        else:
            with pytest.raises(LinkNotFound):
                self.table.remove(tag, handle)

    @rule(tag=TAG)
    def remove_all(self, tag: Tag) -> None:
        """All links of one tag."""
        for other, handle in list(self.model):
            if other == tag:
                self.table.remove(tag, handle)
                del self.model[tag, handle]

    @rule(tag=TAG, number=NUMBER, other=NUMBER, category=CATEGORY)
    def replace(self, tag: Tag, number: int, other: int, category: int) -> None:
        """One link by another, or by itself with another body."""
        old, new = link_of(number).handle, link_of(other, category)
        if (tag, old) not in self.model:
            with pytest.raises(LinkNotFound):
                self.table.replace(tag, old, new)
        elif old != new.handle and (tag, new.handle) in self.model:
            with pytest.raises(LinkExists):
                self.table.replace(tag, old, new)
        else:
            self.table.replace(tag, old, new)
            del self.model[tag, old]
            self.model[tag, new.handle] = new

    @rule(complete=st.booleans())
    def say(self, complete: bool) -> None:  # noqa: FBT001  # a rule is called by name
        """Complete, or not."""
        self.complete = complete
        if complete:
            self.table.complete()
        else:
            self.table.declare_incomplete()

    @precondition(lambda self: self.generation < 4)  # each table is half as large again
    @rule()
    def grow(self) -> None:
        """Switch to a larger table; the former answers nothing."""
        self.generation += 1
        larger = self.table.grow(self.generation)
        if self.complete:
            larger.complete()
        self.table.supersede()
        for tag in TAGS:
            with pytest.raises(IndexSuperseded):
                self.reader.probe(tag)
        self.close()
        self.table, self.reader = larger, TableReader(larger.path)

    @invariant()
    def answers(self) -> None:
        """Exactly the links of the model; a miss only where it is an answer."""
        for tag in TAGS:
            expected = tuple(self.model[key] for key in sorted(self.model) if key[0] == tag)
            if expected or self.complete:
                assert links(self.reader, tag) == expected
            else:
                with pytest.raises(IndexNotReady):
                    self.reader.probe(tag)
        assert len(self.table) == len(self.model)

    def slots(self) -> list[bytes]:
        return [pack_slot(tag, link) for (tag, _), link in self.model.items()]

    def close(self) -> None:
        self.reader.close()
        self.table.close()

    def teardown(self) -> None:
        """Nothing tells of the history: the slots are those of a table made of the model."""
        try:
            assert slots_of(self.table) == spelled_out(self.slots(), self.table._homes)
        finally:
            self.close()
            shutil.rmtree(self.folder)


TestTable = TableMachine.TestCase
