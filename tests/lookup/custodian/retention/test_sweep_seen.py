"""What officers see of retention: the list, a dry run, and what a certificate says of it."""

import pytest

from lookup.cases.standing import DAY
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.retention.sweep_list import WAIT
from tests.lookup.custodian.depot import NOT_YET, Depot
from tests.simulator import nhs


class TestSeen:
    """What officers read of it, with or without an approval."""

    def test_a_dry_run_changes_nothing_and_says_all(self, depot: Depot) -> None:
        """Each record once; by class and year; what is missing, and what keeps it."""
        depot.keep("due")
        held, case = depot.keep("held"), depot.keep("cased")
        depot.keep("answer", category="child-protection-plan")
        depot.keep("not-yet", NOT_YET)
        depot.keep("no-clock", {"class": "looked-after", "died": "2001-01-01"})
        depot.keep("no-retentn", None)
        hold = depot.custodian.desk.hold(record=held.hex())
        depot.custodian.desk.open([case])
        before = depot.custodian.custody.vault.version
        told = depot.told("/v1/retention/dry-run")
        assert {
            key: told[key] for key in ("records", "due", "held", "in-open-case", "answered")
        } == {
            "records": 7,
            "due": 1,
            "held": 1,
            "in-open-case": 1,
            "answered": 1,
        }
        assert (told["not-yet"], told["unknown-clock"], told["without-retention"]) == (1, 1, 1)
        assert told["holds"] == {hold: 1}
        assert told["clocks"] == {"looked-after": {"birth": 1}}
        assert told["years"] == {"allegation-unfounded": {"2026": 4, "2027": 1}}
        assert (told["listed"], told["approvals"], told["damaged_pages"]) == (0, [], [])
        assert depot.custodian.custody.vault.version == before

    def test_a_row_says_when_and_never_whose(self, depot: Depot) -> None:
        record_id = depot.keep("over")
        depot.approve()
        depot.night()
        depot.clocks.let_days_pass(2)
        told = depot.told()
        (row,) = told["records"]
        assert row == {
            "record_id": record_id.hex(),
            "authority": "AXT",
            "class": "allegation-unfounded",
            "expired": "2026-11-26",
            "listed": "2026-11-27T03:00:00Z",
            "not_before": "2026-12-04T03:00:00Z",
            "due_in": 5 * DAY,
            "why": "due",
            "holds": [],
        }
        assert nhs(4)[4:] not in str(told)

    @pytest.mark.parametrize("path", ["", "/dry-run", "/classes", "/reviews"])
    def test_whoever_reads_cases_reads_it(self, depot: Depot, path: str) -> None:
        for officer, status in (("ada", 200), ("sam", 200), ("feed", 403)):
            response = depot.custodian.desk.ask(officer, "GET", f"/v1/retention{path}")
            assert response.status_code == status

    def test_the_keeper_of_the_machine_may_begin_a_night(self, depot: Depot) -> None:
        """Within the caps, as everybody."""
        depot.keep("over")
        depot.approve()
        swept = depot.custodian.officer.post("/v1/local/retention/sweep").json()
        again = depot.custodian.officer.post("/v1/local/retention/sweep").json()
        assert (swept["listed"], again["listed"]) == (1, 0)
        assert depot.custodian.feed.post("/v1/local/retention/sweep").status_code == 404

    def test_its_certificate_says_who_approved_and_that_it_was_seen(self, depot: Depot) -> None:
        """Asked for and approved with the standing approval; a week on the list; two signatures."""
        depot.keep("over")
        depot.approve()
        depot.nights(1)
        depot.nights(7)
        (found,) = depot.custodian.call(certificates)
        said = found.statement
        listed = depot.clocks.wall() - 7 * DAY
        assert said.ground == "retention"
        assert said.cooling_off == (7, "")
        assert said.requested_at <= said.approved_at < listed
        assert said.effective_not_before == listed + WAIT == said.destroyed_at
        assert sorted(each.role for each in said.approvals) == ["approver", "legal"]
