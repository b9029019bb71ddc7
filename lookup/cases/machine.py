"""The life of a case: which step may come when, by whom, and what a case's steps amount to.

    requested ──approve x m──> cooling-off ──due, recall──> recalling ──told──> destroyed
      │  ▲                        │                            │
      │  └── amend, escalate ─────┼────────────────────────────┤   a hold keeps a case from being
      ├── refuse, review ─────────┼────────────────────────────┼──> refused           carried out;
      └── withdraw ───────────────┴────────────────────────────┴──> withdrawn  restriction goes
                                                                    beside every open state

Invariants:

* Where a case stands follows from its steps, the officers and rules of *now*, and the time, and
  from nothing else. So a signature of an officer who has gone counts no more, and a rule that was
  made stricter holds for cases that wait.
* Approvals count if they are of the case as it stands, of m different officers, none of whom opened
  it or changed it; one of them legal where the ground is (g). What changes the case voids them.
* Cooling-off is counted in `elapsed`, the seconds that the site has run (keys/anchor.py): no clock
  that is set brings its end nearer. It begins with the last approval that was needed, and the clock
  on the wall has to say that it is over, too.
* Another cooling-off is a part of what is approved: it voids what was approved before.
* What comes, and no requester has seen, has to be amended into a case before it is approved.
* A refusal needs a reason of Art 17(3) and a second officer. Whoever opened the case does neither.
* A record that protects a child is hidden only by two: the opener who asks for it, and an officer
  for safeguarding; after 72 hours, by either clock, a third has to have confirmed it. Each asking
  is good for one restriction, and no change of the case makes an unconfirmed one last longer.
* If the records of a case that is due were ever answered, the recipients are told before anything
  is destroyed (UK GDPR Art 19), for afterwards nobody knows them: `recall` says how many they are,
  `letters` that whoever did not acknowledge was written to. Whatever takes back the approvals takes
  back the recall, and so does a hold: its records are answered again, and looked for anew later.
  So does the site (`take-back`), where a hold on a scope or a rule of now keeps it from being due.

States are read, never stored. Pure. A case that is destroyed has left, and only its certificate is
there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from lookup.cases.standing import (
    APPROVED,
    MALICIOUS,
    UNDECIDED,
    Officers,
    Refusal,
    Restriction,
    Rules,
    Shortening,
    Standing,
    State,
    Taken,
    Terms,
)
from lookup.officers.roles import Act, OfficerId, Role

# From which states a step may be taken; a case that is refused or withdrawn takes none.
FROM: Final[Mapping[Act, frozenset[State]]] = MappingProxyType(
    {
        Act.AMEND: UNDECIDED,
        Act.ESCALATE: UNDECIDED,
        Act.APPROVE: frozenset({State.REQUESTED}),
        Act.REFUSE: UNDECIDED,
        Act.REVIEW: UNDECIDED,
        Act.RESTRICT: UNDECIDED,
        Act.CONFIRM: UNDECIDED,
        Act.LIFT: UNDECIDED,
        Act.HOLD: UNDECIDED,
        Act.RELEASE: UNDECIDED,
        Act.SHORTEN: UNDECIDED,
        Act.ASK_IDENTITY: UNDECIDED,
        Act.CONFIRM_IDENTITY: UNDECIDED,
        Act.EXTEND: UNDECIDED,
        Act.WITHDRAW: UNDECIDED,
        Act.CARRY_OUT: APPROVED,
        Act.LETTERS: frozenset({State.RECALLING}),
        Act.RECALL: frozenset({State.COOLING_OFF}),
        Act.TAKE_BACK: frozenset({State.RECALLING}),
    }
)


def stand(steps: Sequence[Taken], terms: Terms, officers: Officers, rules: Rules) -> Standing:
    """Return where a case stands after these steps, the first of which opened it."""
    first = steps[0]
    opener = _signer(first)
    standing = Standing(
        State.REQUESTED,
        1,
        opener,
        first.at,
        frozenset({opener}),
        default_days=rules.cooling_off_days,
        last=first,
    )
    fold = _Fold(terms, officers, rules)
    standing = fold.weigh(standing, first)
    for taken in steps[1:]:
        standing = fold.weigh(_EFFECT[taken.step.act](standing, taken, officers), taken)
    return standing


@dataclass(frozen=True, slots=True)
class _Fold:
    terms: Terms
    officers: Officers
    rules: Rules

    def weigh(self, standing: Standing, taken: Taken) -> Standing:
        """Keep the approvals that count, and see what is wanting."""
        valid = tuple(
            each
            for each in standing.approvals
            if each not in standing.changers and self._may(each, Act.APPROVE)
        )
        wanting = self._wanting(valid)
        standing = replace(
            standing,
            approvals=valid,
            wanting=wanting,
            last=taken,
            signed=standing.signed + (taken.step.officer is not None),
            restriction=self._restriction(standing.restriction),
            refusal=self._refusal(standing.refusal),
        )
        if not standing.is_open:
            return standing
        if wanting:
            return replace(
                standing, state=State.REQUESTED, approved=None, recalled=None, written=False
            )
        return replace(
            standing,
            state=State.COOLING_OFF if standing.recalled is None else State.RECALLING,
            approved=standing.approved or taken.at,
        )

    def _may(self, officer: OfficerId, act: Act) -> bool:
        found = self.officers.get(officer)
        return found is not None and found.may(act, self.terms.authority)

    def _restriction(self, restriction: Restriction | None) -> Restriction | None:
        """Return a restriction of officers who are here yet."""
        if restriction is None or not self._may(restriction.by, Act.RESTRICT):
            return None
        confirmer = restriction.confirmed_by
        if confirmer is not None and not self._may(confirmer, Act.CONFIRM):
            return replace(restriction, confirmed_by=None)
        return restriction

    def _refusal(self, refusal: Refusal | None) -> Refusal | None:
        if refusal is None or not self._may(refusal.by, Act.REFUSE):
            return None
        return refusal

    def _wanting(self, valid: tuple[OfficerId, ...]) -> tuple[str, ...]:
        wanting = []
        if (missing := self.rules.approvals - len(valid)) > 0:
            wanting.append(f"{missing} more approval{'s' if missing > 1 else ''}")
        legal = any(Role.LEGAL in self.officers[each].roles for each in valid)
        if self.terms.ground == MALICIOUS and not legal:
            wanting.append("an approval of a legal officer")
        return tuple(wanting)


def _signer(taken: Taken) -> OfficerId:
    if taken.step.officer is None:
        raise AssertionError("unreachable: what the site does by itself is nobody's to decide")
    return taken.step.officer


# What each act does to a case.


def _change(standing: Standing, taken: Taken, _: Officers) -> Standing:
    """Void what was signed of the case as it was; a restriction has to be confirmed anew."""
    changer = taken.step.officer
    return replace(
        standing,
        state=State.REQUESTED,
        revision=taken.step.number,
        changers=standing.changers | ({changer} if changer is not None else frozenset()),
        approvals=(),
        approved=None,
        shortened=None,
        refusal=None,
        restriction=_unconfirmed(standing.restriction, taken),
    )


def _unconfirmed(restriction: Restriction | None, taken: Taken) -> Restriction | None:
    """Return a restriction that three had signed as one of two; that of two as it is."""
    if restriction is None or restriction.confirmed_by is None:
        return restriction
    return replace(restriction, confirmed_by=None, since=taken.at)


def _amend(standing: Standing, taken: Taken, officers: Officers) -> Standing:
    return replace(_change(standing, taken, officers), restricted=False, unseen=frozenset())


def _escalate(standing: Standing, taken: Taken, officers: Officers) -> Standing:
    reason = str(taken.step.details["reason"])
    return replace(
        _change(standing, taken, officers),
        escalated=(*standing.escalated, reason),
        unseen=standing.unseen | {reason},
    )


def _approve(standing: Standing, taken: Taken, _: Officers) -> Standing:
    return replace(standing, approvals=(*standing.approvals, _signer(taken)))


def _refuse(standing: Standing, taken: Taken, _: Officers) -> Standing:
    return replace(standing, refusal=Refusal(_signer(taken), str(taken.step.details["reason"])))


def _review(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, state=State.REFUSED)


def _restrict(standing: Standing, taken: Taken, _: Officers) -> Standing:
    return replace(standing, restriction=Restriction(_signer(taken), taken.at), restricted=True)


def _confirm(standing: Standing, taken: Taken, _: Officers) -> Standing:
    restriction = standing.restriction
    return replace(
        standing, restriction=restriction and replace(restriction, confirmed_by=_signer(taken))
    )


def _lift(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, restriction=None)


def _hold(standing: Standing, taken: Taken, _: Officers) -> Standing:
    """Answer again what is kept: one officer's hold hides nothing that protects a child."""
    return replace(standing, held_by=_signer(taken), recalled=None, written=False)


