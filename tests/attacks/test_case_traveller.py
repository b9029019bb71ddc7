"""A3, the time traveller, and cases: every byte ever written, then every secret of now (G1).

The files of a whole site are copied after each step of a case, by another process. When the case is
carried out, what it held is found nowhere, and the log's leaves of its steps open for nobody.
"""

from base64 import b64decode
from collections.abc import Iterator
from typing import Final

import pytest

from crypto.commitment import Commitment, InvalidCommitment, Nonce, verify_commitment
from keys.entry import EntryId, Kind
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.custody import Custody
from lookup.officers.roles import Act
from tests.attacks.thief import Thief, keys_in
from tests.lookup.custodian.audit.test_auditing import handles_of, segment_of
from tests.lookup.custodian.segments import head_of
from tests.officers import EVIDENCE, Json
from tests.simulator import Custodian, Site, import_lines, nhs, record

NOTE: Final = "Sorrel-Bexley asked by telephone"
REFERENCE: Final = "Bexley file 17"
SOURCE, PARKED = "source-of-sorrel", "what Sorrel said in March"
CHILD: Final = nhs(77)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


def lived(custodian: Custodian, thief: Thief) -> tuple[EntryId, Json, Json]:
    """Have a case with everything that one can hold; return record, case and opening."""
    desk = custodian.desk
    record_id = custodian.add(SOURCE, CHILD)
    thief.look(custodian)
    evidence = EVIDENCE | {"purpose": REFERENCE}
    case = desk.open([record_id], note="at first", evidence=evidence, restrict=True)
    content = desk.content([record_id], note=NOTE, evidence=evidence, restrict=True)
    signed = desk.signer("rita").amendment(case["next"], content)
    case = desk.told("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
    thief.look(custodian)
    for name, act in (("sam", Act.RESTRICT), ("sam", Act.LIFT)):
        case = desk.take(name, case, act)
    import_lines(custodian.feed, [record(SOURCE, CHILD, payload={"note": PARKED})])
    thief.look(custodian)
    case = desk.take("leo", case, Act.SHORTEN, days=0, court_order="order 1 of the tests")
    for name in ("ana", "leo"):
        case = desk.take(name, case, Act.APPROVE)
    thief.look(custodian)
    opening = desk.told("leo", "GET", f"/v1/cases/{case['case']}/opening")
    return record_id, case, opening


def secrets(custodian: Custodian, record_id: EntryId, case: Json) -> dict[str, bytes]:
    """Return what nobody is to find afterwards, by what it is."""

    def read(custody: Custody) -> dict[str, bytes]:
        found = custody.docket.cases[EntryId(bytes.fromhex(case["case"]))]
        stored = custody.record(record_id)
        assert stored is not None
        return {
            "the case's key": found.key.expose(),
            "the case's salt": found.salt,
            "the opening's key": found.opening_key,
            "the record's key": stored.body.dek,
            "a step's signature": found.signed[-1].signature,
            "what was parked": custody.lot.parked[record_id].key.expose(),
            "the handle": stored.body.links[0].handle,
        }

    return custodian.call(read) | {
        "the note": NOTE.encode(),
        "the evidence": REFERENCE.encode(),
        "the source": SOURCE.encode(),
        "the child": CHILD.removeprefix("nhs:").encode(),
        "the parked payload": PARKED.encode(),
        "the record's name": record_id,
        "the record's name in a content": record_id.hex().encode(),
        "the case's id": bytes.fromhex(case["case"]),
    }


def test_what_a_case_held_is_gone_with_it(site: Site) -> None:
    """All of it is found while it lives, and nothing after: also none of what was amended."""
    with site.open() as custodian, Thief(site) as thief:
        record_id, case, opening = lived(custodian, thief)
        hidden = secrets(custodian, record_id, case)
        before = thief.steal()
        assert [what for what, value in hidden.items() if not before.holds(value)] == []
        custodian.desk.take("rita", case, Act.CARRY_OUT)
        thief.look(custodian)
        after = thief.steal()
        assert [what for what, value in hidden.items() if after.holds(value)] == []
        nonces = [b64decode(step["nonce"]) for step in case["steps"]]
        nonces += [b64decode(each["nonce"]) for each in opening["records"]]
        assert not any(after.holds(nonce) for nonce in nonces)


def test_the_leaves_of_its_steps_open_for_nobody(site: Site) -> None:
    """The thief tries each 32 bytes that they found as a nonce, on what they know was signed."""
    with site.open() as custodian, Thief(site) as thief:
        _, case, _ = lived(custodian, thief)
        messages = [b64decode(step["committed"]) for step in case["steps"]]
        nonces = [b64decode(step["nonce"]) for step in case["steps"]]
        leaves = custodian.call(lambda c: list(c.store.log.span(0, c.store.log.size)))
        assert any(_opens(leaf, nonces[0], messages[0]) for leaf in leaves)
        custodian.desk.take("rita", case, Act.CARRY_OUT)
        thief.look(custodian)
        found = {value for entry in thief.steal().entries for value in keys_in(entry.body)}
        leaves = custodian.call(lambda c: list(c.store.log.span(0, c.store.log.size)))
        assert found
        assert not any(
            _opens(leaf, nonce, message)
            for leaf in leaves
            for nonce in found
            for message in messages
        )


def test_another_case_of_the_child_says_no_more_that_it_was_there(site: Site) -> None:
    """It listed the record among the others: what it says now opens, what it said does not."""
    with site.open() as custodian, Thief(site) as thief, custodian.unscheduled():
        record_id, other = custodian.add("one", CHILD), custodian.add("two", CHILD)
        case = custodian.desk.open([other], note="at first")
        content = custodian.desk.content([other], note=NOTE)
        signed = custodian.desk.signer("rita").amendment(case["next"], content)
        custodian.desk.told("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
        thief.look(custodian)
        assert thief.steal().holds(record_id.hex().encode())
        custodian.desk.expunge(record_id)
        thief.look(custodian)
        after = thief.steal()
        assert not after.holds(record_id)
        assert not after.holds(record_id.hex().encode())
        assert after.holds(NOTE.encode())
    with site.open() as custodian:
        path = f"/v1/cases/{case['case']}"
        now = custodian.desk.told("ada", "GET", path)
        assert (now["content"]["others"], now["escalated"]) == ([], ["other-gone"])
        assert custodian.desk.take("ana", now, Act.APPROVE)["approvals"] == ["ana"]


def test_nobody_can_say_who_was_told_that_it_was_withdrawn(site: Site) -> None:
    """Art 19: the thief knows it while it is recalled, and afterwards not even that it was."""
    with site.open() as custodian, Thief(site) as thief, custodian.unscheduled():
        record_id = custodian.add(SOURCE, CHILD)
        segment = segment_of(custodian)
        asked = [head_of(client=bytes.fromhex(custodian.enrol(n).client_id)) for n in ("A", "B")]
        for head in asked:
            segment.ask([handles_of(custodian, record_id)], head)
        case = custodian.desk.approved([record_id])
        custodian.call(tend)
        thief.look(custodian)
        told = [head.request_id for head in asked]
        before = thief.steal()
        assert all(before.holds(request) for request in told)
        assert any(entry.kind == Kind.RECALL for entry in before.entries)

        case = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
        custodian.desk.carry_through(case)
        thief.look(custodian)
        after = thief.steal()
        assert not any(after.holds(request) for request in told)
        assert not any(entry.kind == Kind.RECALL for entry in after.entries)
        segment.close()


def _opens(leaf: bytes, nonce: bytes, message: bytes) -> bool:
    try:
        verify_commitment(Commitment(leaf[1:]), Nonce(nonce), message)
    except (InvalidCommitment, ValueError):
        return False
    return True
