"""Supplementary statements: beside a record, never in it; and gone with it."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from keys.entry import EntryId, Kind
from lookup.custodian.custody import Custody
from lookup.custodian.records.contents import wanted_blobs
from lookup.custodian.records.supplements import MAX_STATEMENT, MOST_STATEMENTS
from lookup.officers.proposal import LiftHold, PlaceHold, WithdrawStatement
from lookup.officers.roles import Act
from tests.lookup.cli.commanding import lacuna
from tests.simulator import Custodian, Json, Site, import_lines, nhs, record

WORDS = "It was he who reported us.\n\nA court has since convicted him: order of 3 May."


def state(custodian: Custodian, record_id: EntryId, text: str = WORDS, name: str = "rita") -> Json:
    """Put a statement beside a record."""
    return custodian.desk.told(
        name, "POST", f"/v1/records/{record_id.hex()}/statements", {"text": text}
    )


def shown(custodian: Custodian, record_id: EntryId) -> list[Json]:
    """Return the statements that a reader of the record is shown."""
    read = custodian.desk.told("ana", "GET", f"/v1/records/{record_id.hex()}")
    return list(read["statements"])


def kept(custody: Custody) -> tuple[int, set[tuple[EntryId, int]]]:
    """Return how many entries of statements there are, and every blob's name."""
    return len(list(custody.vault.scan(Kind.SUPPLEMENT))), set(custody.store.blob_names())


def test_a_reader_of_the_record_is_shown_it(shared: Custodian) -> None:
    """As it was written, with its day, and who added it."""
    record_id = shared.add("shown", nhs(1))
    assert shown(shared, record_id) == []

    done = state(shared, record_id)

    day = shared.call(lambda custody: custody.today().isoformat())
    assert done == {"result": "added", "statement": done["statement"], "statements": 1}
    assert shown(shared, record_id) == [
        {"statement": done["statement"], "day": day, "text": WORDS, "officer": "rita"}
    ]


def test_it_is_there_after_a_restart() -> None:
    """In the order in which they were added where the days differ; all of them in any case."""
    with Site() as site:
        with site.open() as custodian:
            record_id = custodian.add("kept", nhs(1))
            for number in range(3):
                state(custodian, record_id, f"statement {number}")
        with site.open() as custodian:
            texts = {each["text"] for each in shown(custodian, record_id)}
            assert texts == {f"statement {number}" for number in range(3)}


def test_nothing_else_changes(shared: Custodian) -> None:
    """No epoch, version, view, answer, or leaf of the log: it is an addition to the map alone."""

    def look(custody: Custody) -> object:
        found = custody.record(record_id)
        assert custody.publication is not None
        return found, custody.vault.version.epoch, custody.view_number, custody.vault.log

    record_id = shared.add("unchanged", nhs(2))
    before, answer = shared.call(look), shared.outcome(nhs(2))
    state(shared, record_id)
    assert (shared.call(look), shared.outcome(nhs(2))) == (before, answer)
    assert answer == "known"


def test_the_same_words_again_change_nothing(shared: Custodian) -> None:
    """Whoever is not sure that they arrived may send them again."""
    record_id = shared.add("again", nhs(3))
    first = state(shared, record_id)
    before = shared.call(lambda custody: custody.vault.version)
    response = shared.desk.ask(
        "leo", "POST", f"/v1/records/{record_id.hex()}/statements", {"text": WORDS}
    )
    assert response.status_code == 200
    assert response.json() == first | {"result": "unchanged"}
    assert shared.call(lambda custody: custody.vault.version) == before


def test_a_record_has_eight_at_most(shared: Custodian) -> None:
    """The ninth is refused; each may be as long as the longest, in any script."""
    record_id = shared.add("many", nhs(4))
    longest = "\U00010348" * (MAX_STATEMENT - 1)
    for number in range(MOST_STATEMENTS):
        assert state(shared, record_id, longest + str(number))["statements"] == number + 1
    path = f"/v1/records/{record_id.hex()}/statements"
    refused = shared.desk.ask("rita", "POST", path, {"text": WORDS})
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "a record has at most 8 statements",
    )
    assert len(shown(shared, record_id)) == MOST_STATEMENTS


