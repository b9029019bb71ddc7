"""Carrying cases out; that nothing readable is left is tests/attacks' business."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack

import msgspec
import pytest

from keys.entry import EntryId, Kind, new_entry_id
from lookup.cases.content import Named
from lookup.custodian.cases import carrying_out
from lookup.custodian.cases.carrying_out import CarriedOut, tend
from lookup.custodian.cases.case import Case
from lookup.custodian.cases.certifying import certificates, issue
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import add
from lookup.errors import Conflict
from lookup.officers.roles import Act
from lookup.transparency.certificate import leaf_of
from tests.certificates import waiting
from tests.clocks import SetClocks
from tests.lookup.raw_http import WAIT, wait_until
from tests.simulator import Custodian, Site, nhs, record


@pytest.fixture(autouse=True)
def unscheduled(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is due waits for the test to say so."""
    with ExitStack() as waiting_for_it:
        for name in {"shared", "custodian"} & set(request.fixturenames):
            waiting_for_it.enter_context(request.getfixturevalue(name).unscheduled())
        yield


def approved(custodian: Custodian, *record_ids: EntryId) -> Case:
    """Return a case that is due."""
    bench = custodian.site.officers
    return custodian.call(lambda custody: bench.approved_of(custody, record_ids))


def certified(custody: Custody) -> list[int]:
    """Return, for each certificate, how many leaves of the log are its statement's."""
    leaves = list(custody.store.log.leaves(0))
    found = [(each.position, leaf_of(each.statement, each.nonce)) for each in certificates(custody)]
    assert all(leaves[position] == leaf for position, leaf in found)
    return [leaves.count(leaf) for _, leaf in found]


def test_a_destroyed_record_is_nowhere(custodian: Custodian) -> None:
    """No entry, no blob, no link, no source, no case; only what keeps a feed from sending it again.

    A new concern about the child is taken.
    """
    record_id = custodian.add("one", nhs(1), nhs(2))

    said = custodian.desk.expunge(record_id)

    assert said["record_ids"] == [record_id.hex()]
    assert said["certain"]
    assert said["demo"]
    assert said["confirmed"][0]["class"] == "D"
    assert custodian.call(lambda custody: custody.vault.get(Kind.RECORD, record_id)) is None
    assert custodian.call(lambda custody: list(custody.store.blob_names())) == []
    assert custodian.call(lambda custody: custody.sources) == {}
    for kind in (Kind.CASE, Kind.STEP):
        assert custodian.call(lambda custody, kind=kind: list(custody.vault.scan(kind))) == []  # type: ignore[misc]
    assert custodian.call(lambda custody: custody.docket.cases) == {}
    assert custodian.call(lambda custody: custody.docket.watched) == {}
    assert [custodian.outcome(nhs(1)), custodian.outcome(nhs(2))] == ["no-record", "no-record"]
    assert custodian.feed.get(f"/v1/records/{record_id.hex()}").status_code == 404
    assert custodian.feed.post("/v1/records", json=record("one", nhs(1))).status_code == 409
    assert custodian.add("another", nhs(1)) != record_id
    assert custodian.outcome(nhs(1)) == "known"


def test_destroyed_and_never_stored_are_told_in_the_same_words(shared: Custodian) -> None:
    record_id = shared.add("words", nhs(10))
    shared.desk.expunge(record_id)
    gone, never = (
        shared.feed.get(f"/v1/records/{each.hex()}")
        for each in (record_id, new_entry_id(Kind.RECORD))
    )
    assert (gone.status_code, gone.content) == (never.status_code, never.content)


def test_a_case_of_many_records_is_one_epoch_change(shared: Custodian) -> None:
    ids = [shared.add(f"batch-{n}", nhs(20 + n)) for n in range(30)]
    before = shared.call(lambda custody: custody.vault.version.epoch)
    said = shared.desk.expunge(*ids)
    assert said["epoch"] == before + 1
    assert len(said["certificates"]) == 1
    assert {shared.outcome(nhs(20 + n)) for n in range(30)} == {"no-record"}


def test_all_that_is_due_shares_one_epoch_change(custodian: Custodian) -> None:
    """And each case has a certificate of its own, once in the log."""
    ids = [custodian.add(f"due-{n}", nhs(n)) for n in range(5)]
    kept = custodian.add("kept", nhs(6))
    for each in ids:
        approved(custodian, each)
    before = custodian.call(lambda custody: custody.vault.version.epoch)

    custodian.call(tend)

    assert custodian.call(lambda custody: custody.vault.version.epoch) == before + 1
    assert [custodian.outcome(nhs(n)) for n in range(5)] == ["no-record"] * 5
    assert custodian.call(lambda custody: set(custody.sources.values())) == {kept}
    assert custodian.call(certified) == [1] * 5


