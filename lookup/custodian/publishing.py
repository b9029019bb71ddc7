"""What workers may answer: from records to links, and the table that holds them.

Invariants:

* Only what may be answered is in the table: an answerable category, not past its window on the
  day that the table was begun. Everything else is absent, also from a worker's memory.
* Which slots a record has in a table follows from the record and the table's rules alone, so that
  a change finds exactly the slots that an earlier one made, on whatever day that was.
* A link has one slot per live lookup key. A tag's links beyond the sixteen that a table holds wait
  in `_crowded`; the child is known all the same, and an answer shows eight.
* A change is made link by link, additions first: a child whose record changes is never unknown in
  between.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from crypto.tag import IndexKey, Tag, make_tag
from crypto.token import Kid, TokenMaker
from lookup.catalogue import Catalogue
from lookup.custodian.record import Record
from lookup.identifiers import Identifier
from lookup.index.errors import LinkExists, LinkNotFound, TooManyLinks
from lookup.index.layout import Link
from lookup.index.writer import Table

Slot = tuple[Tag, Link]


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

    def links(self, record: Record) -> list[tuple[Identifier, Link]]:
        """Return what of a record may be answered.

        Raises NotInCatalogue: to leave such a record out would answer *no record*.
        """
        body = record.body
        category = self.catalogue.category_numbers.get(body.category)
        authority = self.catalogue.authority_numbers.get(body.authority)
        if category is None or authority is None:
            raise NotInCatalogue(
                "there are records of an authority or a category that the configuration lacks"
            )
        if not self.catalogue.categories[category].answerable:
            return []
        if body.answer_until is not None and body.answer_until < self.day.toordinal():
            return []
        since = date.fromordinal(body.since)
        until, last = _day(body.until), _day(body.answer_until)
        return [
            (
                Identifier(kept.scheme, kept.value),
                Link(kept.handle, since, until, last, authority, category, test=False),
            )
            for kept in body.links
        ]

    def canary_link(self) -> tuple[Identifier, Link]:
        """Return the canary's link."""
        number = self.catalogue.test_number
        since = date(2000, 1, 1)
        link = Link(self.canary.handle, since, None, None, 0, number, test=True)
        return self.canary.identifier, link


class Publication:
    """One table with its key: made by `Build`, changed link by link afterwards."""

    def __init__(self, rules: Rules, key: IndexKey, table: Table) -> None:
        self.rules = rules
        self.key = key
        self.table = table
        self._crowded: dict[Tag, dict[bytes, Link]] = {}  # by handle

    @property
    def kids(self) -> tuple[Kid, ...]:
        """The lookup keys that every link is tagged with."""
        return tuple(maker.kid for maker in self.rules.makers)

    def slots(self, links: Iterable[tuple[Identifier, Link]]) -> list[Slot]:
        """Return the slots of links: one per lookup key."""
        key = self.key
        return [
            (make_tag(key, maker.make(identifier.scheme, identifier.value)), link)
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
        return [((tag, link.handle), link) for tag, link in self.slots(self.rules.links(record))]

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


def _day(ordinal: int | None) -> date | None:
    return None if ordinal is None else date.fromordinal(ordinal)
