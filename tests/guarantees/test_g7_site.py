"""G7 over HTTP: a whole site, restarted between steps, and a child that is looked up after each.

The model is that of cases.py. What is new here: hidden is what a worker does not answer, an alarm
was raised before, destroyed is what left the map, and each destroyed case has one certificate.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keys.entry import EntryId, Kind
from lookup.cases.standing import Moment
from lookup.cases.step import STEPS
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.cases.certifying import certificates
from lookup.custodian.custody import Custody
from lookup.officers.roles import Act, Role
from lookup.transparency.certificate import leaf_of
from tests.clocks import SetClocks
from tests.conftest import SOAK
from tests.guarantees.cases import DAY, HOUR, Event, Law, Story
from tests.officers import ROLES
from tests.simulator import Custodian, Site, nhs, record

CREW = ROLES | {
    "max": frozenset({Role.APPROVER}),
    "eve": frozenset(set(Role) - {Role.REGISTRAR}),
}
PEOPLE = sorted(set(CREW) - {"feed", "ada"})
DETAILS: dict[Act, dict[str, str | int]] = {
    Act.REFUSE: {"reason": "art-17-3-e", "words": "The record is needed for proceedings."},
    Act.HOLD: {"reason": "court-case"},
    Act.SHORTEN: {"days": 1, "court_order": ""},
    Act.EXTEND: {"reason": "complexity"},
    Act.ESCALATE: {"reason": "new-record"},
    Act.RECALL: {"recipients": 1},
}
CHILD = st.integers(0, 1)
SPANS = st.sampled_from([HOUR, 72 * HOUR, DAY, 14 * DAY])


class Crew(Site):
    """A site with a third approver, and one officer who may do everything alone."""

    roles = CREW


class Lives(RuleBasedStateMachine):
    """Two children, each with one record, and perhaps a case about it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[int, EntryId] = {}
        self.cases: dict[int, str] = {}
        self.stories: dict[int, Story] = {}
        self.ended: set[int] = set()
        self.alarms = 0
        self.siblings = 0

    @initialize()
    def begin(self) -> None:
        """A site that runs, and what is known of two children."""
        self.site, self.clocks = Crew(), SetClocks()
        self.site.clocks = self.clocks
        self.custodian: Custodian = self.site.open()
        people = {o.id: o.roles for o in self.site.officers.officers.values()}
        self.law = Law({bytes(key): roles for key, roles in people.items()})
        for child in (0, 1):
            self.records[child] = self.custodian.add(f"r-{child}", nhs(child))

    def teardown(self) -> None:
        if hasattr(self, "custodian"):
            self.custodian.stop()
            assert self.custodian.failures == []
            self.site.close()

    # What people do

    @rule(child=CHILD, restrict=st.booleans(), by=st.sampled_from(["rita", "eve"]))
    def open(self, child: int, restrict: bool, by: str) -> None:  # noqa: FBT001
        """Somebody opens a case, where none is open."""
        if child in self.ended or (child in self.stories and not self.stories[child].is_closed):
            return
        desk = self.custodian.desk
        content = desk.content([self.records[child]], restrict=restrict)
        case = desk.told(by, "POST", "/v1/cases", desk.signer(by).opening(content))
        self.cases[child] = case["case"]
        self.stories[child] = Story(malicious=False, asked=restrict)
        self._happened(child, Act.OPEN, by)

    @precondition(lambda self: self.cases)
    @rule(child=CHILD, by=st.sampled_from(PEOPLE), act=st.sampled_from(STEPS))
    def take(self, child: int, by: str, act: Act) -> None:
        """Somebody signs a step of the case as it stands."""
        if child in self.cases:
            self._take(child, by, act)

    @precondition(lambda self: self.cases)
    @rule(child=CHILD, act=st.sampled_from([Act.APPROVE, Act.RESTRICT, Act.CONFIRM]))
    def take_together(self, child: int, act: Act) -> None:
        """All try, so that lives get further than by chance."""
        for by in PEOPLE:
            if child in self.cases:
                self._take(child, by, act)

    def _take(self, child: int, by: str, act: Act) -> None:
        desk, path = self.custodian.desk, f"/v1/cases/{self.cases[child]}"
        following = desk.told("ada", "GET", path)["next"]
        details = DETAILS.get(act, {})
        signed = desk.signer(by).step(following, act, details)
        if act is Act.AMEND:
            content = desk.content([self.records[child]], note=str(following["number"]))
            signed = desk.signer(by).amendment(following, content)
        allowed = self._allowed(child)
        response = desk.ask("ada", "POST", f"{path}/steps", signed)
        if response.status_code != 200:
            assert response.status_code in {400, 403, 409}, response.text
            return
        if act is Act.CARRY_OUT:
            assert allowed
            self._end(child)
        else:
            self._happened(child, act, by, **details)

    @precondition(lambda self: self.cases)
    @rule(child=CHILD)
    def send_sibling(self, child: int) -> None:
        """A feed sends another record of the child; it answers for nobody."""
        if child in self.ended:
            return
        self.siblings += 1
        source = f"s-{self.siblings}"
        told = self.custodian.feed.post(
            "/v1/records", json=record(source, nhs(child), category="allegation")
        )
        assert told.status_code == 201, told.text
        if child in self.stories and not self.stories[child].is_closed:
            self._happened(child, Act.ESCALATE, None)

    # What time does

    @rule(seconds=SPANS, wall=st.booleans(), run=st.booleans(), back=st.booleans())
    def let_pass(self, seconds: int, wall: bool, run: bool, back: bool) -> None:  # noqa: FBT001
        """Time passes, or somebody sets a clock."""
        self.clocks.at += seconds * (wall - (back and not wall))
        self.clocks.run += seconds * run
        self._tend()

    @rule()
    def restart(self) -> None:
        """The custodian stops, and starts again."""
        self.alarms += self.custodian.custody.alarms.hidden
        self.custodian.stop()
        assert self.custodian.failures == []
        self.custodian = self.site.open()
        self._tend()

    def _tend(self) -> None:
        """Let the scheduler work; the model says beforehand what it may do."""
        due = {child for child in self.cases if self._allowed(child)}
        self.custodian.call(tend)
        for child in due:
            self._end(child)

    # What holds

    @invariant()
    def the_answers_are_as_they_should_be(self) -> None:
        if not self.records:
            return
        self._tend()
        now = self._now()
        for child in self.records:
            known = self.custodian.outcome(nhs(child)) == "known"
            if child in self.ended:
                assert not known
            elif not known:
                assert self.stories[child].may_be_hidden(self.law, now)
                assert self.alarms + self.custodian.custody.alarms.hidden > 0

    @invariant()
    def each_destroyed_case_has_one_certificate(self) -> None:
        if self.records:
            destroyed, certified, leaves = self.custodian.call(_certified)
            assert destroyed == certified == len(self.ended)
            assert leaves == [1] * certified

    def _allowed(self, child: int) -> bool:
        return self.stories[child].may_be_destroyed(self.law, self._now())

    def _end(self, child: int) -> None:
        self.ended.add(child)
        del self.cases[child], self.stories[child]

    def _happened(self, child: int, act: Act, by: str | None, **details: str | int) -> None:
        officer = None if by is None else self.site.officers.officers[by]
        roles = officer.roles if officer else frozenset[Role]()
        days, who = int(details.get("days", 0)), bytes(officer.id) if officer else None
        self.stories[child].events.append(Event(act, who, self._now(), roles, days))

    def _now(self) -> Moment:
        return self.custodian.call(lambda custody: custody.moment())


def _certified(custody: Custody) -> tuple[int, int, list[int]]:
    found = certificates(custody)
    log = list(custody.store.log.span(0, custody.store.log.size))
    leaves = [log.count(leaf_of(each.statement, each.nonce)) for each in found]
    return len(list(custody.vault.scan(Kind.DESTROYED))), len(found), leaves


def test_no_life_at_a_site_ends_but_by_several() -> None:
    """Restarts, clocks that are set, feeds; and the child is looked up after every step."""
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=300 if SOAK else 5,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_model_sees_both_ends() -> None:
    """One life by hand: hidden by two, destroyed by three; or the random ones would show little."""
    lives = Lives()
    lives.begin()
    lives.open(0, restrict=True, by="rita")
    lives._take(0, "sam", Act.RESTRICT)
    lives.the_answers_are_as_they_should_be()
    assert lives.custodian.outcome(nhs(0)) == "no-record"
    for by in ("ana", "leo"):
        lives._take(0, by, Act.APPROVE)
    lives.restart()
    lives.let_pass(14 * DAY, wall=True, run=True, back=False)
    assert lives.ended == {0}
    lives.each_destroyed_case_has_one_certificate()
    lives.teardown()
