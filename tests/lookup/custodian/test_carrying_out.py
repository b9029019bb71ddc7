"""Shredding over the officers' socket; that nothing readable is left is tests/attacks' business."""

from concurrent.futures import Future

import pytest
from lookup.custodian.shredding import Reason, shred

from keys.entry import EntryId, Kind, new_entry_id
from lookup.custodian.adding import add
from tests.simulator import Custodian, Json, nhs, record


def ask_to_shred(custodian: Custodian, *ids: EntryId, reason: str = "art-17-1-g") -> Json:
    wanted = {"record_ids": [each.hex() for each in ids], "reason": reason}
    response = custodian.officer.post("/v1/local/shred", json=wanted)
    return {"status": response.status_code, **response.json()}


def test_a_shredded_record_is_nowhere(shared: Custodian) -> None:
    """No entry, no blob, no link, no source: the authority may say it anew, as a new record."""
    record_id = shared.add("one", nhs(1), nhs(2))
    said = ask_to_shred(shared, record_id)
    assert said["record_ids"] == [record_id.hex()]
    assert said["certain"]
    assert said["demo"]
    assert said["confirmed"][0]["class"] == "D"
    assert shared.call(lambda custody: custody.vault.get(Kind.RECORD, record_id)) is None
    assert shared.call(lambda custody: list(custody.store.blob_names())) == []
    assert shared.call(lambda custody: custody.sources) == {}
    assert [shared.outcome(nhs(1)), shared.outcome(nhs(2))] == ["no-record", "no-record"]
    assert shared.feed.get(f"/v1/records/{record_id.hex()}").status_code == 404
    assert shared.add("one", nhs(1)) != record_id


def test_shredded_and_never_stored_are_told_in_the_same_words(shared: Custodian) -> None:
    record_id = shared.add("words", nhs(10))
    shared.shred(record_id)
    gone, never = (
        shared.feed.get(f"/v1/records/{each.hex()}")
        for each in (record_id, new_entry_id(Kind.RECORD))
    )
    assert (gone.status_code, gone.content) == (never.status_code, never.content)


def test_a_batch_is_one_epoch_change(shared: Custodian) -> None:
    ids = [shared.add(f"batch-{n}", nhs(20 + n)) for n in range(30)]
    before = shared.call(lambda custody: custody.vault.version.epoch)
    said = ask_to_shred(shared, *ids)
    assert said["epoch"] == before + 1
    assert {shared.outcome(nhs(20 + n)) for n in range(30)} == {"no-record"}


def test_one_record_that_is_not_there_saves_all_the_others(shared: Custodian) -> None:
    """A wrong id means that somebody is mistaken about something."""
    ids = [shared.add(f"saved-{n}", nhs(60 + n)) for n in range(2)]
    said = ask_to_shred(shared, ids[0], new_entry_id(Kind.RECORD), ids[1])
    assert said["status"] == 404
    assert said["type"] == "urn:lacuna:problem:record-not-found"
    assert said["detail"] == "1 of 3 records are not there; none was shredded"
    assert [shared.outcome(nhs(60 + n)) for n in range(2)] == ["known", "known"]


def test_an_id_twice_is_one_record(shared: Custodian) -> None:
    record_id = shared.add("twice", nhs(70))
    assert ask_to_shred(shared, record_id, record_id)["record_ids"] == [record_id.hex()]


@pytest.mark.parametrize("reason", [*Reason, "because", ""])
def test_the_reason_is_one_of_the_law(shared: Custodian, reason: str) -> None:
    """A code: words could name somebody."""
    record_id = shared.add(f"reason-{reason}", nhs(80))
    said = ask_to_shred(shared, record_id, reason=reason)
    assert said["status"] == (200 if reason in set(Reason) else 400)
    assert said.get("reason") == (reason if reason in set(Reason) else None)


def test_two_records_of_one_child(shared: Custodian) -> None:
    """The child is known for as long as one of them is there."""
    ids = [shared.add(f"child-{n}", nhs(90)) for n in range(2)]
    shared.shred(ids[0])
    assert shared.outcome(nhs(90)) == "known"
    shared.shred(ids[1])
    assert shared.outcome(nhs(90)) == "no-record"


def test_shreds_and_additions_of_one_group(shared: Custodian) -> None:
    """They share an epoch change, and each is what it says."""
    drafts = [shared.site.draft(f"group-{n}", nhs(100 + n)) for n in range(3)]
    ids = [shared.change(add(draft)).record_id for draft in drafts]
    held: Future[None] = Future()
    shared.writer.call(lambda _: held.result(10))
    gone = [shared.writer.change(shred([each])) for each in ids]
    new = shared.writer.change(add(shared.site.draft("group-new", nhs(110))))
    again = shared.writer.change(add(drafts[0]))
    held.set_result(None)
    epochs = {each.result(10).destruction.epoch for each in gone}
    assert len(epochs) == 1
    assert new.result(10).result == again.result(10).result == "added"
    assert again.result(10).record_id not in ids
    outcomes = [shared.outcome(nhs(100 + n)) for n in (0, 1, 2, 10)]
    assert outcomes == ["known", "no-record", "no-record", "known"]


def test_nothing_of_an_earlier_version_is_needed_to_shred_a_later_one(shared: Custodian) -> None:
    record_id = shared.add("later", nhs(120))
    members = record("later", nhs(121))
    path = f"/v1/records/{record_id.hex()}"
    assert shared.feed.put(path, json=members, headers={"if-match": '"1"'}).status_code == 200
    shared.shred(record_id)
    assert shared.outcome(nhs(120)) == shared.outcome(nhs(121)) == "no-record"
