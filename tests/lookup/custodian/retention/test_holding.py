"""Holds: placed by one, lifted by several; meanwhile no case destroys what they cover."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from crypto.sshsig import OfficerKey, Signature, format_public_key, verify
from keys.entry import EntryId, Kind, new_entry_id
from lookup.custodian import proposals
from lookup.custodian.cases.carrying_out import carry_out, tend
from lookup.custodian.custody import Custody
from lookup.custodian.retention import holding
from lookup.errors import Conflict
from lookup.officers.proposal import (
    NAMESPACE,
    AddOfficer,
    LiftHold,
    PlaceHold,
    Proposal,
    RemoveOfficer,
)
from lookup.officers.roles import Act, Role
from tests.clocks import SetClocks
from tests.officers import ROLES, Json
from tests.simulator import Custodian, Site, nhs, record


class Crew(Site):
    """As a site has it, with a second who may place holds and may be dismissed."""

    roles = ROLES | {"sue": frozenset({Role.SAFEGUARDING})}


@pytest.fixture
def site() -> Iterator[Site]:
    with Crew() as made:
        made.clocks = SetClocks()
        yield made


def due(custodian: Custodian, source: str, number: int, **changes: object) -> EntryId:
    """Add a record with a case about it that is due; nothing carries it out yet."""
    record_id = custodian.add(source, nhs(number), **changes)
    bench = custodian.site.officers
    custodian.call(lambda custody: bench.approved_of(custody, [record_id]))
    return record_id


def lift(custodian: Custodian, hold: str, authority: str | None = None) -> None:
    custodian.desk.change(LiftHold(hold=hold, authority=authority))


def is_there(custodian: Custodian, record_id: EntryId) -> bool:
    return custodian.call(lambda custody: custody.record(record_id)) is not None


def holds(custodian: Custodian) -> list[Json]:
    return list(custodian.desk.told("ada", "GET", "/v1/officers")["holds"])


class TestHeld:
    """What is on hold stays, and goes when the hold does."""

    @pytest.mark.parametrize(
        "scope",
        [
            {},
            {"record": "its own"},
            {"authority": "AXT"},
            {"category": "child-protection-plan"},
            {"of_class": "child-in-need"},
            {
                "record": "its own",
                "authority": "AXT",
                "category": "child-protection-plan",
                "of_class": "child-in-need",
            },
        ],
        ids=["every record", "record", "authority", "category", "class", "all of it"],
    )
    def test_a_due_case_waits_for_the_lifting(
        self, custodian: Custodian, scope: dict[str, str]
    ) -> None:
        """Whatever the scope says of the record; the next look after the lifting carries it out."""
        with custodian.unscheduled():
            record_id = due(custodian, "held", 1, retention={"class": "child-in-need"})
            named = {
                key: record_id.hex() if key == "record" else each for key, each in scope.items()
            }
            hold = custodian.desk.hold(**named)
            for _ in range(2):
                custodian.call(tend)
                assert is_there(custodian, record_id)
            lift(custodian, hold, scope.get("authority"))
            custodian.call(tend)
            assert not is_there(custodian, record_id)
            assert holds(custodian) == []

    @pytest.mark.parametrize(
        "scope",
        [
            {"record": "another"},
            {"authority": "BSC"},
            {"category": "looked-after"},
            {"of_class": "adoption"},
            {"authority": "AXT", "category": "looked-after"},
        ],
        ids=["record", "authority", "category", "class", "one of two"],
    )
    def test_another_scope_holds_nothing_of_it(
        self, custodian: Custodian, scope: dict[str, str]
    ) -> None:
        """A scope is a conjunction: what fails one condition is not covered."""
        with custodian.unscheduled():
            record_id = due(custodian, "free", 1, retention={"class": "child-in-need"})
            other = custodian.add("other", nhs(2)).hex()
            custodian.desk.hold(**{k: other if k == "record" else v for k, v in scope.items()})
            custodian.call(tend)
            assert not is_there(custodian, record_id)

    def test_a_record_without_a_class_is_of_no_class(self, custodian: Custodian) -> None:
        with custodian.unscheduled():
            record_id = due(custodian, "plain", 1)
            custodian.desk.hold(of_class="adoption")
            custodian.call(tend)
            assert not is_there(custodian, record_id)

    def test_an_officer_cannot_carry_it_out_either(self, custodian: Custodian) -> None:
        """No step is taken; the case says which hold it is."""
        with custodian.unscheduled():
            record_id = custodian.add("held", nhs(1))
            case = custodian.desk.approved([record_id])
            hold = custodian.desk.hold(record=record_id.hex())
            response = custodian.desk.step("rita", case, Act.CARRY_OUT)
            now = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
            (listed,) = custodian.desk.told("ada", "GET", "/v1/cases")["cases"]
        assert response.status_code == 409
        assert "a hold covers a record" in response.json()["detail"]
        assert now["next"] == case["next"]
        assert now["holds"] == listed["holds"] == [hold]

    def test_nothing_calls_it_behind_the_back_of_a_hold(self, custodian: Custodian) -> None:
        """The one function that destroys asks, too."""
        with custodian.unscheduled():
            record_id = due(custodian, "held", 1)
            custodian.desk.hold()

            def run(custody: Custody) -> None:
                carry_out(custody, list(custody.docket.cases.values()))

            with pytest.raises(Conflict, match="hold"):
                custodian.call(run)
            assert is_there(custodian, record_id)

    def test_what_comes_later_is_covered(self, custodian: Custodian) -> None:
        """A hold is on a scope, not on what was there when it was placed."""
        custodian.desk.hold(authority="AXT")
        with custodian.unscheduled():
            record_id = due(custodian, "later", 1)
            custodian.call(tend)
            assert is_there(custodian, record_id)

    def test_a_record_that_leaves_the_scope_is_free(self, custodian: Custodian) -> None:
        """Also where its case was found to be on hold before."""
        with custodian.unscheduled():
            record_id = due(custodian, "moves", 1)
            custodian.desk.hold(category="child-protection-plan")
            custodian.call(tend)
            assert len(custodian.custody.holds.cases) == 1
            moved = record("moves", nhs(1), nhs(2), category="looked-after")
            path = f"/v1/records/{record_id.hex()}"
            said = custodian.feed.put(path, json=moved, headers={"if-match": '"1"'})
            assert said.json()["result"] == "updated", "a second child: it is not parked"
            assert custodian.custody.holds.cases == set()

    def test_one_held_record_holds_the_whole_case(self, custodian: Custodian) -> None:
        """A case is carried out as it was approved, or not at all."""
        with custodian.unscheduled():
            ids = [custodian.add(f"two-{n}", nhs(n)) for n in (1, 2)]
            bench = custodian.site.officers
            custodian.call(lambda custody: bench.approved_of(custody, ids))
            custodian.desk.hold(record=ids[1].hex())
            custodian.call(tend)
            assert all(is_there(custodian, each) for each in ids)

    def test_it_holds_over_a_start(self, site: Site) -> None:
        """And with every condition that it had."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = due(custodian, "held", 1)
            custodian.desk.hold(record=record_id.hex(), authority="AXT")
            before = holds(custodian)
            custodian.stop()
        with site.open() as custodian:
            custodian.call(tend)
            assert is_there(custodian, record_id)
            assert holds(custodian) == before