def test_no_epoch_change_destroys_more_than_so_many_cases(
    custodian: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over waits for the next one, which follows at once."""
    monkeypatch.setattr(carrying_out, "MOST_AT_ONCE", 2)
    for n in range(5):
        approved(custodian, custodian.add(f"due-{n}", nhs(n)))
    before = custodian.call(lambda custody: custody.vault.version.epoch)

    custodian.call(tend)

    assert custodian.call(lambda custody: custody.vault.version.epoch) == before + 3
    assert custodian.call(certified) == [1] * 5


def test_what_is_due_is_carried_out_in_an_idle_moment(site: Site) -> None:
    """Nobody has to say so, and metrics count it."""
    with site.open() as custodian:
        record_id = custodian.add("idle", nhs(1))
        approved(custodian, record_id)
        wait_until(lambda: custodian.outcome(nhs(1)) == "no-record")
        status = custodian.officer.get("/v1/local/status").json()
        assert status["work"]["destroyed"] == 1
        assert custodian.call(certified) == [1]
        assert custodian.failures == []


def test_what_was_due_when_it_stopped_is_carried_out_by_the_next_one(site: Site) -> None:
    with site.open() as custodian, custodian.unscheduled():
        record_id = custodian.add("due", nhs(1))
        approved(custodian, record_id)
        custodian.stop()
    with site.open() as custodian:
        wait_until(lambda: custodian.call(lambda custody: custody.record(record_id)) is None)
        assert custodian.outcome(nhs(1)) == "no-record"
        assert custodian.call(certified) == [1]


def test_one_record_that_is_not_there_saves_all_the_others(shared: Custodian) -> None:
    """A wrong id means that somebody is mistaken about something: no such case is opened."""
    ids = [shared.add(f"saved-{n}", nhs(60 + n)) for n in range(2)]
    wanted = [*ids, new_entry_id(Kind.RECORD)]
    body = {"record_ids": [each.hex() for each in wanted]}
    seen = shared.desk.ask("rita", "POST", "/v1/cases/preview", body)
    assert seen.status_code == 404
    assert seen.json()["type"] == "urn:lacuna:problem:record-not-found"
    content = shared.desk.content(ids)
    named = sorted([*content.records, Named(wanted[-1].hex(), 1)])
    content = msgspec.structs.replace(content, records=named)
    signed = shared.desk.signer("rita").opening(content)
    said = shared.desk.ask("rita", "POST", "/v1/cases", signed)
    assert said.status_code == 404
    assert said.json()["type"] == "urn:lacuna:problem:record-not-found"
    assert [shared.outcome(nhs(60 + n)) for n in range(2)] == ["known", "known"]


def test_a_case_one_of_whose_records_was_lost_waits_for_a_person(
    custodian: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler destroys the whole of what was approved, or nothing of it."""
    ids = [custodian.add(f"lost-{n}", nhs(n)) for n in range(2)]
    case = approved(custodian, *ids)
    vault = custodian.custody.vault
    get = vault.get

    with monkeypatch.context() as patched:
        patched.setattr(
            vault, "get", lambda kind, each: None if each == ids[1] else get(kind, each)
        )
        custodian.call(tend)

    assert custodian.call(lambda custody: list(custody.docket.cases)) == [case.id]
    assert [custodian.outcome(nhs(n)) for n in range(2)] == ["known", "known"]


def test_an_id_twice_is_one_record(shared: Custodian) -> None:
    record_id = shared.add("twice", nhs(70))
    assert shared.desk.expunge(record_id, record_id)["record_ids"] == [record_id.hex()]


@pytest.mark.parametrize("ground", ["because", "", "art-17-1", "art-17-1-h"])
def test_the_ground_is_one_of_the_law(shared: Custodian, ground: str) -> None:
    """A code: words could name somebody. The seven that there are have tests of their own."""
    record_id = shared.add(f"ground-{ground}", nhs(80))
    content = shared.desk.content([record_id], ground=ground)
    said = shared.desk.ask("rita", "POST", "/v1/cases", shared.desk.signer("rita").opening(content))
    assert said.status_code == 400
    assert shared.call(lambda custody: custody.record(record_id)) is not None


def test_two_records_of_one_child(shared: Custodian) -> None:
    """The child is known for as long as one of them is there."""
    ids = [shared.add(f"child-{n}", nhs(90)) for n in range(2)]
    shared.desk.expunge(ids[0])
    assert shared.outcome(nhs(90)) == "known"
    shared.desk.expunge(ids[1])
    assert shared.outcome(nhs(90)) == "no-record"


def test_destructions_and_additions_that_wait_together(shared: Custodian) -> None:
    """Each is what it says, in the order in which they came."""
    bench = shared.site.officers
    drafts = [shared.site.draft(f"group-{n}", nhs(100 + n)) for n in range(3)]
    ids = [shared.change(add(draft)).record_id for draft in drafts]
    held: Future[None] = Future()
    shared.writer.call(lambda _: held.result(10))

    def expunge(record_id: EntryId) -> Future[CarriedOut]:
        return shared.writer.call(lambda custody: bench.expunge(custody, record_id))

    gone = [expunge(each) for each in ids]
    new = shared.writer.change(add(shared.site.draft("group-new", nhs(110))))
    again = shared.writer.change(add(shared.site.draft("group-again", nhs(100))))
    old = shared.writer.change(add(drafts[0]))
    held.set_result(None)
    epochs = [each.result(10).destruction.epoch for each in gone]
    assert epochs == list(range(epochs[0], epochs[0] + 3))
    assert new.result(10).result == again.result(10).result == "added"
    assert again.result(10).record_id not in ids
    with pytest.raises(Conflict, match="was destroyed"):
        old.result(10)
    outcomes = [shared.outcome(nhs(100 + n)) for n in (0, 1, 2, 10)]
    assert outcomes == ["known", "no-record", "no-record", "known"]


def test_nothing_of_an_earlier_version_is_needed_to_destroy_a_later_one(shared: Custodian) -> None:
    record_id = shared.add("later", nhs(120))
    members = record("later", nhs(121))
    path = f"/v1/records/{record_id.hex()}"
    assert shared.feed.put(path, json=members, headers={"if-match": '"1"'}).status_code == 200
    shared.desk.expunge(record_id)
    assert shared.outcome(nhs(120)) == shared.outcome(nhs(121)) == "no-record"


class Cut(Exception):
    """Here the process dies."""


def cut(_: object) -> None:
    """Die."""
    raise Cut


def test_a_custodian_that_died_before_it_certified_leaves_it_to_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One certificate, one leaf; also where the clock on the wall was set back meanwhile."""
    clocks = site.clocks = SetClocks()
    with site.open() as custodian, custodian.unscheduled():
        record_id = custodian.add("cut", nhs(1))
        case = approved(custodian, record_id)
        monkeypatch.setattr(carrying_out, "issue", cut)
        with pytest.raises(Cut):
            custodian.call(lambda custody: site.officers.step(custody, "rita", case, Act.CARRY_OUT))
        monkeypatch.undo()
        assert custodian.call(certified) == []
        assert len(custodian.call(waiting)) == 1
        custodian.stop()
    clocks.at -= 86_400
    for _ in range(2):
        with site.open() as custodian:
            assert custodian.call(waiting) == []
            (found,) = custodian.call(certificates)
            assert found.statement.certificate == case.certificate.hex()
            assert found.statement.destroyed_at == found.statement.effective_not_before
            assert custodian.call(certified) == [1]


class TestLaggingSlot:
    """Whoever has it and an old backup can read on: nothing is certified before it is heard of."""

    @pytest.fixture
    def away(self) -> Iterator[tuple[Site, Case]]:
        """A case that was carried out while a slot was away."""
        with Site(slots=2) as site:
            slot = site.folder / "slot-1"
            with site.open() as custodian, custodian.unscheduled():
                record_id = custodian.add("lagging", nhs(1))
                case = approved(custodian, record_id)
                slot.rename(site.folder / "away")
                done = custodian.call(
                    lambda custody: site.officers.step(custody, "rita", case, Act.CARRY_OUT)
                )
                assert done.carried_out is not None
                assert len(done.carried_out.destruction.lagging) == 1
                assert custodian.outcome(nhs(1)) == "no-record"
                assert custodian.call(certified) == []
            yield site, case

    def test_its_certificate_waits_over_starts(self, away: tuple[Site, Case]) -> None:
        site, _ = away
        for _ in range(2):
            with site.open() as custodian:
                custodian.call(issue)
                custodian.call(tend)
                assert custodian.call(certified) == []
                status = custodian.officer.get("/v1/local/status").json()
                assert status["cases"]["certificates_waiting"] == 1

    def test_it_comes_when_the_slot_comes_back(self, away: tuple[Site, Case]) -> None:
        """At a start that reaches the slot."""
        site, case = away
        (site.folder / "away").rename(site.folder / "slot-1")
        with site.open() as custodian:
            (found,) = custodian.call(certificates)
            assert found.statement.certificate == case.certificate.hex()
            assert len(found.statement.slots) == 2
            assert found.statement.lost_slots == ()
            assert custodian.call(certified) == [1]

    def test_it_comes_when_the_slot_is_signed_off_as_lost(self, away: tuple[Site, Case]) -> None:
        """And says so; nobody has to ask for it."""
        site, case = away
        with site.open() as custodian:
            (lagging,) = custodian.call(lambda custody: custody.vault.lagging)
            custodian.call(lambda custody: custody.vault.remove_slot(lagging))
            wait_until(lambda: custodian.call(certified) == [1], WAIT)
            (found,) = custodian.call(certificates)
            assert found.statement.certificate == case.certificate.hex()
            assert found.statement.lost_slots == (lagging.hex(),)
            assert custodian.failures == []


def test_a_record_takes_with_it_every_case_that_names_it(custodian: Custodian) -> None:
    """Also one that was withdrawn: what it says is about the same child."""
    record_id = custodian.add("named", nhs(1))
    bench = custodian.site.officers
    withdrawn = custodian.call(lambda custody: bench.case_of(custody, [record_id]))
    custodian.call(lambda custody: bench.step(custody, "rita", withdrawn, Act.WITHDRAW))
    assert custodian.call(lambda custody: list(custody.docket.cases)) == [withdrawn.id]

    custodian.desk.expunge(record_id)

    assert custodian.call(lambda custody: custody.docket.cases) == {}
    assert custodian.call(lambda custody: list(custody.store.blob_names())) == []
    assert custodian.call(certified) == [1]
