"""Art 19: whoever was answered with a record is told before it is destroyed, and then forgotten."""

import secrets
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from keys.entry import EntryId, Kind
from lookup.cases.standing import RECALL_SECONDS
from lookup.custodian.cases import recalling
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.recalling import acknowledge
from lookup.custodian.cases.recalls import Recall
from lookup.custodian.custody import Custody
from lookup.handoff import MOST_REQUESTS
from lookup.officers.proposal import LiftHold
from lookup.officers.roles import Act
from tests.clocks import SetClocks
from tests.lookup.custodian.audit.test_auditing import handles_of, segment_of
from tests.lookup.custodian.segments import SegmentFile, head_of
from tests.lookup.raw_http import wait_until
from tests.officers import Json
from tests.processes import LONG
from tests.simulator import Custodian, Site, nhs, record


@pytest.fixture
def custodian(custodian: Custodian) -> Iterator[Custodian]:
    """One that carries out what is due when the test says so."""
    with custodian.unscheduled():
        yield custodian


@pytest.fixture
def segment(custodian: Custodian) -> Iterator[SegmentFile]:
    made = segment_of(custodian)
    yield made
    made.close()


def settle(custodian: Custodian) -> None:
    """Let the scheduler work until no search for recipients goes on."""
    custodian.call(tend)
    wait_until(lambda: custodian.call(lambda custody: custody.search is None), LONG)
    custodian.call(tend)


def outbox(custodian: Custodian) -> list[Recall]:
    return custodian.call(lambda custody: list(custody.outbox.recalls.values()))


def told(custodian: Custodian) -> dict[str, set[bytes]]:
    """Return by client which requests are recalled."""
    found: dict[str, set[bytes]] = {}
    for each in outbox(custodian):
        found.setdefault(each.client.hex(), set()).update(each.requests)
    return found


def confirm(custodian: Custodian, *recalls: Recall) -> None:
    """Acknowledge as these clients do."""
    for each in recalls:
        custodian.call(lambda custody, each=each: acknowledge(custody, each.client, [each.id]))  # type: ignore[misc]


def now(custodian: Custodian, case: Json) -> Json:
    """Return a case as it stands."""
    return custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")


def is_there(custodian: Custodian, record_id: EntryId) -> bool:
    return custodian.call(lambda custody: custody.record(record_id)) is not None


def client_of(custodian: Custodian, name: str) -> bytes:
    return bytes.fromhex(custodian.enrol(name).client_id)


def test_who_was_answered_is_told_and_nobody_else(
    custodian: Custodian, segment: SegmentFile
) -> None:
    """By each of the record's identifiers, in batches, before and after an epoch change."""
    ward, clinic, other = (client_of(custodian, name) for name in ("Ward", "Clinic", "Other"))
    record_id = custodian.add("one", nhs(1), nhs(2))
    sibling = custodian.add("two", nhs(3))
    one, two = handles_of(custodian, record_id)
    asked = [head_of(client=ward), head_of(client=ward), head_of(client=clinic)]
    segment.ask([[one]], asked[0])
    segment.ask([[], [two], []], asked[1])
    segment.ask([handles_of(custodian, sibling)], head_of(client=other))
    segment.ask([[]], head_of(client=other))
    custodian.call(lambda custody: custody.vault.purge())
    again = segment_of(custodian)
    again.ask([[one, *handles_of(custodian, sibling)]], asked[2])
    case = custodian.desk.approved([record_id])

    settle(custodian)

    assert told(custodian) == {
        ward.hex(): {asked[0].request_id, asked[1].request_id},
        clinic.hex(): {asked[2].request_id},
    }
    case = now(custodian, case)
    assert case["state"] == "recalling"
    assert case["recall"]["recipients"] == 2
    assert case["recall"]["acknowledged"] == 0
    assert {each["client_name"] for each in case["recall"]["waiting"]} == {"Ward", "Clinic"}
    assert case["steps"][-1]["officer"] == "site"
    assert is_there(custodian, record_id)
    again.close()


def test_the_answer_is_withdrawn_before_anybody_is_told(
    custodian: Custodian, segment: SegmentFile
) -> None:
    record_id = custodian.add("one", nhs(1))
    segment.ask([handles_of(custodian, record_id)])
    custodian.desk.approved([record_id])
    assert custodian.outcome(nhs(1)) == "known"
    settle(custodian)
    assert custodian.outcome(nhs(1)) == "no-record"
    assert is_there(custodian, record_id)


