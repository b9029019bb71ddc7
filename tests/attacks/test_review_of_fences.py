"""A review of fences and cursors: how a destroyed record came back, and how a feed ended."""

from collections.abc import Iterator

import httpx2
import pytest

from keys.entry import EntryId, Kind
from lookup.cli.proposing import words_of
from lookup.custodian.records.draft import source_key
from lookup.custodian.records.fencing import MOST_FORMER
from lookup.officers.proposal import LiftFence, SetCursor
from lookup.officers.roles import Act
from tests.attacks.test_replay import HORIZON, destroyed, results
from tests.clocks import SetClocks
from tests.lookup.custodian.cases.test_remedies import carry_out, correcting, read, unlinking
from tests.simulator import Custodian, Json, Site, nhs, record

OLD, NEW = nhs(1), nhs(2)
YEARS = 10 * 366


@pytest.fixture
def clocks() -> SetClocks:
    return SetClocks()


@pytest.fixture
def site(clocks: SetClocks) -> Iterator[Site]:
    with Site() as made:
        made.clocks = clocks
        yield made


def chores(custodian: Custodian) -> None:
    """Do what each day brings."""
    custodian.call(lambda custody: custody.purge(custody.clock()))


class TestWrongClock:
    """A wall clock that is years ahead for a moment, and right again after."""

    def test_takes_no_fence_away(self, site: Site, clocks: SetClocks) -> None:
        """The daily chores run in that moment."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            clocks.let_days_pass(1)
            clocks.at += YEARS * 24 * 3_600
            chores(custodian)
            clocks.at -= YEARS * 24 * 3_600
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
            assert custodian.outcome(OLD) == "no-record"
        with site.open() as custodian:
            assert results(custodian, record("malicious", OLD)) == ["fenced"]

    def test_lets_nothing_past_a_fence(self, site: Site, clocks: SetClocks) -> None:
        """Tonight's feed comes in that moment."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            clocks.at += YEARS * 24 * 3_600
            assert results(custodian, record("malicious", OLD)) == ["fenced"]

    def test_shortens_no_horizon(self, site: Site, clocks: SetClocks) -> None:
        """It is set by years between destruction and chores, and stays so."""
        with site.open() as custodian:
            destroyed(custodian, "malicious")
            clocks.at += YEARS * 24 * 3_600
            clocks.let_days_pass(HORIZON - 1)
            chores(custodian)
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
            clocks.let_days_pass(2)
            chores(custodian)
            assert results(custodian, record("malicious", OLD)) == ["added"]


class TestTwoFences:
    """Stored again after the horizon, and destroyed again: one reference, two fences."""

    def test_the_one_that_is_over_takes_none_that_stands_with_it(
        self, site: Site, clocks: SetClocks
    ) -> None:
        """Not when the chores remove it, and not over a start."""
        with site.open() as custodian:
            twice(custodian, clocks)
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
            chores(custodian)
            assert custodian.call(lambda custody: len(custody.fences.fences)) == 1
            assert results(custodian, record("malicious", OLD)) == ["fenced"]
        with site.open() as custodian:
            assert results(custodian, record("malicious", OLD)) == ["fenced"]

    def test_both_end(self, site: Site, clocks: SetClocks) -> None:
        """One by one, and no chores of any day end the process."""
        with site.open() as custodian:
            twice(custodian, clocks)
            chores(custodian)
            clocks.let_days_pass(HORIZON + 1)
            chores(custodian)
            assert custodian.call(lambda custody: custody.fences.fences) == {}
            assert results(custodian, record("malicious", OLD)) == ["added"]

    def test_officers_lift_both(self, site: Site, clocks: SetClocks) -> None:
        """They have signed that the record may be stored, not that one fence fewer stands."""
        with site.open() as custodian:
            twice(custodian, clocks)
            custodian.desk.change(LiftFence(authority="AXT", source_ref="malicious"))
            assert custodian.call(lambda custody: custody.fences.fences) == {}
            chores(custodian)
            assert results(custodian, record("malicious", OLD)) == ["added"]


