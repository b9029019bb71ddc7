"""G7: nobody alone expunges, or hides an answer that protects a child; nothing on hold is expunged.

Random lives of a case, with officers who come and go, rules that change, and two clocks that are
moved apart. What the machine says is compared after every step with the model of cases.py.
"""

from dataclasses import replace
from itertools import count
from typing import Final

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crypto.sshsig import PublicKey
from lookup.cases.machine import stand
from lookup.cases.permitting import StepRefused, require
from lookup.cases.standing import MALICIOUS, Moment, Rules, Standing, State, Taken, Terms
from lookup.cases.step import FIRST_AFTER, STEPS, Step, digest_of
from lookup.officers.roles import MAY, Act, Officer, OfficerId, Role
from tests.conftest import SOAK
from tests.guarantees.cases import DAY, HOUR, Event, Law, Story

VAULT, CASE, SALT = bytes(16), b"\0" + bytes(15), bytes(32)
PEOPLE: Final = sorted(set(Role) - {Role.REGISTRAR})
ROLES = st.frozensets(st.sampled_from(PEOPLE), min_size=1, max_size=4)
PICK = st.integers(0, 9)
SPANS = st.sampled_from([1, HOUR, 71 * HOUR, 72 * HOUR, DAY, 13 * DAY, 14 * DAY, 40 * DAY])
REASONS: Final[dict[Act, dict[str, str | int]]] = {
    Act.REFUSE: {"reason": "art-17-3-e", "words": "words"},
    Act.HOLD: {"reason": "court-case"},
    Act.EXTEND: {"reason": "complexity"},
    Act.ESCALATE: {"reason": "new-record"},
    Act.RECALL: {"recipients": 3},
}
COMES: Final = ("new-record", "new-child", "new-category", "new-dates", "other-gone")
# Those that lead somewhere come more often.
ACTS = st.sampled_from([*STEPS, *[Act.APPROVE] * 4, *[Act.RESTRICT, Act.CONFIRM] * 2])


