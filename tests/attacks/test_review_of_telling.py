"""What a review of recalls, remedies and copies for families has found: each was possible once."""

from collections.abc import Iterator
from typing import Final

import pytest

from crypto.audit import SegmentId
from keys.entry import EntryId, Kind
from lookup.audit.segment import parse_header
from lookup.custodian.audit import own_segment
from lookup.custodian.audit.intake import LIAR
from lookup.custodian.cases.case import removal
from lookup.custodian.custody import Custody
from tests.lookup.custodian.audit.test_auditing import handles_of
from tests.lookup.custodian.cases.test_recalling import now, settle
from tests.lookup.custodian.cases.test_remedies import unlinking
from tests.lookup.custodian.records.test_disclosing import made
from tests.lookup.custodian.segments import SegmentFile, head_of
from tests.officers import Json
from tests.simulator import Custodian, Site, nhs

OLD, NEW = nhs(1), nhs(2)
LOCAL: Final = "local:AXT:C-447182"


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def custodian(site: Site) -> Iterator[Custodian]:
    """One that carries out what is due when the test says so."""
    with site.open() as running:
        with running.unscheduled():
            yield running
        assert running.failures == []


def answer(
    custodian: Custodian, record_id: EntryId, slot: int = 0, client: bytes = b"c" * 14
) -> None:
    """Let somebody have been answered with a record, by the worker of a slot, which then ends."""
    handed_out = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
    segment = SegmentFile(handed_out, custodian.custody.vault.id, slot=slot)
    segment.ask([handles_of(custodian, record_id)], head_of(client=client))
    segment.close()


def lose_content(custodian: Custodian, case: Json) -> None:
    """Lose what a case says, as a restore of an older store does; the map has the rest."""
    found = custodian.custody.docket.cases[EntryId(bytes.fromhex(case["case"]))]
    names = removal(found)[1].delete

    def lose(custody: Custody) -> None:
        connection = custody.store._database.connection
        connection.executemany("DELETE FROM blob WHERE id = ? AND version = ?", names)

    custodian.call(lose)


def refused_unlinking(custodian: Custodian, identifier: str, note: str) -> bool:
    """Say whether no case may take an identifier off a record whose content says this."""
    record_id = custodian.add("one", identifier, NEW, payload={"note": note})
    content = custodian.desk.content([record_id], **unlinking(identifier))
    signed = custodian.desk.signer("rita").opening(content)
    return custodian.desk.ask("rita", "POST", "/v1/cases", signed).status_code == 409


class TestHackedWorker:
    """A5: it writes whatever it likes into the header of a segment."""

    def test_it_does_not_pass_for_the_custodian(self, custodian: Custodian) -> None:
        """The family's copy says that somebody was told, and not that an officer has looked."""
        record_id = custodian.add("one", OLD)
        answer(custodian, record_id, own_segment.SLOT)
        found = made(custodian, record_id).document["accesses"]
        assert sorted(each["officer"] for each in found) == [False, True]

    def test_whom_it_answered_is_told(self, custodian: Custodian) -> None:
        """UK GDPR Art 19: the record stays until that client has deleted the answer."""
        record_id = custodian.add("one", OLD)
        answer(custodian, record_id, own_segment.SLOT)
        case = custodian.desk.approved([record_id])
        settle(custodian)
        assert now(custodian, case)["recall"]["recipients"] == 1
        assert custodian.call(lambda custody: custody.record(record_id)) is not None

    def test_it_is_noticed_and_the_chain_is_whole(self, custodian: Custodian) -> None:
        """Each of its entries is there, and opens; the header says who wrote it."""
        record_id = custodian.add("one", OLD)
        answer(custodian, record_id, own_segment.SLOT)

        def look(custody: Custody) -> tuple[int, list[int]]:
            custody.audit.take_in()
            chain = custody.store.audit
            rows = list(chain.walk())
            assert all(len(custody.audit.groups.entries(row)) == 1 for row in rows)
            headers = (chain.header(row.segment) or b"" for row in rows)
            return custody.alarms.damage, [parse_header(header).slot for header in headers]

        assert custodian.call(look) == (1, [LIAR])
        verdict = custodian.officer.post("/v1/local/audit/verify").text.splitlines()[-1]
        assert '"sound":true' in verdict

    def test_it_does_not_pass_for_an_officer_either(self, custodian: Custodian) -> None:
        """An officer's id in the place of a client's: the family's copy would name the officer."""
        record_id = custodian.add("one", OLD)
        officer = next(iter(custodian.custody.office.officers))
        answer(custodian, record_id, client=officer[-14:])
        found = made(custodian, record_id).document["accesses"]
        assert sorted(each["officer"] for each in found) == [False, True]
        assert [each["client_name"] for each in found] == [None, None]

    def test_no_entry_of_it_passes_for_a_gap(
        self, custodian: Custodian, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A gap's segment is zeros: what is in such a row is not read, and the chain is broken."""
        record_id = custodian.add("one", OLD)
        with monkeypatch.context() as patched:
            patched.setattr("lookup.audit.segment.SegmentId", lambda _: SegmentId(bytes(16)))
            handed_out = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
            segment = SegmentFile(handed_out, custodian.custody.vault.id)
        segment.ask([handles_of(custodian, record_id)])
        segment.close()
        custodian.call(lambda custody: custody.audit.take_in())
        assert custodian.custody.alarms.damage == 1
        assert segment.path.with_name(f"{segment.path.name}.damaged").exists()
        verdict = custodian.officer.post("/v1/local/audit/verify").text.splitlines()[-1]
        assert '"sound":true' in verdict


class TestRecallsStay:
    """G1: who was told leaves with the record."""

    def test_also_of_a_case_whose_content_was_lost(self, site: Site) -> None:
        """The case's blob is lost with a store; another case destroys the record."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("one", OLD)
            answer(custodian, record_id)
            case = custodian.desk.approved([record_id])
            settle(custodian)
            assert now(custodian, case)["state"] == "recalling"
            lose_content(custodian, case)
        with site.open() as custodian, custodian.unscheduled():
            assert len(custodian.custody.docket.lost) == 1
            custodian.desk.expunge(record_id)
            assert custodian.call(lambda custody: custody.record(record_id)) is None
            assert custodian.call(lambda c: [e.id for e in c.vault.scan(Kind.RECALL)]) == []
            assert custodian.call(lambda custody: custody.outbox.recalls) == {}