def _release(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, held_by=None)


def _shorten(standing: Standing, taken: Taken, officers: Officers) -> Standing:
    """Set another cooling-off; it is a part of what is approved, so it is approved anew."""
    officer = officers.get(_signer(taken))
    if officer is None or Role.LEGAL not in officer.roles:
        return standing
    details = taken.step.details
    return replace(
        standing,
        state=State.REQUESTED,
        revision=taken.step.number,
        approvals=(),
        approved=None,
        shortened=Shortening(int(details["days"]), str(details["court_order"])),
    )


def _ask_identity(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, identity_asked=True)


def _confirm_identity(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, identity_asked=False)


def _withdraw(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, state=State.WITHDRAWN)


def _recall(standing: Standing, taken: Taken, _: Officers) -> Standing:
    return replace(
        standing, recalled=taken.at, recipients=int(taken.step.details["recipients"]), written=False
    )


def _take_back(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, recalled=None, written=False)


def _letters(standing: Standing, taken: Taken, _: Officers) -> Standing:
    del taken
    return replace(standing, written=True)


def _nothing(standing: Standing, taken: Taken, _: Officers) -> Standing:
    """The clock of Art 12A, and the wish to carry out, change nothing here."""
    del taken
    return standing


_EFFECT: Final[Mapping[Act, Callable[[Standing, Taken, Officers], Standing]]] = MappingProxyType(
    {
        Act.AMEND: _amend,
        Act.ESCALATE: _escalate,
        Act.APPROVE: _approve,
        Act.REFUSE: _refuse,
        Act.REVIEW: _review,
        Act.RESTRICT: _restrict,
        Act.CONFIRM: _confirm,
        Act.LIFT: _lift,
        Act.HOLD: _hold,
        Act.RELEASE: _release,
        Act.SHORTEN: _shorten,
        Act.ASK_IDENTITY: _ask_identity,
        Act.CONFIRM_IDENTITY: _confirm_identity,
        Act.EXTEND: _nothing,
        Act.WITHDRAW: _withdraw,
        Act.CARRY_OUT: _nothing,
        Act.LETTERS: _letters,
        Act.RECALL: _recall,
        Act.TAKE_BACK: _take_back,
    }
)
