"""Building a table from the map: at start all at once, later a few leaves at a time.

Invariants:

* Changes go on meanwhile. One to a leaf that was already read is noted and made in the new table
  before it is complete; any other is met on the way. One thread reads, changes and builds.
* Every table has an index key of its own, which is never stored.
* A leaf that opens neither in the store nor in the mirror (walking.py) leaves the table incomplete:
  a miss in it is no answer.
* What was gathered is wiped when the table is made; copies that arrays leave as they grow are not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto.aead import wipe
from crypto.tag import TAG_SIZE, IndexKey, Tag, TagMaker
from keys.entry import EntryId, Kind
from keys.vault import Vault
from lookup.custodian.records.record import Body, Record, decode_body
from lookup.custodian.records.walking import Walk
from lookup.custodian.table.publishing import Named, Publication, Rules
from lookup.index.errors import TableFull, TooManyLinks
from lookup.index.layout import BODY, MAX_LINKS_PER_TAG, checksum, pack_body, unpack_slot
from lookup.index.writer import Table

Bytes = NDArray[np.uint8]
Places = NDArray[np.intp]

# Room for a quarter more links: 64 bytes for each link, see Table.create.
_ROOM: Final = 5 / 4


class Build:
    """A table in the making. Tags and bodies are gathered as long arrays, 30 bytes a link."""

    def __init__(
        self, rules: Rules, vault: Vault, instead: Mapping[EntryId, Record | None]
    ) -> None:
        """`instead`: what is answered instead of some records; None: nothing. It may change."""
        self.rules = rules
        self._vault = vault
        self._walk = Walk(vault.leaves, lambda leaves: vault.scan_bodies(Kind.RECORD, leaves))
        self._instead = instead
        self._key = IndexKey.generate()
        self._make_tag = TagMaker(self._key).make
        self._makers = [maker.make for maker in rules.makers]
        self._tags = bytearray()
        self._bodies = bytearray()
        self._missed: list[tuple[Record | None, Record | None]] = []
        canary, link = rules.canary_link()
        self._take(canary, pack_body(link))

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return self._walk.at / self._walk.leaves

    @property
    def damaged(self) -> list[int]:
        """The pages that opened nowhere."""
        return self._walk.damaged

    def step(self, most: int) -> list[tuple[EntryId, Body]]:
        """Read some more leaves, fewer if they are full; return the records in them."""
        records = [(record_id, decode_body(body)) for record_id, body in self._walk.step(most)]
        links = self.rules.links
        instead = self._instead
        for record_id, body in records:
            told = body
            if record_id in instead:
                another = instead[record_id]
                if another is None:
                    continue
                told = another.body
            for named, link in links(told):
                self._take(named, pack_body(link))
        return records

    def note(self, record_id: EntryId, old: Record | None, new: Record | None) -> None:
        """Hear of a change that was committed while the build goes on."""
        if self._vault.leaf_of(record_id) < self._walk.at:
            self._missed.append((old, new))

    def finish(self, folder: Path, generation: int) -> Publication:
        """Return the table, complete unless pages are damaged."""
        made = self._place(folder, generation)
        wipe(self._tags)
        wipe(self._bodies)
        for old, new in self._missed:
            try:
                made.replace(old, new)
            except TableFull:
                made, full = made.grown(generation), made
                full.table.close()
                made.replace(old, new)
        if not self.damaged:
            made.table.complete()
        return made

    def _take(self, named: Named, body: bytes) -> None:
        for make in self._makers:
            self._tags += self._make_tag(make(named.scheme, named.value))
            self._bodies += body

    def _place(self, folder: Path, generation: int) -> Publication:
        tags = np.frombuffer(self._tags, dtype=np.uint8).reshape(-1, TAG_SIZE)
        bodies = np.frombuffer(self._bodies, dtype=np.uint8).reshape(-1, BODY.size)
        room = int(len(tags) * _ROOM)
        while True:
            made = Publication(self.rules, self._key, Table.create(folder, generation, room))
            try:
                _fill(made, tags, bodies)
            except TableFull:
                made.table.close()
                room = room * 3 // 2
            else:
                return made


def _fill(made: Publication, tags: Bytes, bodies: Bytes) -> None:
    try:
        made.table.fill([(tags, bodies)])
    except TooManyLinks:
        fits, crowded = _uncrowd(tags)
        made.table.fill([(tags[fits], bodies[fits])])
        for at in crowded:
            checked = tags[at].tobytes() + bodies[at].tobytes()
            slot = checked + checksum(checked).to_bytes(2, "little")
            made.wait(Tag(checked[:TAG_SIZE]), unpack_slot(slot))


def _uncrowd(tags: Bytes) -> tuple[Places, Places]:
    """Return which tags a table holds, and which of a tag's many it has no room for."""
    order = np.lexsort(tags.T[::-1])
    ordered = tags[order]
    first = np.ones(len(tags), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(first)
    rank = np.arange(len(tags)) - np.repeat(starts, np.diff(starts, append=len(tags)))
    fits = rank < MAX_LINKS_PER_TAG
    return order[fits], order[~fits]
