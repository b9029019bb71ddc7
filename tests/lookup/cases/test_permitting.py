"""What a step needs before it may be taken: table by table, one thing wrong at a time."""

from dataclasses import dataclass, replace

import pytest

from lookup.cases.machine import FROM, stand
from lookup.cases.permitting import MAX_STEPS, StepRefused, require
from lookup.cases.standing import DAY, Moment, Rules, Taken, Terms
from lookup.cases.step import DETAILS, Step
from lookup.officers.roles import MAY, Act, OfficerId, Role
from tests.lookup.cases.test_machine import (
    NAMES,
    OFFICERS,
    RECALLED,
    TERMS,
    TWO,
    VALUES,
    life,
)

DIGEST = bytes(32)
Did = tuple[str, Act]


def try_step(  # what can be wrong with one
    did: tuple[Did, ...],
    name: str,
    act: Act,
    *,
    terms: Terms = TERMS,
    hours: float = 0,
    **changes: object,
) -> None:
    """Try a step after others; its text may be changed."""
    taken = life(*did)
    last = taken[-1].step
    details = {name: VALUES[name] for name in DETAILS.get(act, ())}
    officer = OfficerId(name.encode().ljust(16))
    step = Step(bytes(16), bytes(16), last.number + 1, last.hash(), DIGEST, officer, act, details)
    step = replace(step, **changes)  # type: ignore[arg-type]
    seconds = int(len(taken) + hours * 3_600)
    now = Moment(seconds, 1_800_000_000 + seconds)
    require(stand(taken, terms, OFFICERS, Rules()), step, terms, OFFICERS, now, digest=DIGEST)


@dataclass(frozen=True)
class Row:
    """What was done before, who tries what, and why not; None: it is permitted."""

    did: tuple[Did, ...]
    name: str
    act: Act
    why: str | None = None
    hours: float = 0
    asked: bool = True


