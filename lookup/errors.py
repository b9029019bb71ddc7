"""What can be so that a request is not served, and what a caller is told of it.

    ServiceError
    ├── InvalidRequest          malformed, or breaks a rule of the interface
    ├── Unauthorized            no credential, a malformed one, a wrong one: never said which
    ├── Forbidden               a known caller, who may not do this
    ├── NotFound                no such path
    │   └── RecordNotFound      also said of expunged records
    ├── MethodNotAllowed
    ├── RequestTimedOut         the request did not arrive in time
    ├── LengthRequired          a body is needed, and no length was given
    ├── Conflict
    ├── PreconditionFailed      the version in If-Match is not the current one
    ├── TooLarge
    ├── UnsupportedMediaType
    ├── UnknownKid              unknown, retired or not completely indexed lookup key
    ├── PreconditionRequired    If-Match is missing
    ├── HeadersTooLarge
    ├── TooManyRequests         over a rate or a quota; says when to come back
    ├── InternalError           a defect of ours
    └── Unavailable             says that it may go better elsewhere, or later
        ├── TooManyConnections
        ├── CustodianUnavailable    no hand-off yet, or none for longer than the belt
        ├── AuditUnavailable        the answer could not be audited, so it is not given
        ├── IndexNotReady           the table is not completely loaded: a miss proves nothing
        ├── IndexStale              the table could not be read, or not trusted, just now
        └── IndexSuperseded         a newer table exists

Invariants:

* One table, `PROBLEMS`, turns a fact into an answer (RFC 9457); its `type`s never change meaning.
* A message names the rule that was broken and never the value that broke it, so `detail` may be
  shown to anyone: no identifier, token, secret, user or encounter can be in it.
* On the lookup plane every one of these is *could not check*; none may be read as *no record*.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


class ServiceError(Exception):
    """A reason why a request is not served."""


class InvalidRequest(ServiceError):
    """The request is malformed or breaks a rule of the interface."""


class Unauthorized(ServiceError):
    """No credential that this service knows; which part was wrong is not said."""


class Forbidden(ServiceError):
    """The caller is known, and may not do this."""


class NotFound(ServiceError):
    """No such path."""


class RecordNotFound(NotFound):
    """No such record, or no longer: the two cannot be told apart."""


class MethodNotAllowed(ServiceError):
    """The path exists and does not know this method; `allowed` goes into the Allow header."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"this path knows {allowed}")
        self.allowed = allowed


class RequestTimedOut(ServiceError):
    """The head or the body of a request did not arrive in time."""


class LengthRequired(ServiceError):
    """The request needs a body, and says neither how long it is nor that it is chunked."""


class Conflict(ServiceError):
    """The request contradicts what is stored."""


class PreconditionFailed(ServiceError):
    """The record has changed since the caller read it."""


class TooLarge(ServiceError):
    """The body is larger than this request may be."""


class UnsupportedMediaType(ServiceError):
    """The body's media type is not the one this request takes."""


class UnknownKid(ServiceError):
    """The lookup key is unknown, retired, or not completely indexed."""


class PreconditionRequired(ServiceError):
    """A change must say which version it changes."""


class HeadersTooLarge(ServiceError):
    """The head of the request is larger than any honest one."""


class TooManyRequests(ServiceError):
    """More was asked than may be; `retry_after` goes into the Retry-After header, in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InternalError(ServiceError):
    """A defect of this service; nothing was decided."""


class Unavailable(ServiceError):
    """This process cannot serve now; another one, or this one later, may."""


class TooManyConnections(Unavailable):
    """This process holds as many connections as it may."""


class CustodianUnavailable(Unavailable):
    """Nothing was heard from a custodian yet, or not for longer than may be trusted."""


class AuditUnavailable(Unavailable):
    """The answer's audit entry is not known to be durable, so there is no answer."""


class IndexNotReady(Unavailable):
    """The table is not completely loaded, so that a miss proves nothing."""


class IndexStale(Unavailable):
    """The table could not be read whole, or may not be trusted, just now."""


class IndexSuperseded(Unavailable):
    """A newer table has taken this one's place."""


