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
    OTHER_GONE,
    RECALL_SECONDS,
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
from lookup.officers.roles import MAY, Act, Officer, OfficerId, Role

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
VALUES: dict[str, str | int] = {
    "reason": "code",
    "words": "words",
    "days": 3,
    "court_order": "",
    "recipients": 2,
}


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
RECALLED = (*TWO, ("site", Act.RECALL))


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
        assert after(*RECALLED).state is State.RECALLING
        for beginning in ((), TWO, RECALLED):
            changed = after(*beginning, ("rita", Act.AMEND)).state
            escalated = after(*beginning, ("site", Act.ESCALATE)).state
            refused = after(*beginning, ("ana", Act.REFUSE), ("leo", Act.REVIEW)).state
            withdrawn = after(*beginning, ("rita", Act.WITHDRAW)).state
            assert (changed, escalated) == (State.REQUESTED, State.REQUESTED)
            assert (refused, withdrawn) == (State.REFUSED, State.WITHDRAWN)

    @pytest.mark.parametrize("act", [act for act in FROM if act not in {Act.REVIEW, Act.WITHDRAW}])
    def test_no_other_step_ends_a_case(self, act: Act) -> None:
        name = "leo" if MAY[act] else "site"
        assert after(("ana", Act.REFUSE), (name, act)).is_open


class TestRecall:
    """Recipients are told of a case that is approved, and of no other."""

    def test_it_hides(self) -> None:
        """An answer that left meanwhile would have a recipient whom nobody told."""
        assert after(*RECALLED).hides(Moment(10**9, 10**10))
        assert not after(*TWO).hides(Moment(10**9, 10**10))

    def test_a_hold_ends_it_and_shows_it_again(self) -> None:
        """One officer's hold may last for months: it hides no plan that protects a child."""
        held = after(*RECALLED, ("ana", Act.LETTERS), ("sam", Act.HOLD))
        later = Moment(10**9, 10**10)
        assert (held.state, held.recalled, held.written) == (State.COOLING_OFF, None, False)
        assert not held.hides(later)
        assert not held.is_due(later)
        assert after(*RECALLED, ("sam", Act.HOLD), ("leo", Act.RELEASE)).is_due(later)

    def test_the_site_takes_it_back(self) -> None:
        """And may begin it anew: what was approved stands."""
        later = Moment(10**9, 10**10)
        back = after(*RECALLED, ("ana", Act.LETTERS), ("site", Act.TAKE_BACK))
        assert (back.state, back.recalled, back.written) == (State.COOLING_OFF, None, False)
        assert not back.hides(later)
        assert back.is_due(later)

    @pytest.mark.parametrize("act", [Act.AMEND, Act.SHORTEN, Act.ESCALATE])
    def test_what_voids_the_approvals_ends_it(self, act: Act) -> None:
        """The next time that it is due its recipients are looked for again."""
        name = "site" if act is Act.ESCALATE else "leo"
        standing = after(*RECALLED, ("ana", Act.LETTERS), (name, act))
        assert (standing.state, standing.recalled) == (State.REQUESTED, None)
        assert not standing.written
        assert not standing.hides(Moment(10**9, 10**10))

    def test_an_approver_who_goes_ends_it(self) -> None:
        left = {key: each for key, each in OFFICERS.items() if each.name != "ana"}
        standing = stand(life(*RECALLED), TERMS, left, Rules())
        assert (standing.state, standing.recalled) == (State.REQUESTED, None)

    def test_it_is_overdue_after_a_week_unless_letters_were_written(self) -> None:
        standing = after(*RECALLED)
        since = standing.recalled
        assert since is not None
        late = Moment(since.elapsed + RECALL_SECONDS, since.time)
        assert standing.is_overdue(late)
        assert standing.is_overdue(Moment(since.elapsed, since.time + RECALL_SECONDS))
        assert not standing.is_overdue(Moment(late.elapsed - 1, since.time))
        assert not after(*RECALLED, ("leo", Act.LETTERS)).is_overdue(late)


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

    def test_another_cooling_off_is_approved_anew(self) -> None:
        """Who approved fourteen days has approved no three; what is signed says so, too."""
        standing = after(*TWO, ("leo", Act.SHORTEN))
        assert (standing.state, standing.approvals) == (State.REQUESTED, ())
        assert (standing.due, standing.revision) == (None, 4)
        assert after(*TWO, ("leo", Act.SHORTEN), *TWO).due == 6 + 3 * DAY

    def test_whoever_may_not_shorten_voids_nothing(self) -> None:
        standing = after(*TWO, ("ana", Act.SHORTEN))
        assert (standing.state, standing.revision) == (State.COOLING_OFF, 1)


def without(name: str, *acts: tuple[str, Act]) -> Standing:
    """Return where a case stands when somebody has left who took steps of it."""
    left = {key: each for key, each in OFFICERS.items() if each.name != name}
    return stand(life(*acts), TERMS, left, Rules())


class TestDismissed:
    """What somebody signed who is an officer no more."""

    LATE = Moment(10**6, 1_800_000_000 + 10**6)

    def test_hides_nothing(self) -> None:
        """Neither for 72 hours, nor, if it was confirmed, for longer."""
        steps = (("sam", Act.RESTRICT), ("ana", Act.CONFIRM))
        assert after(*steps).hides(self.LATE)
        assert without("sam", *steps).restriction is None
        assert without("sam", *steps[:1]).restriction is None

    def test_confirms_nothing(self) -> None:
        """A restriction is what its two have made of it."""
        standing = without("ana", ("sam", Act.RESTRICT), ("ana", Act.CONFIRM))
        assert standing.hides(Moment(9, 1_800_000_009))
        assert not standing.hides(self.LATE)

    def test_refuses_nothing(self) -> None:
        assert after(("ana", Act.REFUSE)).refusal is not None
        assert without("ana", ("ana", Act.REFUSE)).refusal is None

    def test_a_refusal_that_was_reviewed_stays(self) -> None:
        steps = (("ana", Act.REFUSE), ("leo", Act.REVIEW))
        assert without("ana", *steps).state is State.REFUSED


class TestStale:
    """Something has come that no requester has seen."""

    def test_until_it_is_amended(self) -> None:
        assert after(*TWO, ("site", Act.ESCALATE)).stale
        assert not after(("site", Act.ESCALATE), ("rita", Act.AMEND)).stale
        assert after(("rita", Act.AMEND), ("site", Act.ESCALATE), ("leo", Act.SHORTEN)).stale

    @pytest.mark.parametrize("first", [None, "new-record"])
    def test_what_is_gone_is_nothing_to_see(self, first: str | None) -> None:
        """It voids approvals, and neither asks for a look nor does one's work."""
        reasons = [each for each in (first, OTHER_GONE) if each is not None]
        taken = life(*TWO, *(("site", Act.ESCALATE) for _ in reasons))
        for at, reason in enumerate(reasons, start=3):
            step = replace(taken[at].step, details={"reason": reason})
            taken[at] = replace(taken[at], step=step)
        standing = stand(taken, TERMS, OFFICERS, Rules())
        assert (standing.approvals, standing.stale) == ((), first is not None)