RESTRICTED = (("sam", Act.RESTRICT),)
ROWS = {
    "an approval": Row((), "ana", Act.APPROVE),
    "a second one": Row(TWO[:1], "leo", Act.APPROVE),
    "the same twice": Row(TWO[:1], "ana", Act.APPROVE, "approved the case as it stands already"),
    "one too many": Row(TWO, "max", Act.APPROVE, "takes no approve"),
    "again after a change": Row((*TWO, ("rita", Act.AMEND)), "ana", Act.APPROVE),
    "of what nobody has seen": Row(
        (("site", Act.ESCALATE),), "ana", Act.APPROVE, "has to be amended first"
    ),
    "of what was amended since": Row(
        (("site", Act.ESCALATE), ("rita", Act.AMEND)), "ana", Act.APPROVE
    ),
    "of another cooling-off": Row((*TWO, ("leo", Act.SHORTEN)), "ana", Act.APPROVE),
    "by whoever opened it": Row((), "rita", Act.APPROVE, "roles may approve"),
    "by whoever changed it": Row((("ana", Act.AMEND),), "ana", Act.APPROVE, "does not decide"),
    "a refusal by whoever changed it": Row(
        (("leo", Act.AMEND),), "leo", Act.REFUSE, "does not decide"
    ),
    "a refusal twice": Row(
        (("ana", Act.REFUSE),), "ana", Act.REFUSE, "has refused the case already"
    ),
    "a refusal by another": Row((("ana", Act.REFUSE),), "leo", Act.REFUSE),
    "a review by whoever refused": Row((("ana", Act.REFUSE),), "ana", Act.REVIEW, "another"),
    "a review by another": Row((("ana", Act.REFUSE),), "leo", Act.REVIEW),
    "a review of nothing": Row((), "leo", Act.REVIEW, "nobody has refused"),
    "a review of what was changed": Row(
        (("ana", Act.REFUSE), ("rita", Act.AMEND)), "leo", Act.REVIEW, "nobody has refused"
    ),
    "a restriction": Row((), "sam", Act.RESTRICT),
    "a restriction nobody asked for": Row((), "sam", Act.RESTRICT, "does not ask", asked=False),
    "a restriction twice": Row(RESTRICTED, "sam", Act.RESTRICT, "restricted already"),
    "a restriction that has lapsed": Row(RESTRICTED, "sam", Act.RESTRICT, "amended first", 72),
    "a restriction that was lifted": Row(
        (*RESTRICTED, ("sam", Act.LIFT)), "sam", Act.RESTRICT, "amended first"
    ),
    "a restriction asked for anew": Row(
        (*RESTRICTED, ("rita", Act.AMEND)), "sam", Act.RESTRICT, hours=72
    ),
    "a restriction after an escalation": Row(
        (*RESTRICTED, ("site", Act.ESCALATE)), "sam", Act.RESTRICT, "amended first", 72
    ),
    "a confirmation by its signer": Row(RESTRICTED, "sam", Act.CONFIRM, "another officer"),
    "a confirmation by another": Row(RESTRICTED, "ana", Act.CONFIRM),
    "a confirmation too late": Row(RESTRICTED, "ana", Act.CONFIRM, "has lapsed", 72),
    "a confirmation twice": Row(
        (*RESTRICTED, ("ana", Act.CONFIRM)), "leo", Act.CONFIRM, "confirmed already"
    ),
    "a confirmation by whoever changed it": Row(
        (*RESTRICTED, ("ana", Act.AMEND)), "ana", Act.CONFIRM, "does not decide"
    ),
    "a lift of nothing": Row((), "sam", Act.LIFT, "no restriction"),
    "a hold": Row((), "sam", Act.HOLD),
    "a hold twice": Row((("sam", Act.HOLD),), "leo", Act.HOLD, "on hold"),
    "a release of nothing": Row((), "leo", Act.RELEASE, "not on hold"),
    "a release by safeguarding": Row((("sam", Act.HOLD),), "sam", Act.RELEASE, "may release"),
    "a shortening by whoever changed it": Row(
        (("leo", Act.AMEND),), "leo", Act.SHORTEN, "does not decide"
    ),
    "a question twice": Row((("leo", Act.ASK_IDENTITY),), "leo", Act.ASK_IDENTITY, "already"),
    "an answer to nothing": Row((), "leo", Act.CONFIRM_IDENTITY, "nobody was asked"),
    "a carrying out that is due": Row(TWO, "rita", Act.CARRY_OUT, hours=14 * 24),
    "a carrying out too early": Row(TWO, "rita", Act.CARRY_OUT, "lasts another 7200", 14 * 24 - 2),
    "a carrying out on hold": Row(
        (*TWO, ("sam", Act.HOLD)), "rita", Act.CARRY_OUT, "on hold", 20 * 24
    ),
    "a carrying out of a request": Row((), "rita", Act.CARRY_OUT, "takes no carry-out", 20 * 24),
    "a step after the end": Row(
        (("rita", Act.WITHDRAW),), "leo", Act.HOLD, "that is withdrawn takes no hold"
    ),
    "a carrying out while recipients are told": Row(RECALLED, "rita", Act.CARRY_OUT, hours=20 * 24),
    "letters": Row(RECALLED, "leo", Act.LETTERS),
    "letters by whoever opened it": Row(RECALLED, "rita", Act.LETTERS, "does not decide"),
    "letters twice": Row((*RECALLED, ("leo", Act.LETTERS)), "ana", Act.LETTERS, "already"),
    "letters before anybody was told": Row(TWO, "leo", Act.LETTERS, "takes no letters"),
    "an approval while recipients are told": Row(RECALLED, "max", Act.APPROVE, "takes no approve"),
    "the site's own": Row((), "leo", Act.ESCALATE, "roles may escalate"),
    "the site's other own": Row(TWO, "leo", Act.RECALL, "roles may recall"),
    "a second opening": Row((), "rita", Act.OPEN, "takes no open"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_who_may_take_what_when(row: Row) -> None:
    terms = replace(TERMS, restrict=row.asked)
    if row.why is None:
        try_step(row.did, row.name, row.act, terms=terms, hours=row.hours)
        return
    with pytest.raises(StepRefused, match=row.why):
        try_step(row.did, row.name, row.act, terms=terms, hours=row.hours)


@pytest.mark.parametrize("act", FROM)
@pytest.mark.parametrize("name", NAMES)
def test_no_act_without_its_role(act: Act, name: str) -> None:
    """Whatever else would be right."""
    role = NAMES[name]
    if role in MAY[act]:
        return
    with pytest.raises(StepRefused, match=r"roles may|takes no"):
        try_step((), name, act)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"number": 1}, "moved on"),
        ({"number": 3}, "moved on"),
        ({"after": b"\1" * 32}, "moved on"),
        ({"digest": b"\1" * 32}, "another state"),
        ({"officer": None}, "roles may"),
        ({"officer": OfficerId(b"nobody".ljust(16))}, "roles may"),
    ],
)
def test_a_step_is_of_the_case_as_it_stands(changes: dict[str, object], why: str) -> None:
    with pytest.raises(StepRefused, match=why):
        try_step((), "ana", Act.APPROVE, **changes)  # type: ignore[arg-type]