@dataclass(frozen=True, slots=True)
class Problem:
    """How one fact is told (RFC 9457): a stable type, a status, a title for people."""

    type: str
    status: HTTPStatus
    title: str


def _problem(name: str, status: HTTPStatus, title: str) -> Problem:
    return Problem(f"urn:lacuna:problem:{name}", status, title)


_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE

PROBLEMS: Final[dict[type[ServiceError], Problem]] = {
    InvalidRequest: _problem("invalid-request", HTTPStatus.BAD_REQUEST, "Invalid request"),
    Unauthorized: _problem("unauthorized", HTTPStatus.UNAUTHORIZED, "Unauthorized"),
    Forbidden: _problem("forbidden", HTTPStatus.FORBIDDEN, "Not allowed to this caller"),
    NotFound: _problem("not-found", HTTPStatus.NOT_FOUND, "No such path"),
    RecordNotFound: _problem("record-not-found", HTTPStatus.NOT_FOUND, "No such record"),
    MethodNotAllowed: _problem(
        "method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed"
    ),
    RequestTimedOut: _problem(
        "request-timed-out", HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time"
    ),
    LengthRequired: _problem("length-required", HTTPStatus.LENGTH_REQUIRED, "Body expected"),
    Conflict: _problem("conflict", HTTPStatus.CONFLICT, "Contradicts what is stored"),
    PreconditionFailed: _problem(
        "precondition-failed", HTTPStatus.PRECONDITION_FAILED, "Changed since it was read"
    ),
    TooLarge: _problem("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Body too large"),
    UnsupportedMediaType: _problem(
        "unsupported-media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported media type"
    ),
    UnknownKid: _problem(
        "unknown-kid", HTTPStatus.UNPROCESSABLE_ENTITY, "Unknown or retired lookup key"
    ),
    PreconditionRequired: _problem(
        "precondition-required", HTTPStatus.PRECONDITION_REQUIRED, "If-Match is required"
    ),
    HeadersTooLarge: _problem(
        "headers-too-large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large"
    ),
    TooManyRequests: _problem(
        "too-many-requests", HTTPStatus.TOO_MANY_REQUESTS, "More than the quota allows"
    ),
    InternalError: _problem(
        "internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "A defect of this service"
    ),
    Unavailable: _problem("unavailable", _UNAVAILABLE, "Unavailable"),
    TooManyConnections: _problem("too-many-connections", _UNAVAILABLE, "Too many connections"),
    CustodianUnavailable: _problem("custodian-unavailable", _UNAVAILABLE, "No custodian"),
    AuditUnavailable: _problem("audit-unavailable", _UNAVAILABLE, "Could not be audited"),
    IndexNotReady: _problem("index-not-ready", _UNAVAILABLE, "The index is not complete"),
    IndexStale: _problem("index-stale", _UNAVAILABLE, "The index cannot be trusted just now"),
    IndexSuperseded: _problem("index-superseded", _UNAVAILABLE, "The index was replaced"),
}


def problem_of(error: ServiceError) -> Problem:
    """How this error is told: as its own class, or as the nearest base that has an entry."""
    for fact in type(error).__mro__:
        if fact in PROBLEMS:
            return PROBLEMS[fact]
    return PROBLEMS[InternalError]


def problem_body(error: ServiceError, **extensions: str) -> bytes:
    """The `application/problem+json` body: the error's message is `detail`.

    `extensions` are further members (RFC 9457 section 3.2): the lookup plane adds
    `outcome="could-not-check"`, an import the rule that a line broke.
    """
    problem = problem_of(error)
    members: dict[str, str | int] = {
        "type": problem.type,
        "status": int(problem.status),
        "title": problem.title,
    }
    if detail := str(error):
        members["detail"] = detail
    return msgspec.json.encode(members | extensions)


def problem_headers(error: ServiceError) -> dict[str, str]:
    """The headers that belong to the body, in lower case."""
    headers = {"content-type": PROBLEM_MEDIA_TYPE, "cache-control": "no-store"}
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allowed
    if isinstance(error, TooManyRequests):
        headers["retry-after"] = str(error.retry_after)
    if isinstance(error, Unavailable):
        headers["retry-after"] = "1"
    return headers
