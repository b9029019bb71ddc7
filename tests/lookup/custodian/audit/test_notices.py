"""Notices in the map: once, as long as needed, and of one size whatever they say."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.entry import MAX_BODY, Kind, Put
from keys.errors import PageDamaged
from keys.vault import Vault
from lookup.custodian.audit import notices as module
from lookup.custodian.audit.notices import DAY, LONGEST, Notice, Notices, pack, unpack
from tests.keys.site import Place, make_place, record

A, B = secrets.token_bytes(16), secrets.token_bytes(16)
NOW = 1_800_000_000


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    place: Place = make_place(tmp_path / "site")
    with place.opened() as opened:
        yield opened


def notice(number: int, about: bytes = A, time: int = NOW) -> Notice:
    visit, client = secrets.token_bytes(16), secrets.token_bytes(14)
    return Notice(number, about, visit, time, client, 1, "u" * 20, "r" * 20)


def reloaded(vault: Vault) -> Notices:
    again = Notices(vault)
    again.load()
    return again


TEXTS = st.text(max_size=16)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 2**63 - 1)), max_size=80))
def test_a_body_has_one_size(said: list[tuple[str, str, int]]) -> None:
    given = [Notice(n, A, A, NOW, A[:14], 2, user, role) for user, role, n in said]
    bodies = pack(given)
    assert {len(body) for body in bodies} == {MAX_BODY}
    assert [each for body in bodies for each in unpack(body)] == given


def test_none_takes_as_much_room_as_some() -> None:
    """Whoever watches the store's files sees a batch, and not whether anybody was known."""
    (nobody,), (somebody,) = pack([]), pack([notice(1)])
    assert len(nobody) == len(somebody)
    assert unpack(nobody) == []


def test_where_a_batch_lies_says_nothing_of_its_records(vault: Vault) -> None:
    """In 16 of 256 leaves, so that a start finds them without opening the others."""
    notices = Notices(vault)
    for number in range(40):
        notices.add(notice(number))
        notices.store()
    leaves = [leaf for leaf in range(256) for _ in vault.scan_leaf(Kind.NOTICE, leaf)]
    assert len(leaves) == 40
    assert set(leaves) <= set(range(1, 17))
    assert len(set(leaves)) > 3


def test_what_is_stored_is_there_after_a_start(vault: Vault) -> None:
    notices = Notices(vault)
    given = [notice(number) for number in range(60)]
    for each in given:
        assert notices.add(each)
        assert notices.add(each), "known already"
    assert notices.after(0, 100) == [], "not stored"
    also = record(b"with it")
    notices.store((Put(also),))
    assert vault.get(Kind.RECORD, also.id) == also
    assert notices.waiting == 0
    for kept in (notices, reloaded(vault)):
        assert len(kept) == 60
        assert kept.after(-1, 100) == given
        assert kept.after(57, 100) == given[58:]
        assert kept.after(-1, 5) == given[:5]
        kept.add(given[7])
        assert kept.waiting == 0
    assert reloaded(vault).load() == 59


def test_records_leave_the_others_notices_alone(vault: Vault) -> None:
    notices = Notices(vault)
    stored = [notice(number, A if number % 2 else B) for number in range(50)]
    for each in stored:
        notices.add(each)
    notices.store()
    waiting = [notice(100, A), notice(101, B)]
    for each in waiting:
        notices.add(each)
    steps = notices.without({A})
    receipt = vault.commit(steps)
    assert receipt.destruction is not None
    notices.forget({A})
    notices.store()
    left = [each for each in stored + waiting if each.record == B]
    for kept in (notices, reloaded(vault)):
        assert kept.after(-1, 100) == left
        assert len(kept) == len(left)
        assert kept.without({A}) == ()


def test_what_was_delivered_is_kept_for_a_day(vault: Vault) -> None:
    """Somebody may ask again; and accesses of an encounter that goes on are told once."""
    notices = Notices(vault)
    for number, age in ((1, 3 * DAY), (2, 2 * DAY), (3, 0), (4, LONGEST + 1)):
        notices.add(notice(number, time=NOW - age))
        notices.store()
    for delivered, left in ((1, [2, 3]), (9, [3])):
        steps = notices.expired(delivered, NOW)
        vault.commit(steps)
        notices.drop(steps)
        for kept in (notices, reloaded(vault)):
            assert [kept.number for kept in kept.after(0, 10)] == left
            assert len(kept) == len(left)


def test_there_is_a_bound(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NOTICES", 2)
    notices = Notices(vault)
    assert [notices.add(notice(number)) for number in range(3)] == [True, True, False]


def test_a_damaged_leaf_costs_no_other(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A custodian starts with what it can read (G4); the rest waits for a restore."""
    notices = Notices(vault)
    for number in range(40):
        notices.add(notice(number))
        notices.store()
    real = vault.scan_bodies
    damaged = next(leaf for leaf in range(1, 17) if vault.scan_leaf(Kind.NOTICE, leaf))
    lost = len(vault.scan_leaf(Kind.NOTICE, damaged))

    def scan(kind: Kind, leaves: range) -> object:
        if damaged in leaves:
            raise PageDamaged(damaged)
        return real(kind, leaves)

    monkeypatch.setattr(vault, "scan_bodies", scan)
    assert len(reloaded(vault)) == 40 - lost
