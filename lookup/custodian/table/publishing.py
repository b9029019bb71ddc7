"""What workers may answer: from records to links, and the table that holds them.

Invariants:

* Only what may be answered is in the table: an answerable category, not past its window on the
  day that the table was begun; and honey, marked as such. Everything else is absent, also from a
  worker's memory.
* Which slots a record has in a table follows from the record and the table's rules alone, so that
  a change finds exactly the slots that an earlier one made, on whatever day that was.
* A link has one slot per live lookup key. A tag's links beyond the sixteen that a table holds wait
  in `_crowded`; the child is known all the same, and an answer shows eight.
* A change is made link by link, additions first: a child whose record changes is never unknown in
  between.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from crypto.tag import IndexKey, Tag, TagMaker
from crypto.token import Kid, TokenMaker
from lookup.catalogue import HONEY, Catalogue
from lookup.custodian.records.record import Body, Kept, Record
from lookup.identifiers import Identifier
from lookup.index.errors import LinkExists, LinkNotFound, TooManyLinks
from lookup.index.layout import FIRST_ORDINAL, NO_DAY, Link
from lookup.index.writer import Table

Slot = tuple[Tag, Link]
Named = Identifier | Kept


class NotInCatalogue(Exception):
    """A stored record's authority or category is not configured any more."""


@dataclass(frozen=True, slots=True)
class Canary:
    """The identifier that must answer *known, test*, with its handle."""

    identifier: Identifier
    handle: bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides which slots a record has, besides the record. `day`: see the invariants."""

    catalogue: Catalogue
    makers: tuple[TokenMaker, ...]
    canary: Canary
    day: date
    _categories: dict[str, int | None] = field(init=False, repr=False)  # None: never answered
    _today: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        categories = self.catalogue.categories
        numbers = {
            name: number if categories[number].answerable or name == HONEY else None
            for name, number in self.catalogue.category_numbers.items()
        }
        object.__setattr__(self, "_categories", numbers)
        object.__setattr__(self, "_today", self.day.toordinal())

    def links(self, body: Body) -> list[tuple[Named, Link]]:
        """Return what of a record may be answered.

        Raises NotInCatalogue: to leave such a record out would answer *no record*.
        """
        try:
            category = self._categories[body.category]
            authority = self.catalogue.authority_numbers[body.authority]
        except KeyError:
            raise NotInCatalogue(
                "there are records of an authority or a category that the configuration lacks"
            ) from None
        if category is None or (body.answer_until is not None and body.answer_until < self._today):
            return []
        since = body.since - FIRST_ORDINAL
        until, last = _days(body.until), _days(body.answer_until)
        honey = body.category == HONEY
        return [
            (kept, Link(kept.handle, since, until, last, authority, category, False, honey))  # noqa: FBT003  # by name costs a fifth of a microsecond
            for kept in body.links
        ]

    def canary_link(self) -> tuple[Identifier, Link]:
        """Return the canary's link."""
        number = self.catalogue.test_number
        link = Link(self.canary.handle, 0, NO_DAY, NO_DAY, 0, number, test=True)
        return self.canary.identifier, link


class Publication:
    """One table with its key: made by `Build`, changed link by link afterwards."""

    def __init__(self, rules: Rules, key: IndexKey, table: Table) -> None:
        self.rules = rules
        self.key = key
        self._tags = TagMaker(key)
        self.table = table
        self._crowded: dict[Tag, dict[bytes, Link]] = {}  # by handle

    @property
    def kids(self) -> tuple[Kid, ...]:
        """The lookup keys that every link is tagged with."""
        return tuple(maker.kid for maker in self.rules.makers)

    def slots(self, links: Iterable[tuple[Named, Link]]) -> list[Slot]:
        """Return the slots of links: one per lookup key."""
        make_tag = self._tags.make
        return [
            (make_tag(maker.make(identifier.scheme, identifier.value)), link)
            for identifier, link in links
            for maker in self.rules.makers
        ]

    def replace(self, old: Record | None, new: Record | None) -> None:
        """Answer what `new` says where `old` was answered.

        May be repeated. Raises TableFull when it needs the room that `grown` makes.
        """
        before = dict(self._named(old))
        after = dict(self._named(new))
        for name, link in after.items():
            if name not in before:
                self._add(name[0], link)
            elif before[name] != link:
                self._change(name[0], link)
        for tag, handle in before.keys() - after.keys():
            self._remove(tag, handle)

    def _named(self, record: Record | None) -> list[tuple[tuple[Tag, bytes], Link]]:
        if record is None:
            return []
        return [
            ((tag, link.handle), link) for tag, link in self.slots(self.rules.links(record.body))
        ]

    def _add(self, tag: Tag, link: Link) -> None:
        try:
            self.table.add(tag, link)
        except LinkExists:
            return  # this change was begun before, and ran out of room
        except TooManyLinks:
            self.wait(tag, link)

    def _change(self, tag: Tag, link: Link) -> None:
        try:
            self.table.replace(tag, link.handle, link)
        except LinkNotFound:
            self._crowded[tag][link.handle] = link

    def _remove(self, tag: Tag, handle: bytes) -> None:
        waiting = self._crowded.get(tag, {})
        if waiting.pop(handle, None) is None:
            self.table.remove(tag, handle)
            if waiting:
                _, link = waiting.popitem()
                self.table.add(tag, link)
        if not waiting:
            self._crowded.pop(tag, None)

    def grown(self, generation: int) -> "Publication":
        """Return the same links in a larger table, not yet complete."""
        larger = Publication(self.rules, self.key, self.table.grow(generation))
        larger._crowded = {tag: dict(links) for tag, links in self._crowded.items()}
        return larger

    def wait(self, tag: Tag, link: Link) -> None:
        """Keep a link that the table has no room for beside it."""
        self._crowded.setdefault(tag, {})[link.handle] = link


def _days(ordinal: int | None) -> int:
    return NO_DAY if ordinal is None else ordinal - FIRST_ORDINAL
