"""Who asked: what the audit chain says, to the officers and to authorities.

Invariants:

* The accesses of a record are found by its links' witnesses. When these are gone, nothing here or
  anywhere finds them; what it says of a record that was never there is the same.
* A walk along the chain takes the writer's time in small steps: shreds and additions go on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from keys.anchor import NOTHING_AUDITED, AuditMark
from keys.entry import EntryId
from lookup.audit.entry import ABSENT, SCHEDULED, UNSCHEDULED, Entry, parse_entry, sift
from lookup.audit.errors import InvalidEntry
from lookup.catalogue import Purpose
from lookup.custodian.audit.auditing import GroupUnreadable
from lookup.custodian.audit.notices import Notice
from lookup.custodian.clients import entry_id_of
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record
from lookup.custodian.store.chain import ChainBroken, Row, follow, missing_rows
from lookup.errors import InvalidRequest, RecordNotFound
from lookup.officers.roles import OfficerId

Json = dict[str, Any]

LATEST: Final = 25
MOST_NOTICES: Final = 1_000
# Whoever reads a record waits for this, and so does everybody else: 10,000 entries or more.
_SEARCH_SECONDS: Final = 0.05
_ROWS_AT_ONCE: Final = 200
_PURPOSES: Final = {
    ABSENT: None,
    UNSCHEDULED: Purpose.UNSCHEDULED_CARE.value,
    SCHEDULED: Purpose.SCHEDULED_CARE.value,
}


def latest(custody: Custody, record: Record) -> Json:
    """Return a record's last accesses; not complete if there may be earlier ones among those."""
    found: list[Json] = []
    until = time.monotonic() + _SEARCH_SECONDS
    for row in _rows_back(custody):
        found += [_access(custody, entry) for entry in reversed(_told_in(custody, row, record))]
        if len(found) >= LATEST:
            return {"latest": found[:LATEST], "complete": True}
        if time.monotonic() > until:
            return {"latest": found, "complete": False}
    return {"latest": found, "complete": True}


def notices(after: int, most: int, authority: str | None = None) -> Callable[[Custody], Json]:
    """Return the notices behind a cursor, and the next cursor; of one authority, if one is named.

    Only who is told of all authorities' accesses has them counted as delivered: what one authority
    has fetched is another's to fetch yet.
    """
    if not 1 <= most <= MOST_NOTICES:
        raise InvalidRequest(f"limit is a number from 1 to {MOST_NOTICES}")

    def run(custody: Custody) -> Json:
        custody.audit.flush()
        if authority is None:
            custody.audit.delivered = max(custody.audit.delivered, after)
        found = custody.audit.notices.after(after, most)
        told = [_told(custody, notice, authority) for notice in found]
        last = found[-1].number if found else after
        return {
            "accesses": [each for each in told if each is not None],
            "cursor": f"{last:016x}",
            "more": len(found) == most,
        }

    return run


