"""Verifying a whole log: every entry hashed, every tile compared, the root against the checkpoint.

Invariants:

* Nothing is believed but the log's key: a tile or an entry is what its hash under the signed root
  says, or the place of the first that is not is named.
* What fetches is the caller's: a folder, or a site.

It cannot tell a log from another that the same key signed: for that compare checkpoints of
different times and places (`crypto.merkle.verify_consistency`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from crypto.checkpoint import Checkpoint, InvalidCheckpoint, open_checkpoint
from crypto.merkle import HASH_SIZE, Hash, leaf_hash
from crypto.note import InvalidNote, VerifierKey
from lookup.transparency.tiles import (
    HEIGHT,
    WIDTH,
    Bundle,
    Growth,
    InvalidTile,
    Tile,
    bundles_of,
    read_bundle,
)

Fetch = Callable[[str], bytes]


class InvalidLog(Exception):
    """The log is not what its checkpoint says; the message names the place."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A log that is whole: its checkpoint, and the note that says so."""

    checkpoint: Checkpoint
    note: bytes


def silent(done: int, total: int) -> None:
    """Nobody watches."""


def verify_log(
    fetch: Fetch, key: VerifierKey, progress: Callable[[int, int], None] = silent
) -> Verified:
    """Return the checkpoint that everything in the log agrees with.

    Raises InvalidLog, and what `fetch` raises.
    """
    note = fetch("checkpoint")
    try:
        checkpoint = open_checkpoint(note, key.name, [key])
    except (InvalidNote, InvalidCheckpoint):
        raise InvalidLog("the checkpoint is not signed with the log's key") from None
    log = Growth()
    for bundle in bundles_of(checkpoint.size):
        for entry in _entries(fetch, bundle):
            for tile, hashes in log.append(leaf_hash(entry)):
                _compare(fetch, tile, hashes)
        progress(log.frontier.size, checkpoint.size)
    for level, hashes in enumerate(log.partial):
        if hashes:
            index = log.frontier.size >> HEIGHT * (level + 1)
            _compare(fetch, Tile(level, index, len(hashes)), hashes)
    if log.frontier.root() != checkpoint.root:
        raise InvalidLog("the entries do not give the root that the checkpoint names")
    return Verified(checkpoint, note)


def _entries(fetch: Fetch, bundle: Bundle) -> list[bytes]:
    try:
        return read_bundle(fetch(bundle.path()), bundle.width)
    except InvalidTile:
        raise InvalidLog(f"{bundle.path()} does not hold its entries") from None


def _compare(fetch: Fetch, tile: Tile, hashes: list[Hash]) -> None:
    """Compare a tile with what its entries give; where it is complete by now, its beginning."""
    raw = fetch(tile.path())
    if len(raw) not in {HASH_SIZE * tile.width, HASH_SIZE * WIDTH}:
        raise InvalidLog(f"{tile.path()} does not hold its hashes")
    if raw[: HASH_SIZE * tile.width] != b"".join(hashes):
        raise InvalidLog(f"{tile.path()} does not follow from the entries")
