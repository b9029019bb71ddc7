"""What a worker counts, and where: the words of its pass page behind `entered` and `left`.

    word 0   layout: a fingerprint of this table; 0 where nobody counts
    then     the families below, in their order, one word for each value of a label;
             a histogram has for each value 17 buckets, the rest, and the sum of microseconds

Invariants:

* Of a request only its outcome, its time and the number of its tokens are counted, for the whole
  site: no word is a client's, and none tells one request from another.
* A word has one writer, the thread of the worker's event loop, and is stored whole. Counters only
  grow; they begin at zero with each process, and whoever reads adds up (`add_counters`).
* A page of another layout (a worker that is older than its custodian) is not read at all.
* The values of a label are written here or in lookup/errors.py: what a worker writes is numbers,
  which nobody trusts for more than being numbers.

Counting an answer takes 0.25 µs (median of nine runs of 100,000): three words, read and written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

from lookup.errors import PROBLEMS, ServiceError, problem_of
from lookup.handoff import COUNTER_WORDS, PassPage

# Buckets end at 16 µs, 32 µs, … 1.05 s; times are whole microseconds, rounded down, so that a time
# in a bucket is below its end.
FIRST_BUCKET: Final = 16
BUCKETS: Final = 17
BUCKET_ENDS: Final = tuple(FIRST_BUCKET << number for number in range(BUCKETS))
_SHIFT: Final = FIRST_BUCKET.bit_length() - 1
_HISTOGRAM: Final = BUCKETS + 2  # and what is longer than the last bucket, and the sum


@dataclass(frozen=True, slots=True)
class Family:
    """Figures of one name; in metrics it is `lacuna_<name>`, a histogram's in seconds."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)

    @property
    def width(self) -> int:
        """The words of one value."""
        return _HISTOGRAM if self.kind == "histogram" else 1


# The last part of a problem's type, `unknown-kid`, and whose fault it is: of a status below 500 the
# caller's, who can do something about it.
PROBLEM_NAMES: Final = {
    problem.type.rpartition(":")[2]: "caller" if problem.status < 500 else "site"
    for problem in PROBLEMS.values()
}

TOKENS: Final = Family(
    "counter", "tokens", "Tokens that were answered.", "outcome", ("no-record", "known")
)
COULD_NOT_CHECK: Final = Family(
    "counter",
    "could_not_check",
    "Requests that were answered with a problem, all of them could not check.",
    "problem",
    tuple(PROBLEM_NAMES),
)
ANSWERS: Final = Family(
    "histogram",
    "answer_seconds",
    "From a whole request to its answer on the way out; a batch is one request.",
    "route",
    ("lookup", "lookups"),
)
AUDIT_ENTRIES: Final = Family("counter", "audit_entries", "Audit entries that became durable.")
AUDIT_COMMITS: Final = Family(
    "histogram", "audit_commit_seconds", "From a group's oldest entry to all of it durable."
)
CONNECTIONS: Final = Family("gauge", "connections", "Open connections.")
AUDIT_PENDING: Final = Family("gauge", "audit_pending", "Audit entries that wait to be durable.")
AUDIT_PENDING_MOST: Final = Family(
    "gauge", "audit_pending_most", "The most that ever waited, since the worker started."
)
GAUGES: Final = (CONNECTIONS, AUDIT_PENDING, AUDIT_PENDING_MOST)
FAMILIES: Final = (
    TOKENS,
    COULD_NOT_CHECK,
    ANSWERS,
    AUDIT_ENTRIES,
    AUDIT_COMMITS,
    *GAUGES,
)


def _lay_out() -> dict[Family, range]:
    """The words of each family."""
    places, first = {}, 1
    for family in FAMILIES:
        words = range(first, first + family.width * len(family.values))
        places[family], first = words, words.stop
    if first > COUNTER_WORDS:
        raise AssertionError("a pass page has no room for so many counters")
    return places


WORDS: Final = _lay_out()
LAYOUT: Final = int.from_bytes(blake2b(repr(WORDS).encode(), digest_size=8).digest())

# Outcomes, as `Meter.answered` takes them: a bool will do.
NO_RECORD: Final = 0
KNOWN: Final = 1