MISTAKEN = {
    "a record that is not there": {"record": "0" * 32},
    "a record of another authority": {"record": "its own", "authority": "BSC"},
    "a record of another category": {"record": "its own", "category": "looked-after"},
    "a category of no site": {"category": "moon"},
    "a class of nobody's": {"of_class": "moon"},
    "an authority of another site": {"authority": "ZZZ"},
}


class TestPlacing:
    """One officer protects, alone and at once; signed, and in the log."""

    @pytest.mark.parametrize(("name", "may"), [("leo", True), ("sam", True), ("rita", False)])
    def test_legal_and_safeguarding_may(self, custodian: Custodian, name: str, may: bool) -> None:  # noqa: FBT001  # a column
        response = custodian.desk.propose(PlaceHold(reason="inquiry"), name)
        assert response.status_code == (201 if may else 403)
        assert len(holds(custodian)) == may

    @pytest.mark.parametrize("name", ["ana", "ada", "feed"])
    def test_others_may_not(self, custodian: Custodian, name: str) -> None:
        assert custodian.desk.propose(PlaceHold(reason="inquiry"), name).status_code == 403

    def test_it_is_no_epoch_change_and_leaves_no_proposal(self, custodian: Custodian) -> None:
        before = custodian.custody.vault.version.epoch
        size = custodian.custody.vault.log.size
        custodian.desk.hold()
        assert custodian.custody.vault.version.epoch == before
        assert custodian.custody.vault.log.size == size + 1
        assert custodian.desk.told("ada", "GET", "/v1/officers")["proposals"] == []

    def test_what_was_signed_is_kept_with_it(self, custodian: Custodian) -> None:
        """An auditor can verify the signature of every hold that stands."""
        hold_id = custodian.desk.hold("leo", authority="AXT")
        (hold,) = custodian.call(lambda custody: list(custody.holds.holds.values()))
        proposal = Proposal(custodian.site.vault, hold.id, hold.officer, Act.PROPOSE, hold.scope)
        key = custodian.site.officers.officers["leo"].key
        assert hold.id.hex() == hold_id
        verify(key, NAMESPACE, proposal.text().encode(), Signature(hold.signature))

    @pytest.mark.parametrize("scope", MISTAKEN.values(), ids=MISTAKEN)
    def test_a_scope_that_would_hold_nothing_is_a_mistake(
        self, custodian: Custodian, scope: dict[str, str]
    ) -> None:
        """Whoever thinks that something is protected must not be wrong."""
        own = custodian.add("one", nhs(1)).hex()
        named = {k: own if v == "its own" else v for k, v in scope.items()}
        response = custodian.desk.propose(PlaceHold(reason="inquiry", **named), "leo")
        assert response.status_code == 409
        assert holds(custodian) == []

    def test_what_was_signed_places_it_once(self, custodian: Custodian) -> None:
        """Neither while it stands, nor after it was lifted."""
        desk = custodian.desk
        signed = desk.signer("sam").proposal(PlaceHold(reason="inquiry"), 0)
        path = "/v1/officers/proposals"
        hold = desk.told("sam", "POST", path, signed)["proposal"]
        assert desk.ask("sam", "POST", path, signed).status_code == 409
        lift(custodian, hold)
        assert desk.ask("sam", "POST", path, signed).status_code == 409
        assert holds(custodian) == []

    def test_nobody_uses_up_what_others_need(
        self, custodian: Custodian, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proposals, "MOST_HOLDS", 2)
        monkeypatch.setattr(proposals, "MAX_HOLDS", 3)
        custodian.desk.hold("sam")
        custodian.desk.hold("sam")
        assert custodian.desk.propose(PlaceHold(reason="inquiry"), "sam").status_code == 409
        custodian.desk.hold("leo")
        assert custodian.desk.propose(PlaceHold(reason="inquiry"), "leo").status_code == 409

    def test_it_stays_when_its_placer_goes(self, site: Site) -> None:
        """Protection is not withdrawn by a dismissal."""
        with site.open() as custodian:
            hold = custodian.desk.hold("sue")
            custodian.desk.change(RemoveOfficer(officer=site.officers.officers["sue"].id.hex()))
            (found,) = holds(custodian)
            assert (found["hold"], found["placed_by"]) == (hold, None)

    def test_an_officer_of_one_authority_holds_its_records_alone(
        self, custodian: Custodian
    ) -> None:
        key = OfficerKey.generate()
        custodian.desk.change(
            AddOfficer(
                name="axel",
                roles=[Role.LEGAL],
                key=format_public_key(key.public()),
                authority="AXT",
            )
        )
        officer = custodian.call(lambda custody: custody.office.named("axel"))
        assert officer is not None
        bench = custodian.site.officers
        bench.officers["axel"], bench.keys["axel"] = officer, key
        everything = custodian.desk.propose(PlaceHold(reason="inquiry"), "axel")
        own = custodian.desk.propose(PlaceHold(reason="inquiry", authority="AXT"), "axel")
        assert (everything.status_code, own.status_code) == (403, 201)


