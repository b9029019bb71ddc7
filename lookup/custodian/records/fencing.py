"""Fences: what a feed sends again of a record that was destroyed is not stored again (G11).

    Kind.FENCE_KEY   32 random bytes, for the vault's whole life
    Kind.FENCE       until when it stands, by two clocks, and a mark of 8 bytes for each reference
                     of what was destroyed:
                     BLAKE2b-64(key=fence key, encode(authority, source reference))
    Kind.FEED        an authority whose feed has a cursor; version and flags hold the newest cursor,
                     and flags' first bit whether it was ever set back

Invariants:

* (authority, source reference) of a destroyed record is refused, whoever sends it, until the
  horizon that the authority has declared: so far back its feed may replay. A new concern comes
  under a new reference, and is stored.
* So is what the record was called before an update gave it another reference: an old delivery has
  it under that. The fence goes up when the record is destroyed. While it lives a feed may send its
  former reference, and is heard as one that sends a record: whether that is the same concern, or
  another that the reference was right for, only its authority knows, and a wrong *no record* costs
  more than a second record of one child. Until then the marks wait with the record
  (`Body.former`); what is stored under a former reference meanwhile goes on being updated.
* No mark is dropped to make room: a record is not renamed for ever. A case that takes an identifier
  off a record takes the marks off, too: one of them may be of a reference that said it.
* A fence stands until both clocks say that its horizon is over: the wall's, by its day, and the
  seconds that the site has run (lookup/cases/standing.py). So a wall clock that is wrong for a
  moment lets nothing past and takes no fence away. A site that is switched off keeps its fences for
  longer: a sending that is refused is heard of, and officers can lift the fence; one that brings a
  destroyed record back is heard of by nobody.
* Fences of the first versions have no seconds. They stand until the daily chores have given them
  some: what is left of them by the wall, or the usual horizon where that is longer.
* A source may have more than one fence: stored again after its horizon, and destroyed again. It is
  refused while any of them stands, and none takes another away with it; one that is lifted is
  lifted out of all.
* Of a feed with a cursor nothing is taken that is not beyond it, and nothing has to be remembered
  of what was destroyed. A cursor is a promise of the feed, and may break: a slip, or one registrar,
  sends a number that ends the feed; another system counts from one again. So officers, as many as
  a case needs, may set a cursor back. What was destroyed before, and is sent again beyond the one
  that they choose, comes again: the words that are signed say it. From then on what is destroyed
  of this feed is fenced as that of any other.
* A sending is certainly a new one only if it has a cursor that was never set back: afterwards old
  ones come beyond it, too. Nothing else may attach a record to its feed (detaching.py).
* A cursor is never set forward by officers: a slip in that would be what setting it back is for.
* How far one record may take it has no bound: a feed that counts in microseconds leaps by billions
  over a quiet hour, and any bound that lets it would let a slip end another feed for years.
* Fences and cursors live in the map: no backup that is restored takes one away, or puts it back.
* A fence is the one thing that stays of a destroyed record, and the certificate says so. Whoever
  has the vault can ask it about a reference, and learns none from it.
* Before its horizon a fence is lifted by as many officers as a case needs (lookup/officers).
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import blake2b
from typing import Final

import msgspec

from crypto.encoding import encode
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove, new_entry_id
from keys.errors import PageDamaged
from keys.vault import Vault
from lookup.cases.standing import DAY, Moment
from lookup.catalogue import MAX_REPLAY_MONTHS, REPLAY_MONTHS, Replay
from lookup.custodian.records.draft import Draft
from lookup.custodian.records.record import Record
from lookup.errors import Conflict

MARK_SIZE: Final = 8
MOST_FENCED: Final = 256  # marks in one fence: an entry of the map has room for more
MOST_FORMER: Final = 32  # references that a record had before; it keeps a mark of each
_DAYS_IN_A_MONTH: Final = 31  # at most: a horizon is rather a little longer
_EPOCH: Final = date(1970, 1, 1).toordinal()
_HALF: Final = 32
_MASK: Final = (1 << _HALF) - 1
_SET_BACK: Final = 1 << _HALF - 1  # of flags: a cursor has 63 bits


class _FenceBody(msgspec.Struct, array_like=True):
    until: int
    marks: bytes
    elapsed: int | None = None  # missing in fences of the first versions


@dataclass(frozen=True, slots=True)
class Fence:
    """What was destroyed together, and until when it is fenced.

    `until` is the last day, as an ordinal; `elapsed` the last of the seconds that the site runs,
    None where they were not counted yet.
    """

    id: EntryId
    until: int
    marks: tuple[bytes, ...]
    elapsed: int | None

    def stands(self, now: Moment) -> bool:
        """Say whether either clock has not seen the end of it."""
        return self.elapsed is None or now.elapsed <= self.elapsed or _day(now) <= self.until

    def entry(self) -> Entry:
        """Return the fence as the map keeps it."""
        body = _FenceBody(self.until, b"".join(self.marks), self.elapsed)
        return Entry(Kind.FENCE, self.id, msgspec.msgpack.encode(body))


@dataclass(frozen=True, slots=True)
class Feed:
    """How far an authority's feed has come, and whether officers have ever set it back."""

    id: EntryId
    authority: str
    cursor: int
    set_back: bool = False

    def entry(self) -> Entry:
        """Return the feed as the map keeps it: a cursor that moves replaces no body."""
        low, high = self.cursor & _MASK, self.cursor >> _HALF
        flags = high | _SET_BACK if self.set_back else high
        return Entry(Kind.FEED, self.id, self.authority.encode(), low, flags)


