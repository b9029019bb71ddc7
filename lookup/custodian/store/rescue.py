"""What a restore knows of the log: every copy at hand, and what the log has signed.

    copies   the logs of all sources, and the published folder's
    signed   the checkpoints that witnesses cosigned, as sources keep them, and the published one

Invariants:

* A copy is what its leaves say, hashed one by one: its tiles are not believed. It ends where a
  leaf is missing.
* Where no copy has all that was seen, another log begins, under an origin that was never used. Its
  first entry tells everybody what is missing; what is left of the old one follows.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import sqlcipher3

from crypto.checkpoint import InvalidCheckpoint, parse_checkpoint
from crypto.commitment import public_leaf
from crypto.merkle import EMPTY_ROOT, Frontier, Hash, leaf_hash
from crypto.note import InvalidNote, parse_note
from keys.entry import Batch, Entry, Put
from keys.errors import LogDamaged
from keys.log import LogLoss, LogMark, LogSource
from lookup.custodian.store.database import Database, StoreError
from lookup.custodian.store.pages import Store
from lookup.custodian.transparency.log_key import LogKey, marks_in
from lookup.custodian.transparency.published import fetch_from, published_checkpoint
from lookup.transparency.statement import moment
from lookup.transparency.tiles import WIDTH, Bundle, InvalidTile, read_bundle

_UNREADABLE: Final = (StoreError, LogDamaged, sqlcipher3.DatabaseError)

Span = Callable[[int, int], Sequence[bytes]]


class Copy:
    """A log made of leaves that can be read, up to the first that cannot."""

    def __init__(self, span: Span, most: int) -> None:
        self._span = span
        self._roots = {0: EMPTY_ROOT}
        frontier = Frontier()
        for leaf in _walk(span, most):
            frontier = frontier.appended(leaf_hash(leaf))
        self.size = frontier.size
        self._roots[self.size] = frontier.root()

    def root(self, size: int) -> Hash | None:
        """Return the root over the first leaves, hashed anew, or None where there are fewer."""
        if size > self.size:
            return None
        if size not in self._roots:
            frontier = Frontier()
            for leaf in _walk(self._span, size):
                frontier = frontier.appended(leaf_hash(leaf))
            self._roots[size] = frontier.root()
        return self._roots[size]

    def leaves(self, start: int) -> Iterator[bytes]:
        """Yield the leaves from this position on."""
        yield from _walk(self._span, self.size, start)


class Rescue:
    """Everything that is at hand of a log: a `keys.log.LogRescue`."""

    def __init__(
        self, sources: Sequence[Database], published: Path | None, clock: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._notes: list[bytes] = []
        self._copies: list[LogSource] = []
        self._published = published
        self.cosigned: dict[str, bytes] = {}
        for database in sources:
            store = Store(database)
            with suppress(*_UNREADABLE):
                for witness, note in store.cosigned.all().items():
                    self._notes.append(note)
                    if _size_in(note) >= _size_in(self.cosigned.get(witness, b"")):
                        self.cosigned[witness] = note
            with suppress(*_UNREADABLE):
                self._copies.append(Copy(store.log.span, store.log.count()))
        if published is not None:
            self._notes += published_checkpoint(published)

    def logs(self, key: Entry | None) -> list[LogSource]:
        """Return the sources' logs, and the published one as far as the log's key has signed it."""
        if key is None or self._published is None:
            return self._copies
        return [*self._copies, *_published_log(self._published, LogKey.of(key))]

    def marks(self, key: Entry) -> list[LogMark]:
        """Return what the log of this key has signed."""
        return marks_in(self._notes, LogKey.of(key))

    def anew(self, key: Entry, loss: LogLoss) -> tuple[Batch, tuple[bytes, ...]]:
        """Return the next origin, and the leaves that the log of it begins with."""
        old = LogKey.of(key)
        left = () if loss.left is None else tuple(loss.left.leaves(0))
        gap = public_leaf(describe_gap(old.origin, loss, len(left), self._clock()))
        return (Put(old.succeeded()),), (gap, *left)


def describe_gap(origin: str, loss: LogLoss, left: int, now: int) -> str:
    """Return the first entry of a log that begins because another is lost."""
    seen = loss.seen
    missing = "unknown"
    if seen is not None and left < seen.size:
        missing = f"{left} to {seen.size - 1} of the log before"
    return (
        "lacuna/gap/v1\n"
        f"log before: {origin}\n"
        f"size: {'unknown' if seen is None else seen.size}\n"
        f"root: {'unknown' if seen is None else b64encode(seen.root).decode()}\n"
        f"missing: {missing}\n"
        f"kept: {left} entries of it follow this one\n"
        f"time: {moment(now)}\n"
    )


def _published_log(folder: Path, key: LogKey) -> list[LogSource]:
    """Return the log in a folder, or nothing if it is not the one that was signed."""
    fetch = fetch_from(folder)

    def span(start: int, stop: int) -> list[bytes]:
        raw = fetch(Bundle(start // WIDTH, stop - start).path())
        return read_bundle(raw, stop - start)

    found = []
    for size, root in marks_in(published_checkpoint(folder), key):
        copy = Copy(span, size)
        if copy.root(size) == root:
            found.append(copy)
    return list[LogSource](found)


def _size_in(note: bytes) -> int:
    """Return the size in a checkpoint that anybody may have written; -1 for what is none."""
    try:
        return parse_checkpoint(parse_note(note).text).size
    except (InvalidNote, InvalidCheckpoint):
        return -1


def _walk(span: Span, stop: int, start: int = 0) -> Iterator[bytes]:
    """Yield the leaves in [start, stop), tile by tile, up to one that cannot be read."""
    at = start - start % WIDTH
    while at < stop:
        end = min(at + WIDTH, stop)
        try:
            found = span(at, end)
        except (*_UNREADABLE, InvalidTile, OSError):
            return
        yield from found[max(0, start - at) :]
        if len(found) < end - at:
            return
        at = end