class TestLifting:
    """By as many as a case needs; then it is forgotten."""

    def test_one_or_its_placer_alone_lifts_nothing(self, custodian: Custodian) -> None:
        hold = custodian.desk.hold("leo")
        change = LiftHold(hold=hold)
        proposed = custodian.desk.propose(change, "leo").json()
        assert not proposed["made"]
        signed = custodian.desk.signer("leo").approval(bytes.fromhex(proposed["proposal"]), change)
        path = "/v1/officers/proposals/approve"
        assert custodian.desk.ask("leo", "POST", path, signed).status_code == 409
        assert len(holds(custodian)) == 1

    def test_a_lifted_hold_is_forgotten_in_an_epoch_change(self, custodian: Custodian) -> None:
        """With the id of the record that it named."""
        hold = custodian.desk.hold(record=custodian.add("one", nhs(1)).hex())
        before = custodian.custody.vault.version.epoch
        lift(custodian, hold)
        assert custodian.custody.vault.version.epoch > before
        assert custodian.call(lambda custody: list(custody.vault.scan(Kind.HOLD))) == []

    @pytest.mark.parametrize("which", ["no hold", "of another authority"])
    def test_what_is_no_hold_is_not_lifted(self, custodian: Custodian, which: str) -> None:
        hold = custodian.desk.hold(authority="AXT")
        change = (
            LiftHold(hold=new_entry_id(Kind.HOLD).hex())
            if which == "no hold"
            else LiftHold(hold=hold, authority="BSC")
        )
        assert "no such hold" in custodian.desk.refused_change(change)

    def test_two_proposals_to_lift_one_hold_lift_it_once(self, custodian: Custodian) -> None:
        hold = custodian.desk.hold()
        change = LiftHold(hold=hold)
        second = custodian.desk.propose(change).json()["proposal"]
        lift(custodian, hold)
        signer = custodian.desk.signer("ana").approval(bytes.fromhex(second), change)
        path = "/v1/officers/proposals/approve"
        assert custodian.desk.ask("ana", "POST", path, signer).status_code == 200
        signer = custodian.desk.signer("leo").approval(bytes.fromhex(second), change)
        assert custodian.desk.ask("leo", "POST", path, signer).status_code == 409


def test_a_hold_prints_neither_salt_nor_signature(custodian: Custodian) -> None:
    custodian.desk.hold()
    (hold,) = custodian.call(lambda custody: list(custody.holds.holds.values()))
    assert "salt" not in repr(hold)
    assert repr(hold) == repr(replace(hold, signature=b"", salt=b""))
    assert holding.load_holds(custodian.custody.vault).holds == {hold.id: hold}