@dataclass(slots=True)
class Fences:
    """All fences and cursors of a site."""

    key: bytes = field(repr=False)
    fences: dict[EntryId, Fence] = field(default_factory=dict)
    feeds: dict[str, Feed] = field(default_factory=dict)
    _around: dict[bytes, tuple[Fence, ...]] = field(default_factory=dict)

    def mark(self, authority: str, source_ref: str) -> bytes:
        """Return what stands for a source."""
        message = encode(authority.encode(), source_ref.encode())
        return blake2b(message, key=self.key, digest_size=MARK_SIZE).digest()

    def holds(self, authority: str, source_ref: str, now: Moment) -> bool:
        """Say whether a source may not be stored again."""
        if not self._around:
            return False
        around = self._around.get(self.mark(authority, source_ref), ())
        return any(each.stands(now) for each in around)

    def put(self, fence: Fence) -> None:
        """Hear of a fence that is durable; one without marks has gone."""
        before = self.fences.pop(fence.id, None)
        for mark in () if before is None else before.marks:
            others = tuple(each for each in self._around.pop(mark, ()) if each.id != fence.id)
            if others:
                self._around[mark] = others
        if fence.marks:
            self.fences[fence.id] = fence
        for mark in fence.marks:
            self._around[mark] = (*self._around.get(mark, ()), fence)

    def remembers(self, authority: str, replay: Replay) -> bool:
        """Say whether what is destroyed of an authority leaves a fence behind."""
        feed = self.feeds.get(authority)
        return not replay.cursor or (feed is not None and feed.set_back)

    def around(self, records: Iterable[Record], replay: Replay, now: Moment) -> list[Fence]:
        """Return the fences that records of an authority leave behind."""
        days = replay.months * _DAYS_IN_A_MONTH
        marks = sorted({mark for each in records for mark in self._marks(each)})
        return [
            Fence(
                new_entry_id(Kind.FENCE),
                _day(now) + days,
                tuple(marks[at : at + MOST_FENCED]),
                now.elapsed + days * DAY,
            )
            for at in range(0, len(marks), MOST_FENCED)
        ]

    def _marks(self, record: Record) -> tuple[bytes, ...]:
        body = record.body
        return (self.mark(body.authority, body.source_ref), *_parted(body.former))

    def former(self, old: Record | None, draft: Draft) -> bytes:
        """Return the marks of what a record was called before, for its next version.

        Raises Conflict for a record that had more references than are remembered.
        """
        if old is None:
            return b""
        if old.body.source == draft.source:
            return old.body.former
        marks = set(self._marks(old)) - {self.mark(draft.authority, draft.source_ref)}
        if len(marks) > MOST_FORMER:
            raise Conflict(
                f"a record has at most {MOST_FORMER} source references before the one of now: go"
                " back to one of them"
            )
        return b"".join(sorted(marks))

    def without(self, authority: str, source_ref: str) -> list[Fence]:
        """Return the fences around a source as they are when that source is let through."""
        mark = self.mark(authority, source_ref)
        return [
            replace(fence, marks=tuple(each for each in fence.marks if each != mark))
            for fence in self._around.get(mark, ())
        ]

    def expired(self, now: Moment) -> list[Fence]:
        """Return the fences that have stood for as long as they had to."""
        return [each for each in self.fences.values() if not each.stands(now)]

    def counted(self, now: Moment) -> list[Fence]:
        """Return the fences of the first versions, with seconds from now on.

        The wall that says what is left of one may be wrong at this moment: it gets no less than
        most authorities have declared, and no more than any can.
        """
        usual, longest = REPLAY_MONTHS * _DAYS_IN_A_MONTH, MAX_REPLAY_MONTHS * _DAYS_IN_A_MONTH
        return [
            replace(each, elapsed=now.elapsed + min(max(left, usual), longest) * DAY)
            for each in self.fences.values()
            for left in (each.until - _day(now),)
            if each.elapsed is None
        ]

    def cursor(self, authority: str) -> int:
        """Return the newest cursor that an authority's feed has sent; 0: none yet."""
        feed = self.feeds.get(authority)
        return 0 if feed is None else feed.cursor

    def moved(self, authority: str, cursor: int) -> Feed:
        """Return the feed as it is when it has come so far."""
        feed = self.feeds.get(authority)
        if feed is None:
            return Feed(new_entry_id(Kind.FEED), authority, cursor)
        return replace(feed, cursor=cursor)

    def is_new(self, draft: Draft) -> bool:
        """Say whether a draft that was let in is certainly no old sending."""
        feed = self.feeds.get(draft.authority)
        return draft.cursor is not None and not (feed is not None and feed.set_back)