def test_it_is_destroyed_when_all_have_acknowledged(
    custodian: Custodian, segment: SegmentFile
) -> None:
    """And not before; afterwards nobody knows who was told, nor that anybody was."""
    ward, clinic = client_of(custodian, "Ward"), client_of(custodian, "Clinic")
    record_id = custodian.add("one", nhs(1))
    for client in (ward, clinic):
        segment.ask([handles_of(custodian, record_id)], head_of(client=client))
    custodian.desk.approved([record_id])
    settle(custodian)
    first, second = outbox(custodian)

    confirm(custodian, first)
    settle(custodian)
    assert is_there(custodian, record_id)
    confirm(custodian, second)
    settle(custodian)

    assert not is_there(custodian, record_id)
    assert outbox(custodian) == []
    assert custodian.call(lambda custody: list(custody.vault.scan(Kind.RECALL))) == []
    (certificate,) = custodian.desk.told("ada", "GET", "/v1/certificates")["certificates"]
    assert certificate["records"] == 1


def test_an_acknowledgement_costs_no_epoch_change(
    custodian: Custodian, segment: SegmentFile
) -> None:
    record_id = custodian.add("one", nhs(1))
    segment.ask([handles_of(custodian, record_id)])
    custodian.desk.approved([record_id])
    settle(custodian)
    before = custodian.call(lambda custody: custody.vault.version)
    confirm(custodian, *outbox(custodian))
    after = custodian.call(lambda custody: custody.vault.version)
    assert (after.epoch, after.sequence) == (before.epoch, before.sequence + 1)
    assert [each.acknowledged for each in outbox(custodian)] == [True]


def test_nobody_acknowledges_for_another(custodian: Custodian, segment: SegmentFile) -> None:
    """Nor what does not exist; both leave everything as it is, and say nothing."""
    record_id = custodian.add("one", nhs(1))
    segment.ask([handles_of(custodian, record_id)])
    custodian.desk.approved([record_id])
    settle(custodian)
    before = custodian.call(lambda custody: custody.vault.version)
    (recall,) = outbox(custodian)
    for client, each in ((b"x" * 14, recall.id), (recall.client, EntryId(secrets.token_bytes(16)))):
        custodian.call(lambda custody, c=client, e=each: acknowledge(custody, c, [e]))  # type: ignore[misc]
    assert outbox(custodian) == [recall]
    assert custodian.call(lambda custody: custody.vault.version) == before


def test_whoever_does_not_acknowledge_gets_a_letter(site: Site) -> None:
    """Overdue after a week; the case waits until another than its opener says they were written."""
    site.clocks = clocks = SetClocks()
    with site.open() as custodian, custodian.unscheduled():
        record_id = custodian.add("one", nhs(1))
        segment = segment_of(custodian)
        client = client_of(custodian, "Ward")
        asked = head_of(client=client)
        segment.ask([handles_of(custodian, record_id)], asked)
        case = custodian.desk.approved([record_id])
        settle(custodian)
        assert not now(custodian, case)["recall"]["overdue"]
        clocks.let_pass(RECALL_SECONDS)
        settle(custodian)
        case = now(custodian, case)
        assert case["recall"]["overdue"]
        assert case["recall"]["waiting"] == [
            {
                "client": client.hex(),
                "client_name": "Ward",
                "enrolled": True,
                "requests": [str(UUID(bytes=asked.request_id))],
            }
        ]
        assert custodian.desk.step("rita", case, Act.LETTERS).status_code == 409
        custodian.desk.take("leo", case, Act.LETTERS)
        settle(custodian)
        assert not is_there(custodian, record_id)
        segment.close()


def test_a_client_that_has_gone_gets_a_letter_too(
    custodian: Custodian, segment: SegmentFile
) -> None:
    """Its name went with its enrolment, unless it was told before."""
    record_id = custodian.add("one", nhs(1))
    segment.ask([handles_of(custodian, record_id)], head_of(client=b"g" * 14))
    case = custodian.desk.approved([record_id])
    settle(custodian)
    (waiting,) = now(custodian, case)["recall"]["waiting"]
    assert (waiting["client_name"], waiting["enrolled"]) == (None, False)
    assert is_there(custodian, record_id)


def test_an_officer_who_has_read_the_record_is_no_recipient(custodian: Custodian) -> None:
    record_id = custodian.add("one", nhs(1))
    assert custodian.feed.get(f"/v1/records/{record_id.hex()}").status_code == 200
    custodian.desk.approved([record_id])
    settle(custodian)
    assert not is_there(custodian, record_id)