class NobodyAlone(RuleBasedStateMachine):
    """One case, many people."""

    numbers = count(1)

    def __init__(self) -> None:
        super().__init__()
        self.officers: dict[OfficerId, Officer] = {}
        self.law = Law()
        self.now = Moment(0, 1_800_000_000)
        self.taken: list[Taken] = []
        self.signed: list[Step] = []
        self.content = b""
        self.destroyed = False

    # People and rules

    @initialize(malicious=st.booleans(), asked=st.booleans())
    def begin(self, malicious: bool, asked: bool) -> None:  # noqa: FBT001
        """Two of each decider, and a case that somebody opens."""
        for role in (Role.REQUESTER, Role.APPROVER, Role.APPROVER, Role.LEGAL, Role.SAFEGUARDING):
            self._enlist(frozenset({role}))
        opener = next(iter(self.officers))
        self.story = Story(malicious, asked)
        self.terms = Terms(MALICIOUS if malicious else "art-17-1-a", "AXT", asked)
        self.content = b"1"
        digest = digest_of(SALT, CASE, 1, self.content)
        self._append(Step(VAULT, CASE, 1, FIRST_AFTER, digest, opener, Act.OPEN))

    @rule(roles=ROLES)
    def enlist(self, roles: frozenset[Role]) -> None:
        """Somebody becomes an officer."""
        assume(len(self.officers) < 10)
        self._enlist(roles)

    def _enlist(self, roles: frozenset[Role]) -> OfficerId:
        number = next(self.numbers)
        officer_id = OfficerId(number.to_bytes(16))
        key = PublicKey(number.to_bytes(32))
        self.officers[officer_id] = Officer(officer_id, f"o-{number}", roles, key)
        self.law.people[officer_id] = roles
        return officer_id

    @rule(pick=PICK)
    def dismiss(self, pick: int) -> None:
        """Somebody is one no more."""
        assume(len(self.officers) > 3)
        gone = self._pick(pick)
        del self.officers[gone.id], self.law.people[gone.id]

    @rule(pick=PICK, roles=ROLES)
    def change_roles(self, pick: int, roles: frozenset[Role]) -> None:
        """Somebody may do something else."""
        changed = replace(self._pick(pick), roles=roles)
        self.officers[changed.id], self.law.people[changed.id] = changed, roles

    @rule(approvals=st.integers(2, 4), days=st.sampled_from([1, 14, 30]))
    def change_rules(self, approvals: int, days: int) -> None:
        """The site asks for more, or less."""
        self.law.approvals, self.law.days = approvals, days

    # Time

    @rule(seconds=SPANS)
    def let_pass(self, seconds: int) -> None:
        """Time passes."""
        self.now = Moment(self.now.elapsed + seconds, self.now.time + seconds)

    @rule(seconds=SPANS, back=st.booleans())
    def set_the_wall(self, seconds: int, back: bool) -> None:  # noqa: FBT001
        """Somebody sets the clock on the wall."""
        self.now = replace(self.now, time=self.now.time + (-seconds if back else seconds))

    @rule(seconds=SPANS)
    def run_on(self, seconds: int) -> None:
        """The clock on the wall stands still."""
        self.now = replace(self.now, elapsed=self.now.elapsed + seconds)

    # Steps

    @rule(pick=PICK, act=ACTS, days=st.sampled_from([0, 1, 20]), order=st.sampled_from(["", "o"]))
    def take(self, pick: int, act: Act, days: int, order: str) -> None:
        """Somebody signs a step in its place; perhaps they may."""
        details = dict(REASONS.get(act, {}))
        if act is Act.SHORTEN:
            details = {"days": days, "court_order": order}
        self._take(self._pick(pick).id, act, details)

    @precondition(lambda self: self._standing().wanting)
    @rule(start=PICK)
    def approve_by_whoever_may(self, start: int) -> None:
        """So that lives get further than by chance."""
        for at in range(len(self.officers)):
            self._take(self._pick(start + at).id, Act.APPROVE, {})

    @rule()
    def hide_as_far_as_it_goes(self) -> None:
        """Likewise for restrictions."""
        for act in (Act.RESTRICT, Act.CONFIRM):
            for officer_id in list(self.officers):
                self._take(officer_id, act, {})

    def _take(self, officer_id: OfficerId, act: Act, details: dict[str, str | int]) -> None:
        standing, last = self._standing(), self.taken[-1].step
        number = last.number + 1
        revision, content = standing.revision, self.content
        if act is Act.AMEND:
            revision, content = number, f"{number}".encode()
        digest = digest_of(SALT, CASE, revision, content)
        step = Step(VAULT, CASE, number, last.hash(), digest, officer_id, act, details)
        self.signed.append(step)
        try:
            self._require(standing, step, digest)
        except StepRefused:
            return
        assert self.officers[officer_id].roles & MAY[act]
        self.content = content
        self._append(step)
        self.destroyed = self.destroyed or act is Act.CARRY_OUT

    @rule(reason=st.sampled_from(COMES))
    def escalate(self, reason: str) -> None:
        """The site itself sees something new, or that something is there no more."""
        standing, last = self._standing(), self.taken[-1].step
        assume(standing.is_open)
        digest = digest_of(SALT, CASE, standing.revision, self.content)
        number, details = last.number + 1, {"reason": reason}
        self._append(Step(VAULT, CASE, number, last.hash(), digest, None, Act.ESCALATE, details))

    @precondition(lambda self: self._standing().is_due(self.now))
    @rule()
    def recall(self) -> None:
        """The site tells the recipients of answers, once the case is due."""
        standing, last = self._standing(), self.taken[-1].step
        assume(standing.state is State.COOLING_OFF)
        digest = digest_of(SALT, CASE, standing.revision, self.content)
        number, details = last.number + 1, REASONS[Act.RECALL]
        self._append(Step(VAULT, CASE, number, last.hash(), digest, None, Act.RECALL, details))

    @precondition(lambda self: self._standing().state is State.RECALLING)
    @rule()
    def take_back(self) -> None:
        """The site sees that a hold on a scope, or a rule of now, keeps it from being due."""
        standing, last = self._standing(), self.taken[-1].step
        digest = digest_of(SALT, CASE, standing.revision, self.content)
        number = last.number + 1
        self._append(Step(VAULT, CASE, number, last.hash(), digest, None, Act.TAKE_BACK))

    @precondition(lambda self: self.story.is_unseen)
    @rule(pick=PICK)
    def look_at_what_has_come(self, pick: int) -> None:
        """So that lives go on: somebody amends the case."""
        self._take(self._pick(pick).id, Act.AMEND, {})

    @precondition(lambda self: self.signed)
    @rule(pick=st.integers(0, 99), act=st.sampled_from(STEPS), part=st.sampled_from("nadx"))
    def play_again(self, pick: int, act: Act, part: str) -> None:
        """What was signed before, as it was, or moved by whoever had the key: all is refused."""
        old = self.signed[pick % len(self.signed)]
        standing, last = self._standing(), self.taken[-1].step
        digest = digest_of(SALT, CASE, standing.revision, self.content)
        assume(old.number != last.number + 1 or old.after != last.hash())
        right = replace(old, number=last.number + 1, after=last.hash(), digest=digest, act=act)
        wrong = {
            "n": replace(right, number=right.number + 7),
            "a": replace(right, after=bytes(32)),
            "d": replace(right, digest=bytes(32)),
            "x": old,
        }[part]
        try:
            self._require(standing, wrong, digest)
        except StepRefused:
            return
        raise AssertionError("a step that is not of this place was taken")

    # What holds

    @invariant()
    def nothing_is_destroyed_that_may_not_be(self) -> None:
        if self.taken:
            standing = self._standing()
            assert standing.is_due(self.now) == self.story.may_be_destroyed(self.law, self.now)

    @invariant()
    def nothing_is_hidden_that_may_not_be(self) -> None:
        if self.taken and self._standing().hides(self.now):
            assert self.story.may_be_hidden(self.law, self.now)

    @invariant()
    def nobody_decides_who_has_changed(self) -> None:
        if self.taken:
            standing = self._standing()
            assert not set(standing.approvals) & self.story.changers
            assert len(set(standing.approvals)) == len(standing.approvals)
            assert set(standing.approvals) <= self.officers.keys()

    def _standing(self) -> Standing:
        rules = Rules(self.law.approvals, self.law.days)
        return stand(self.taken, self.terms, self.officers, rules)

    def _require(self, standing: Standing, step: Step, digest: bytes) -> None:
        require(standing, step, self.terms, self.officers, self.now, digest=digest)

    def _append(self, step: Step) -> None:
        if step.act is Act.CARRY_OUT:
            assert self.story.may_be_destroyed(self.law, self.now)
        if step.act is Act.APPROVE:
            assert not self.story.is_unseen
        if step.act is Act.REVIEW:
            assert self.story.may_be_refused(self.law, step.officer)
        roles = self.officers[step.officer].roles if step.officer else frozenset[Role]()
        days = int(step.details.get("days", 0))
        self.taken.append(Taken(step, self.now))
        self.story.events.append(
            Event(
                step.act,
                step.officer,
                self.now,
                roles,
                days,
                str(step.details.get("reason", "")),
            )
        )

    def _pick(self, number: int) -> Officer:
        return list(self.officers.values())[number % len(self.officers)]


def test_no_life_of_a_case_ends_but_by_several() -> None:
    """Whatever is signed, by whom, in what order, and whatever the clocks say."""
    run_state_machine_as_test(
        NobodyAlone,
        settings=settings(
            max_examples=5_000 if SOAK else 250,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )
