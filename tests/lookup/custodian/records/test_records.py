"""Adding, reading and changing records over HTTP, and what workers answer by then."""

import json
from concurrent.futures import Future
from datetime import date, timedelta

import pytest

from keys.entry import Kind
from lookup.custodian.records.adding import Stored, add, add_or_change
from lookup.custodian.table.publishing import Publication
from lookup.errors import Conflict
from tests.simulator import Custodian, Json, Site, nhs, record

JSON = {"content-type": "application/json"}


def put(custodian: Custodian, record_id: str, members: Json, etag: str) -> tuple[int, Json]:
    response = custodian.feed.put(
        f"/v1/records/{record_id}", json=members, headers={"if-match": etag}
    )
    return response.status_code, response.json()


def test_a_record_is_kept_as_it_came(shared: Custodian) -> None:
    """Every member comes back, in canonical form; the payload byte for byte."""
    payload = b'{"b": 1.0,  "a":"\\u00e9", "a":[null]}'
    members = record("keep", nhs(2), nhs(1).upper(), until="2027-01-01")
    body = json.dumps(members).encode().replace(json.dumps(members["payload"]).encode(), payload)
    made = shared.feed.post("/v1/records", content=body, headers=JSON)
    assert made.status_code == 201
    record_id = made.json()["record_id"]
    assert made.json() == {"result": "added", "record_id": record_id, "version": 1}
    assert made.headers["location"] == f"/v1/records/{record_id}"

    read = shared.feed.get(made.headers["location"])
    assert read.status_code == 200
    assert read.headers["etag"] == made.headers["etag"] == '"1"'
    assert read.headers["cache-control"] == "no-store"
    assert payload in read.content
    content = read.json()
    assert [each["client_name"] for each in content.pop("accesses")["latest"]] == ["officer feed"]
    assert content | {"payload": None} == {
        "record_id": record_id,
        "version": 1,
        "authority": "AXT",
        "source_ref": "keep",
        "identifiers": [nhs(1), nhs(2)],
        "category": "child-protection-plan",
        "since": "2026-01-02",
        "until": "2027-01-01",
        "answer_until": "2028-01-01",
        "retention": None,
        "payload": None,
        "statements": [],
    }


def test_adding_the_same_again_changes_nothing(shared: Custodian) -> None:
    """An authority that is not sure may send again; something else under its name is refused."""
    first = shared.feed.post("/v1/records", json=record("again", nhs(10)))
    before = shared.call(lambda custody: custody.vault.version)
    again = shared.feed.post("/v1/records", json=record("again", nhs(10)))
    other = shared.feed.post("/v1/records", json=record("again", nhs(11)))
    assert (again.status_code, again.json()["result"]) == (200, "unchanged")
    assert again.json()["record_id"] == first.json()["record_id"]
    assert (other.status_code, other.json()["type"]) == (409, "urn:lacuna:problem:conflict")
    assert shared.call(lambda custody: custody.vault.version) == before
    assert shared.outcome(nhs(11)) == "no-record"


def test_the_same_source_of_two_authorities_is_two_records(shared: Custodian) -> None:
    one = shared.add("shared-ref", nhs(20))
    other = shared.add("shared-ref", nhs(20), authority="BSC")
    assert one != other


def test_a_change_is_a_new_version_with_a_new_key(shared: Custodian) -> None:
    """New DEK, new blob, old blob gone, another epoch; handles stay with their identifiers."""
    record_id = shared.add("change", nhs(30), nhs(31))
    before = shared.call(lambda custody: custody.record(record_id))
    epoch = shared.call(lambda custody: custody.vault.version.epoch)
    members = record("change", nhs(31), nhs(32), payload="other")
    assert put(shared, record_id.hex(), members, '"1"')[1]["version"] == 2
    after = shared.call(lambda custody: custody.record(record_id))
    assert before is not None
    assert after is not None
    assert after.body.dek != before.body.dek
    assert shared.call(lambda custody: custody.vault.version.epoch) == epoch + 1
    assert shared.call(lambda custody: custody.store.blob(record_id, 1)) is None
    handles = {link.value: link.handle for link in before.body.links}
    kept, made = after.body.links
    assert kept.handle == handles[kept.value]
    assert made.handle not in handles.values()
    outcomes = [shared.outcome(nhs(number)) for number in (30, 31, 32)]
    assert outcomes == ["no-record", "known", "known"]


