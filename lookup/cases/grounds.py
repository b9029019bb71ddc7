"""The grounds of a remedy (UK GDPR Art 16 to 18): what each needs, and what the law asks of (g).

    verdict of (g), for one data subject =
        fails    if a condition fails
        unknown  if none fails and one is unknown
        holds    if every condition holds:
            in-force           (g) applies at this site                     configuration
            about-subject      the allegation is about this data subject    Art 17(1)(g)
            basis              the informant is convicted of an offence     Art 17(4)
                               of the table, or subject to a stalking
                               protection order
            column-2           the data subject is whom column 2 names,     Art 17(4), (5)
                               or whom the order protects
            investigated       by the controller                            Art 17(1)(g)(ii)
            no-further-action  the controller has decided so                Art 17(1)(g)(iii)

Invariants:

* Each data subject is assessed alone: who is malicious towards the mother is not thereby malicious
  towards the child named in the same file.
* Whether the informant was convicted before or after the allegation makes no difference.
* Nothing is decided here: conditions hold, fail or are unknown, and officers decide. Where (g) does
  not hold, the grounds to look at instead are named.

The reading of column 2 for others in the file is our own; counsel should confirm it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from textwrap import wrap
from typing import Final, NamedTuple

from lookup.cases.evidence import (
    Conviction,
    InvalidEvidence,
    Known,
    MaliciousAllegation,
    Outcome,
    ProtectionOrder,
    Role,
    Subject,
    is_reference,
)
from lookup.cases.law import GroundText, grounds, offences

WIDTH: Final = 96


class Ground(StrEnum):
    """The grounds of erasure, Art 17(1), of correction, Art 16, and of restriction, Art 18(1)."""

    NO_LONGER_NECESSARY = "art-17-1-a"
    CONSENT_WITHDRAWN = "art-17-1-b"
    OBJECTION = "art-17-1-c"
    UNLAWFUL = "art-17-1-d"
    LEGAL_OBLIGATION = "art-17-1-e"
    CHILD_INFORMATION_SOCIETY = "art-17-1-f"
    MALICIOUS_ALLEGATION = "art-17-1-g"
    INACCURATE = "art-16"
    ACCURACY_CONTESTED = "art-18-1-a"
    UNLAWFUL_BUT_KEPT = "art-18-1-b"
    NEEDED_FOR_CLAIMS = "art-18-1-c"
    OBJECTION_PENDING = "art-18-1-d"


class Holding(StrEnum):
    """Whether something holds on the evidence."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of ground (g), for one data subject. `code` is stable."""

    code: str
    provision: str
    holding: Holding
    words: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another ground to look at, and why."""

    ground: Ground
    why: str


@dataclass(frozen=True, slots=True)
class SubjectAssessment:
    """What the evidence says about ground (g) for one data subject."""

    label: str
    role: Role
    verdict: Holding
    conditions: tuple[Condition, ...]
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the evidence says, and under which version of the table. Nothing is decided by it."""

    table_version: int
    subjects: tuple[SubjectAssessment, ...]


def assess(evidence: MaliciousAllegation, effective_from: date | None, today: date) -> Assessment:
    """Return which conditions of ground (g) hold, for each data subject.

    `effective_from` is the day from which (g) applies, by the site's configuration; None says that
    it is not in force for this site.
    """
    subjects = (
        _assess(_Question(evidence, subject, effective_from, today))
        for subject in evidence.subjects
    )
    return Assessment(offences().version, tuple(subjects))


def require_remedy(ground: Ground, remedy: str) -> None:
    """Raise InvalidEvidence unless this is a ground for that remedy."""
    if remedy not in _text(ground).remedies:
        fitting = ", ".join(each.code for each in grounds().ground if remedy in each.remedies)
        raise InvalidEvidence("ground", f"ground {ground} is none to {remedy}; those are {fitting}")


def _text(ground: Ground) -> GroundText:
    (found,) = (each for each in grounds().ground if each.code == ground)
    return found


