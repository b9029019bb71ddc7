"""Accuracy reviews: who has to look again, when, and that it costs no epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.entry import EntryId, Kind, new_entry_id
from lookup.cases.standing import Remedy
from lookup.custodian.audit.accesses import latest
from lookup.custodian.records.detaching import is_detached
from lookup.custodian.retention import reviewing
from lookup.custodian.retention.reviewing import noted, review_day
from lookup.index.layout import FIRST_DAY, LAST_DAY
from lookup.officers.roles import Act
from lookup.retention.expiry import Retention
from tests.clocks import SetClocks
from tests.officers import Json
from tests.simulator import Custodian, Site, nhs, record

IN_NEED = {"class": "child-in-need", "born": "2015-01-01"}  # reviewed every 12 months
UNFOUNDED = {"class": "allegation-unfounded", "closed": "2026-01-01"}  # every 6
START = date(2026, 3, 1)


@dataclass
class Desk:
    """A site whose day the test sets."""

    custodian: Custodian
    clocks: SetClocks

    def on(self, day: date) -> None:
        self.clocks.at = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())

    def add(self, source: str, **changes: Any) -> EntryId:  # noqa: ANN401  # JSON
        return self.custodian.add(source, nhs(len(source)), **({"since": "2026-02-01"} | changes))

    def due(self, officer: str = "ada") -> list[tuple[str, str]]:
        """Return what is due today: record, and since which day."""
        told = self.told("GET", "/v1/retention/reviews", officer).json()
        assert told["total"] == len(told["reviews"])
        return [(each["record_id"], each["day"]) for each in told["reviews"]]

    def told(self, method: str, path: str, officer: str = "sam") -> Any:  # noqa: ANN401  # a response
        headers = self.custodian.desk.signer(officer).headers(self.clocks.wall())
        return self.custodian.officer.request(method, path, headers=headers)

    def review(self, record_id: EntryId, officer: str = "sam") -> Any:  # noqa: ANN401  # a response
        return self.told("POST", f"/v1/retention/reviews/{record_id.hex()}", officer)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with Site() as site:
        clocks = site.clocks = SetClocks()
        with site.open() as custodian:
            object.__setattr__(custodian.facts, "clock", clocks.wall)
            monkeypatch.setattr("tests.simulator._now", clocks.wall)
            found = Desk(custodian, clocks)
            found.on(START)
            custodian.feed.headers["authorization"] = f"Bearer {site.token}"
            yield found
        assert custodian.failures == []


def test_a_record_is_due_so_many_months_after_since(desk: Desk) -> None:
    """On that day, and on every day after it until somebody looks; the longest due comes first."""
    later = desk.add("later", retention=IN_NEED)
    sooner = desk.add("sooner", retention=UNFOUNDED)
    desk.on(date(2026, 7, 31))
    assert desk.due() == []
    desk.on(date(2026, 8, 1))
    assert desk.due() == [(sooner.hex(), "2026-08-01")]
    desk.on(date(2027, 2, 1))
    assert desk.due() == [(sooner.hex(), "2026-08-01"), (later.hex(), "2027-02-01")]


def test_whoever_looks_puts_it_off(desk: Desk) -> None:
    """By the months of its class, from today."""
    record_id = desk.add("looked", retention=UNFOUNDED)
    desk.on(date(2026, 9, 15))
    assert desk.review(record_id).json()["day"] == "2027-03-15"
    assert desk.due() == []
    desk.on(date(2027, 3, 15))
    assert desk.due() == [(record_id.hex(), "2027-03-15")]


def test_a_change_by_the_authority_counts_as_a_look(desk: Desk) -> None:
    """And what changes nothing does not."""
    record_id = desk.add("changed", retention=UNFOUNDED)
    members = record("changed", nhs(7), since="2026-02-01", retention=UNFOUNDED)
    path = f"/v1/records/{record_id.hex()}"
    desk.on(date(2026, 8, 1))
    desk.custodian.feed.headers["authorization"] = f"Bearer {desk.custodian.site.token}"
    assert desk.custodian.feed.put(path, json=members, headers={"if-match": '"1"'}).is_success
    assert desk.due() == [(record_id.hex(), "2026-08-01")]
    members["payload"] = "more"
    assert desk.custodian.feed.put(path, json=members, headers={"if-match": '"1"'}).is_success
    assert desk.due() == []
    desk.on(date(2027, 2, 1))
    assert desk.due() == [(record_id.hex(), "2027-02-01")]


def test_to_look_is_no_epoch_change_and_survives_a_start(desk: Desk) -> None:
    """Flags alone change; what else they say is left."""
    record_id = desk.add("cheap", retention=UNFOUNDED)
    custody = desk.custodian.custody
    before = desk.custodian.call(lambda c: c.vault.version.epoch)
    desk.on(date(2026, 9, 15))

    assert desk.review(record_id).status_code == 200

    entry = desk.custodian.call(lambda c: c.vault.get(Kind.RECORD, record_id))
    assert entry is not None
    assert custody.vault.version.epoch == before
    assert (entry.version, entry.flags & 0xFFFF) == (1, 0)
    assert entry.flags == noted(0, date(2026, 9, 15))


def test_who_has_looked_stands_in_the_audit(desk: Desk) -> None:
    """And is forgotten with the record, as every access to it."""
    record_id = desk.add("audited", retention=UNFOUNDED)

    assert desk.review(record_id, "sam").status_code == 200

    seen = desk.custodian.call(
        lambda custody: latest(custody, custody.record(record_id))  # type: ignore[arg-type]
    )
    assert [each["client_name"] for each in seen["latest"]] == ["officer sam"]


def test_a_record_without_a_class_is_never_due(desk: Desk) -> None:
    record_id = desk.add("plain")
    desk.on(date(2126, 1, 1))
    assert desk.due() == []
    said = desk.review(record_id)
    assert said.status_code == 409
    assert "no retention class" in said.json()["detail"]


def test_there_is_no_such_record(desk: Desk) -> None:
    """In the same words as of one that is another authority's."""
    assert desk.review(new_entry_id(Kind.RECORD)).status_code == 404


