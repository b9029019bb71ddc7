"""Cases over HTTP: what opens, what holds, what lapses, and when a case is carried out."""

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from keys.entry import EntryId, Kind
from lookup.custodian.cases.carrying_out import tend
from lookup.officers.roles import Act
from tests.clocks import SetClocks
from tests.lookup.raw_http import wait_until
from tests.officers import COURT_ORDER, Json
from tests.processes import LONG
from tests.simulator import Custodian, Site, nhs, record


@pytest.fixture
def clocks() -> SetClocks:
    return SetClocks()


@pytest.fixture
def site(clocks: SetClocks) -> Iterator[Site]:
    with Site() as made:
        made.clocks = clocks
        yield made


def restricted(custodian: Custodian, record_id: EntryId) -> Json:
    """Return a case for which two have hidden a record."""
    case = custodian.desk.open([record_id], restrict=True)
    return custodian.desk.take("sam", case, Act.RESTRICT)


def waiting(custodian: Custodian, record_id: EntryId) -> Json:
    """Return a case that two have approved, at the beginning of its cooling-off."""
    case = custodian.desk.take("ana", custodian.desk.open([record_id]), Act.APPROVE)
    return custodian.desk.take("leo", case, Act.APPROVE)


def refuse(custodian: Custodian, name: str, case: Json, act: Act, **details: str | int) -> str:
    """Return why a step is refused; nothing came of it."""
    response = custodian.desk.step(name, case, act, **details)
    assert response.status_code in {400, 403, 409}, response.text
    now = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
    assert now["next"] == case["next"]
    return str(response.json()["detail"])