def test_a_change_names_the_version_that_it_replaces(shared: Custodian) -> None:
    record_id = shared.add("match", nhs(40)).hex()
    path = f"/v1/records/{record_id}"
    members = record("match", nhs(40), payload=2)
    assert shared.feed.put(path, json=members).status_code == 428
    assert put(shared, record_id, members, '"2"')[0] == 412
    assert put(shared, record_id, members, "*")[0] == 400
    assert put(shared, record_id, members, '"1"')[0] == 200
    assert put(shared, record_id, members, '"1"')[0] == 412
    assert put(shared, record_id, members, 'W/"2"')[1]["result"] == "unchanged"
    assert put(shared, bytes(16).hex(), members, '"1"')[0] == 404
    assert shared.feed.get(path).json()["payload"] == 2


def test_a_record_may_get_another_source_but_not_anothers(shared: Custodian) -> None:
    """(authority, source reference) names one record, also after a change of it."""
    record_id = shared.add("old-name", nhs(50)).hex()
    shared.add("taken", nhs(51))
    assert put(shared, record_id, record("taken", nhs(50)), '"1"')[0] == 409
    assert put(shared, record_id, record("new-name", nhs(50)), '"1"')[0] == 200
    again = shared.feed.post("/v1/records", json=record("new-name", nhs(50)))
    assert again.json()["record_id"] == record_id
    free = shared.feed.post("/v1/records", json=record("old-name", nhs(52)))
    assert free.status_code == 201


def test_only_what_may_be_answered_is(shared: Custodian) -> None:
    """An allegation is stored and not answered; a record ceases to be when its window ends."""
    yesterday = (date.today() - timedelta(days=1)).isoformat()  # noqa: DTZ011  # any zone will do
    shared.add("allegation", nhs(60), category="allegation")
    shared.add("ended", nhs(61), since="2020-01-01", until="2020-02-01", answer_until="2020-02-01")
    shared.add("over", nhs(62), since="2020-01-01", until=yesterday)
    shared.add("planned", nhs(63), since="2060-01-01")
    outcomes = [shared.outcome(nhs(number)) for number in (60, 61, 62, 63)]
    assert outcomes == ["no-record", "no-record", "known", "known"]


def test_a_category_that_is_not_answered_takes_the_answer_away(shared: Custodian) -> None:
    """And one that is gives it back."""
    record_id = shared.add("restricted", nhs(70)).hex()
    put(shared, record_id, record("restricted", nhs(70), category="allegation"), '"1"')
    assert shared.outcome(nhs(70)) == "no-record"
    put(shared, record_id, record("restricted", nhs(70), category="looked-after"), '"2"')
    assert shared.outcome(nhs(70)) == "known"


def test_a_window_that_ends_while_the_table_lives(site: Site) -> None:
    """A table finds what it was given on another day: to prolong it, and to take it out."""
    today = [date(2026, 5, 1)]
    ends = {"until": "2026-05-02", "answer_until": "2026-05-02"}
    with site.open() as custodian:
        custodian.custody.today = lambda: today[0]
        custodian.call(lambda custody: custody.begin_build())
        custodian.await_build()
        prolonged = custodian.add("prolonged", nhs(1), **ends)
        removed = custodian.add("removed", nhs(2), **ends)
        today[0] = date(2026, 5, 10)
        links = len(publication(custodian).table)
        members = record("prolonged", nhs(1), until="2060-01-01")
        assert put(custodian, prolonged.hex(), members, '"1"')[0] == 200
        assert custodian.outcome(nhs(1)) == "known"
        custodian.shred(removed)
        assert len(publication(custodian).table) == links - 1
        custodian.shred(prolonged)
        assert len(publication(custodian).table) == links - 2