def test_an_officer_of_another_authority_takes_no_step() -> None:
    taken = life()
    last, officer = taken[-1].step, OfficerId(b"ana".ljust(16))
    there = OFFICERS | {officer: replace(OFFICERS[officer], authority="BSC")}
    step = Step(bytes(16), bytes(16), 2, last.hash(), DIGEST, officer, Act.APPROVE)
    now = Moment(DAY, DAY)
    with pytest.raises(StepRefused, match="roles may approve"):
        require(stand(taken, TERMS, there, Rules()), step, TERMS, there, now, digest=DIGEST)


MOST = (("leo", Act.EXTEND),) * (MAX_STEPS - 1)  # after the opening


@pytest.mark.parametrize("act", [act for act in FROM if act not in {Act.WITHDRAW, Act.LIFT}])
@pytest.mark.parametrize("name", NAMES)
def test_a_case_has_an_end(name: str, act: Act) -> None:
    """Where it stands is computed from all its steps: nobody makes that long for everybody."""
    with pytest.raises(StepRefused, match=r"roles may|takes no|at most 256 steps"):
        try_step(MOST, name, act)


def test_a_case_that_is_full_can_be_withdrawn() -> None:
    try_step(MOST, "rita", Act.WITHDRAW)
    try_step(MOST[1:], "ana", Act.APPROVE)


def test_a_case_that_is_full_hides_no_longer_than_its_officers_want() -> None:
    """Whoever uses up its steps does not keep a plan hidden that protects a child."""
    try_step((("sam", Act.RESTRICT), *MOST[1:]), "sam", Act.LIFT)


def test_what_the_site_does_by_itself_uses_nothing_up() -> None:
    """A feed that says now this, now that leaves officers their steps."""
    try_step((("site", Act.ESCALATE),) * MAX_STEPS, "rita", Act.AMEND)


def test_no_time_runs_out_for_a_hold() -> None:
    """Until the last moment before it is carried out, whoever may can stop it."""
    try_step(TWO, "sam", Act.HOLD, hours=400 * 24)


def test_whoever_may_decide_is_never_whoever_asked() -> None:
    """One officer with all roles, and a case of their own: nothing but its end is left to them."""
    key = OfficerId(b"rita".ljust(16))
    people = OFFICERS | {key: replace(OFFICERS[key], roles=frozenset(Role))}
    taken: list[Taken] = life(("sam", Act.RESTRICT), ("ana", Act.REFUSE))
    standing, last = stand(taken, TERMS, people, Rules()), taken[-1].step
    for act in (Act.APPROVE, Act.REFUSE, Act.REVIEW, Act.RESTRICT, Act.CONFIRM, Act.SHORTEN):
        details = {name: VALUES[name] for name in DETAILS.get(act, ())}
        step = Step(bytes(16), bytes(16), 4, last.hash(), DIGEST, key, act, details)
        with pytest.raises(StepRefused, match="does not decide"):
            require(standing, step, TERMS, people, Moment(9, 1_800_000_009), digest=DIGEST)
