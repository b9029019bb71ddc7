"""From a destroyed case to its one certificate: when it is issued, what it says, who can check."""

import shutil
from base64 import b64decode
from collections.abc import Iterator

import pytest

from crypto.commitment import Commitment, InvalidCommitment, Leaf, Nonce, verify_commitment
from keys.entry import EntryId, Kind
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.certifying import certificates, destroyed_entry
from lookup.custodian.cases.removing import leaving_with
from lookup.custodian.custody import Custody
from lookup.officers.roles import Act
from lookup.transparency.certificate import leaf_of
from lookup.transparency.opening import parse_opening
from tests.certificates import waiting
from tests.clocks import SetClocks
from tests.officers import Json
from tests.simulator import Custodian, Site, nhs


def counts(custodian: Custodian) -> tuple[int, int, int]:
    """Return how many cases were destroyed, certified, and wait for it."""

    def count(custody: Custody) -> tuple[int, int, int]:
        destroyed = list(custody.vault.scan(Kind.DESTROYED))
        return len(destroyed), len(certificates(custody)), len(waiting(custody))

    return custodian.call(count)


def listed(custodian: Custodian) -> Json:
    return custodian.desk.told("ada", "GET", "/v1/certificates")


def test_each_destroyed_case_has_one_certificate_and_one_leaf(custodian: Custodian) -> None:
    """The leaf stands where the certificate says, once in all of the log."""
    for number in range(3):
        custodian.desk.expunge(custodian.add(f"c-{number}", nhs(number)))

    def leaves(custody: Custody) -> tuple[list[bytes], list[tuple[int, Leaf]]]:
        log = custody.store.log
        told = [
            (each.position, leaf_of(each.statement, each.nonce)) for each in certificates(custody)
        ]
        return list(log.span(0, log.size)), told

    log, told = custodian.call(leaves)
    assert counts(custodian) == (3, 3, 0)
    assert [log[position] for position, _ in told] == [leaf for _, leaf in told]
    assert all(log.count(leaf) == 1 for _, leaf in told)


def test_one_case_of_many_records_has_one_certificate(custodian: Custodian) -> None:
    ids = [custodian.add(f"c-{number}", nhs(number)) for number in range(20)]
    custodian.desk.expunge(*ids)
    (found,) = custodian.call(certificates)
    assert len(found.statement.records) == 20


def test_due_cases_share_an_epoch_and_each_is_certified() -> None:
    with Site() as site:
        clocks = site.clocks = SetClocks()
        with site.open() as custodian:
            for number in range(5):
                case = custodian.desk.open([custodian.add(f"c-{number}", nhs(number))])
                case = custodian.desk.take("ana", case, Act.APPROVE)
                custodian.desk.take("leo", case, Act.APPROVE)
            clocks.let_days_pass(14)
            custodian.call(tend)
            assert counts(custodian) == (5, 5, 0)
            assert len({each.statement.epoch for each in custodian.call(certificates)}) == 1


def test_the_opening_opens_the_certificate(custodian: Custodian) -> None:
    """The family's half, fetched while the case was there, names record and child."""
    record_id = custodian.add("c-1", nhs(1))
    case = custodian.desk.approved([record_id])
    path = f"/v1/cases/{case['case']}"
    assert custodian.desk.ask("ana", "GET", f"{path}/opening").status_code == 403
    raw = custodian.desk.ask("leo", "GET", f"{path}/opening").content
    custodian.desk.take("rita", case, Act.CARRY_OUT)
    opening = parse_opening(raw)
    (found,) = custodian.call(certificates)
    assert opening.certificate == found.statement.certificate
    assert (opening.records[0].record_id, opening.records[0].identifiers) == (
        record_id.hex(),
        (nhs(1),),
    )
    assert opening.records[0].commitment() == found.statement.records[0]
    assert custodian.desk.ask("leo", "GET", f"{path}/opening").status_code == 404


def test_an_auditor_recomputes_each_steps_leaf(custodian: Custodian) -> None:
    """By what the case shows: text, signature, nonce; and finds it in the log, in order."""
    record_id = custodian.add("c-1", nhs(1))
    case = custodian.desk.open([record_id], restrict=True)
    case = custodian.desk.take("sam", case, Act.RESTRICT)
    case = custodian.desk.take("leo", case, Act.HOLD, reason="court-case")
    case = custodian.desk.take("leo", case, Act.RELEASE)
    custodian.add("c-2", nhs(1))
    case = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
    log = custodian.call(lambda c: list(c.store.log.span(0, c.store.log.size)))
    places = []
    for step in case["steps"]:
        message = b64decode(step["committed"])
        assert step["text"].encode() in message
        assert b64decode(step["signature"]) in message
        (place,) = [
            at for at, leaf in enumerate(log) if opens(leaf, b64decode(step["nonce"]), message)
        ]
        places.append(place)
    assert places == sorted(places)
    assert len(places) == 5