_TOKENS: Final = WORDS[TOKENS].start
_LOOKUP: Final = WORDS[ANSWERS].start
_LOOKUPS: Final = _LOOKUP + _HISTOGRAM
_SUM: Final = BUCKETS + 1
_PROBLEM: Final = {
    problem.type: word
    for problem, word in zip(PROBLEMS.values(), WORDS[COULD_NOT_CHECK], strict=True)
}
_ENTRIES: Final = WORDS[AUDIT_ENTRIES].start
_COMMITS: Final = WORDS[AUDIT_COMMITS].start
_CONNECTIONS: Final = WORDS[CONNECTIONS].start
_PENDING: Final = WORDS[AUDIT_PENDING].start
_PENDING_MOST: Final = WORDS[AUDIT_PENDING_MOST].start


class Meter:
    """The worker's side. For one thread, that of the event loop."""

    __slots__ = ("_words",)

    def __init__(self, page: PassPage) -> None:
        self._words = page.counters
        self._words[0] = LAYOUT

    def answered(self, outcome: int, microseconds: int) -> None:
        """One lookup was answered, KNOWN or NO_RECORD."""
        words = self._words
        words[_TOKENS + outcome] += 1
        bucket = (microseconds >> _SHIFT).bit_length()
        # The call to min() would cost a fifth of all this.
        words[_LOOKUP + (bucket if bucket < BUCKETS else BUCKETS)] += 1  # noqa: FURB136  # as above
        words[_LOOKUP + _SUM] += microseconds

    def answered_batch(self, known: int, tokens: int, microseconds: int) -> None:
        """One batch was answered; so many of its tokens are known."""
        words = self._words
        words[_TOKENS + NO_RECORD] += tokens - known
        words[_TOKENS + KNOWN] += known
        self._time(_LOOKUPS, microseconds)

    def could_not_check(self, error: ServiceError) -> None:
        """A request was answered with a problem."""
        self._words[_PROBLEM[problem_of(error).type]] += 1

    def committed(self, entries: int, microseconds: int, pending: int) -> None:
        """A group of audit entries is durable; the oldest waited so long, `pending` still wait."""
        words = self._words
        words[_ENTRIES] += entries
        words[_PENDING] = pending
        words[_PENDING_MOST] = max(words[_PENDING_MOST], entries + pending)
        self._time(_COMMITS, microseconds)

    def connected(self, connections: int) -> None:
        """So many connections are open."""
        self._words[_CONNECTIONS] = connections

    def _time(self, first: int, microseconds: int) -> None:
        words = self._words
        words[first + min((microseconds >> _SHIFT).bit_length(), BUCKETS)] += 1
        words[first + _SUM] += microseconds


NOTHING: Final = (0,) * WORDS[FAMILIES[-1]].stop
# What JSON and Prometheus hold exactly: a hacked worker may have written anything.
_MOST: Final = (1 << 53) - 1


def counters_of(page: Sequence[int]) -> Sequence[int]:
    """What of a page is in use; nothing where its layout is not this one."""
    return page[: len(NOTHING)] if page[0] == LAYOUT else NOTHING


def add_counters(pages: Iterable[Sequence[int]]) -> list[int]:
    """The pages of processes added up, word by word. Of gauges the sum means nothing."""
    return [min(sum(words), _MOST) for words in zip(NOTHING, *pages, strict=True)]


@dataclass(frozen=True, slots=True)
class Times:
    """A histogram, as it was read: how many were in each bucket, and microseconds in all."""

    buckets: tuple[int, ...]
    microseconds: int

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


def read_numbers(page: Sequence[int], family: Family) -> dict[str, int]:
    """A counter's or gauge's figures, by the values of its label."""
    return {value: page[word] for value, word in zip(family.values, WORDS[family], strict=True)}


def read_times(page: Sequence[int], family: Family) -> dict[str, Times]:
    """A histogram's figures, by the values of its label."""
    starts = WORDS[family][::_HISTOGRAM]
    return {
        value: Times(tuple(page[start : start + _SUM]), page[start + _SUM])
        for value, start in zip(family.values, starts, strict=True)
    }


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Microseconds below which this share was, read off a line through its bucket; None: nothing.

    Beyond the last bucket nothing is known but that, and its end is returned.
    """
    wanted = share * sum(buckets)
    below = 0
    for number, count in enumerate(buckets[:BUCKETS]):
        if count and below + count >= wanted:
            start = BUCKET_ENDS[number - 1] if number else 0
            return start + (BUCKET_ENDS[number] - start) * (wanted - below) / count
        below += count
    return float(BUCKET_ENDS[-1]) if sum(buckets) else None
