"""Subject access: the export says all that there is about a record, and that it was made."""

import json
from collections import Counter
from hashlib import blake2b
from unittest.mock import patch

import msgspec
import pytest

from keys.entry import EntryId, Kind
from lookup.audit.entry import SCHEDULED, Entry, parse_entry
from lookup.audit.segment import open_header, parse_header, split_group
from lookup.custodian.audit.auditing import GroupUnreadable
from lookup.custodian.custody import Custody
from lookup.custodian.records.disclosing import Disclosure
from lookup.custodian.store.chain import Row
from lookup.custodian.store.database import MediumFailed
from lookup.disclosure.export import Export, make_export
from lookup.officers.proposal import RemoveOfficer
from lookup.officers.roles import Act
from tests.lookup.custodian.segments import SegmentFile, head_of
from tests.simulator import Custodian, Json, Site, import_lines, nhs, record


def segment_of(custodian: Custodian) -> SegmentFile:
    """Begin a segment as a worker would that was handed what is handed out now."""
    handed_out = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
    return SegmentFile(handed_out, custodian.custody.vault.id)


def handles_of(custodian: Custodian, record_id: EntryId) -> list[bytes]:
    found = custodian.call(lambda custody: custody.record(record_id))
    assert found is not None
    return [link.handle for link in found.body.links]


def export(custodian: Custodian, record_id: EntryId, name: str = "rita") -> list[Json]:
    """Export a record; return all lines but for those that say how far it is."""
    response = custodian.desk.ask(name, "POST", f"/v1/records/{record_id.hex()}/export")
    assert response.status_code == 200, response.text
    lines = [json.loads(line) for line in response.text.splitlines()]
    return [line for line in lines if "done" not in line]


def made(custodian: Custodian, record_id: EntryId, name: str = "rita") -> Export:
    return make_export(export(custodian, record_id, name))


class Reading:
    """A second reading of store and map, which shares no walk with what it is compared with."""

    def __init__(self, custody: Custody) -> None:
        keys = custody.audit.keys
        self.witness_key = keys.witness.expose()
        self.entries: list[Entry] = []
        for row in custody.store.audit.walk():
            header = parse_header(custody.store.audit.header(row.segment) or b"")
            opener = open_header(header, keys.audit, custody.vault.id)
            encoded = split_group(opener, row.number, row.sealed)
            self.entries += [parse_entry(each) for each in encoded]
        leaves = range(custody.vault.leaves)
        self.map = [
            entry for kind in Kind for at in leaves for entry in custody.vault.scan_leaf(kind, at)
        ]

    def told_of(self, handles: list[bytes]) -> list[Entry]:
        """Return the entries of which a token was answered with one of these links."""
        names = self._names
        return [entry for entry in self.entries if any(names(entry, each) for each in handles)]

    def _names(self, entry: Entry, handle: bytes) -> bool:
        for at in range(entry.n):
            made = handle + entry.id + at.to_bytes(2, "big")
            witness = blake2b(made, key=self.witness_key, digest_size=16).digest()
            if witness in entry.witnesses_of(at):
                return True
        return False

    def speaking_of(self, *names: bytes) -> Counter[str]:
        """Count the entries of the map that hold one of these names, by kind."""
        return Counter(
            each.kind.name
            for each in self.map
            if any(name in each.id + each.body for name in names)
        )


def lived(custodian: Custodian, asked: EntryId, other: EntryId, clients: list[str]) -> None:
    """Have clients ask: for either identifier, for others, and for many at once; misses too."""
    one, two = handles_of(custodian, asked)
    (theirs,) = handles_of(custodian, other)
    segment = segment_of(custodian)
    for number, client in enumerate(clients):
        who = bytes.fromhex(client)
        visit = b"visit-%d" % number
        segment.ask([[one]], head_of(client=who, encounter=visit, user=b"nurse-%d" % number))
        segment.ask([[two]], head_of(client=who, purpose=SCHEDULED))
        segment.ask([[], [theirs], [theirs, two], []], head_of(client=who))
        segment.ask([[theirs]], head_of(client=who))
        segment.append([segment.maker.make(head_of(client=who), [each]) for each in ([], [one])])
        segment.ask([[]], head_of(client=who))
    segment.end()
    segment.close()


