"""What asking can come to: known, no record, or could not check; and what is withdrawn later.

Invariants:

* Two outcomes are values and the third is an exception, so that nobody reads *could not check*
  as *no record* by forgetting a branch.
* No answer has a truth value: `if client.lookup(child):` raises instead of taking `NoRecord()`
  for true or an error for false.
* CouldNotCheck carries a reason out of a closed list and nothing else: no identifier, token,
  request or answer can be reached from it, printed or pickled.
* An answer knows the request that it was given to, so that a recall can be matched to whatever was
  stored of it; two answers that say the same are equal all the same.
"""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, Generic, NoReturn, TypeAlias, TypeVar
from uuid import UUID

from lookup.catalogue import Authority


class _NotATruthValue:
    """Refuses to be an `if`'s condition."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "an answer is neither true nor false: use `match`, or isinstance(answer, Known)"
        )


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """One record, as far as it may be answered: what kind, since when, and whom to ring."""

    category: str
    since: date
    until: date | None
    authority: Authority


@dataclass(frozen=True, slots=True)
class BriefRecord:
    """One record in the answer to a batch, which names the authority by its code alone.

    Whoever needs to ring asks again for that one child.
    """

    category: str
    since: date
    until: date | None
    authority_code: str


R = TypeVar("R", KnownRecord, BriefRecord)

NOT_ASKED: Final = UUID(int=0)  # no recall names it


@dataclass(frozen=True, slots=True)
class Known(_NotATruthValue, Generic[R]):
    """The child is known; `more` says that there are more records than an answer holds.

    Whatever is stored of it is stored with `request_id`: a recall names it by that. All answers of
    a batch have one.
    """

    records: tuple[R, ...]
    more: bool = False
    request_id: UUID = field(default=NOT_ASKED, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NoRecord(_NotATruthValue):
    """The site is sure that it has nothing to answer. It does not mean that there is no concern."""

    request_id: UUID = field(default=NOT_ASKED, kw_only=True, compare=False, repr=False)


Answer: TypeAlias = Known[KnownRecord] | NoRecord
BriefAnswer: TypeAlias = Known[BriefRecord] | NoRecord


@dataclass(frozen=True, slots=True)
class Recall:
    """Answers that are withdrawn: what they rested on is erased or corrected (UK GDPR Art 19).

    Which, it does not say. It says neither that there is a concern nor that there is none: whoever
    is still cared for has to be asked about again.

    `requests` are the `request_id`s of those answers, and `id` is what to acknowledge.
    """

    id: str
    requests: tuple[UUID, ...]


class Reason(StrEnum):
    """Why nothing could be said. Stable: software may branch on these."""

    UNREACHABLE = "unreachable"
    INSECURE = "insecure"
    TIMED_OUT = "timed-out"
    DISCONNECTED = "disconnected"
    UNAVAILABLE = "unavailable"
    SERVER_ERROR = "server-error"
    NOT_A_SITE = "not-a-lookup-service"
    MALFORMED_ANSWER = "malformed-answer"
    CANARY_FAILED = "canary-failed"
    UNKNOWN_KID = "unknown-kid"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    TOO_MANY_REQUESTS = "too-many-requests"
    REQUEST_REFUSED = "request-refused"


MEANINGS: Final[dict[Reason, str]] = {
    Reason.UNREACHABLE: "no base URL of the enrolment can be reached",
    Reason.INSECURE: "no secure connection is possible: check the CA file and the certificates",
    Reason.TIMED_OUT: "no answer came in time",
    Reason.DISCONNECTED: "the connection broke before a whole answer had come",
    Reason.UNAVAILABLE: "the service says that it cannot answer now",
    Reason.SERVER_ERROR: "the service failed",
    Reason.NOT_A_SITE: "what answered at the base URL is not a lookup service",
    Reason.MALFORMED_ANSWER: "what came back is not a well-formed answer to this request",
    Reason.CANARY_FAILED: "the service does not know the canary, so its 'no record' proves nothing",
    Reason.UNKNOWN_KID: "the service does not know this lookup key: a new enrolment is needed",
    Reason.UNAUTHORIZED: "the service does not accept this client's secret",
    Reason.FORBIDDEN: "the service does not let this client ask in this way",
    Reason.TOO_MANY_REQUESTS: "this client has asked more than its quota allows",
    Reason.REQUEST_REFUSED: "the service refused the request",
}


class CouldNotCheck(Exception):
    """Nothing is known, not even that there is no record: go on as for an unknown child."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"could not check ({self.reason}): {MEANINGS[self.reason]}"