class TestRenamed:
    """A record that an update gave another reference; an old delivery has it under the old one."""

    def test_is_fenced_under_every_reference_that_it_had(self, site: Site) -> None:
        """Over a start, and also under one that it had twice."""
        with site.open() as custodian:
            record_id = custodian.add("first", OLD)
            for version, name in enumerate(("second", "first", "last"), start=1):
                assert rename(custodian, record_id, version, name) == "updated"
        with site.open() as custodian:
            custodian.shred(record_id)
            again = [record(each, OLD) for each in ("first", "second", "last")]
            assert results(custodian, *again) == ["fenced"] * 3
            assert custodian.outcome(OLD) == "no-record"
        with site.open() as custodian:
            assert results(custodian, *again) == ["fenced"] * 3

    def test_leaves_its_old_reference_free_while_it_lives(self, site: Site) -> None:
        """It may be another child's rightly, mistyped before: a wrong *no record* costs more."""
        with site.open() as custodian:
            record_id = custodian.add("typo", OLD)
            rename(custodian, record_id, 1, "right")
            assert results(custodian, record("typo", NEW)) == ["added"]
            assert [custodian.outcome(each) for each in (OLD, NEW)] == ["known", "known"]

    def test_takes_nobody_elses_updates_with_it(self, site: Site) -> None:
        """What is stored under the old reference by then goes on being taken."""
        with site.open() as custodian:
            record_id = custodian.add("typo", OLD)
            rename(custodian, record_id, 1, "right")
            results(custodian, record("typo", NEW))
            custodian.shred(record_id)
            changed = record("typo", NEW, payload={"note": "new"})
            assert results(custodian, changed, record("right", OLD)) == ["updated", "fenced"]
            assert [custodian.outcome(each) for each in (OLD, NEW)] == ["no-record", "known"]

    def test_is_let_through_by_several(self, site: Site) -> None:
        """Where the old reference was right for a child that nobody had sent yet."""
        with site.open() as custodian:
            record_id = custodian.add("typo", OLD)
            rename(custodian, record_id, 1, "right")
            custodian.shred(record_id)
            custodian.desk.change(LiftFence(authority="AXT", source_ref="typo"))
            again = [record("typo", NEW), record("right", OLD)]
            assert results(custodian, *again) == ["added", "fenced"]

    def test_keeps_no_name_that_may_say_what_a_case_took_off(self, site: Site) -> None:
        """Whoever has the vault, and tries every number, would have the link back."""
        said = OLD.partition(":")[2]
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add(f"x-{said}", OLD, NEW)
            rename(custodian, record_id, 1, "nameless", OLD, NEW)
            mark = custodian.custody.fences.mark("AXT", f"x-{said}")
            assert mark in entry(custodian, record_id)
            carry_out(custodian, record_id, unlinking(OLD))
            assert mark not in entry(custodian, record_id)

    def test_is_remembered_after_a_correction(self, site: Site) -> None:
        """By a case, which makes another version of it."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("first", OLD)
            rename(custodian, record_id, 1, "last")
            carry_out(custodian, record_id, correcting(since="2026-01-03"))
            custodian.desk.expunge(record_id)
            assert results(custodian, record("first", OLD)) == ["fenced"]

    def test_loses_no_reference_by_many(self, site: Site) -> None:
        """Whoever renames it often drops none; it is refused, and what is there stays."""
        with site.open() as custodian:
            record_id = custodian.add("0", OLD)
            for number in range(1, MOST_FORMER + 1):
                assert rename(custodian, record_id, number, str(number)) == "updated"
            refused = put(custodian, record_id, MOST_FORMER + 1, record("more", OLD))
            assert refused.status_code == 409
            assert rename(custodian, record_id, MOST_FORMER + 1, "0") == "updated"
            custodian.shred(record_id)
            again = [record(str(number), OLD) for number in range(MOST_FORMER + 1)]
            assert results(custodian, *again) == ["fenced"] * (MOST_FORMER + 1)


class TestWrongCursor:
    """A slip, or one registrar: a number so great that nothing comes after it."""

    LAST = (1 << 63) - 1
    BACK = SetCursor(authority="AXT", cursor=3)

    @pytest.fixture
    def site(self, site: Site) -> Site:
        count(site, cursor=True)
        return site

    @pytest.fixture
    def custodian(self, site: Site) -> Iterator[Custodian]:
        """One whose feed has sent three records, of which one was destroyed, and the number."""
        with site.open() as custodian:
            assert results(custodian, *self.batch) == ["added"] * 3
            custodian.shred(custodian.call(lambda c: c.sources[source_key("AXT", "malicious")]))
            assert results(custodian, record("typo", nhs(9), cursor=self.LAST)) == ["added"]
            yield custodian

    batch = (
        record("one", nhs(11), cursor=1),
        record("malicious", OLD, cursor=2),
        record("three", nhs(13), cursor=3),
    )

    def test_does_not_end_a_feed_for_ever(self, site: Site, custodian: Custodian) -> None:
        """Officers set it back; until then the feed hears that nothing of it is stored."""
        plan = record("plan", NEW, cursor=4)
        assert results(custodian, plan) == ["replayed"]
        custodian.desk.change(self.BACK)
        assert results(custodian, plan) == ["added"]
        assert custodian.outcome(NEW) == "known"
        custodian.stop()
        with site.open() as again:
            assert results(again, plan, record("more", NEW, cursor=5)) == ["replayed", "added"]

    def test_that_is_set_back_leaves_what_was_sent_before_replayed(
        self, custodian: Custodian
    ) -> None:
        """Whatever came up to the cursor that was right is behind it again."""
        custodian.desk.change(self.BACK)
        assert results(custodian, *self.batch) == ["replayed"] * 3

    def test_that_is_set_back_is_trusted_alone_no_more(self, custodian: Custodian) -> None:
        """From then on what is destroyed is fenced: the feed may be set back once more."""
        custodian.desk.change(self.BACK)
        assert results(custodian, record("late", OLD, cursor=4)) == ["added"]
        custodian.shred(custodian.call(lambda c: c.sources[source_key("AXT", "late")]))
        custodian.desk.change(SetCursor(authority="AXT", cursor=0))
        assert results(custodian, record("late", OLD, cursor=4)) == ["fenced"]
        assert custodian.outcome(OLD) == "no-record"

    def test_brings_nothing_back_that_was_sent_with_it(self, custodian: Custodian) -> None:
        """The cursor is set back, a rogue's record destroyed, and sent once more."""
        custodian.desk.change(self.BACK)
        custodian.shred(custodian.call(lambda c: c.sources[source_key("AXT", "typo")]))
        assert results(custodian, record("typo", nhs(9), cursor=self.LAST)) == ["fenced"]

    def test_that_is_set_back_too_far_is_what_officers_have_signed(
        self, custodian: Custodian
    ) -> None:
        """Of a feed that was believed until then nothing is remembered: the words say so."""
        change = SetCursor(authority="AXT", cursor=0)
        office = custodian.desk.told("ada", "GET", "/v1/officers")
        said = words_of(office, {"change": "set-cursor", "authority": "AXT", "cursor": 0})
        assert "also what was sent before, and what was destroyed before" in said
        custodian.desk.change(change)
        assert results(custodian, *self.batch) == ["unchanged", "added", "unchanged"]

    def test_that_is_set_back_undoes_no_case_that_took_a_child_off(
        self, site: Site, custodian: Custodian
    ) -> None:
        """Old sendings come beyond it: what says the record as it is, then what links the child."""
        sent = [record("two", NEW, cursor=5), record("two", NEW, OLD, cursor=6)]
        custodian.desk.change(self.BACK)
        assert results(custodian, *sent) == ["added", "updated"]
        record_id = custodian.call(lambda c: c.sources[source_key("AXT", "two")])
        with custodian.unscheduled():
            carry_out(custodian, record_id, unlinking(OLD))
        custodian.desk.change(self.BACK)
        custodian.stop()
        with site.open() as again:
            assert results(again, *sent) == ["unchanged", "detached"]
            assert [again.outcome(each) for each in (OLD, NEW)] == ["no-record", "known"]

    def test_is_set_back_by_nobody_alone(self, custodian: Custodian) -> None:
        """It lets in what was refused; so it needs as many as whatever else does."""
        assert custodian.desk.propose(self.BACK).status_code == 201
        assert custodian.desk.propose(self.BACK, by="feed").status_code == 403
        assert results(custodian, record("plan", NEW, cursor=4)) == ["replayed"]

    @pytest.mark.parametrize("cursor", [3, 4, LAST])
    def test_is_made_by_no_officers_slip(self, custodian: Custodian, cursor: int) -> None:
        """A cursor is never set forward, nor one where a feed has sent none."""
        custodian.desk.change(self.BACK)
        for authority in ("AXT", "BSC"):
            change = SetCursor(authority=authority, cursor=cursor)
            assert "set back alone" in custodian.desk.refused_change(change)

    def test_is_told_to_officers(self, custodian: Custodian) -> None:
        """Beside the rules: who is to set it back sees how far the feed has come."""
        told = custodian.desk.told("ada", "GET", "/v1/officers")["cursors"]
        assert told == {"AXT": self.LAST}


