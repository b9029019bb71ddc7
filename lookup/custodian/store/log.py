"""The log in a storage: leaves, and the tiles from which every proof is read.

    log_entry  position → leaf
    log_tile   (level, number) → 256 hashes: the complete subtrees of height 8 * level, number
               256 * number and on; level 0 has leaf hashes

Invariants:

* Leaves are appended inside somebody else's transaction: a commit's. `appending` prepares, and
  memory stands on it only when the caller's transaction has ended well.
* Only complete tiles are stored. What the last tile of each level has so far is computed when it
  is first asked for, from at most 255 rows a level, and kept in memory.
* Tiles follow from leaves. Whoever edits a leaf and not its tile is found out by `lacuna log
  verify`, which hashes all leaves; whoever edits both changes the root, which the anchors know.

Tiles are as in C2SP tlog-tiles (c2sp.org/tlog-tiles), of height 8. One thread at a time.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlcipher3

from crypto.merkle import HASH_SIZE, Frontier, Hash, leaf_hash, subtree_root, tree_root
from keys.errors import LogDamaged, LogForked, VersionConflict
from keys.log import LogSource
from lookup.custodian.store.database import Database
from lookup.transparency.tiles import HEIGHT, WIDTH, Growth, decode_tile

# 8 KiB each; a proof in a log of a million entries reads three of them, and what it computes
# near the root and at the right edge is the same for most others.
_CACHED: Final = 64
_CACHED_HASHES: Final = 4096
_CHUNK: Final = 512

Tile = tuple[Hash, ...]


@dataclass(frozen=True, slots=True)
class _End:
    """Where the log ends: its frontier, and what the last tile of each level has so far."""

    frontier: Frontier
    partial: tuple[Tile, ...]


_NOTHING: Final = _End(Frontier(), ())


@dataclass(frozen=True, slots=True)
class Appending:
    """Leaves that a transaction is about to make durable."""

    first: int
    leaves: tuple[bytes, ...]
    tiles: tuple[tuple[int, int, bytes], ...]
    end: _End


class Log:
    """The log of one storage."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: _End | None = None
        self._tiles: OrderedDict[tuple[int, int], Tile] = OrderedDict()
        self._hashes: OrderedDict[tuple[int, int], Hash] = OrderedDict()

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._end.frontier.size

    def count(self) -> int:
        """Return how far positions go, whatever is missing below."""
        with self._database.reading() as connection:
            (last,) = connection.execute("SELECT max(position) FROM log_entry").fetchone()
        return 0 if last is None else last + 1

    def frontier(self) -> Frontier:
        """Return what the log needs to grow."""
        return self._end.frontier

    def root(self, size: int | None = None) -> Hash | None:
        """Return the root over the first leaves, or over all; None where there are fewer."""
        if size is None or size == self.size:
            return self._end.frontier.root()
        return tree_root(size, self.read_hash) if size < self.size else None

    def leaf(self, position: int) -> bytes | None:
        """Return one leaf, or None."""
        return next(iter(self.span(position, position + 1)), None)

    def span(self, start: int, stop: int) -> list[bytes]:
        """Return the leaves in [start, stop) that are there."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT leaf FROM log_entry WHERE position >= ? AND position < ? ORDER BY position",
                (start, stop),
            ).fetchall()
        return [leaf for (leaf,) in rows]

    def leaves(self, start: int = 0) -> Iterator[bytes]:
        """Yield the leaves from this position on. Raises LogDamaged where one is missing."""
        for at in range(start, self.size, _CHUNK):
            stop = min(at + _CHUNK, self.size)
            found = self.span(at, stop)
            if len(found) != stop - at:
                raise LogDamaged(f"entries of the log are missing in {self._database.path}")
            yield from found

    def find(self, leaf: bytes) -> int | None:
        """Return where a leaf is first, or None."""
        with self._database.reading() as connection:
            (position,) = connection.execute(
                "SELECT min(position) FROM log_entry WHERE leaf = ?", (leaf,)
            ).fetchone()
        return None if position is None else int(position)

    def tile(self, level: int, number: int, width: int = WIDTH) -> bytes | None:
        """Return the first hashes of a tile, or None where there are not so many."""
        count = self.size >> HEIGHT * level  # hashes of this level
        if not 0 < width <= WIDTH or number * WIDTH + width > count:
            return None
        return b"".join(self._tile(level, number)[:width])

    def read_hash(self, level: int, index: int) -> Hash:
        """Return the root of a complete subtree: a `crypto.merkle.ReadHash`."""
        found = self._hashes.get((level, index))
        if found is None:
            at, within = divmod(level, HEIGHT)
            first = index << within
            hashes = self._tile(at, first // WIDTH)[first % WIDTH : first % WIDTH + (1 << within)]
            found = self._hashes[level, index] = subtree_root(hashes)
            if len(self._hashes) > _CACHED_HASHES:
                self._hashes.popitem(last=False)
        return found

    def appending(self, leaves: Sequence[bytes], *, anew: bool = False) -> Appending:
        """Return what a transaction has to write to append these leaves; `anew`: to nothing."""
        return self._after(_NOTHING if anew else self._end, leaves)

    def write(
        self, connection: sqlcipher3.Connection, appending: Appending, *, anew: bool = False
    ) -> None:
        """Write what `appending` returned. Raises VersionConflict if the log ends elsewhere."""
        if anew:
            connection.execute("DELETE FROM log_entry")
            connection.execute("DELETE FROM log_tile")
        (last,) = connection.execute("SELECT max(position) FROM log_entry").fetchone()
        if (-1 if last is None else last) + 1 != appending.first:
            raise VersionConflict("the log does not end where this custodian left it")
        connection.executemany(
            "INSERT INTO log_entry (position, leaf) VALUES (?, ?)",
            enumerate(appending.leaves, start=appending.first),
        )
        connection.executemany(
            "INSERT OR REPLACE INTO log_tile (level, number, hashes) VALUES (?, ?, ?)",
            appending.tiles,
        )

    def stand_on(self, appending: Appending, *, anew: bool = False) -> None:
        """Take note that the transaction has ended well."""
        if anew:
            self._forget()
        self._known = appending.end

    def take(self, source: LogSource, *, anew: bool = False) -> None:
        """Equal another log, in one transaction; see `keys.pages.Pages.take_log`."""
        kept, want = None if anew else self._known_sound(source), source.root(source.size)
        end = _NOTHING if kept is None else kept
        with self._database.transaction() as connection:
            chunk: list[bytes] = []
            if kept is None:
                self.write(connection, Appending(0, (), (), _NOTHING), anew=True)
            for leaf in source.leaves(end.frontier.size):
                chunk.append(leaf)
                if len(chunk) == _CHUNK:
                    end = self._write_on(connection, end, chunk)
                    chunk = []
            end = self._write_on(connection, end, chunk)
            if end.frontier.root() != want:
                raise LogForked("the entries of the log that was to be copied are not its root's")
        self._forget()
        self._known = end

    def _forget(self) -> None:
        self._tiles.clear()
        self._hashes.clear()

    def _known_sound(self, source: LogSource) -> _End | None:
        """Return this log's end if it is the source's beginning; None if it must go."""
        try:
            end = self._end
        except LogDamaged:
            return None
        begins = source.root(end.frontier.size) == end.frontier.root()
        return end if begins else None

    def _write_on(
        self, connection: sqlcipher3.Connection, end: _End, leaves: Sequence[bytes]
    ) -> _End:
        appending = self._after(end, leaves)
        self.write(connection, appending)
        return appending.end

    def _after(self, end: _End, leaves: Sequence[bytes]) -> Appending:
        log = Growth(end.frontier, [list(tile) for tile in end.partial])
        tiles = tuple(
            (tile.level, tile.index, b"".join(hashes))
            for leaf in leaves
            for tile, hashes in log.append(leaf_hash(leaf))
        )
        then = _End(log.frontier, tuple(tuple(tile) for tile in log.partial))
        return Appending(end.frontier.size, tuple(leaves), tiles, then)

    @property
    def _end(self) -> _End:
        if self._known is None:
            self._known = self._read_end()
        return self._known

    def _read_end(self) -> _End:
        size = self.count()
        partial: list[Tile] = []
        level = 0
        while count := size >> HEIGHT * level:
            first = count - count % WIDTH
            if level == 0:
                hashes = [leaf_hash(leaf) for leaf in self.span(first, count)]
            else:
                hashes = [subtree_root(self._stored(level - 1, n)) for n in range(first, count)]
            if len(hashes) != count - first:
                raise LogDamaged(f"entries of the log are missing in {self._database.path}")
            partial.append(tuple(hashes))
            level += 1

        def read(level: int, index: int) -> Hash:
            at, within = divmod(level, HEIGHT)
            number, first = divmod(index << within, WIDTH)
            complete = (number + 1) * WIDTH <= size >> HEIGHT * at
            tile = self._stored(at, number) if complete else partial[at]
            return subtree_root(tile[first : first + (1 << within)])

        return _End(Frontier.of(size, read), tuple(partial))

    def _tile(self, level: int, number: int) -> Tile:
        partial = self._end.partial
        if number == self.size >> HEIGHT * (level + 1):
            return partial[level]
        if (level, number) in self._tiles:
            self._tiles.move_to_end((level, number))
            return self._tiles[level, number]
        tile = self._tiles[level, number] = self._stored(level, number)
        if len(self._tiles) > _CACHED:
            self._tiles.popitem(last=False)
        return tile

    def _stored(self, level: int, number: int) -> Tile:
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT hashes FROM log_tile WHERE level = ? AND number = ?", (level, number)
            ).fetchone()
        if found is None or len(found[0]) != WIDTH * HASH_SIZE:
            raise LogDamaged(f"a tile of the log is missing in {self._database.path}")
        return tuple(decode_tile(found[0], WIDTH))