def test_a_record_under_a_case_takes_one_and_the_case_stays(shared: Custodian) -> None:
    """Its steps, its state, what was approved; readers of the case are told how many there are."""
    record_id = shared.add("case", nhs(5))
    case = shared.desk.take("ana", shared.desk.open([record_id]), Act.APPROVE)
    state(shared, record_id)
    after = shared.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
    assert [each.pop("statements") for each in after["named"]] == [1]
    assert [each.pop("statements") for each in case["named"]] == [0]
    assert after == case
    assert WORDS not in str(after)


def test_a_new_version_of_its_record_leaves_it(shared: Custodian) -> None:
    record_id = shared.add("version", nhs(6))
    state(shared, record_id)
    import_lines(shared.feed, [record("version", nhs(6), payload={"note": "corrected"})])
    assert [each["text"] for each in shown(shared, record_id)] == [WORDS]


def lose_nothing(custody: Custody, record_id: EntryId) -> None:
    """Leave store and map as they are."""
    del custody, record_id


def lose_the_text(custody: Custody, record_id: EntryId) -> None:
    """Take the statement's blob away, as a lost store does."""
    (supplement,) = custody.supplements.of(record_id)
    connection = custody.store._database.connection
    connection.execute("DELETE FROM blob WHERE id = ?", (supplement.blob,))


@pytest.mark.parametrize("lose", [lose_nothing, lose_the_text])
def test_it_leaves_with_its_record(
    custodian: Custodian, lose: Callable[[Custody, EntryId], None]
) -> None:
    """In the one epoch change that destroys the record, also where its text was lost."""
    record_id, other = custodian.add("leaves", nhs(1)), custodian.add("stays", nhs(2))
    state(custodian, other, "of another record")
    before = custodian.call(kept)
    state(custodian, record_id)
    custodian.call(lambda custody: lose(custody, record_id))
    epoch = custodian.call(lambda custody: custody.vault.version.epoch)

    custodian.shred(record_id)

    count, blobs = custodian.call(kept)
    assert (count, len(before[1] - blobs)) == (1, 1)
    assert blobs < before[1]
    assert custodian.call(lambda custody: custody.vault.version.epoch) == epoch + 1
    assert custodian.call(lambda custody: set(custody.supplements.by_record)) == {other}


def withdrawing(record_id: EntryId, done: Json, authority: str = "AXT") -> WithdrawStatement:
    """Return the change that takes a statement away."""
    return WithdrawStatement(
        record=record_id.hex(), statement=done["statement"], authority=authority
    )


@pytest.mark.parametrize("lose", [lose_nothing, lose_the_text])
def test_officers_who_agree_destroy_one_alone(
    site: Site, lose: Callable[[Custody, EntryId], None]
) -> None:
    """Its family wants that, or it was another family's; the record is answered as before."""
    with site.open() as custodian:
        record_id = custodian.add("alone", nhs(1))
        before = custodian.call(kept)
        mistaken = state(custodian, record_id, "beside the wrong record")
        custodian.call(lambda custody: lose(custody, record_id))
        state(custodian, record_id)
        epoch = custodian.call(lambda custody: custody.vault.version.epoch)

        custodian.desk.change(withdrawing(record_id, mistaken))

        count, blobs = custodian.call(kept)
        assert (count, len(blobs - before[1])) == (1, 1)
        # One for what the proposal's first approval replaces, one for the destruction.
        assert custodian.call(lambda custody: custody.vault.version.epoch) == epoch + 2
        assert [each["text"] for each in shown(custodian, record_id)] == [WORDS]
        assert custodian.outcome(nhs(1)) == "known"
    with site.open() as custodian:
        assert [each["text"] for each in shown(custodian, record_id)] == [WORDS]


def test_there_is_room_again_once_one_is_withdrawn(shared: Custodian) -> None:
    record_id = shared.add("room", nhs(7))
    done = [state(shared, record_id, f"{number}") for number in range(MOST_STATEMENTS)]
    shared.desk.change(withdrawing(record_id, done[3]))
    assert state(shared, record_id)["statements"] == MOST_STATEMENTS
    texts = [each["text"] for each in shown(shared, record_id)]
    assert texts == [*"012", *"4567", WORDS]


def test_only_one_that_is_there_is_withdrawn(shared: Custodian) -> None:
    """By its own record, of its own authority; and once."""
    record_id, other = shared.add("right", nhs(8)), shared.add("other", nhs(9))
    done = state(shared, record_id)
    for wrong in (
        withdrawing(other, done),
        withdrawing(record_id, done, authority="BSC"),
        withdrawing(record_id, {"statement": "0" * 32}),
        withdrawing(EntryId(bytes(16)), done),
    ):
        assert "no such statement" in shared.desk.refused_change(wrong)
    shared.desk.change(withdrawing(record_id, done))
    assert "no such statement" in shared.desk.refused_change(withdrawing(record_id, done))