def publication(custodian: Custodian) -> Publication:
    found = custodian.call(lambda custody: custody.publication)
    assert found is not None
    return found


def test_twenty_records_of_one_child(custodian: Custodian) -> None:
    """A table has room for sixteen of a tag; the others wait, and move up when one is removed."""
    ids = [custodian.add(f"many-{n}", nhs(1), nhs(100 + n)) for n in range(20)]
    links = len(publication(custodian).table)
    for record_id in ids[:19]:
        custodian.shred(record_id)
        assert custodian.outcome(nhs(1)) == "known"
    assert len(publication(custodian).table) == links - 16 + 1 - 19
    custodian.shred(ids[19])
    assert custodian.outcome(nhs(1)) == "no-record"
    assert publication(custodian)._crowded == {}


@pytest.mark.parametrize("order", [1, -1], ids=["first come first", "last come first"])
def test_twenty_records_of_one_child_in_one_build(site: Site, order: int) -> None:
    """The same after a start, whichever of them wait."""
    drafts = [site.draft(f"many-{n}", nhs(1)) for n in range(20)]
    with site.open() as custodian:
        done = custodian.change(add_or_change(drafts))
    ids = [each.record_id for each in done if isinstance(each, Stored)][::order]
    with site.open() as custodian:
        for record_id in ids[:19]:
            custodian.shred(record_id)
            assert custodian.outcome(nhs(1)) == "known"
        changed = ids[19].hex()
        record_of = custodian.feed.get(f"/v1/records/{changed}").json()
        members = record(record_of["source_ref"], nhs(1), since="2025-05-05")
        assert put(custodian, changed, members, '"1"')[0] == 200
        custodian.shred(ids[19])
        assert custodian.outcome(nhs(1)) == "no-record"


def test_a_waiting_link_is_changed_where_it_waits(custodian: Custodian) -> None:
    """Not left as it was until it moves up."""
    ids = [custodian.add(f"many-{n}", nhs(1)) for n in range(17)]
    last = record("many-16", nhs(1), since="2024-02-29")
    assert put(custodian, ids[16].hex(), last, '"1"')[0] == 200
    for record_id in ids[:16]:
        custodian.shred(record_id)
    assert custodian.outcome(nhs(1)) == "known"
    custodian.shred(ids[16])
    assert custodian.outcome(nhs(1)) == "no-record"


def test_a_group_shares_a_commit_and_each_hears_its_own(custodian: Custodian) -> None:
    """Of commands that wait together: one fsync, one refusal, and conflicts one after the other."""
    site = custodian.site
    custodian.change(add(site.draft("there", nhs(1))))
    before = custodian.call(lambda custody: custody.vault.version)
    held: Future[None] = Future()
    blocked = custodian.writer.call(lambda _: held.result(10))
    futures = [custodian.writer.change(add(site.draft(f"new-{n}", nhs(10 + n)))) for n in range(50)]
    refused = custodian.writer.change(add(site.draft("there", nhs(2))))
    same = [custodian.writer.change(add(site.draft("new-0", nhs(10)))) for _ in range(2)]
    gone = custodian.writer.change(add(site.draft("gone", nhs(3))))
    assert gone.cancel()
    held.set_result(None)
    blocked.result(10)
    stored = [future.result(10) for future in futures]
    assert {each.result for each in stored} == {"added"}
    assert [future.result(10) for future in same] == [
        type(stored[0])("unchanged", stored[0].record_id, 1) for _ in range(2)
    ]
    with pytest.raises(Conflict):
        refused.result(10)
    after = custodian.call(lambda custody: custody.vault.version)
    assert after.sequence == before.sequence + 1
    assert custodian.outcome(nhs(3)) == "no-record"
    assert custodian.call(lambda custody: custody.vault.get(Kind.RECORD, stored[0].record_id))