def test_it_says_all_that_a_second_reading_finds(custodian: Custodian) -> None:
    """Every access, by clients of now and of then, before an epoch change and after: no other.

    And the map holds nothing about the record that the export does not tell of.
    """
    clients = [custodian.enrol(name).client_id for name in ("St. Elsewhere", "Northgate")] + [
        "ee" * 14
    ]
    asked = custodian.add("asked", nhs(1), nhs(2))
    other, doomed = custodian.add("other", nhs(3)), custodian.add("doomed", nhs(4))
    path = f"/v1/records/{asked.hex()}"
    custodian.desk.told("leo", "POST", f"{path}/statements", {"text": "It is not true."})
    lived(custodian, asked, other, clients)
    custodian.shred(doomed)
    lived(custodian, asked, other, clients[::-1])
    case = custodian.desk.open([asked])
    import_lines(custodian.feed, [record("asked", nhs(1), nhs(2), payload={"note": "later"})])
    custodian.desk.told("ana", "GET", path)

    told = made(custodian, asked, "leo").document

    handles = handles_of(custodian, asked)
    reading = custodian.call(Reading)
    found = reading.told_of(handles)
    assert len(found) == 6 * 4 + 2
    assert Counter(each["request_id"] for each in told["accesses"]) == Counter(
        each.head.request_id.hex() for each in found
    )
    said = {each["request_id"]: each for each in told["accesses"]}
    for entry in found:
        access = said[entry.head.request_id.hex()]
        assert access["user"] == entry.head.user.decode()
        assert access["client"] in {entry.head.client.hex(), None}
        assert access["encounter"] == (entry.head.encounter.decode() or None)
    assert [each["user"] for each in told["accesses"] if each["officer"]] == ["ana", "leo"]
    assert {each["client_name"] for each in told["accesses"]} == {
        "St. Elsewhere",
        "Northgate",
        None,
    }
    about = reading.speaking_of(asked, bytes.fromhex(case["case"]))
    assert about.pop("NOTICE", 0) <= len(found)
    assert about == {"RECORD": 1, "SUPPLEMENT": 1, "CASE": 1, "STEP": 1, "PARKED": 1}
    assert (len(told["statements"]), len(told["cases"]), told["waiting"]) == (1, 1, 1)
    assert told["missing"] == 0


def test_what_it_says_of_the_record(shared: Custodian) -> None:
    """All its members, its payload to the letter, who holds it, and in the words of the site."""
    payload = {"note": "visited", "score": 1.5}
    record_id = shared.add("whole", nhs(10), payload=payload, until="2027-01-01")
    told = made(shared, record_id).document
    assert told["record"] == {
        "record_id": record_id.hex(),
        "version": 1,
        "source_ref": "whole",
        "identifiers": [nhs(10)],
        "category": "child-protection-plan",
        "since": "2026-01-02",
        "until": "2027-01-01",
        "answer_until": "2028-01-01",
        "kept": None,
    }
    assert told["payload"]["score"] == msgspec.Raw(b"1.5")
    assert told["site"] == shared.site.vault.hex()
    assert told["authority"]["code"] == "AXT"
    assert told["authority"]["office_hours"]
    assert (told["statements"], told["cases"], told["waiting"]) == ([], [], 0)


@pytest.mark.parametrize(
    ("born", "until"), [("2014-03-01", "2035-03-01"), (None, None)], ids=["known", "unknown"]
)
def test_how_long_it_is_kept_is_told(
    shared: Custodian, born: str | None, until: str | None
) -> None:
    """Art 15(1)(d): the schedule, and the last day unless that rests on one that nobody knows."""
    retention = {"class": "child-in-need", "born": born}
    number = 40 + bool(born)
    record_id = shared.add(f"kept-{number}", nhs(number), retention=retention)
    told = made(shared, record_id).document["record"]["kept"]
    assert told == {"schedule": "child-in-need", "until": until}


def test_a_case_is_told_by_roles(shared: Custodian) -> None:
    """Its state, ground and steps with their times; no officer's name, and no codes of theirs."""
    record_id = shared.add("case", nhs(11))
    case = shared.desk.open([record_id], note="Sorrel-Bexley rang")
    case = shared.desk.take("leo", case, Act.HOLD, reason="inquiry")
    case = shared.desk.take("leo", case, Act.RELEASE)
    words = "A court has yet to decide."
    case = shared.desk.take("leo", case, Act.REFUSE, reason="art-17-3-b", words=words)
    lines = export(shared, record_id)
    (told,) = [line["case"] for line in lines if "case" in line]
    assert [(each["act"], each["by"], each["words"]) for each in told["steps"]] == [
        ("open", "requester", None),
        ("hold", "legal", None),
        ("release", "legal", None),
        ("refuse", "legal", words),
    ]
    assert (told["state"], told["ground"]) == ("requested", "art-17-1-a")
    cases = json.dumps([line for line in lines if "case" in line])
    assert not any(name in cases for name in ("rita", "leo", "inquiry", "Sorrel"))