def require_evidence(ground: Ground, references: Mapping[str, str]) -> None:
    """Check that a ground comes with what it must be shown with: references, by kind of evidence.

    Raises InvalidEvidence.
    """
    needed = {each.code: each.text for each in _text(ground).evidence}
    if references.keys() - needed.keys():
        raise InvalidEvidence(
            "evidence-kind", f"ground {ground} is shown with {', '.join(needed)}; leave out others"
        )
    for code, what in needed.items():
        if code not in references:
            raise InvalidEvidence("evidence-missing", f"ground {ground} needs {code}: {what}")
        if not is_reference(references[code]):
            raise InvalidEvidence("reference", f"write {code} as a reference that can be printed")


def describe(assessment: Assessment) -> list[str]:
    """Return an assessment as lines for a terminal; marks are always beside a word."""
    lines = []
    for subject in assessment.subjects:
        lines.append(f"{subject.label} ({subject.role}): {_VERDICTS[subject.verdict]}")
        for each in subject.conditions:
            mark = f"  {_MARKS[each.holding]} {each.holding:<7}  {each.code:<17}  "
            lines += _hang(mark, f"{each.words} [{each.provision}]")
        for other in subject.alternatives:
            lines += _hang(f"  > look at  {other.ground:<17}  ", other.why)
    lines.append(f"table of offences: version {assessment.table_version}")
    lines.append("officers decide, not this program; Art 17(3) has exceptions to every ground")
    return lines


