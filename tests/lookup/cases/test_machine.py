"""The state machine's tables, and what single steps do; whole lives are in tests/guarantees."""

import re
from dataclasses import replace

import pytest

from crypto.sshsig import PublicKey
from lookup.cases import machine
from lookup.cases.machine import FROM, stand
from lookup.cases.standing import (
    DAY,
    MALICIOUS,
    RESTRICTED_SECONDS,
    UNDECIDED,
    Moment,
    Rules,
    Standing,
    State,
    Taken,
    Terms,
)
from lookup.cases.step import DETAILS, STEPS, Step
from lookup.officers.roles import Act, Officer, OfficerId, Role

NAMES = {
    "rita": Role.REQUESTER,
    "ana": Role.APPROVER,
    "max": Role.APPROVER,
    "leo": Role.LEGAL,
    "sam": Role.SAFEGUARDING,
}
OFFICERS = {
    OfficerId(name.encode().ljust(16)): Officer(
        OfficerId(name.encode().ljust(16)), name, frozenset({role}), PublicKey(bytes(32))
    )
    for name, role in NAMES.items()
}
TERMS = Terms("art-17-1-a", "AXT", restrict=True)
VALUES: dict[str, str | int] = {"reason": "code", "words": "words", "days": 3, "court_order": ""}


def life(*acts: tuple[str, Act]) -> list[Taken]:
    """Return the steps of a case, a second apart, after its opening."""
    taken = []
    for number, (name, act) in enumerate([("rita", Act.OPEN), *acts], start=1):
        officer = None if name == "site" else OfficerId(name.encode().ljust(16))
        details = {name: VALUES[name] for name in DETAILS.get(act, ())}
        step = Step(bytes(16), bytes(16), number, bytes(32), bytes(32), officer, act, details)
        taken.append(Taken(step, Moment(number, 1_800_000_000 + number)))
    return taken


def after(*acts: tuple[str, Act], terms: Terms = TERMS, rules: Rules | None = None) -> Standing:
    return stand(life(*acts), terms, OFFICERS, rules or Rules())


TWO = (("ana", Act.APPROVE), ("leo", Act.APPROVE))


class TestTables:
    """Every act has its place in them."""

    def test_every_step_may_be_taken_from_somewhere_but_the_first(self) -> None:
        assert set(FROM) == set(STEPS) - {Act.OPEN}

    def test_every_step_has_an_effect(self) -> None:
        assert set(machine._EFFECT) == set(FROM)

    def test_nothing_is_taken_from_an_end(self) -> None:
        ends = {*State} - UNDECIDED
        assert not any(states & ends for states in FROM.values())

    def test_the_diagram_says_what_the_code_does(self) -> None:
        """Each state of the code is drawn; each transition that is drawn happens."""
        diagram = (machine.__doc__ or "").split("Invariants:")[0]
        drawn = {state for state in State if re.search(rf"\b{state.value}\b", diagram)}
        assert drawn == set(State)
        assert after().state is State.REQUESTED
        assert after(*TWO).state is State.COOLING_OFF
        for beginning in ((), TWO):
            changed = after(*beginning, ("rita", Act.AMEND)).state
            escalated = after(*beginning, ("site", Act.ESCALATE)).state
            refused = after(*beginning, ("ana", Act.REFUSE), ("leo", Act.REVIEW)).state
            withdrawn = after(*beginning, ("rita", Act.WITHDRAW)).state
            assert (changed, escalated) == (State.REQUESTED, State.REQUESTED)
            assert (refused, withdrawn) == (State.REFUSED, State.WITHDRAWN)

    @pytest.mark.parametrize("act", [act for act in FROM if act not in {Act.REVIEW, Act.WITHDRAW}])
    def test_no_other_step_ends_a_case(self, act: Act) -> None:
        name = "site" if act is Act.ESCALATE else "leo"
        assert after(("ana", Act.REFUSE), (name, act)).is_open