def test_it_goes_on_after_a_restart(site: Site) -> None:
    """What was found is not looked for again, who has acknowledged need not again."""
    with site.open() as custodian, custodian.unscheduled():
        record_id = custodian.add("one", nhs(1))
        segment = segment_of(custodian)
        for name in ("Ward", "Clinic"):
            head = head_of(client=client_of(custodian, name))
            segment.ask([handles_of(custodian, record_id)], head)
        custodian.desk.approved([record_id])
        settle(custodian)
        first, second = outbox(custodian)
        confirm(custodian, first)
        segment.close()
    with site.open() as custodian, custodian.unscheduled():
        assert custodian.outcome(nhs(1)) == "no-record"
        waiting = {each.id: each.acknowledged for each in outbox(custodian)}
        assert waiting == {first.id: True, second.id: False}
        settle(custodian)
        assert is_there(custodian, record_id)
        confirm(custodian, second)
        settle(custodian)
        assert not is_there(custodian, record_id)


def hold_case(custodian: Custodian, case: Json, record_id: EntryId) -> Callable[[], object]:
    """Put a case on hold; return what ends that."""
    del record_id
    held = custodian.desk.take("sam", now(custodian, case), Act.HOLD, reason="court-case")
    return lambda: custodian.desk.take("leo", held, Act.RELEASE)


def hold_scope(custodian: Custodian, case: Json, record_id: EntryId) -> Callable[[], object]:
    """Put the record on hold, as an inquiry does."""
    del case
    hold = custodian.desk.hold(record=record_id.hex())
    return lambda: custodian.desk.change(LiftHold(hold=hold))


@pytest.mark.parametrize("hold", [hold_case, hold_scope])
def test_a_hold_keeps_what_is_being_recalled(
    custodian: Custodian,
    segment: SegmentFile,
    hold: Callable[[Custodian, Json, EntryId], Callable[[], object]],
) -> None:
    """G7: nothing on hold is expunged, also when everybody has been told; and it is answered.

    Nobody is asked any more to delete it. Whoever hears of it meanwhile is told when the hold ends;
    who has acknowledged need not again.
    """
    ward, clinic = client_of(custodian, "Ward"), client_of(custodian, "Clinic")
    record_id = custodian.add("one", nhs(1))
    segment.ask([handles_of(custodian, record_id)], head_of(client=ward))
    case = custodian.desk.approved([record_id])
    settle(custodian)
    release = hold(custodian, case, record_id)
    settle(custodian)
    assert now(custodian, case)["state"] == "cooling-off"
    assert custodian.call(lambda custody: list(custody._recalls())) == []
    confirm(custodian, *outbox(custodian))
    settle(custodian)
    assert is_there(custodian, record_id)
    assert custodian.outcome(nhs(1)) == "known"
    segment.ask([handles_of(custodian, record_id)], head_of(client=clinic))
    release()
    settle(custodian)
    assert custodian.outcome(nhs(1)) == "no-record"
    (late,) = [each for each in outbox(custodian) if not each.acknowledged]
    assert late.client == clinic
    confirm(custodian, late)
    settle(custodian)
    assert not is_there(custodian, record_id)


def test_a_case_that_is_withdrawn_recalls_nothing(
    custodian: Custodian, segment: SegmentFile
) -> None:
    """The record is answered again, and nobody is asked to delete anything any more."""
    record_id = custodian.add("one", nhs(1))
    segment.ask([handles_of(custodian, record_id)])
    case = custodian.desk.approved([record_id])
    settle(custodian)
    custodian.desk.take("rita", now(custodian, case), Act.WITHDRAW)
    assert outbox(custodian) == []
    assert custodian.call(lambda custody: list(custody.vault.scan(Kind.RECALL))) == []
    assert custodian.outcome(nhs(1)) == "known"


