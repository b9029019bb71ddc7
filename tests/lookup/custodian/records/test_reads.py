"""Officers who read a whole record: audited as hospitals are, and by name."""

from typing import Any
from unittest.mock import patch

from keys.entry import EntryId
from lookup.audit.segment import parse_header
from lookup.custodian.audit.auditing import Auditing
from lookup.custodian.audit.own_segment import SLOT
from lookup.custodian.custody import Custody
from lookup.custodian.store.chain import Row
from lookup.custodian.store.database import MediumFailed
from tests.simulator import Custodian, Site, nhs


def read(custodian: Custodian, name: str, record_id: EntryId) -> dict[str, Any]:
    """Read a record as an officer."""
    return custodian.desk.told(name, "GET", f"/v1/records/{record_id.hex()}")


def names(content: dict[str, Any]) -> list[str]:
    return [each["client_name"] for each in content["accesses"]["latest"]]


def test_every_read_is_in_the_record_the_newest_first(shared: Custodian) -> None:
    """Also the one that is under way: its entry is durable before the record leaves (G3)."""
    record_id = shared.add("read", nhs(401))

    assert names(read(shared, "leo", record_id)) == ["officer leo"]
    assert names(read(shared, "ada", record_id)) == ["officer ada", "officer leo"]


def test_what_cannot_be_audited_is_not_read() -> None:
    """The medium fails: the record stays, and the custodian stops."""
    with Site() as site, site.open() as custodian:
        record_id = custodian.add("read", nhs(1))
        failing = MediumFailed("no")
        with patch.object(custodian.custody.audit.chain, "append", side_effect=failing):
            response = custodian.desk.ask("leo", "GET", f"/v1/records/{record_id.hex()}")

        assert response.status_code == 503
        assert custodian.failures == [failing]


def test_reading_an_opening_is_reading_its_records(shared: Custodian) -> None:
    """It names their children: an entry for each record, durable before the opening leaves."""
    ids = [shared.add(f"opening-{n}", nhs(410 + n)) for n in range(2)]
    case = shared.desk.open(ids)
    path = f"/v1/cases/{case['case']}/opening"

    before = shared.call(lambda custody: custody.store.audit.mark())
    assert shared.desk.ask("ana", "GET", path).status_code == 403
    assert shared.call(lambda custody: custody.store.audit.mark()) == before
    assert shared.desk.ask("leo", "GET", path).status_code == 200

    for each in ids:
        assert names(read(shared, "ada", each)) == ["officer ada", "officer leo"]


def test_an_opening_that_cannot_be_audited_is_not_read() -> None:
    with Site() as site, site.open() as custodian:
        case = custodian.desk.open([custodian.add("read", nhs(1))])
        failing = MediumFailed("no")
        with patch.object(custodian.custody.audit.chain, "append", side_effect=failing):
            response = custodian.desk.ask("leo", "GET", f"/v1/cases/{case['case']}/opening")

        assert response.status_code == 503
        assert custodian.failures == [failing]


def test_whoever_may_not_read_leaves_nothing(shared: Custodian) -> None:
    """No token, no entry: and a record that is not there leaves none either."""
    record_id = shared.add("unread", nhs(402))
    before = shared.call(lambda custody: custody.store.audit.mark())

    assert shared.officer.get(f"/v1/records/{record_id.hex()}").status_code == 401
    assert shared.desk.ask("leo", "GET", f"/v1/records/{bytes(16).hex()}").status_code == 404
    assert shared.call(lambda custody: custody.store.audit.mark()) == before


def test_its_authority_is_not_told_of_its_own_officers() -> None:
    """The feed tells of clients; a restart, which hears all rows again, changes nothing of that."""
    with Site() as site:
        with site.open() as custodian:
            record_id = custodian.add("read", nhs(1))
            read(custodian, "rita", record_id)
            with patch.object(Auditing, "_store_notices"):  # as a crash before they are stored
                custodian.stop()
        with site.open() as custodian:
            assert custodian.feed.get("/v1/accesses").json()["accesses"] == []
            assert names(read(custodian, "rita", record_id)) == ["officer rita", "officer rita"]


def test_it_goes_with_the_record() -> None:
    """After an expungement no entry is found for it; the chain is whole."""
    with Site() as site, site.open() as custodian:
        record_id = custodian.add("read", nhs(1))
        read(custodian, "leo", record_id)

        custodian.shred(record_id)

        assert custodian.desk.ask("leo", "GET", f"/v1/records/{record_id.hex()}").status_code == 404
        verdict = custodian.officer.post("/v1/local/audit/verify").text.splitlines()[-1]
        assert '"sound":true' in verdict


def test_a_process_has_one_segment_of_its_own(shared: Custodian) -> None:
    """No worker's slot; its groups are numbered on."""
    record_id = shared.add("numbered", nhs(403))
    for _ in range(3):
        read(shared, "leo", record_id)

    def look(custody: Custody) -> tuple[list[Row], bytes | None]:
        rows = list(custody.store.audit.walk())[-3:]
        return rows, custody.store.audit.header(rows[0].segment)

    rows, header = shared.call(look)
    assert header is not None
    assert parse_header(header).slot == SLOT
    assert {row.segment for row in rows} == {parse_header(header).segment}
    assert [row.number for row in rows] == list(range(rows[0].number, rows[0].number + 3))
