"""The page's words: what a value of an export means, for a family.

Invariants:

* Every value that a site can tell has its words; one that is not known here is shown as it is.
* Words promise nothing that the law does not. None of it is legal advice.
"""

from datetime import date, datetime
from typing import Final

from lookup.cases.standing import Remedy, State
from lookup.disclosure.redacting import Reason
from lookup.officers.roles import Act
from lookup.transparency import meaning

# Schedules of the Data Protection Act 2018. Counsel should confirm which an authority relies on.
REASONS: Final = {
    Reason.THIRD_PARTY: "it is about somebody else, who has not agreed that you are told"
    " (Schedule 2, Part 3)",
    Reason.SERIOUS_HARM: "telling it would be likely to do serious harm to somebody's physical or"
    " mental health (Schedule 3, Part 3, social work data)",
    Reason.BEST_INTERESTS: "it is about abuse of a child, and telling it would not be in the"
    " child's best interests (Schedule 3, Part 5)",
    Reason.LEGAL_PRIVILEGE: "it is between a lawyer and a client, or made for a court case"
    " (Schedule 2, Part 4)",
}
SHORT: Final = {
    Reason.THIRD_PARTY: "about somebody else",
    Reason.SERIOUS_HARM: "could do serious harm",
    Reason.BEST_INTERESTS: "not in a child's best interests",
    Reason.LEGAL_PRIVILEGE: "legal privilege",
}
PURPOSES: Final = {
    "unscheduled-care": "urgent or emergency care",
    "scheduled-care": "planned care",
}
STATES: Final[dict[str, str]] = {
    State.REQUESTED: "asked for, and not decided yet",
    State.COOLING_OFF: "approved; it is carried out when the time to wait is over",
    State.RECALLING: "approved; whoever was told of it is being told that the answer is withdrawn",
    State.REFUSED: "refused",
    State.WITHDRAWN: "withdrawn",
}
DECIDED: Final[frozenset[str]] = frozenset({State.REFUSED, State.WITHDRAWN})
ACTS: Final[dict[str, str]] = {
    Act.OPEN: "asked for",
    Act.AMEND: "changed",
    Act.APPROVE: "approved",
    Act.REFUSE: "refused",
    Act.REVIEW: "refusal confirmed by another officer",
    Act.RESTRICT: "hospitals no longer told meanwhile",
    Act.CONFIRM: "that hospitals are not told confirmed by another officer",
    Act.LIFT: "hospitals told again",
    Act.HOLD: "put on hold by law",
    Act.RELEASE: "released from hold",
    Act.SHORTEN: "time to wait changed",
    Act.ASK_IDENTITY: "asked who made the request",
    Act.CONFIRM_IDENTITY: "identity of who made the request confirmed",
    Act.EXTEND: "time to answer extended",
    Act.WITHDRAW: "withdrawn",
    Act.CARRY_OUT: "carried out",
    Act.LETTERS: "whoever had not answered was written to",
    Act.RECALL: "whoever was told of it told that the answer is withdrawn",
    Act.TAKE_BACK: "kept after all for now, and told of again",
    Act.ESCALATE: "to be looked at again, because something new came",
}
GROUNDS: Final = {
    **{ground: meaning.ground_article(ground) for ground in meaning.GROUND},
    **{f"art-18-1-{letter}": f"UK GDPR Article 18(1)({letter})" for letter in "abcd"},
}
REMEDIES: Final[dict[str, str]] = {
    Remedy.ERASE: "that it is erased",
    Remedy.UNLINK: "that a number is taken off it",
    Remedy.RECTIFY: "that it is corrected",
    Remedy.RESTRICT: "that hospitals are not told of it",
}
GONE: Final = "an officer who has left"
SITE: Final = "the system itself"


def day(text: str) -> str:
    """Return a day, YYYY-MM-DD, as a letter has it."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{found.day} {found:%B %Y}"


def moment(text: str) -> str:
    """Return a time of RFC 3339 as a letter has it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{found.day} {found:%B %Y}, {found:%H:%M} UTC"


def member(name: str) -> str:
    """Return the name of a payload's member as a heading has it."""
    return name.replace("_", " ").replace("-", " ")