@pytest.mark.parametrize(
    ("officer", "lists", "looks"),
    [
        ("rita", 200, 200),
        ("ana", 200, 403),
        ("leo", 200, 200),
        ("sam", 200, 200),
        ("ada", 200, 403),
        ("feed", 403, 200),
    ],
)
def test_who_may(desk: Desk, officer: str, lists: int, looks: int) -> None:
    """Whoever reads cases may see what is due; who works with records says that they looked."""
    record_id = desk.add("whose", retention=UNFOUNDED)
    assert desk.told("GET", "/v1/retention/reviews", officer).status_code == lists
    assert desk.review(record_id, officer).status_code == looks


def test_of_many_the_longest_due_are_listed_and_all_are_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviewing, "MOST_LISTED", 2)
    for n in range(1, 6):
        desk.add("x" * n, retention=UNFOUNDED, since=f"2026-02-{n:02}")
    desk.on(date(2026, 12, 1))
    told = desk.told("GET", "/v1/retention/reviews", "ada").json()
    assert told["total"] == 5
    assert [each["day"] for each in told["reviews"]] == ["2026-08-01", "2026-08-02"]


@given(st.integers(0, 2**32 - 1), st.dates(FIRST_DAY, LAST_DAY))
def test_what_else_flags_say_is_left(flags: int, day: date) -> None:
    """The lower half is others'; the upper half is the day, and fits."""
    found = noted(flags, day)

    assert found & 0xFFFF == flags & 0xFFFF
    assert found >> 16 == (day - FIRST_DAY).days + 1
    assert found < 2**32


def test_a_correction_by_officers_counts_as_a_look(desk: Desk) -> None:
    """What a case puts right is looked at; how long the record is kept stays as it was said."""
    record_id = desk.add("righted", retention=UNFOUNDED, category="allegation")
    bench, custodian = desk.custodian.site.officers, desk.custodian
    asked: Json = {
        "remedy": Remedy.RECTIFY,
        "correction": {"category": "child-in-need"},
        "ground": "art-16",
        "evidence": {"accuracy": "file 1 of the tests"},
    }
    desk.on(date(2026, 9, 15))
    with custodian.unscheduled():
        case = custodian.call(lambda c: bench.approved_of(c, [record_id], **asked))
        custodian.call(lambda c: bench.step(c, "rita", case, Act.CARRY_OUT))
    found = custodian.call(lambda c: c.record(record_id))
    assert found is not None
    assert (found.version, found.body.category) == (2, "child-in-need")
    assert found.body.retention == Retention("allegation-unfounded", closed=date(2026, 1, 1))
    assert review_day(found, custodian.custody.classes) == date(2027, 3, 15)
    assert is_detached(found), "what else flags say is left"
