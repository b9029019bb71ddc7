"""How a question is asked: where, how often, how long, and when an answer is believed.

Sans I/O. A question is a generator that yields `Send` or `Wait` and is given back a `Reply`, a
`Failure`, or None; `aio.py` does what it says. It returns the answers, or the Reason why there
are none, and never raises for what a network or a site does: errors made here would hold tokens.

Invariants:

* *No record* is believed only from a base URL that has answered the canary *known, test* under
  this enrolment's key, asked for less than 24 hours ago; it is asked at first and then daily.
  *Known* is believed without: a hit must never be lost to a broken canary.
* A question has one X-Request-ID however often it is sent, and an answer must mirror it.
* Never more than `attempts` visits nor longer than `total_seconds`, whatever happens.
* Where asking elsewhere cannot help (a wrong secret, an unknown kid) nothing is sent again.
* A question goes with an access token, which is fetched before it where there is none. One that is
  refused is replaced and the question sent once more, in the same visit; a token that was fetched
  just now and is refused all the same is the end. One that ends soon is replaced beforehand, by one
  question for all, and used on where that fails.
* Within a question a base URL is not asked again before its Retry-After has passed. A later
  question only prefers the others: it is about another child, and always makes one attempt.
"""

import math
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from random import SystemRandom
from typing import Final, TypeAlias, TypeVar

from lookup.client.access import AccessToken, TokenRequest
from lookup.client.answers import names_test, parse_problem_type
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import NoRecord, Reason, Recall
from lookup.client.questions import A, Question, Questioner, S

# A day, less an hour: an answer that was long under way must not outlive its canary.
CANARY_SECONDS: Final = 23 * 3600.0
# How long other base URLs are preferred to one that failed. Each expiry costs one question one
# attempt on a host that may still be dead.
REST_SECONDS: Final = 30.0
MAX_PROBLEM_SIZE: Final = 8_192

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often to try. People wait for the answer beside a child."""

    total_seconds: float = 2.0
    attempt_seconds: float = 0.8
    attempts: int = 4
    pause_seconds: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.attempt_seconds <= self.total_seconds <= 60:
            raise ValueError("patience needs 0 < attempt_seconds <= total_seconds <= 60")
        if not (1 <= self.attempts <= 16 and 0 <= self.pause_seconds <= 1):
            raise ValueError("patience needs 1 to 16 attempts and a pause of 0 to 1 second")


@dataclass(frozen=True, slots=True)
class Send:
    """Send this, follow nothing, and give back a Reply or a Failure within `timeout` seconds."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    timeout: float
    limit: int
    """A Reply's body is cut after so many bytes; the rest is not read."""

    @property
    def method(self) -> str:
        """How: what is asked without a body changes nothing."""
        return "POST" if self.body else "GET"


@dataclass(frozen=True, slots=True)
class Wait:
    """Give back None after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: names of headers in lower case, repeated ones joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Failure(Enum):
    """No response, and why."""

    UNREACHABLE = auto()
    INSECURE = auto()
    TIMED_OUT = auto()
    BROKEN = auto()


Exchange: TypeAlias = Generator[Send | Wait, Reply | Failure | None, T]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a visit came to nothing, whether another may not, and how long to leave this host."""

    reason: Reason
    again: bool
    seconds: float = 0.0


_TIMED_OUT: Final = Refusal(Reason.TIMED_OUT, again=True)
_MALFORMED: Final = Refusal(Reason.MALFORMED_ANSWER, again=True)
_CANARY_FAILED: Final = Refusal(Reason.CANARY_FAILED, again=True)
_UNAUTHORIZED: Final = Refusal(Reason.UNAUTHORIZED, again=False)

_FAILURES: Final[dict[Failure, Refusal]] = {
    Failure.UNREACHABLE: Refusal(Reason.UNREACHABLE, again=True),
    Failure.INSECURE: Refusal(Reason.INSECURE, again=True),
    Failure.TIMED_OUT: _TIMED_OUT,
    Failure.BROKEN: Refusal(Reason.DISCONNECTED, again=True),
}

