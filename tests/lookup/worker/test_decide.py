"""The moment between the table and the wire."""

import json
from collections.abc import Callable, Iterator
from datetime import date

import pytest

from lookup.errors import IndexNotReady, IndexStale, IndexSuperseded, ServiceError, UnknownKid
from lookup.index.layout import days_of
from lookup.wire import parse_lookup, parse_lookups
from lookup.worker.decide import Decision, decide_many, decide_one
from lookup.worker.view import OpenView, open_view
from tests.lookup.worker.plane import (
    FakeCustodian,
    make_batch,
    make_body,
    make_link,
    private_folders,
)

TODAY = days_of(date(2026, 7, 1))
UNKNOWN = b"?" * 32


@pytest.fixture
def custodian() -> Iterator[FakeCustodian]:
    with private_folders() as (folder, index_folder):
        running = FakeCustodian(str(folder / "s"), index_folder)
        running.table.complete()
        yield running
        running.close()
        running.table.close()


@pytest.fixture
def view(custodian: FakeCustodian) -> Iterator[OpenView]:
    opened = open_view(custodian.make_view(), None)
    yield opened
    opened.table.close()


def one(view: OpenView, token: bytes) -> Decision:
    return decide_one(view, parse_lookup(make_body(token)), TODAY)


def in_a_batch(view: OpenView, token: bytes) -> Decision:
    return decide_many(view, parse_lookups(make_batch([b"!" * 32, token])), TODAY)


def add(custodian: FakeCustodian, token: bytes) -> None:
    custodian.add_to(token)


def remove(custodian: FakeCustodian, token: bytes) -> None:
    custodian.table.remove(custodian.tag(token), custodian.handles[token])


def restrict(custodian: FakeCustodian, token: bytes) -> None:
    link = make_link(answer_until=days_of(date(2026, 1, 1)))
    custodian.table.replace(custodian.tag(token), custodian.handles[token], link)


def lose_completeness(custodian: FakeCustodian, _: bytes) -> None:
    custodian.table.declare_incomplete()


def supersede(custodian: FakeCustodian, _: bytes) -> None:
    custodian.table.supersede()


def touch_another(custodian: FakeCustodian, _: bytes) -> None:
    custodian.add()


KNOWN, EXPIRED, NEVER = "known", "expired", "never"

# What happens between the probe and the answer, and what becomes of the answer.
BETWEEN: dict[str, tuple[str, Callable[[FakeCustodian, bytes], None], type[ServiceError] | None]]
BETWEEN = {
    "an add makes a no-record wrong": (NEVER, add, IndexStale),
    "an add beside an expired link": (EXPIRED, add, IndexStale),
    "a removal makes a known wrong": (KNOWN, remove, IndexStale),
    "a restriction makes a known wrong": (KNOWN, restrict, IndexStale),
    "a miss needs completeness": (NEVER, lose_completeness, IndexNotReady),
    "so does a link that is not answered": (EXPIRED, lose_completeness, IndexNotReady),
    "a superseded table says nothing of a hit": (KNOWN, supersede, IndexSuperseded),
    "nor of a miss": (NEVER, supersede, IndexSuperseded),
    "nor of what is not answered": (EXPIRED, supersede, IndexSuperseded),
    "another child's record changes nothing": (NEVER, touch_another, None),
    "nor for a known child": (KNOWN, touch_another, None),
}


@pytest.mark.parametrize("ask", [one, in_a_batch])
@pytest.mark.parametrize("name", BETWEEN)
def test_an_answer_that_no_longer_stands_does_not_leave(
    custodian: FakeCustodian,
    view: OpenView,
    ask: Callable[[OpenView, bytes], Decision],
    name: str,
) -> None:
    """It becomes *could not check*: the next attempt finds the truth."""
    kind, change, refused = BETWEEN[name]
    token = UNKNOWN
    if kind == KNOWN:
        custodian.add_to(token)
    if kind == EXPIRED:
        custodian.add_to(token, answer_until=days_of(date(2026, 1, 1)))

    decision = ask(view, token)
    decision.check()
    change(custodian, token)

    if refused is None:
        decision.check()
    else:
        with pytest.raises(refused):
            decision.check()


def test_a_batch_says_what_one_lookup_after_another_would(
    custodian: FakeCustodian, view: OpenView
) -> None:
    """And has the same handles witnessed, of one link, several, none, and what is hidden."""
    several = custodian.add()
    for since in (4_000, 4_001):
        custodian.add_to(several, since=since)
    tokens = [
        several,
        custodian.add(),
        UNKNOWN,
        custodian.add(answer_until=days_of(date(2026, 1, 1))),
        custodian.add(category=2),
        custodian.add(honey=True),
    ]
    custodian.add_to(tokens[1], honey=True)

    batch = decide_many(view, parse_lookups(make_batch(tokens)), TODAY)
    alone = [one(view, token) for token in tokens]
    said, told = json.loads(batch.body), [json.loads(each.body) for each in alone]

    assert list(map(list, batch.handles)) == [list(each.handles[0]) for each in alone]
    assert list(map(len, batch.handles)) == [3, 2, 0, 0, 0, 1]
    assert [each["outcome"] for each in said] == [each["outcome"] for each in told]
    assert batch.known == sum(each.known for each in alone) == 2
    assert batch.tokens == len(tokens)
    batch.check()


def test_a_hit_in_an_incomplete_table_stands(custodian: FakeCustodian, view: OpenView) -> None:
    token = custodian.add()
    custodian.table.declare_incomplete()
    decision = one(view, token)
    decision.check()
    assert b'"known"' in decision.body


def test_a_kid_is_asked_for_before_anything_else(view: OpenView) -> None:
    request = parse_lookup(make_body(UNKNOWN, kid="k" * 16, token="_" * 43))
    with pytest.raises(UnknownKid):
        decide_one(view, request, TODAY)


def test_no_repr_shows_a_view(view: OpenView) -> None:
    assert "St. Elsewhere" not in repr(view)
    assert "TagMaker" not in repr(view)
