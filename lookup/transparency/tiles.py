"""Tiles: a log as files that never change, from which anybody computes every proof.

    hash tile    tile/<level>/<index>[.p/<width>]    up to 256 hashes of 32 bytes
    entry bundle tile/entries/<index>[.p/<width>]    up to 256 times length u16 || entry

    index 1234067 = x001/x234/067

Invariants:

* Hash i of tile n on level l is the root over leaves [(256 n + i) 256**l, (256 n + i + 1) 256**l):
  what is in a tile is complete and never changes. Bundle n has the entries of tile n on level 0.
* A tile of fewer than 256 hashes is partial and says so in its path; there are no empty ones.
* A path has one spelling; what is spelled otherwise is refused.
* Tiles are not signed. A proof computed from them is worth what its verification against a
  checkpoint says, and nothing before.

C2SP tlog-tiles (c2sp.org/tlog-tiles); numbers are big-endian. Nothing here fetches or stores.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from crypto.merkle import HASH_SIZE, Frontier, Hash, ReadHash, subtree_root

WIDTH: Final = 256
HEIGHT: Final = 8
MAX_LEVEL: Final = 63
MAX_ENTRY_SIZE: Final = 65_535

_PATH: Final = re.compile(
    r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?"
)
_LENGTH: Final = Struct(">H")


class InvalidTile(Exception):
    """No path of a tile, or not what a tile of this path has in it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Hashes that stand side by side on one level."""

    level: int
    index: int
    width: int = WIDTH

    def path(self) -> str:
        """Return where it is, below the log's prefix."""
        return f"tile/{self.level}/{_format_place(self.index, self.width)}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Entries that stand side by side."""

    index: int
    width: int = WIDTH

    def path(self) -> str:
        """Return where it is, below the log's prefix."""
        return f"tile/entries/{_format_place(self.index, self.width)}"


def parse_path(path: str) -> Tile | Bundle:
    """Return what is at a path. Raises InvalidTile for every other spelling."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise InvalidTile
    level, groups, partial = found.groups()
    index = int(groups.replace("/", "").replace("x", ""))
    width = WIDTH if partial is None else int(partial)
    tile = Bundle(index, width) if level == "entries" else Tile(int(level), index, width)
    too_high = isinstance(tile, Tile) and tile.level > MAX_LEVEL
    if too_high or not 0 < width <= WIDTH or tile.path() != path:
        raise InvalidTile
    return tile


def tiles_of(size: int, since: int = 0) -> Iterator[Tile]:
    """Yield the hash tiles of a tree of this size that it has not had since it was smaller."""
    level = 0
    while size:
        for index, width in _places(size, since):
            yield Tile(level, index, width)
        level, size, since = level + 1, size // WIDTH, since // WIDTH


def bundles_of(size: int, since: int = 0) -> Iterator[Bundle]:
    """Yield the entry bundles of a log of this size that it has not had since it was smaller."""
    for index, width in _places(size, since):
        yield Bundle(index, width)


@dataclass(slots=True)
class Growth:
    """A log that grows: its frontier, and what the last tile of each level has so far."""

    frontier: Frontier = field(default_factory=Frontier)
    partial: list[list[Hash]] = field(default_factory=list)

    def append(self, leaf: Hash) -> list[tuple[Tile, list[Hash]]]:
        """Take the hash of one more entry; return the tiles that it completes."""
        complete = []
        made = self.frontier.completed(leaf)
        for level, made_hash in enumerate(made[::HEIGHT]):
            if level == len(self.partial):
                self.partial.append([])
            hashes = self.partial[level]
            hashes.append(made_hash)
            if len(hashes) == WIDTH:
                complete.append((Tile(level, self.frontier.size >> HEIGHT * (level + 1)), hashes))
                self.partial[level] = []
        self.frontier = self.frontier.joined(made)
        return complete


def encode_tile(tile: Tile, read: ReadHash) -> bytes:
    """Return what is in a tile."""
    start = tile.index * WIDTH
    return b"".join(read(HEIGHT * tile.level, start + at) for at in range(tile.width))


def decode_tile(raw: bytes, width: int) -> list[Hash]:
    """Return the hashes of a tile. Raises InvalidTile if there are not so many."""
    if len(raw) != HASH_SIZE * width:
        raise InvalidTile
    return [Hash(raw[at : at + HASH_SIZE]) for at in range(0, len(raw), HASH_SIZE)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bundle of up to 256 entries. Raises ValueError for more, or for a long one."""
    if not 0 < len(entries) <= WIDTH or max(map(len, entries)) > MAX_ENTRY_SIZE:
        raise ValueError("a bundle has up to 256 entries of up to 65535 bytes")
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)


def decode_bundle(raw: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle. Raises InvalidTile if there are not so many, and no more."""
    entries: list[bytes] = []
    at = 0
    while at < len(raw):
        start = at + _LENGTH.size
        at = start + int.from_bytes(raw[at:start], "big")
        if start > len(raw) or at > len(raw):
            raise InvalidTile
        entries.append(raw[start:at])
    if len(entries) != width:
        raise InvalidTile
    return entries


def read_bundle(raw: bytes, width: int) -> list[bytes]:
    """Return the first entries of a bundle, or of the complete one that took a partial one's place.

    Raises InvalidTile.
    """
    try:
        return decode_bundle(raw, width)
    except InvalidTile:
        return decode_bundle(raw, WIDTH)[:width]


class TileReader:
    """Reads the hashes of a tree of one size from its tiles: a `ReadHash` for proofs.

    `fetch` returns what is at a path, or for a partial tile the full one that took its place. Each
    is fetched once and kept as long as the reader.
    """

    def __init__(self, fetch: Callable[[str], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._tiles: dict[tuple[int, int], list[Hash]] = {}

    def __call__(self, level: int, index: int) -> Hash:
        """Return the hash of a complete subtree.

        Raises InvalidTile if the tile has another length than its path says, ValueError if the
        tree has no such subtree.
        """
        if index < 0 or index + 1 << level > self._size:
            raise ValueError("no such subtree in a tree of this size")
        tile_level, inside = divmod(level, HEIGHT)
        tile_index, start = divmod(index << inside, WIDTH)
        hashes = self._tile(tile_level, tile_index)[start : start + (1 << inside)]
        return subtree_root(hashes)

    def _tile(self, level: int, index: int) -> list[Hash]:
        place = level, index
        if place not in self._tiles:
            width = min(WIDTH, (self._size >> HEIGHT * level) - WIDTH * index)
            raw = self._fetch(Tile(level, index, width).path())
            complete = len(raw) == HASH_SIZE * WIDTH
            self._tiles[place] = decode_tile(raw, WIDTH if complete else width)[:width]
        return self._tiles[place]


def _places(size: int, since: int) -> Iterator[tuple[int, int]]:
    if size == since:
        return
    full, rest = divmod(size, WIDTH)
    for index in range(since // WIDTH, full):
        yield index, WIDTH
    if rest:
        yield full, rest


def _format_place(index: int, width: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    partial = "" if width == WIDTH else f".p/{width}"
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]]) + partial