class Walk:
    """Goes along the chain as it is when the walk begins, some rows at each step."""

    rows_at_once = _ROWS_AT_ONCE

    def __init__(self) -> None:
        self._at = NOTHING_AUDITED
        self._end: AuditMark | None = None

    def step(self, custody: Custody) -> list[Json] | None:
        """Return what the next rows say; None behind the last. The last step may say more."""
        if self._end is None:
            before = self.begin(custody)
            custody.audit.take_in()
            self._end = custody.store.audit.mark()
            if before:
                return before
        if self._at.row >= self._end.row:
            return None
        rows = custody.store.audit.rows(self._at.row, self.rows_at_once)
        rows = [row for row in rows if row.row <= self._end.row]
        said = [line for row in self.follow(rows) for line in self.read(custody, row)]
        self._at = rows[-1].mark if rows else self._end
        return [*said, {"done": self._at.row, "total": self._end.row}]

    def begin(self, custody: Custody) -> list[Json]:
        """Look at what the walk is about; return what is said before any row."""
        del custody
        return []

    def follow(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Yield the rows that are to be read."""
        return iter(rows)

    def read(self, custody: Custody, row: Row) -> list[Json]:
        """Return what a row says."""
        raise NotImplementedError


class Search(Walk):
    """All accesses of one record. Raises RecordNotFound, also when it goes meanwhile.

    `missing` counts the rows that were lost or cannot be read: what was in those nobody can say.
    """

    def __init__(self, record_id: EntryId) -> None:
        super().__init__()
        self.record_id = record_id
        self.missing = 0

    def begin(self, custody: Custody) -> list[Json]:
        """Find the record."""
        self.record(custody)
        return []

    def read(self, custody: Custody, row: Row) -> list[Json]:
        """Return the row's accesses of the record."""
        record = self.record(custody)
        if row.is_gap:
            self.missing += max(1, len(missing_rows(row)))  # a gap may not know how long it is
            return []
        try:
            about = _about(custody, row, record)
        except GroupUnreadable:
            self.missing += 1
            return []
        return [{"access": _access(custody, entry)} for entry in about]

    def record(self, custody: Custody) -> Record:
        """Return the record as it is now."""
        record = custody.record(self.record_id)
        if record is None:
            raise RecordNotFound("there is no such record")
        return record


class Export(Walk):
    """All entries, in clear but for what they were answered."""

    def read(self, custody: Custody, row: Row) -> list[Json]:
        """Return the row's entries."""
        place = {"row": row.row, "head": row.head.hex()}
        if row.is_gap:
            return [{"gap": place | {"missing": len(missing_rows(row))}}]
        return [
            {"entry": place | {"id": entry.id.hex(), "tokens": entry.n} | _access(custody, entry)}
            for entry in _entries(custody, row)
        ]


@dataclass(slots=True)
class Verdict:
    """What a verification has found."""

    rows: int = 0
    entries: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    broken: int | None = None
    anchored: bool = False

    @property
    def sound(self) -> bool:
        """Say whether every row is there, as it was taken in."""
        return self.anchored and not self.gaps and not self.unreadable and self.broken is None


class Verification(Walk):
    """Follows every row from the one before it, opens it, and compares with the anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.verdict = Verdict()

    def step(self, custody: Custody) -> list[Json] | None:
        """As every walk; a broken chain ends it."""
        if self.verdict.broken is not None:
            return None
        said = super().step(custody)
        if said is None:
            seen = custody.vault.audit
            self.verdict.anchored = custody.store.audit.head(seen.row) == seen.head
        return said

    def follow(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Yield rows up to one that does not follow."""
        try:
            yield from follow(self._at, iter(rows))
        except ChainBroken as broken:
            self.verdict.broken = broken.row

    def read(self, custody: Custody, row: Row) -> list[Json]:
        """Count what is in a row."""
        self.verdict.rows += 1
        if row.is_gap:
            missing = missing_rows(row)
            self.verdict.gaps.append((missing.start, missing.stop - 1))
            return []
        try:
            self.verdict.entries += len(custody.audit.groups.entries(row))
        except GroupUnreadable:
            self.verdict.unreadable.append(row.row)
        return []


def _rows_back(custody: Custody) -> Iterator[Row]:
    before = custody.store.audit.mark().row + 1
    while rows := custody.store.audit.rows_back(before, _ROWS_AT_ONCE):
        yield from rows
        before = rows[-1].row


def _entries(custody: Custody, row: Row) -> list[Entry]:
    """Return a row's entries; none of one that cannot be read, which a verification tells of."""
    try:
        return custody.audit.groups.entries(row)
    except GroupUnreadable:
        return []


def _told_in(custody: Custody, row: Row, record: Record) -> list[Entry]:
    """Return a row's accesses of a record; none in one that cannot be read, as `_entries`."""
    try:
        return _about(custody, row, record)
    except GroupUnreadable:
        return []


def _about(custody: Custody, row: Row, record: Record) -> list[Entry]:
    """Return a row's entries whose witnesses one of the record's links makes again.

    Raises GroupUnreadable, also where one that was found is no entry.
    """
    finder = custody.audit.finder(record.body.handles)
    found = sift(custody.audit.groups.encoded(row), finder)
    try:
        return [parse_entry(encoded) for encoded in found]
    except InvalidEntry:
        raise GroupUnreadable from None


def _access(custody: Custody, entry: Entry) -> Json:
    head = entry.head
    return {
        "time": instant(head.time / 1_000_000),
        "client": head.client.hex(),
        "client_name": _name(custody, head.client),
        "user": head.user.decode() or None,
        "role": head.role.decode() or None,
        "purpose": _PURPOSES[head.purpose],
        "encounter": head.encounter.decode() or None,
        "request_id": head.request_id.hex(),
    }


def _told(custody: Custody, notice: Notice, authority: str | None) -> Json | None:
    record = custody.record(EntryId(notice.record))
    if record is None or authority not in {None, record.body.authority}:
        return None
    return {
        "cursor": f"{notice.number:016x}",
        "record_id": notice.record.hex(),
        "authority": record.body.authority,
        "source_ref": record.body.source_ref,
        "time": instant(notice.time),
        "client": notice.client.hex(),
        "client_name": _name(custody, notice.client),
        "user": notice.user or None,
        "role": notice.role or None,
        "purpose": _PURPOSES[notice.purpose],
    }


def _name(custody: Custody, client: bytes) -> str | None:
    """Return a client's or officer's name; None when they left, for the name went with them."""
    entry_id = entry_id_of(client)
    card = custody.policy.clients.get(entry_id)
    officer = custody.office.officers.get(OfficerId(entry_id))
    if officer is not None:
        return f"officer {officer.name}"
    return None if card is None else card.name


def instant(seconds: float) -> str:
    """Return a time as RFC 3339 writes it."""
    instant = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return instant.replace("+00:00", "Z")
