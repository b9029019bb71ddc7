"""What a case rests on, read by the law's own tables: evidence, refusals, and the clock of Art 12A.

Invariant: nothing is decided here. Evidence that has the wrong form is refused; whether it suffices
is for the officers who approve, to whom `assessment_of` says what holds and what fails.

Pure: today is an argument.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from lookup.cases.clock import (
    Clock,
    Event,
    EventKind,
    ExtensionReason,
    InvalidClock,
    Right,
    read_clock,
)
from lookup.cases.content import Content
from lookup.cases.evidence import InvalidEvidence, parse_evidence
from lookup.cases.grounds import Assessment, Ground, assess, require_evidence, require_remedy
from lookup.cases.refusal import InvalidRefusal, Refusal
from lookup.cases.standing import MALICIOUS, Remedy, Taken
from lookup.cases.step import InvalidStep, Step
from lookup.officers.roles import Act

_EVENTS: Final = {
    Act.ASK_IDENTITY: EventKind.IDENTITY_REQUESTED,
    Act.CONFIRM_IDENTITY: EventKind.IDENTITY_CONFIRMED,
    Act.EXTEND: EventKind.EXTENDED,
}
_RIGHTS: Final = {
    Remedy.ERASE: Right.ERASURE,
    Remedy.UNLINK: Right.RECTIFICATION,
    Remedy.RECTIFY: Right.RECTIFICATION,
    Remedy.RESTRICT: Right.RESTRICTION,
}
COUNTED: Final = frozenset(_EVENTS)


def require_supported(content: Content) -> None:
    """Raise InvalidEvidence unless the evidence has the form that the ground asks for."""
    evidence = content.evidence or {}
    require_remedy(Ground(content.ground), content.terms.remedy)
    if content.ground == MALICIOUS:
        parse_evidence(msgspec.json.encode(evidence))
    elif all(isinstance(value, str) for value in evidence.values()):
        require_evidence(Ground(content.ground), evidence)
    else:
        raise InvalidEvidence("evidence-shape", "evidence is a reference for each kind of it")


def require_reason(step: Step) -> None:
    """Raise InvalidStep unless the reason that a step gives is one that the law knows."""
    reason = step.details.get("reason")
    if step.act is Act.REFUSE:
        try:
            Refusal(str(reason), str(step.details["words"]))
        except InvalidRefusal as error:
            raise InvalidStep(str(error)) from None
    if step.act is Act.EXTEND and reason not in list(ExtensionReason):
        raise InvalidStep(f"a time is extended for {' or '.join(ExtensionReason)}")


def assessment_of(content: Content, malicious_from: date | None, today: date) -> Assessment | None:
    """Return what holds of ground (g), for each data subject; None for other grounds."""
    if content.ground != MALICIOUS:
        return None
    evidence = parse_evidence(msgspec.json.encode(content.evidence or {}))
    return assess(evidence, malicious_from, today)


def require_countable(content: Content, steps: Sequence[Taken], today: date) -> None:
    """Raise InvalidClock unless the time of Art 12(3) can be told after these steps."""
    if content.received_on > today + timedelta(days=1):  # where the officer is, it may be tomorrow
        raise InvalidClock("received is a day that has come")
    clock_of(content, steps, today)


def clock_of(content: Content, steps: Sequence[Taken], today: date) -> Clock:
    """Return how the time of Art 12(3) stands."""
    events = [Event(EventKind.RECEIVED, content.received_on)]
    for taken in steps:
        kind = _EVENTS.get(taken.step.act)
        if kind is not None:
            reason = taken.step.details.get("reason")
            day = max(datetime.fromtimestamp(taken.at.time, UTC).date(), events[-1].day)
            events.append(Event(kind, day, ExtensionReason(str(reason)) if reason else None))
    right = _RIGHTS[content.terms.remedy]
    return read_clock(events, right, max(today, events[-1].day))
