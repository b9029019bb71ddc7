"""The log beside the map: what a commit appends to it, and which of several logs counts.

Invariants:

* A leaf is appended in the same transaction as the change of the map that it is about, in the
  store and in the mirror; for an epoch change it waits in the intent. So each is there exactly
  once, whatever was cut off.
* An anchor names size and root, on another medium. A log *is whole* if it has that root at that
  size; where anchor and store stand at the same commit, it has nothing behind it either.
* Leaves are never lost while one log has them: the longest whole log counts, and the others are
  its beginning. Two whole ones of which neither is the other's beginning are a fork.

What a leaf means is not known here. Hashing is RFC 6962, section 2.1 (crypto/merkle.py).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from crypto.merkle import EMPTY_ROOT, Frontier, Hash, leaf_hash
from keys.entry import Batch, Entry
from keys.errors import LogDamaged, LogForked, LogLost

# Of one entry bundle's sixteen-bit length nothing is left out (C2SP, tlog-tiles).
MAX_LEAF: Final = (1 << 16) - 1


class LogMark(NamedTuple):
    """A log at one size."""

    size: int
    root: Hash


NOTHING_LOGGED: Final = LogMark(0, EMPTY_ROOT)


class LogSource(Protocol):
    """Leaves in their order. Whatever is asked, LogDamaged says that it cannot be read."""

    @property
    def size(self) -> int:
        """The number of leaves."""
        ...

    def root(self, size: int) -> Hash | None:
        """Return the root over the first leaves, or None where there are fewer."""
        ...

    def leaves(self, start: int) -> Iterator[bytes]:
        """Yield the leaves from this position on."""
        ...


class Log(LogSource, Protocol):
    """The log of one storage."""

    def frontier(self) -> Frontier:
        """Return what the log needs to grow."""
        ...


@dataclass(frozen=True, slots=True)
class LogLoss:
    """A log that no source has whole: what was seen of it (None: nobody can say), what is left."""

    seen: LogMark | None
    left: LogSource | None


class LogRescue(Protocol):
    """What a restore knows of a log besides the anchors."""

    def logs(self, key: Entry | None) -> Sequence[LogSource]:
        """Return the logs at hand that may be the one which this entry is the key of."""
        ...

    def marks(self, key: Entry) -> Sequence[LogMark]:
        """Return what others have seen of the log that this entry is the key of."""
        ...

    def anew(self, key: Entry, loss: LogLoss) -> tuple[Batch, tuple[bytes, ...]]:
        """Return the change, and the first leaves, with which another log begins."""
        ...


def grown(frontier: Frontier, leaves: Sequence[bytes]) -> Frontier:
    """Return the frontier behind more leaves."""
    for leaf in leaves:
        frontier = frontier.appended(leaf_hash(leaf))
    return frontier


def mark_of(log: Log) -> LogMark:
    """Return the whole of a log."""
    frontier = log.frontier()
    return LogMark(frontier.size, frontier.root())


def begins(shorter: LogSource, longer: LogSource) -> bool:
    """Say whether a log is another's beginning; one that cannot be read is nothing's."""
    try:
        return longer.root(shorter.size) == shorter.root(shorter.size)
    except LogDamaged:
        return False


def is_whole(log: LogSource, seen: LogMark, *, exact: bool = False) -> bool:
    """Say whether a log has what was seen; `exact`: and no more."""
    try:
        if exact and log.size != seen.size:
            return False
        return log.root(seen.size) == seen.root
    except LogDamaged:
        return False


def is_readable(log: LogSource) -> bool:
    """Say whether a log can be read at all."""
    try:
        return log.root(log.size) is not None
    except LogDamaged:
        return False


def equal(one: LogSource, other: LogSource) -> bool:
    """Say whether two logs are the same."""
    return begins(one, other) and begins(other, one)


def longest_whole(
    logs: Sequence[LogSource], seen: Sequence[LogMark], *, exact: bool = False
) -> LogSource | None:
    """Return the longest log that has all that was seen, or None; of equal ones the last.

    `exact` is said of the first mark. Raises LogForked.
    """
    whole = [
        log
        for log in logs
        if is_whole(log, seen[0], exact=exact) and all(is_whole(log, mark) for mark in seen[1:])
    ]
    whole.sort(key=lambda log: log.size)
    for shorter, longer in pairwise(whole):
        if not begins(shorter, longer):
            raise LogForked("two copies of the log say different things of the same entries")
    return whole[-1] if whole else None


def log_that_counts(
    store: LogSource, mirror: LogSource, seen: LogMark, *, exact: bool, level: bool
) -> LogSource:
    """Return the log that both storages are to have. Raises LogLost or LogForked.

    `exact` says that the anchor stands where the store does; `level` that the mirror does, so that
    no commit in the store is missing there.
    """
    found = longest_whole([mirror, store], [seen], exact=exact)
    if found is None:
        raise LogLost(
            f"the anchor has seen {seen.size} entries of the log, and neither the store's nor the"
            " mirror's are these"
        )
    if found is mirror and not (level or begins(store, mirror)):
        raise LogForked("the store's log was changed, and the mirror is older than the store")
    return found


def nothing_moves() -> float:
    """Tell the time of a clock that stands still."""
    return 0.0


Clock = Callable[[], float]