def amend(custodian: Custodian, case: Json, **changes: object) -> Json:
    """Change a case's note, or more; return the case."""
    ids = [EntryId(bytes.fromhex(each["record_id"])) for each in case["named"]]
    content = custodian.desk.content(ids, **({"note": "amended"} | changes))
    signed = custodian.desk.signer("rita").amendment(case["next"], content)
    return custodian.desk.told("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)


class TestOpening:
    """What a case names is what its requester has looked at."""

    def test_the_preview_lists_all_others_of_the_child(self, shared: Custodian) -> None:
        """Also another authority's, and those of a second identifier; nobody else's."""
        ids = [shared.add("p-1", nhs(1), nhs(2)), shared.add("p-2", nhs(1))]
        ids += [shared.add("p-3", nhs(2), authority="BSC")]
        shared.add("p-4", nhs(3))
        wanted = {"record_ids": [ids[0].hex()]}
        seen = shared.desk.told("rita", "POST", "/v1/cases/preview", wanted)
        assert sorted(each["record_id"] for each in seen["others"]) == sorted(
            each.hex() for each in ids[1:]
        )
        assert nhs(1)[4:] not in str(seen)

    @pytest.mark.parametrize("others", [[], ["0" * 32], ["real", "f" * 32]])
    def test_a_case_lists_just_the_others_that_there_are(
        self, custodian: Custodian, others: list[str]
    ) -> None:
        named, other = custodian.add("one", nhs(1)), custodian.add("two", nhs(1))
        listed = sorted(other.hex() if each == "real" else each for each in others)
        content = custodian.desk.content([named], others=listed)
        signed = custodian.desk.signer("rita").opening(content)
        response = custodian.desk.ask("rita", "POST", "/v1/cases", signed)
        assert response.status_code == 409
        assert "preview it again" in response.json()["detail"]

    def test_a_record_is_in_one_open_case(self, shared: Custodian) -> None:
        """It may be in another when the first has ended without a destruction."""
        record_id = shared.add("q-1", nhs(10))
        first = shared.desk.open([record_id])
        signed = shared.desk.signer("rita").opening(shared.desk.content([record_id]))
        response = shared.desk.ask("rita", "POST", "/v1/cases", signed)
        assert response.status_code == 409
        assert "in an open case already" in response.json()["detail"]
        shared.desk.take("rita", first, Act.WITHDRAW)
        shared.desk.open([record_id])

    def test_an_opening_is_played_once(self, shared: Custodian) -> None:
        """Its id is taken, even when the case has ended."""
        signed = shared.desk.signer("rita").opening(
            shared.desk.content([shared.add("q-2", nhs(11))])
        )
        case = shared.desk.told("rita", "POST", "/v1/cases", signed)
        shared.desk.take("rita", case, Act.WITHDRAW)
        again = shared.desk.ask("rita", "POST", "/v1/cases", signed)
        assert again.status_code == 409

    def test_records_are_those_that_were_seen(self, shared: Custodian) -> None:
        record_id = shared.add("q-3", nhs(12))
        content = shared.desk.content([record_id])
        members = record("q-3", nhs(12), since="2026-01-03")
        path = f"/v1/records/{record_id.hex()}"
        changed = shared.feed.put(path, json=members, headers={"if-match": '"1"'})
        assert changed.status_code == 200
        signed = shared.desk.signer("rita").opening(content)
        response = shared.desk.ask("rita", "POST", "/v1/cases", signed)
        assert "changed since it was looked at" in response.json()["detail"]


class TestChanges:
    """What changes a case voids what was signed of it."""

    def test_an_amendment_voids_approvals(self, shared: Custodian) -> None:
        case = waiting(shared, shared.add("a-1", nhs(20)))
        assert case["state"] == "cooling-off"
        case = amend(shared, case)
        assert (case["state"], case["approvals"]) == ("requested", [])
        assert case["wanting"] == ["2 more approvals"]

    def test_an_amendment_leaves_the_records(self, shared: Custodian) -> None:
        case = shared.desk.open([shared.add("a-2", nhs(21))])
        other = shared.desk.content([shared.add("a-3", nhs(22))])
        signed = shared.desk.signer("rita").amendment(case["next"], other)
        response = shared.desk.ask("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
        assert response.status_code == 409

    def test_an_amendment_lists_the_others_too(self, shared: Custodian) -> None:
        """Or whoever approves it would not know that there are any."""
        named = shared.add("a-4", nhs(23))
        shared.add("a-5", nhs(23))
        case = shared.desk.open([named])
        content = shared.desk.content([named], others=[], note="shorter")
        signed = shared.desk.signer("rita").amendment(case["next"], content)
        response = shared.desk.ask("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)
        assert response.status_code == 409
        assert "preview it again" in response.json()["detail"]

    def test_another_record_of_the_child_escalates(self, shared: Custodian) -> None:
        """Alarmed, by the site's own step; and the amendment that lists it can be approved."""
        case = waiting(shared, shared.add("a-6", nhs(24)))
        before = shared.custody.alarms.escalated
        shared.add("a-7", nhs(24))
        case = shared.desk.told("ana", "GET", f"/v1/cases/{case['case']}")
        assert (case["state"], case["escalated"]) == ("requested", ["new-record"])
        assert case["steps"][-1]["officer"] == "site"
        assert shared.custody.alarms.escalated == before + 1
        case = amend(shared, case)
        assert len(case["content"]["others"]) == 1
        assert shared.desk.take("ana", case, Act.APPROVE)["approvals"] == ["ana"]


class TestTime:
    """Two clocks: one counts, and the other has to agree."""

    def test_the_scheduler_carries_out_what_is_due(
        self, custodian: Custodian, clocks: SetClocks
    ) -> None:
        """Nobody asks; two cases share one epoch change."""
        ids = [custodian.add(f"due-{n}", nhs(n)) for n in range(2)]
        for each in ids:
            waiting(custodian, each)
        epoch = custodian.call(lambda custody: custody.vault.version.epoch)
        clocks.let_days_pass(14)
        wait_until(lambda: custodian.outcome(nhs(1)) == "no-record", LONG)
        assert custodian.outcome(nhs(0)) == "no-record"
        assert custodian.call(lambda custody: custody.vault.version.epoch) == epoch + 1
        assert custodian.desk.told("ada", "GET", "/v1/cases") == {"cases": []}

    def test_a_second_less_is_not_enough(self, custodian: Custodian, clocks: SetClocks) -> None:
        waiting(custodian, custodian.add("due", nhs(1)))
        clocks.let_pass(14 * 86_400 - 1)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"
        clocks.let_pass(1)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "no-record"

    @pytest.mark.parametrize(
        ("wall", "run"), [(400, 0), (0, 400), (400, 13), (13, 400), (-400, 14)]
    )
    def test_one_clock_alone_brings_no_end(
        self, custodian: Custodian, clocks: SetClocks, wall: int, run: int
    ) -> None:
        """Neither a clock that is set, nor one that was wrong."""
        case = waiting(custodian, custodian.add("due", nhs(1)))
        clocks.at += wall * 86_400
        clocks.run += run * 86_400
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"
        assert "cooling-off lasts" in refuse(custodian, "leo", case, Act.CARRY_OUT)

    def test_time_is_counted_over_restarts(self, site: Site, clocks: SetClocks) -> None:
        """Only what a custodian has run counts; what is due when it comes back is done then."""
        with site.open() as custodian:
            waiting(custodian, custodian.add("due", nhs(1)))
            clocks.let_days_pass(13)
        clocks.let_days_pass(5)
        with site.open() as custodian:
            custodian.call(tend)
            assert custodian.outcome(nhs(1)) == "known"
            clocks.let_days_pass(1)
        with site.open() as custodian:
            custodian.call(tend)
            assert custodian.outcome(nhs(1)) == "no-record"

    def test_a_hold_outlasts_the_cooling_off(self, custodian: Custodian, clocks: SetClocks) -> None:
        case = waiting(custodian, custodian.add("held", nhs(1)))
        case = custodian.desk.take("sam", case, Act.HOLD, reason="court-case")
        clocks.let_days_pass(30)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"
        assert refuse(custodian, "leo", case, Act.CARRY_OUT) == "the case is on hold"
        custodian.desk.take("leo", case, Act.RELEASE)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "no-record"


class TestRestriction:
    """A record that protects a child is hidden by two, with an alarm, for a time."""

    def test_two_hide_and_the_alarm_is_raised(self, custodian: Custodian) -> None:
        case = restricted(custodian, custodian.add("hide", nhs(1)))
        assert case["hidden"]
        assert custodian.outcome(nhs(1)) == "no-record"
        assert custodian.custody.alarms.hidden == 1
        custodian.desk.take("leo", case, Act.LIFT)
        assert custodian.outcome(nhs(1)) == "known"

    @pytest.mark.parametrize(("wall", "run"), [(72, 0), (0, 72)])
    def test_it_lapses_by_either_clock(
        self, custodian: Custodian, clocks: SetClocks, wall: int, run: int
    ) -> None:
        """Without anybody's doing."""
        restricted(custodian, custodian.add("hide", nhs(1)))
        clocks.at += wall * 3_600
        clocks.run += run * 3_600
        wait_until(lambda: custodian.outcome(nhs(1)) == "known", LONG)

    def test_it_lapses_while_nobody_is_there(self, site: Site, clocks: SetClocks) -> None:
        with site.open() as custodian:
            restricted(custodian, custodian.add("hide", nhs(1)))
        with site.open() as custodian:
            assert custodian.outcome(nhs(1)) == "no-record"
        clocks.at += 72 * 3_600
        with site.open() as custodian:
            assert custodian.outcome(nhs(1)) == "known"

    def test_a_third_confirms_it(self, custodian: Custodian, clocks: SetClocks) -> None:
        case = restricted(custodian, custodian.add("hide", nhs(1)))
        refuse(custodian, "sam", case, Act.CONFIRM)
        case = custodian.desk.take("ana", case, Act.CONFIRM)
        clocks.let_days_pass(30)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "no-record"
        custodian.desk.take("rita", case, Act.WITHDRAW)
        assert custodian.outcome(nhs(1)) == "known"

    def test_it_is_not_renewed_by_one(self, custodian: Custodian, clocks: SetClocks) -> None:
        """Or the second officer alone would hide a plan for as long as they like."""
        case = restricted(custodian, custodian.add("hide", nhs(1)))
        clocks.let_days_pass(3)
        custodian.call(tend)
        refuse(custodian, "sam", case, Act.RESTRICT)
        assert custodian.outcome(nhs(1)) == "known"

    def test_it_is_not_lifted_and_laid_on_again_by_one(self, custodian: Custodian) -> None:
        case = restricted(custodian, custodian.add("hide", nhs(1)))
        case = custodian.desk.take("sam", case, Act.LIFT)
        refuse(custodian, "sam", case, Act.RESTRICT)

    def test_a_change_brings_no_lapsed_one_back(
        self, custodian: Custodian, clocks: SetClocks
    ) -> None:
        """Neither the requester's, nor what a feed sends."""
        case = restricted(custodian, custodian.add("hide", nhs(1)))
        clocks.let_days_pass(3)
        custodian.call(tend)
        case = amend(custodian, case)
        assert custodian.outcome(nhs(1)) == "known"
        custodian.add("more", nhs(1))
        case = custodian.desk.told("rita", "GET", f"/v1/cases/{case['case']}")
        assert case["escalated"] == ["new-record"]
        assert not case["hidden"]

    def test_a_change_makes_no_unconfirmed_one_last(
        self, custodian: Custodian, clocks: SetClocks
    ) -> None:
        case = restricted(custodian, custodian.add("hide", nhs(1)))
        clocks.let_days_pass(2)
        amend(custodian, case, restrict=True)
        clocks.let_days_pass(1)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"

    def test_two_may_ask_anew(self, custodian: Custodian, clocks: SetClocks) -> None:
        """After it has lapsed: the requester by an amendment, and safeguarding again."""
        case = restricted(custodian, custodian.add("hide", nhs(1)))
        clocks.let_days_pass(3)
        case = amend(custodian, case, restrict=True)
        assert custodian.desk.take("sam", case, Act.RESTRICT)["hidden"]


REFUSAL: Final[Mapping[str, str | int]] = {
    "reason": "art-17-3-e",
    "words": "The record is needed for proceedings.",
}


class TestEnds:
    """How a case ends without a destruction, and what the law counts."""

    def test_a_refusal_needs_a_reviewer(self, shared: Custodian) -> None:
        case = shared.desk.open([shared.add("r-1", nhs(30))])
        assert refuse(shared, "leo", case, Act.REVIEW) == "nobody has refused this case"
        case = shared.desk.take("ana", case, Act.REFUSE, **REFUSAL)
        assert case["state"] == "requested"
        refuse(shared, "ana", case, Act.REVIEW)
        case = shared.desk.take("leo", case, Act.REVIEW)
        assert case["state"] == "refused"
        assert "takes no" in refuse(shared, "ana", case, Act.APPROVE)
        assert shared.outcome(nhs(30)) == "known"

    def test_a_time_is_extended_once(self, shared: Custodian) -> None:
        """The law knows one extension; a second would leave a case that nobody can read."""
        day = shared.call(lambda custody: custody.today().isoformat())
        case = shared.desk.open([shared.add("r-2", nhs(31))], received=day)
        case = shared.desk.take("leo", case, Act.EXTEND, reason="complexity")
        response = shared.desk.step("leo", case, Act.EXTEND, reason="complexity")
        assert response.status_code == 409
        assert shared.desk.ask("ada", "GET", "/v1/cases").status_code == 200

    @pytest.mark.parametrize("day", ["9999-12-31", "2001-01-01", "2190-01-01"])
    def test_a_request_was_received_when_it_can_be(self, shared: Custodian, day: str) -> None:
        """Not before the law applied, nor after today: its time could not be counted."""
        record_id = shared.add(f"r-{day}", nhs(32))
        signed = shared.desk.signer("rita").opening(shared.desk.content([record_id], received=day))
        response = shared.desk.ask("rita", "POST", "/v1/cases", signed)
        assert response.status_code == 400
        assert shared.desk.ask("ada", "GET", "/v1/cases").status_code == 200

    def test_what_was_refused_leaves_with_its_record(self, custodian: Custodian) -> None:
        """A later case destroys the record, and with it each case that names it."""
        record_id = custodian.add("twice", nhs(1))
        first = custodian.desk.open([record_id])
        first = custodian.desk.take("ana", first, Act.REFUSE, **REFUSAL)
        custodian.desk.take("leo", first, Act.REVIEW)
        custodian.shred(record_id)
        assert custodian.desk.told("ada", "GET", "/v1/cases") == {"cases": []}
        kinds = (Kind.CASE, Kind.STEP, Kind.PARKED)
        assert not custodian.call(lambda c: [e for kind in kinds for e in c.vault.scan(kind)])
        assert custodian.call(lambda custody: list(custody.store.blob_names())) == []
        assert len(custodian.call(lambda custody: list(custody.vault.scan(Kind.DESTROYED)))) == 1

    def test_no_cooling_off_only_by_a_court(self, shared: Custodian) -> None:
        case = shared.desk.open([shared.add("r-3", nhs(33))])
        refuse(shared, "leo", case, Act.SHORTEN, days=0, court_order="")
        refuse(shared, "ana", case, Act.SHORTEN, **COURT_ORDER)
        assert shared.desk.take("leo", case, Act.SHORTEN, **COURT_ORDER)["cooling_off_days"] == 0