class TestApprovals:
    """Which of them count."""

    @pytest.mark.parametrize("approvals", [2, 3, 4])
    def test_as_many_as_the_rules_of_now_ask_for(self, approvals: int) -> None:
        signed = [(name, Act.APPROVE) for name in ("ana", "max", "leo")]
        standing = after(*signed, rules=Rules(approvals))
        assert (standing.state is State.COOLING_OFF) == (approvals <= 3)

    def test_of_officers_of_now(self) -> None:
        left = {key: each for key, each in OFFICERS.items() if each.name != "ana"}
        standing = stand(life(*TWO), TERMS, left, Rules())
        assert (standing.state, standing.wanting) == (State.REQUESTED, ("1 more approval",))
        assert len(standing.approvals) == 1

    def test_of_roles_of_now(self) -> None:
        key = OfficerId(b"ana".ljust(16))
        now = OFFICERS | {key: replace(OFFICERS[key], roles=frozenset({Role.AUDITOR}))}
        assert stand(life(*TWO), TERMS, now, Rules()).state is State.REQUESTED

    def test_of_the_authority(self) -> None:
        key = OfficerId(b"ana".ljust(16))
        now = OFFICERS | {key: replace(OFFICERS[key], authority="BSC")}
        assert stand(life(*TWO), TERMS, now, Rules()).state is State.REQUESTED

    def test_one_is_legal_for_a_malicious_allegation(self) -> None:
        terms = replace(TERMS, ground=MALICIOUS)
        signed = (("ana", Act.APPROVE), ("max", Act.APPROVE))
        assert after(*signed, terms=terms).wanting == ("an approval of a legal officer",)
        assert after(*signed, ("leo", Act.APPROVE), terms=terms).state is State.COOLING_OFF

    def test_the_cooling_off_begins_with_the_last_that_was_needed(self) -> None:
        standing = after(("ana", Act.APPROVE), ("sam", Act.HOLD), ("leo", Act.APPROVE))
        assert standing.approved == Moment(4, 1_800_000_004)
        assert standing.due == 4 + 14 * DAY


class TestTime:
    """When a case is due, and when a restriction lapses."""

    @pytest.mark.parametrize(
        ("elapsed", "wall", "due"),
        [(0, 0, True), (-1, 0, False), (0, -1, False), (10**9, -1, False), (-1, 10**9, False)],
    )
    def test_both_clocks_have_to_say_so(self, elapsed: int, wall: int, due: bool) -> None:  # noqa: FBT001
        standing = after(*TWO)
        end = 3 + 14 * DAY
        assert standing.is_due(Moment(end + elapsed, 1_800_000_000 + end + wall)) is due

    @pytest.mark.parametrize(
        ("elapsed", "wall", "hides"),
        [(-1, -1, True), (0, -1, False), (-1, 0, False), (-(10**5), -(10**9), True)],
    )
    def test_either_clock_ends_a_restriction(self, elapsed: int, wall: int, hides: bool) -> None:  # noqa: FBT001
        standing = after(("sam", Act.RESTRICT))
        end = 2 + RESTRICTED_SECONDS
        assert standing.hides(Moment(end + elapsed, 1_800_000_000 + end + wall)) is hides

    def test_a_held_case_is_never_due(self) -> None:
        late = Moment(10**9, 10**10)
        assert after(*TWO).is_due(late)
        assert not after(*TWO, ("sam", Act.HOLD)).is_due(late)
        assert not after(("sam", Act.HOLD), *TWO).is_due(late)
        assert not after(("sam", Act.HOLD), ("rita", Act.AMEND), *TWO).is_due(late)
        assert after(*TWO, ("sam", Act.HOLD), ("leo", Act.RELEASE)).is_due(late)

    def test_only_a_legal_officer_shortens(self) -> None:
        assert after(*TWO, ("leo", Act.SHORTEN)).cooling_off_days == 3
        assert after(*TWO, ("ana", Act.SHORTEN)).cooling_off_days == 14

    def test_a_change_voids_a_shortening(self) -> None:
        assert after(("leo", Act.SHORTEN), ("rita", Act.AMEND)).cooling_off_days == 14