# What is not here: 4xx is this client's fault everywhere, 5xx may go better elsewhere, and any
# other status is none that a lookup service has.
_STATUSES: Final[dict[int, tuple[Reason, bool]]] = {
    HTTPStatus.UNAUTHORIZED: (Reason.UNAUTHORIZED, False),
    HTTPStatus.FORBIDDEN: (Reason.FORBIDDEN, False),
    HTTPStatus.NOT_FOUND: (Reason.NOT_A_SITE, True),
    HTTPStatus.METHOD_NOT_ALLOWED: (Reason.NOT_A_SITE, True),
    HTTPStatus.REQUEST_TIMEOUT: (Reason.UNAVAILABLE, True),
    # A quota is the client's and counted over all workers: elsewhere it is used up too.
    HTTPStatus.TOO_MANY_REQUESTS: (Reason.TOO_MANY_REQUESTS, False),
    HTTPStatus.BAD_GATEWAY: (Reason.UNAVAILABLE, True),
    HTTPStatus.SERVICE_UNAVAILABLE: (Reason.UNAVAILABLE, True),
    HTTPStatus.GATEWAY_TIMEOUT: (Reason.UNAVAILABLE, True),
}
_UNKNOWN_KID: Final = "urn:lacuna:problem:unknown-kid"
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_JITTER: Final = SystemRandom().uniform


