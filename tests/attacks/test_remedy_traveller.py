"""A3, the time traveller, after a record was unlinked or corrected: what was taken off is nowhere.

Every byte ever written and every secret of now; the record itself is there, and opens for them.
"""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from keys.entry import EntryId
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.remedy import stored_payload
from lookup.custodian.custody import Custody
from lookup.officers.roles import Act
from tests.attacks.thief import Thief
from tests.lookup.custodian.audit.test_auditing import handles_of, segment_of
from tests.lookup.custodian.segments import head_of
from tests.officers import Json
from tests.simulator import Custodian, Site, import_lines, nhs, record

OLD, NEW, SIBLING = nhs(71), nhs(72), nhs(73)
MARK, RIGHT = "Sorrel-Bexley hit the child", "nobody hit anybody"
EVIDENCE: Final = {"accuracy": "order 4 of the tests"}
UNLINKING: Final[Json] = {
    "remedy": "unlink",
    "unlink": [OLD],
    "ground": "art-16",
    "evidence": EVIDENCE,
}
CORRECTING: Final[Json] = {
    "remedy": "rectify",
    "correction": {"payload": {"note": RIGHT}},
    "ground": "art-16",
    "evidence": EVIDENCE,
}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


def number(identifier: str) -> bytes:
    """Return what of an identifier stands wherever it is said."""
    return identifier.partition(":")[2].encode()


def opened(custodian: Custodian, thief: Thief, record_id: EntryId, asked: Json) -> Json:
    """Have a case amended once, approved, and its recipients told; the thief looks at each step."""
    desk = custodian.desk
    case = desk.open([record_id], note=f"about {OLD}", **asked)
    thief.look(custodian)
    signed = desk.signer("rita").amendment(case["next"], desk.content([record_id], **asked))
    case = desk.told("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
    names = desk.told("feed", "GET", f"/v1/records/{record_id.hex()}")["identifiers"]
    import_lines(custodian.feed, [record("one", *names, payload={"note": MARK, "more": "x"})])
    case = desk.told("ada", "GET", f"/v1/cases/{case['case']}")
    case = desk.take("leo", case, Act.SHORTEN, days=0, court_order="order 1 of the tests")
    for name in ("ana", "leo"):
        case = desk.take(name, case, Act.APPROVE)
    custodian.call(tend)
    thief.look(custodian)
    return desk.told("ada", "GET", f"/v1/cases/{case['case']}")


def handle_of(custodian: Custodian, record_id: EntryId, identifier: str) -> bytes:
    def find(custody: Custody) -> bytes:
        found = custody.record(record_id)
        assert found is not None
        return next(
            each.handle for each in found.body.links if each.value.encode() == number(identifier)
        )

    return custodian.call(find)


def test_an_unlinked_number_is_nowhere(site: Site) -> None:
    """Not in the record's earlier version, the cases, what was parked, the recipients, the map."""
    with site.open() as custodian, Thief(site) as thief, custodian.unscheduled():
        record_id, other = custodian.add("one", OLD, NEW), custodian.add("two", SIBLING)
        segment = segment_of(custodian)
        handle = handle_of(custodian, record_id, OLD)
        asked = head_of(client=bytes.fromhex(custodian.enrol("Ward").client_id))
        segment.ask([[handle]], asked)
        earlier = custodian.desk.open([record_id], **UNLINKING)
        custodian.desk.take("rita", earlier, Act.WITHDRAW)
        case = opened(custodian, thief, record_id, UNLINKING)
        hidden = {
            "the number": number(OLD),
            "its handle": handle,
            "who was told of it": asked.request_id,
        }
        before = thief.steal()
        assert [what for what, value in hidden.items() if not before.holds(value)] == []

        custodian.desk.carry_through(case)
        import_lines(custodian.feed, [record("one", OLD, NEW, payload={"note": "tonight's feed"})])
        thief.look(custodian)

        after = thief.steal()
        assert [what for what, value in hidden.items() if after.holds(value)] == []
        assert after.holds(number(NEW))
        assert after.holds(number(SIBLING))
        assert after.holds(handles_of(custodian, other)[0])
        assert [custodian.outcome(each) for each in (OLD, NEW)] == ["no-record", "known"]
        segment.close()


def test_what_was_wrong_is_nowhere(site: Site) -> None:
    """The version that was corrected opens no more; the right one does."""
    with site.open() as custodian, Thief(site) as thief, custodian.unscheduled():
        record_id = custodian.add("one", NEW, payload={"note": MARK})
        key = custodian.call(lambda custody: _key(custody, record_id))
        segment = segment_of(custodian)
        segment.ask([handles_of(custodian, record_id)])
        case = opened(custodian, thief, record_id, CORRECTING)
        before = thief.steal()
        assert before.holds(MARK.encode())
        assert before.holds(key)

        custodian.desk.carry_through(case)
        thief.look(custodian)

        after = thief.steal()
        assert not after.holds(key)
        # What tonight's feed says of it waits, for officers to see; the record says it no more.
        assert json.loads(custodian.call(lambda custody: _payload(custody, record_id))) == {
            "note": RIGHT
        }
        texts = [text for text in after.texts if MARK.encode() in text]
        parked = custodian.call(lambda custody: custody.lot.parked[record_id])
        draft = custodian.call(lambda c: parked.draft(c.vault, c.store, c.catalogue, c.classes))
        assert draft is not None
        assert all(draft.payload in text for text in texts)
        assert after.holds(RIGHT.encode())
        segment.close()


def _key(custody: Custody, record_id: EntryId) -> bytes:
    found = custody.record(record_id)
    assert found is not None
    return found.body.dek


def _payload(custody: Custody, record_id: EntryId) -> bytes:
    found = custody.record(record_id)
    assert found is not None
    return stored_payload(custody.vault, custody.store, found) or b""