def _hang(head: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


_MARKS: Final = {Holding.HOLDS: "✓", Holding.FAILS: "✗", Holding.UNKNOWN: "?"}
_VERDICTS: Final = {
    Holding.HOLDS: "every condition of ground (g) holds on this evidence",
    Holding.FAILS: "ground (g) fails on this evidence",
    Holding.UNKNOWN: "ground (g) is open until what is marked ? is known",
}


class _Question(NamedTuple):
    """What a condition is judged by."""

    evidence: MaliciousAllegation
    subject: Subject
    effective_from: date | None
    today: date


_Judged = tuple[Holding, str]


def _in_force(question: _Question) -> _Judged:
    since = question.effective_from
    if since is None:
        return Holding.FAILS, _NOT_IN_FORCE
    if question.today < since:
        return Holding.FAILS, f"not in force before {since}, by this site's configuration"
    return Holding.HOLDS, f"in force since {since}, by this site's configuration"


def _about_subject(question: _Question) -> _Judged:
    return _ABOUT[question.subject.about]


def _basis(question: _Question) -> _Judged:
    basis, today = question.evidence.basis, question.today
    named = basis.order if isinstance(basis, ProtectionOrder) else basis.offence
    outside = {each.id: each.about for each in offences().not_in_table}
    if named in outside:
        return Holding.FAILS, f"not in the table, nor an order of Art 17(4)(b): {outside[named]}"
    if basis.since > today:
        return Holding.FAILS, "the conviction or order is dated after today"
    holding, words = (
        _subject_to(basis, today) if isinstance(basis, ProtectionOrder) else _convicted(basis)
    )
    when = "before" if basis.since < question.evidence.allegation.made else "on or after"
    return holding, f"{words}; {when} the day of the allegation, and either does"


def _convicted(basis: Conviction) -> _Judged:
    (entry,) = (each for each in offences().offence if each.id == basis.offence)
    which = "section" if len(entry.sections) == 1 else "one of sections"
    words = f"entry {entry.entry}: {entry.enactment}, {which} {', '.join(entry.sections)}"
    if not entry.corresponding:
        return Holding.HOLDS, f"{words} ({entry.about})"
    if basis.corresponding is None:
        return Holding.UNKNOWN, f"{words}: find out which offence corresponds to it"
    if basis.corresponding not in entry.corresponding:
        return Holding.FAILS, f"{words}: the corresponding offence is in none of its entries"
    return Holding.HOLDS, f"{words}, with a corresponding offence of {basis.corresponding}"


def _subject_to(basis: ProtectionOrder, today: date) -> _Judged:
    (order,) = (each for each in offences().order if each.id == basis.order)
    words = f"{order.enactment}, section {order.sections[0]}"
    if basis.until is not None and basis.until < today:
        return Holding.FAILS, f"{words}: the order has ended, so nobody is subject to it"
    return Holding.HOLDS, f"subject to an order: {words}"


def _column_2(question: _Question) -> _Judged:
    who = _column_2_person(question.evidence.basis)
    if who is None:
        return Holding.FAILS, "what is not in the table has no column 2"
    holding, words = _COLUMN_2[question.subject.column_2]
    return holding, f"{words} {who}"


def _column_2_person(basis: Conviction | ProtectionOrder) -> str | None:
    named = basis.order if isinstance(basis, ProtectionOrder) else basis.offence
    rows: dict[str, str] = {each.id: each.column_2 for each in offences().offence}
    return (rows | {each.id: each.column_2 for each in offences().order}).get(named)


def _investigated(question: _Question) -> _Judged:
    found = question.evidence.investigation
    if found is None:
        return Holding.FAILS, "the controller has not investigated the allegation"
    if found.closed is None or found.closed > question.today:
        return Holding.FAILS, "the controller's investigation is not closed"
    return Holding.HOLDS, f"investigated by the controller, closed on {found.closed}"


def _no_further_action(question: _Question) -> _Judged:
    return _OUTCOMES[question.evidence.outcome]


_NOT_IN_FORCE: Final = (
    "not in force for this site: no effective_from is configured, as the day of commencement is not"
    " certain; ask counsel"
)
_ABOUT: Final = {
    Known.YES: (Holding.HOLDS, "the allegation is about this data subject"),
    Known.NO: (Holding.FAILS, "the allegation is not about this data subject"),
    Known.UNKNOWN: (Holding.UNKNOWN, "find out whether the allegation is about this data subject"),
}
_COLUMN_2: Final = {
    Known.YES: (Holding.HOLDS, "is"),
    Known.NO: (Holding.FAILS, "is not"),
    Known.UNKNOWN: (Holding.UNKNOWN, "find out, from the certificate or order, who is"),
}
_OUTCOMES: Final = {
    Outcome.NO_FURTHER_ACTION: (Holding.HOLDS, "no further action is to be taken"),
    Outcome.OTHER: (Holding.FAILS, "the controller has decided otherwise than no further action"),
}
_CONDITIONS: Final[tuple[tuple[str, str, Callable[[_Question], _Judged]], ...]] = (
    ("in-force", "configuration", _in_force),
    ("about-subject", "Art 17(1)(g)", _about_subject),
    ("basis", "Art 17(1)(g)(i), (4)", _basis),
    ("column-2", "Art 17(4), (5)", _column_2),
    ("investigated", "Art 17(1)(g)(ii)", _investigated),
    ("no-further-action", "Art 17(1)(g)(iii)", _no_further_action),
)
CONDITIONS: Final = tuple(code for code, _, _ in _CONDITIONS)


def _assess(question: _Question) -> SubjectAssessment:
    conditions = tuple(
        Condition(code, provision, *judge(question)) for code, provision, judge in _CONDITIONS
    )
    holdings = {each.holding for each in conditions}
    (verdict, *_) = (each for each in _WEAKEST_FIRST if each in holdings)
    subject = question.subject
    alternatives = () if verdict is Holding.HOLDS else _alternatives(subject.role, conditions)
    return SubjectAssessment(subject.label, subject.role, verdict, conditions, alternatives)


_WEAKEST_FIRST: Final = (Holding.FAILS, Holding.UNKNOWN, Holding.HOLDS)


def _alternatives(role: Role, conditions: tuple[Condition, ...]) -> tuple[Alternative, ...]:
    """Return the grounds that grounds.toml has a word on, where what that word rests on holds."""
    holding = {each.code for each in conditions if each.holding is Holding.HOLDS}
    return tuple(
        Alternative(Ground(each.code), "; ".join(filter(None, (each.instead, for_child))))
        for each in grounds().ground
        if each.instead and holding.issuperset(each.instead_needs)
        for for_child in (each.instead_for_child if role is Role.CHILD else "",)
    )