def test_who_hears_of_it_meanwhile_is_found_the_next_time(
    custodian: Custodian, segment: SegmentFile
) -> None:
    """Something comes, the case is void and answers again, and is approved anew."""
    ward, clinic = client_of(custodian, "Ward"), client_of(custodian, "Clinic")
    record_id = custodian.add("one", nhs(1))
    handles = handles_of(custodian, record_id)
    segment.ask([handles], head_of(client=ward))
    case = custodian.desk.approved([record_id])
    settle(custodian)
    confirm(custodian, *outbox(custodian))
    custodian.feed.post("/v1/records", json=record("sibling", nhs(1), category="allegation"))
    assert custodian.outcome(nhs(1)) == "known"
    segment.ask([handles], head_of(client=clinic))

    case = now(custodian, case)
    content = custodian.desk.content([record_id])
    signed = custodian.desk.signer("rita").amendment(case["next"], content)
    case = custodian.desk.told("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
    case = custodian.desk.take("leo", case, Act.SHORTEN, days=0, court_order="order 2")
    for name in ("ana", "leo"):
        case = custodian.desk.take(name, case, Act.APPROVE)
    settle(custodian)

    case = now(custodian, case)
    assert case["recall"]["recipients"] == 2
    assert [each["client_name"] for each in case["recall"]["waiting"]] == ["Clinic"]
    assert len(told(custodian)[ward.hex()]) == 1


def test_what_is_shown_again_is_looked_for_anew(custodian: Custodian, segment: SegmentFile) -> None:
    """A hold comes while the search goes on, and somebody is answered behind it."""
    record_id = custodian.add("one", nhs(1))
    handles = handles_of(custodian, record_id)
    for _ in range(3):
        segment.ask([handles])
    case = custodian.desk.approved([record_id])

    def begin(custody: Custody) -> bool:
        """Begin the search, and do not let it get anywhere."""
        found = custody.docket.due(custody.moment())
        custody.docket.withhold(found)
        custody.show_and_hide()
        assert recalling.told(custody, found, seconds=-1) == []
        return custody.search is not None

    assert custodian.call(begin)
    held = custodian.desk.take("sam", now(custodian, case), Act.HOLD, reason="court-case")
    assert custodian.call(lambda custody: custody.search) is None
    assert custodian.outcome(nhs(1)) == "known"
    late = head_of(client=client_of(custodian, "Late"))
    segment.ask([handles], late)
    custodian.desk.take("leo", held, Act.RELEASE)
    settle(custodian)
    assert told(custodian)[late.client.hex()] == {late.request_id}


def test_what_is_found_of_others_is_not_thrown_away(
    custodian: Custodian, segment: SegmentFile
) -> None:
    """An officer asks for one case while another is searched for: both come to their recalls."""
    ids = [custodian.add(f"r-{n}", nhs(n)) for n in (1, 2)]
    for each in ids:
        segment.ask([handles_of(custodian, each)])
    first = custodian.desk.approved([ids[0]])

    def begin(custody: Custody) -> None:
        found = custody.docket.due(custody.moment())
        custody.docket.withhold(found)
        custody.show_and_hide()
        recalling.told(custody, found, seconds=-1)

    custodian.call(begin)
    second = custodian.desk.approved([ids[1]])
    second = custodian.desk.take("rita", second, Act.CARRY_OUT)
    assert now(custodian, first)["state"] == "recalling"
    assert second["state"] == "cooling-off"
    second = custodian.desk.take("rita", second, Act.CARRY_OUT)
    assert second["state"] == "recalling"


def test_more_requests_than_an_entry_holds(custodian: Custodian, segment: SegmentFile) -> None:
    """Are told in several; the client is one recipient."""
    record_id = custodian.add("one", nhs(1))
    handles = handles_of(custodian, record_id)
    heads = [head_of() for _ in range(MOST_REQUESTS + 1)]
    segment.append([segment.maker.make(head, [handles]) for head in heads])
    case = custodian.desk.approved([record_id])
    settle(custodian)
    assert len(outbox(custodian)) == 2
    (requests,) = told(custodian).values()
    assert requests == {head.request_id for head in heads}
    assert now(custodian, case)["recall"]["recipients"] == 1


def test_an_officer_carries_out_only_what_everybody_knows_of(
    custodian: Custodian, segment: SegmentFile
) -> None:
    """Asking for it begins the recall, and says where the case stands."""
    record_id = custodian.add("one", nhs(1))
    segment.ask([handles_of(custodian, record_id)])
    case = custodian.desk.approved([record_id])
    case = custodian.desk.take("rita", case, Act.CARRY_OUT)
    assert case["state"] == "recalling"
    assert is_there(custodian, record_id)
    confirm(custodian, *outbox(custodian))
    done = custodian.desk.take("rita", now(custodian, case), Act.CARRY_OUT)
    assert done["record_ids"] == [record_id.hex()]
