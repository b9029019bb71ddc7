"""What a step needs before it may be taken: a state, a role, and often a second person.

Invariants:

* A step is of the case as it stands, and follows the last one: nothing signed can be played again.
* What only restricts a record is not approved: nothing of it is ever carried out.
* Whoever opened or changed a case neither decides it, nor hides a record by it, nor shortens its
  cooling-off, nor says that recipients were written to. A refusal is reviewed, and a restriction
  confirmed, by another than its signer.

Pure.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from lookup.cases.machine import FROM
from lookup.cases.standing import Moment, Officers, Remedy, Standing, Terms
from lookup.cases.step import Step
from lookup.officers.roles import Act

# Of officers, for where a case stands is computed from all its steps; an honest one has a dozen.
# Whoever uses them up keeps nobody from ending the case, nor from showing what it hides.
MAX_STEPS: Final = 256
_ALWAYS: Final = frozenset({Act.WITHDRAW, Act.LIFT})


class StepRefused(Exception):
    """This step may not be taken now, or not by this officer; the message says why."""


def require(  # noqa: PLR0913  # all that decides whether a step may be taken
    standing: Standing,
    step: Step,
    terms: Terms,
    officers: Officers,
    now: Moment,
    *,
    digest: bytes,
) -> None:
    """Raise StepRefused unless this step may be taken now, by its signer.

    `digest` is that of the case as it stands; of an `amend`, as it will stand.
    """
    last = standing.last
    if last is None or step.number != last.step.number + 1 or step.after != last.step.hash():
        raise StepRefused("the case has moved on since this was signed: look at it again")
    if standing.state not in FROM.get(step.act, frozenset()):
        raise StepRefused(f"a case that is {standing.state} takes no {step.act}")
    if step.digest != digest:
        raise StepRefused("this was signed of another state of the case: look at it again")
    if step.officer is None or not _may(officers, step, terms):
        raise StepRefused(f"none of the officer's roles may {step.act} this case")
    if standing.signed >= MAX_STEPS and step.act not in _ALWAYS:
        raise StepRefused(f"a case has at most {MAX_STEPS} steps: withdraw it, and open another")
    for rule in _REQUIRED.get(step.act, ()):
        rule(standing, step, terms, now)


def _may(officers: Officers, step: Step, terms: Terms) -> bool:
    officer = None if step.officer is None else officers.get(step.officer)
    return officer is not None and officer.may(step.act, terms.authority)


# What an act needs besides a role and a state.

_Rule = Callable[[Standing, Step, Terms, Moment], None]


def _not_a_changer(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del terms, now
    if step.officer in standing.changers:
        raise StepRefused("whoever opened or changed a case does not decide it")


def _is_not_stale(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms, now
    if standing.stale:
        raise StepRefused("something has come since: the case has to be amended first")


def _changes_a_record(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del standing, step, now
    if terms.remedy is Remedy.RESTRICT:
        raise StepRefused(
            "a restriction is decided by `restrict` and `confirm`, and ends by `lift`"
        )


def _not_refused(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del terms, now
    if standing.refusal is not None and standing.refusal.by == step.officer:
        raise StepRefused("this officer has refused the case already: another has to review it")


def _not_twice(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del terms, now
    if step.officer in standing.approvals:
        raise StepRefused("this officer has approved the case as it stands already")


def _reviews_another(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del terms, now
    if standing.refusal is None:
        raise StepRefused("nobody has refused this case")
    if standing.refusal.by == step.officer:
        raise StepRefused("a refusal is reviewed by another officer")


def _was_asked(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step
    if not terms.restrict:
        raise StepRefused("the request does not ask for a restriction: it would be one officer's")
    if standing.restriction is not None and standing.restriction.holds(now):
        raise StepRefused("the records are restricted already")
    if standing.restricted:
        raise StepRefused("the records were restricted before: the request has to be amended first")


def _confirms_another(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del terms
    restriction = standing.restriction
    if restriction is None or not restriction.holds(now):
        raise StepRefused("there is no restriction, or it has lapsed")
    if restriction.confirmed_by is not None:
        raise StepRefused("the restriction is confirmed already")
    if step.officer == restriction.by:
        raise StepRefused("a restriction is confirmed by another officer")


def _is_restricted(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms, now
    if standing.restriction is None:
        raise StepRefused("there is no restriction")


def _is_not_held(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms, now
    if standing.held_by is not None:
        raise StepRefused("the case is on hold")


def _is_held(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms, now
    if standing.held_by is None:
        raise StepRefused("the case is not on hold")


def _has_an_order(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del standing, terms, now
    if step.details["days"] == 0 and not step.details["court_order"]:
        raise StepRefused("no cooling-off at all needs the reference of a court order")


def _nobody_was_asked(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms, now
    if standing.identity_asked:
        raise StepRefused("the requester was asked who they are already")


def _somebody_was_asked(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms, now
    if not standing.identity_asked:
        raise StepRefused("nobody was asked who they are")


def _is_due(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms
    if not standing.is_due(now):
        due = standing.due
        left = 0 if due is None else max(due - now.elapsed, 0)
        raise StepRefused(f"the cooling-off lasts another {left} seconds of the site's running")


def _not_written(standing: Standing, step: Step, terms: Terms, now: Moment) -> None:
    del step, terms, now
    if standing.written:
        raise StepRefused("whoever has not acknowledged was written to already")


_REQUIRED: Final[Mapping[Act, tuple[_Rule, ...]]] = MappingProxyType(
    {
        Act.APPROVE: (_not_a_changer, _not_twice, _is_not_stale, _changes_a_record),
        Act.REFUSE: (_not_a_changer, _not_refused),
        Act.REVIEW: (_not_a_changer, _reviews_another),
        Act.RESTRICT: (_not_a_changer, _was_asked),
        Act.CONFIRM: (_not_a_changer, _confirms_another),
        Act.LIFT: (_is_restricted,),
        Act.HOLD: (_is_not_held,),
        Act.RELEASE: (_is_held,),
        Act.SHORTEN: (_not_a_changer, _has_an_order),
        Act.ASK_IDENTITY: (_nobody_was_asked,),
        Act.CONFIRM_IDENTITY: (_somebody_was_asked,),
        Act.CARRY_OUT: (_is_not_held, _is_due),
        Act.LETTERS: (_not_a_changer, _not_written),
    }
)