def opens(leaf: bytes, nonce: bytes, message: bytes) -> bool:
    try:
        verify_commitment(Commitment(leaf[1:]), Nonce(nonce), message)
    except InvalidCommitment:
        return False
    return leaf[0] == 1


def test_what_was_cut_off_is_certified_later(custodian: Custodian) -> None:
    """The records are gone, and the certificate is not there yet: the scheduler sees to it."""
    case = custodian.desk.approved([custodian.add("c-1", nhs(1))])
    case_id = EntryId(bytes.fromhex(case["case"]))

    def carry_out_halfway(custody: Custody) -> None:
        found = custody.docket.cases[case_id]
        record = custody.record(found.record_ids[0])
        assert record is not None
        entry = destroyed_entry(custody, found, custody.moment().time, 0)
        leaving_with(custody, [record]).commit(custody, [entry])

    custodian.call(carry_out_halfway)
    assert counts(custodian) == (1, 0, 1)
    site = custodian.site
    custodian.stop()
    with site.open() as again:
        again.call(tend)
        assert counts(again) == (1, 1, 0)
        assert again.outcome(nhs(1)) == "no-record"


class TestLaggingSlot:
    """A slot that is away could still open an old backup: nothing is certified until then."""

    @pytest.fixture
    def site(self) -> Iterator[Site]:
        with Site(slots=2) as made:
            yield made

    def destroyed_while_away(self, site: Site) -> None:
        with site.open() as custodian:
            record_id = custodian.add("c-1", nhs(1))
            shutil.move(site.folder / "slot-1", site.folder / "away")
            told = custodian.desk.expunge(record_id)
            assert len(told["lagging"]) == 1
            assert custodian.outcome(nhs(1)) == "no-record"
            custodian.call(tend)
            assert counts(custodian) == (1, 0, 1)
            assert listed(custodian) == {"certificates": [], "waiting": 1}
            path = f"/v1/certificates/{told['certificates'][0]}"
            assert custodian.desk.ask("ada", "GET", path).status_code == 409

    def test_it_is_certified_when_the_slot_is_back(self, site: Site) -> None:
        """After a start without it has certified nothing either."""
        self.destroyed_while_away(site)
        with site.open() as custodian:
            custodian.call(tend)
            assert counts(custodian) == (1, 0, 1)
        shutil.move(site.folder / "away", site.folder / "slot-1")
        with site.open() as custodian:
            custodian.call(tend)
            assert counts(custodian) == (1, 1, 0)
            (found,) = custodian.call(certificates)
            assert (len(found.statement.slots), found.statement.lost_slots) == (2, ())

    def test_it_is_certified_when_the_slot_is_signed_off(self, site: Site) -> None:
        """And says which one was lost."""
        self.destroyed_while_away(site)
        with site.open() as custodian:
            lagging = custodian.call(lambda custody: next(iter(custody.vault.lagging)))
            path = f"/v1/local/slots/{lagging.hex()}/remove"
            assert custodian.officer.post(path, json={}).status_code == 200
            custodian.call(tend)
            assert counts(custodian) == (1, 1, 0)
            (found,) = custodian.call(certificates)
            assert found.statement.lost_slots == (lagging.hex(),)

    def test_nothing_is_certified_twice(self, site: Site) -> None:
        self.destroyed_while_away(site)
        shutil.move(site.folder / "away", site.folder / "slot-1")
        for _ in range(2):
            with site.open() as custodian:
                custodian.call(tend)
                custodian.call(tend)
                assert counts(custodian) == (1, 1, 0)
                size = custodian.call(lambda custody: custody.vault.log.size)
                custodian.call(tend)
                assert custodian.call(lambda custody: custody.vault.log.size) == size


class TestReading:
    """Certificates over HTTP."""

    def test_a_certificate_is_there_when_the_case_is_gone(self, custodian: Custodian) -> None:
        told = custodian.desk.expunge(custodian.add("c-1", nhs(1)))
        (certificate,) = told["certificates"]
        assert [each["certificate"] for each in listed(custodian)["certificates"]] == [certificate]
        response = custodian.desk.ask("ada", "GET", f"/v1/certificates/{certificate}")
        assert response.status_code == 200
        assert nhs(1)[4:] not in response.text
        assert "c-1" not in response.text

    def test_a_registrar_reads_none(self, custodian: Custodian) -> None:
        assert custodian.desk.ask("feed", "GET", "/v1/certificates").status_code == 403

    def test_one_that_is_not_there(self, custodian: Custodian) -> None:
        path = f"/v1/certificates/{EntryId(bytes(16)).hex()}"
        assert custodian.desk.ask("ada", "GET", path).status_code == 404