def test_the_export_is_audited_before_it_leaves(shared: Custodian) -> None:
    """It is one of its own accesses, by whom only `user` says; the next one tells of both."""
    record_id = shared.add("audited", nhs(12))
    (first,) = made(shared, record_id, "leo").document["accesses"]
    assert (first["officer"], first["user"], first["role"]) == (True, "leo", "legal")
    assert (first["client"], first["client_name"]) == (None, None)
    assert len(made(shared, record_id).document["accesses"]) == 2


def test_what_cannot_be_audited_is_not_exported() -> None:
    """The medium fails: no line leaves, and the custodian stops."""
    with Site() as site, site.open() as custodian:
        record_id = custodian.add("failing", nhs(1))
        failing = MediumFailed("no")
        with patch.object(custodian.custody.audit.chain, "append", side_effect=failing):
            path = f"/v1/records/{record_id.hex()}/export"
            response = custodian.desk.ask("rita", "POST", path)
        assert response.status_code == 503
        assert custodian.failures == [failing]


def test_the_site_keeps_nothing_else_of_it(custodian: Custodian) -> None:
    """One row of the audit; no entry, no blob, no epoch, no file."""
    record_id = custodian.add("kept", nhs(1))

    def look(custody: Custody) -> tuple[object, ...]:
        blobs = set(custody.store.blob_names())
        kinds = Counter(entry.kind for entry in Reading(custody).map)
        files = {path for path in custodian.site.folder.rglob("*") if path.suffix != ".db-shm"}
        return blobs, kinds, custody.vault.version.epoch, files

    before, rows = custodian.call(look), custodian.call(lambda c: c.store.audit.mark().row)
    export(custodian, record_id)
    assert custodian.call(look) == before
    assert custodian.call(lambda c: c.store.audit.mark().row) == rows + 1


def test_an_officer_who_has_left_is_an_officer_still(custodian: Custodian) -> None:
    """Their reading is told as one; not as that of a hospital which nobody knows."""
    record_id = custodian.add("left", nhs(1))
    custodian.desk.told("ada", "GET", f"/v1/records/{record_id.hex()}")
    ada = custodian.site.officers.officers["ada"].id.hex()
    custodian.desk.change(RemoveOfficer(officer=ada))
    first, own = made(custodian, record_id).document["accesses"]
    assert (first["officer"], first["client"], own["officer"]) == (True, None, True)


def test_additions_go_on_while_it_walks(
    custodian: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is asked for some rows at a time; what comes between is not waited for."""
    monkeypatch.setattr(Disclosure, "rows_at_once", 2)
    record_id = custodian.add("walked", nhs(1))
    segment = segment_of(custodian)
    (handle,) = handles_of(custodian, record_id)
    for _ in range(9):
        segment.ask([[handle]])
    walk = Disclosure(record_id, custodian.site.officers.officers["rita"])
    found: list[Json] = []
    steps = 0
    while (said := custodian.call(walk.step)) is not None:
        found += [line for line in said if "access" in line]
        custodian.add(f"between-{steps}", nhs(2 + steps))
        segment.ask([[handle]])
        steps += 1
    assert (steps, len(found)) == (6, 10)


@pytest.mark.parametrize("gone", ["changed", "destroyed"])
def test_a_record_that_changes_meanwhile_ends_it(custodian: Custodian, gone: str) -> None:
    """What was told of it is not what it says any more: the export is not complete."""
    record_id = custodian.add("changing", nhs(1))
    walk = Disclosure(record_id, custodian.site.officers.officers["rita"])
    assert custodian.call(walk.step)
    if gone == "changed":
        import_lines(custodian.feed, [record("changing", nhs(1), payload={"note": "other"})])
    else:
        custodian.shred(record_id)
    refused = custodian.writer.call(walk.step).exception(30)
    assert type(refused).__name__ == {"changed": "Conflict", "destroyed": "RecordNotFound"}[gone]


def test_rows_that_cannot_be_read_are_counted(custodian: Custodian) -> None:
    """Nobody can say who is in them: the export says how many there are."""
    record_id = custodian.add("damaged", nhs(1))
    segment = segment_of(custodian)
    for _ in range(3):
        segment.ask([handles_of(custodian, record_id)])
    custodian.call(lambda custody: custody.audit.take_in())
    groups = custodian.custody.audit.groups
    read = groups.encoded

    def damaged(row: Row) -> list[bytes]:
        if row.row == 2:
            raise GroupUnreadable
        return read(row)

    with patch.object(groups, "encoded", side_effect=damaged):
        told = made(custodian, record_id).document
    assert (len(told["accesses"]), told["missing"]) == (3, 1)