def test_on_hold_it_stays(shared: Custodian) -> None:
    """An inquiry reads what the family has said, too; also where it was agreed on before."""
    record_id = shared.add("held", nhs(10))
    change = withdrawing(record_id, state(shared, record_id))
    desk = shared.desk
    proposal = bytes.fromhex(desk.propose(change).json()["proposal"])
    hold = desk.propose(PlaceHold(reason="inquiry", record=record_id.hex()), by="leo").json()
    desk.told(
        "ana",
        "POST",
        "/v1/officers/proposals/approve",
        desk.signer("ana").approval(proposal, change),
    )
    signed = desk.signer("leo").approval(proposal, change)
    refused = desk.ask("leo", "POST", "/v1/officers/proposals/approve", signed)
    assert (refused.status_code, "on hold" in refused.json()["detail"]) == (409, True)
    assert len(shown(shared, record_id)) == 1

    desk.change(LiftHold(hold=hold["proposal"]))
    assert "on hold" not in desk.ask("leo", "POST", "/v1/officers/proposals/approve", signed).text


def test_a_lost_text_is_said_to_be_lost(custodian: Custodian) -> None:
    """There was a statement, and who added it; the record is read all the same."""
    record_id = custodian.add("lost", nhs(1))
    state(custodian, record_id)
    custodian.call(lambda custody: lose_the_text(custody, record_id))
    assert [each["text"] for each in shown(custodian, record_id)] == [None]


def test_one_on_a_damaged_page_waits_for_a_person(
    custodian: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be destroyed whole is not destroyed: the record stays, and hospitals are told."""
    record_id = custodian.add("damaged", nhs(1))
    lost = bytes.fromhex(state(custodian, record_id)["statement"])
    waiting: AbstractContextManager[None] = custodian.unscheduled()
    with waiting, monkeypatch.context() as patched:
        vault = custodian.custody.vault
        scan = vault.scan_leaf
        patched.setattr(
            vault, "scan_leaf", lambda kind, at: [e for e in scan(kind, at) if e.id != lost]
        )
        case = custodian.desk.approved([record_id])
        refused = custodian.desk.step("rita", case, Act.CARRY_OUT)
        assert refused.status_code == 409
    assert custodian.outcome(nhs(1)) == "known"


def test_a_restore_looks_for_every_content(custodian: Custodian) -> None:
    """Of records, statements, cases, and what is parked: none is left behind."""
    record_id = custodian.add("restored", nhs(1))
    state(custodian, record_id)
    custodian.desk.open([record_id])
    import_lines(custodian.feed, [record("restored", nhs(1), payload={"note": "parked"})])

    def look(custody: Custody) -> tuple[set[tuple[EntryId, int]], set[tuple[EntryId, int]]]:
        return set(wanted_blobs(custody.vault)), set(custody.store.blob_names())

    wanted, there = custodian.call(look)
    assert wanted == there
    assert len(there) == 4


def test_a_restore_brings_it_back(site: Site) -> None:
    """From a mirror's pages and a backup's blobs: the statement, what the case says, what waits."""
    with site.open() as custodian:
        record_id = custodian.add("restored", nhs(1))
        state(custodian, record_id)
        case = custodian.desk.open([record_id], note="at the family's request")
        import_lines(custodian.feed, [record("restored", nhs(1), payload={"note": "parked"})])
        backup = {"folder": str(site.folder / "backup")}
        assert custodian.officer.post("/v1/local/backup", json=backup).status_code == 200
    shutil.rmtree(site.config.store)

    done = lacuna("--config", site.config.path, "restore", "--from", backup["folder"], "--json")

    assert (done.status, done.json["restored"], done.json["key_without_blob"]) == (0, 4, 0)
    with site.open() as custodian:
        assert [each["text"] for each in shown(custodian, record_id)] == [WORDS]
        now = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
        assert (now["content"]["note"], now["parked"]) == ("at the family's request", 1)
        custodian.desk.take("rita", now, Act.WITHDRAW)
        read = custodian.desk.told("ana", "GET", f"/v1/records/{record_id.hex()}")
        assert read["payload"] == {"note": "parked"}
