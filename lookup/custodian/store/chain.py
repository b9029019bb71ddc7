"""The audit chain: sealed groups of entries, each bound to all that came before it.

    head(row) = SHA-256(head(row - 1) || segment id || number || sealed)      head(0) = 32 zeros

A row is a group as a worker sealed it, named by its segment and its number there; or a *gap*:

    segment = 16 zeros, number = the row before the gap
    sealed  = row u64 || head 32, which the anchors had seen when rows were lost; row 0: unknown

Invariants:

* Rows are appended, never changed. A group is appended once, in one transaction with its header.
* Row numbers never go back: where a restore could not bring all rows back, a gap says which are
  missing, the numbers go on behind them, and the chain goes on from what is there.
* The head says what the rows are: whoever drops, reorders or edits one changes every later head,
  and the newest is on the anchors (keys/anchor.py).

Numbers are big-endian. Pure storage: what is in a group is not known here.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

import sqlcipher3

from keys.anchor import NOTHING_AUDITED, AuditMark
from lookup.custodian.store.database import Database

GAP: Final = bytes(16)
_LINK: Final = Struct(">32s16sQ")
_LOST: Final = Struct(">Q32s")
_CHUNK: Final = 500


class ChainBroken(Exception):
    """A row does not follow from the rows before it: some were dropped, moved or edited."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} of the audit chain does not follow from those before it")
        self.row = row


class Group(NamedTuple):
    """A group as its worker sealed it."""

    segment: bytes
    number: int
    sealed: bytes


class Row(NamedTuple):
    """A group in its place, or a gap."""

    row: int
    segment: bytes
    number: int
    head: bytes
    sealed: bytes

    @property
    def mark(self) -> AuditMark:
        """The chain up to this row."""
        return AuditMark(self.row, self.head)

    @property
    def is_gap(self) -> bool:
        """Say whether rows are missing before this one."""
        return self.segment == GAP


def next_head(head: bytes, group: Group) -> bytes:
    """Return the head behind one more group."""
    link = _LINK.pack(head, group.segment, group.number)
    return sha256(link + group.sealed).digest()


def follow(mark: AuditMark, rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows that follow from this point on. Raises ChainBroken at the first that does not."""
    for row in rows:
        seen = _seen(row, mark) if row.is_gap else mark.row
        group = Group(row.segment, row.number, row.sealed)
        if row.row != seen + 1 or row.head != next_head(mark.head, group):
            raise ChainBroken(row.row)
        mark = row.mark
        yield row


def missing_rows(gap: Row) -> range:
    """Return the rows that a gap stands for; empty when it could not be counted."""
    return range(gap.number + 1, gap.row)


class AuditChain:
    """The chain of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self) -> AuditMark:
        """Return how far the chain reaches."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT row, head FROM audit_group ORDER BY row DESC LIMIT 1"
            ).fetchone()
        return AuditMark(*found) if found else NOTHING_AUDITED

    def head(self, row: int) -> bytes | None:
        """Return the head at a row, or None where there is none."""
        if row == 0:
            return NOTHING_AUDITED.head
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT head FROM audit_group WHERE row = ?", (row,)
            ).fetchone()
        return found[0] if found else None

    def taken(self, segment: bytes) -> int:
        """Return how many groups of a segment are in the chain: numbers below this one are."""
        with self._database.reading() as connection:
            (last,) = connection.execute(
                "SELECT max(number) FROM audit_group WHERE segment = ?", (segment,)
            ).fetchone()
        return 0 if last is None else last + 1

    def header(self, segment: bytes) -> bytes | None:
        """Return a segment's header, or None."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT header FROM audit_segment WHERE id = ?", (segment,)
            ).fetchone()
        return found[0] if found else None

    def rows(self, after: int, most: int = _CHUNK) -> list[Row]:
        """Return the next rows behind this one, in order."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT row, segment, number, head, sealed FROM audit_group"
                " WHERE row > ? ORDER BY row LIMIT ?",
                (after, most),
            ).fetchall()
        return [Row(*each) for each in found]

    def rows_back(self, before: int, most: int) -> list[Row]:
        """Return the rows before this one, the newest first."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT row, segment, number, head, sealed FROM audit_group"
                " WHERE row < ? ORDER BY row DESC LIMIT ?",
                (before, most),
            ).fetchall()
        return [Row(*each) for each in found]

    def walk(self, after: int = 0) -> Iterator[Row]:
        """Yield all rows behind this one."""
        while rows := self.rows(after):
            yield from rows
            after = rows[-1].row

    def append(self, headers: Mapping[bytes, bytes], groups: Sequence[Group]) -> AuditMark:
        """Make groups durable, with the headers of segments that are new; return the new end.

        Raises MediumFailed, also for a group that is in the chain already.
        """
        with self._database.transaction() as connection:
            insert_headers(connection, headers)
            return _extend(connection, self.mark(), groups)

    def mark_gap(self, lost: AuditMark | None) -> AuditMark:
        """Go on behind rows that are lost, up to what anchors have seen; None: unknown."""
        at = self.mark()
        seen = lost or AuditMark(0, bytes(32))
        gap = Group(GAP, at.row, _LOST.pack(*seen))
        with self._database.transaction() as connection:
            behind = AuditMark(max(at.row, seen.row), at.head)
            return _extend(connection, behind, [gap])


def _extend(
    connection: sqlcipher3.Connection, mark: AuditMark, groups: Sequence[Group]
) -> AuditMark:
    rows: list[Row] = []
    for group in groups:
        mark = AuditMark(mark.row + 1, next_head(mark.head, group))
        rows.append(Row(mark.row, group.segment, group.number, mark.head, group.sealed))
    insert_rows(connection, rows)
    return mark


def insert_headers(connection: sqlcipher3.Connection, headers: Mapping[bytes, bytes]) -> None:
    """Insert the headers of segments, where they are new."""
    connection.executemany(
        "INSERT OR IGNORE INTO audit_segment (id, header) VALUES (?, ?)", list(headers.items())
    )


def insert_rows(connection: sqlcipher3.Connection, rows: Sequence[Row]) -> None:
    """Insert rows as they are: for a chain, and for a copy of one."""
    connection.executemany(
        "INSERT INTO audit_group (row, segment, number, head, sealed) VALUES (?, ?, ?, ?, ?)", rows
    )


def _seen(gap: Row, mark: AuditMark) -> int:
    """Return the last of the rows that a gap stands for, if it begins where the chain stands."""
    if len(gap.sealed) != _LOST.size or gap.number != mark.row:
        raise ChainBroken(gap.row)
    seen, _ = _LOST.unpack(gap.sealed)
    return max(int(seen), mark.row)