class TestFeedThatCountsNoMore:
    """The configuration takes its cursor from a feed, or gives it one."""

    @pytest.mark.parametrize("counts", [True, False])
    def test_loses_nothing_that_waits(self, site: Site, *, counts: bool) -> None:
        """What was parked for a case is stored when the case ends, in either direction."""
        first, then = ({"cursor": 1}, {"cursor": 2}) if counts else ({}, {})
        count(site, cursor=counts)
        with site.open() as custodian:
            record_id = custodian.add("one", OLD, **first)
            case = custodian.desk.open([record_id])
            changed = record("one", OLD, payload={"note": "new"}, **then)
            assert results(custodian, changed) == ["parked"]
        count(site, cursor=not counts)
        with site.open() as custodian:
            custodian.desk.take("rita", case, Act.WITHDRAW)
            assert read(custodian, record_id)["payload"] == {"note": "new"}


def count(site: Site, *, cursor: bool) -> None:
    """Let a feed's records have a cursor, or none."""
    site.tables["authority"] = [
        each | ({"cursor": cursor} if each["code"] == "AXT" else {})
        for each in site.tables["authority"]
    ]
    site.configure()


def put(custodian: Custodian, record_id: EntryId, version: int, members: Json) -> httpx2.Response:
    path, headers = f"/v1/records/{record_id.hex()}", {"if-match": f'"{version}"'}
    return custodian.feed.put(path, json=members, headers=headers)


def rename(
    custodian: Custodian, record_id: EntryId, version: int, name: str, *identifiers: str
) -> str:
    """Give a record another reference, as an ordinary update does."""
    response = put(custodian, record_id, version, record(name, *(identifiers or (OLD,))))
    assert response.status_code == 200, response.text
    return str(response.json()["result"])


def entry(custodian: Custodian, record_id: EntryId) -> bytes:
    """Return all that the map keeps of a record."""
    found = custodian.call(lambda custody: custody.vault.get(Kind.RECORD, record_id))
    assert found is not None
    return found.encode()


def twice(custodian: Custodian, clocks: SetClocks) -> None:
    """Destroy a record, and again what is stored of it after its horizon, before the chores."""
    destroyed(custodian, "malicious")
    clocks.let_days_pass(HORIZON + 1)
    destroyed(custodian, "malicious")
