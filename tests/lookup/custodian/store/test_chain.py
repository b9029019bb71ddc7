"""The audit chain: exactly once, never back, and nothing dropped, moved or edited unseen."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from keys.anchor import NOTHING_AUDITED, AuditMark
from keys.slot.lock import DatabaseKey
from lookup.custodian.store.chain import (
    AuditChain,
    ChainBroken,
    Group,
    follow,
    missing_rows,
    next_head,
)
from lookup.custodian.store.database import Database, MediumFailed

KEY = DatabaseKey(bytes(32))
SEGMENT, OTHER = b"s" * 16, b"o" * 16
HEADERS = {SEGMENT: b"header", OTHER: b"another"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "vault.db", KEY)) as opened:
        yield opened


@pytest.fixture
def chain(database: Database) -> AuditChain:
    return AuditChain(database)


def groups(segment: bytes, numbers: range) -> list[Group]:
    return [Group(segment, number, secrets.token_bytes(50)) for number in numbers]


def verify(chain: AuditChain) -> int:
    """Return the number of rows that follow from each other; raise ChainBroken."""
    return len(list(follow(NOTHING_AUDITED, chain.walk())))


def test_an_empty_chain(chain: AuditChain) -> None:
    assert chain.mark() == NOTHING_AUDITED
    assert chain.head(0) == bytes(32)
    assert chain.head(1) is None
    assert chain.taken(SEGMENT) == 0
    assert chain.header(SEGMENT) is None
    assert verify(chain) == 0


def test_each_head_says_all_that_came_before(chain: AuditChain) -> None:
    first, second = groups(SEGMENT, range(2)), groups(OTHER, range(3))
    chain.append(HEADERS, first)
    mark = chain.append(HEADERS, second)

    head = bytes(32)
    for group in first + second:
        head = next_head(head, group)
    assert mark == chain.mark() == AuditMark(5, head)
    assert (chain.taken(SEGMENT), chain.taken(OTHER)) == (2, 3)
    assert chain.header(SEGMENT) == b"header"
    assert [Group(row.segment, row.number, row.sealed) for row in chain.walk()] == first + second
    assert [row.row for row in chain.rows_back(5, 3)] == [4, 3, 2]
    assert verify(chain) == 5


def test_a_group_is_taken_once(chain: AuditChain) -> None:
    """Not even its good neighbours are stored with one that is there already."""
    taken = groups(SEGMENT, range(2))
    mark = chain.append(HEADERS, taken)
    with pytest.raises(MediumFailed):
        chain.append(HEADERS, [*groups(OTHER, range(1)), taken[1]])
    assert chain.mark() == mark
    assert chain.taken(OTHER) == 0


ATTACKS: dict[str, tuple[str, int]] = {
    "dropped": ("DELETE FROM audit_group WHERE row = 2", 3),
    "dropped, and the rest moved up": (
        "DELETE FROM audit_group WHERE row = 2; UPDATE audit_group SET row = row - 1 WHERE row > 2",
        2,
    ),
    "the first one dropped": ("DELETE FROM audit_group WHERE row = 1", 2),
    "edited": ("UPDATE audit_group SET sealed = x'00' WHERE row = 3", 3),
    "renumbered": ("UPDATE audit_group SET number = 9 WHERE row = 3", 3),
    "moved": (
        """UPDATE audit_group SET row = CASE row WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE row END;
           UPDATE audit_group SET row = abs(row)""",
        2,
    ),
    "hidden behind a gap": (
        "UPDATE audit_group SET segment = zeroblob(16), number = 1 WHERE row = 2",
        2,
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_found_where_it_was_made(
    chain: AuditChain, database: Database, attack: str
) -> None:
    chain.append(HEADERS, groups(SEGMENT, range(4)))
    statements, row = ATTACKS[attack]
    database.connection.executescript(statements)
    with pytest.raises(ChainBroken, match=f"row {row} of the audit chain") as found:
        verify(chain)
    assert found.value.row == row


@pytest.mark.parametrize(
    ("seen", "row", "missing"),
    [
        (AuditMark(7, b"h" * 32), 8, range(3, 8)),
        (AuditMark(1, b"h" * 32), 3, range(3, 3)),
        (None, 3, range(3, 3)),
    ],
    ids=["rows lost", "another chain", "nobody can count"],
)
def test_a_gap_says_what_is_missing(
    chain: AuditChain, seen: AuditMark | None, row: int, missing: range
) -> None:
    chain.append(HEADERS, groups(SEGMENT, range(2)))
    gap = chain.mark_gap(seen)
    chain.append(HEADERS, groups(SEGMENT, range(2, 4)))

    rows = list(chain.walk())
    assert gap == rows[2].mark
    assert [each.is_gap for each in rows] == [False, False, True, False, False]
    assert rows[2].row == row
    assert missing_rows(rows[2]) == missing
    assert verify(chain) == 5


FORGERIES: dict[str, Callable[[AuditChain], Group]] = {
    "no gap's content": lambda chain: Group(bytes(16), chain.mark().row, b"short"),
    "a gap from elsewhere": lambda _: Group(bytes(16), 1, bytes(40)),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_gap_follows_from_where_the_chain_stands(
    chain: AuditChain, forgery: Callable[[AuditChain], Group]
) -> None:
    chain.append(HEADERS, groups(SEGMENT, range(2)))
    chain.append({}, [forgery(chain)])
    with pytest.raises(ChainBroken, match="row 3"):
        verify(chain)