def _day(now: Moment) -> int:
    return now.time // DAY + _EPOCH


def _parted(marks: bytes) -> tuple[bytes, ...]:
    return tuple(marks[at : at + MARK_SIZE] for at in range(0, len(marks), MARK_SIZE))


def _whole(vault: Vault) -> list[Entry]:
    try:
        return list(vault.scan(Kind.FENCE))
    except PageDamaged:
        return []


def lifted(fence: Fence) -> Batch:
    """Return the steps that leave of a fence what it holds."""
    return (Put(fence.entry()),) if fence.marks else (Remove(Kind.FENCE, fence.id),)


def removal(fence: Fence) -> Batch:
    """Return the steps that take a whole fence away."""
    return (Remove(Kind.FENCE, fence.id),)


def fence_key_entries() -> Batch:
    """Return the key of a new vault's fences."""
    key = secrets.token_bytes(32)
    return (Put(Entry(Kind.FENCE_KEY, new_entry_id(Kind.FENCE_KEY), key)),)


def load_fences(vault: Vault) -> Fences:
    """Read a vault's fences; one that was made before there were any gets their key now.

    Where pages with fences are damaged none is known; no new record is stored then, until they are
    restored (adding.py).
    """
    if not list(vault.scan(Kind.FENCE_KEY)):
        vault.commit(fence_key_entries())
    (key,) = vault.scan(Kind.FENCE_KEY)
    fences = Fences(key.body)
    for entry in _whole(vault):
        body = msgspec.msgpack.decode(entry.body, type=_FenceBody)
        fences.put(Fence(entry.id, body.until, _parted(body.marks), body.elapsed))
    for entry in vault.scan(Kind.FEED):
        authority = entry.body.decode()
        cursor = (entry.flags & ~_SET_BACK) << _HALF | entry.version
        set_back = bool(entry.flags & _SET_BACK)
        fences.feeds[authority] = Feed(entry.id, authority, cursor, set_back)
    return fences