def seconds_since_boot() -> float:
    """Return a time that never goes back and, unlike time.monotonic(), passes while suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Attempts:
    """Asks the base URLs of one enrolment, and remembers which of them may be believed.

    Safe to share between threads and tasks: all that is shared is written in single steps, and a
    race costs one canary question too many.
    """

    def __init__(
        self,
        enrolment: Enrolment,
        patience: Patience,
        *,
        clock: Callable[[], float] = seconds_since_boot,
        jitter: Callable[[float, float], float] = _JITTER,
    ) -> None:
        self.questioner = Questioner(enrolment)
        self._token_request = TokenRequest(enrolment)
        self._access: AccessToken | None = None
        self.patience = patience
        self._base_urls = enrolment.base_urls
        self._clock = clock
        self._jitter = jitter
        self._trusted_since: dict[str, float] = {}
        self._resting_until: dict[str, float] = {}

    def ask(self, question: Question[A]) -> Exchange[tuple[A, ...] | Reason]:
        """Ask until somebody can be believed or patience ends."""

        def visit(base_url: str, deadline: float) -> Exchange[tuple[A, ...] | Refusal]:
            return self._ask_at(base_url, question, deadline)

        return self._visit_until(visit)

    def ask_of_recalls(self, question: Question[Recall]) -> Exchange[tuple[Recall, ...] | Reason]:
        """The same without the canary: what is withdrawn does not hang on what the index knows."""

        def visit(base_url: str, deadline: float) -> Exchange[tuple[Recall, ...] | Refusal]:
            return self._send(base_url, question, deadline)

        return self._visit_until(visit)

    def check(self) -> Exchange[Reason | None]:
        """Ask the canary, due or not, until somebody answers it rightly or patience ends."""
        return self._visit_until(self._ask_canary_at)

    def _visit_until(
        self, visit: Callable[[str, float], Exchange[T | Refusal]]
    ) -> Exchange[T | Reason]:
        """Visit base URLs, each time the best one, until one does not refuse or patience ends."""
        deadline = self._clock() + self.patience.total_seconds
        not_before: dict[str, float] = {}
        reason = Reason.TIMED_OUT
        for attempt in range(self.patience.attempts):
            base_url = self._choose(not_before)
            pause = self._pause(attempt, not_before.get(base_url, 0.0))
            if self._clock() + pause >= deadline:
                break
            if pause > 0:
                yield Wait(pause)
            result = yield from visit(base_url, deadline)
            if not isinstance(result, Refusal):
                self._resting_until.pop(base_url, None)
                return result
            reason = result.reason
            if not result.again:
                break
            not_before[base_url] = self._clock() + result.seconds
            self._resting_until[base_url] = self._clock() + max(REST_SECONDS, result.seconds)
        return reason

    def _choose(self, not_before: Mapping[str, float]) -> str:
        """Return the base URL to ask now: the first that did not fail, else the next to recover."""
        now = self._clock()

        def rank(base_url: str) -> tuple[float, float]:
            resting_until = self._resting_until.get(base_url, 0.0)
            return not_before.get(base_url, 0.0), resting_until if resting_until > now else 0.0

        return min(self._base_urls, key=rank)

    def _pause(self, attempt: int, not_before: float) -> float:
        if attempt == 0:
            return 0.0
        pause = self._jitter(0.0, self.patience.pause_seconds * 2 ** (attempt - 1))
        return max(pause, not_before - self._clock())

    def _ask_at(
        self, base_url: str, question: Question[A], deadline: float
    ) -> Exchange[tuple[A, ...] | Refusal]:
        """Ask one base URL, after its canary where that is due."""
        if not self._is_trusted(base_url):
            refusal = yield from self._ask_canary_at(base_url, deadline)
            if refusal is not None and refusal != _CANARY_FAILED:
                return refusal
        answers = yield from self._send(base_url, question, deadline)
        if isinstance(answers, Refusal) or NoRecord() not in answers:
            return answers
        return answers if self._is_trusted(base_url) else _CANARY_FAILED

    def _ask_canary_at(self, base_url: str, deadline: float) -> Exchange[Refusal | None]:
        asked = self._clock()
        answers = yield from self._send(base_url, self.questioner.canary(), deadline)
        if isinstance(answers, Refusal):
            return answers
        if not all(map(names_test, answers)):
            self._trusted_since.pop(base_url, None)
            return _CANARY_FAILED
        self._trusted_since[base_url] = asked
        return None

    def _is_trusted(self, base_url: str) -> bool:
        since = self._trusted_since.get(base_url)
        return since is not None and self._clock() - since < CANARY_SECONDS

    def _send(
        self, base_url: str, question: Question[S], deadline: float
    ) -> Exchange[tuple[S, ...] | Refusal]:
        """Send a question with the access token of now, or else with a new one."""
        kept = self._access
        if kept is not None and self._clock() < kept.until:
            if kept.is_due(self._clock()):
                yield from self._fetch_access(base_url, deadline)
            answers = yield from self._send_with(self._access or kept, base_url, question, deadline)
            if answers != _UNAUTHORIZED:
                return answers
            if self._access is kept:
                self._access = None
        access = yield from self._fetch_access(base_url, deadline)
        if isinstance(access, Refusal):
            return access
        return (yield from self._send_with(access, base_url, question, deadline))

    def _send_with(
        self, access: AccessToken, base_url: str, question: Question[S], deadline: float
    ) -> Exchange[tuple[S, ...] | Refusal]:
        reply = yield from self._exchange(
            base_url + question.path,
            {**question.headers, "Authorization": access.header},
            question.body,
            deadline,
            question.size,
        )
        return _judge(reply, question)

    def _fetch_access(self, base_url: str, deadline: float) -> Exchange[AccessToken | Refusal]:
        asked = self._clock()
        request = self._token_request
        reply = yield from self._exchange(
            base_url + request.path, request.headers, request.body, deadline
        )
        if isinstance(reply, Failure):
            return _FAILURES[reply]
        if reply.status != HTTPStatus.OK:
            return _refusal(reply)
        access = request.parse(reply.body, asked)
        if access is None:
            return _MALFORMED
        self._access = access
        return access

    def _exchange(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
        size: int = 0,
    ) -> Exchange[Reply | Failure]:
        timeout = min(self.patience.attempt_seconds, deadline - self._clock())
        if timeout <= 0:
            return Failure.TIMED_OUT
        reply = yield Send(url, headers, body, timeout, limit=max(size, MAX_PROBLEM_SIZE))
        if reply is None:
            raise TypeError("a Send is answered with a Reply or a Failure")
        return reply


def _judge(reply: Reply | Failure, question: Question[S]) -> tuple[S, ...] | Refusal:
    if isinstance(reply, Failure):
        return _FAILURES[reply]
    if reply.status != HTTPStatus.OK:
        return _refusal(reply)
    if not _is_answer_to(question, reply.headers):
        return _MALFORMED
    answers = question.parse(reply.body)
    return _MALFORMED if answers is None else answers


def _is_answer_to(question: Question[S], headers: Mapping[str, str]) -> bool:
    """Whether this is the answer to this very request, and not a stored or a changed one."""
    return (
        headers.get("x-request-id") == question.request_id
        and headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        and headers.get("content-encoding", "identity") == "identity"
    )


def _refusal(reply: Reply) -> Refusal:
    status = reply.status
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and (
        parse_problem_type(reply.body) == _UNKNOWN_KID
    ):
        return Refusal(Reason.UNKNOWN_KID, again=False)
    reason, again = _STATUSES.get(status) or _reason_by_class(status)
    return Refusal(reason, again, _retry_after(reply.headers))


def _reason_by_class(status: int) -> tuple[Reason, bool]:
    if 400 <= status <= 499:
        return Reason.REQUEST_REFUSED, False
    if 500 <= status <= 599:
        return Reason.SERVER_ERROR, True
    return Reason.NOT_A_SITE, True


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to leave a host alone: what cannot be read, a date too, is for ever."""
    value = headers.get("retry-after")
    if value is None:
        return 0.0
    return float(value) if _SECONDS.fullmatch(value) else math.inf
