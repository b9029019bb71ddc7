"""What is sent: the questions of the lookup protocol, made of tokens.

Invariants:

* An identifier goes in and only its token comes out, under the enrolment's own key and kid.
* Only a canonical identifier is hashed: the token of any other spelling would find nothing.
* Nothing of a question prints: not the body, not the headers, not the user or the encounter.
* A question is made once and sent unchanged, with one X-Request-ID, however often it is sent; only
  the access token that goes with it may be another (lookup/client/access.py).
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar
from uuid import UUID, uuid4

import msgspec

from crypto.token import TokenMaker
from lookup.catalogue import Purpose
from lookup.client.answers import (
    batch_size,
    is_acknowledged,
    names_test,
    parse_answer,
    parse_batch_answer,
    parse_recalls,
)
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import Answer, BriefAnswer, Recall
from lookup.identifiers import Identifier, parse_identifier
from lookup.wire import (
    ANSWER_SIZE,
    MAX_ACKNOWLEDGE_BODY,
    MAX_RECALLS,
    MAX_RECALLS_BODY,
    MAX_TOKENS,
)

MAX_NAME: Final = 64

A = TypeVar("A", Answer, BriefAnswer)
S = TypeVar("S", Answer, BriefAnswer, Recall)


@dataclass(frozen=True, slots=True, repr=False)
class User:
    """Who asks, in the hospital's own terms. The site's audit keeps it; nothing else shows it."""

    id: str
    role: str

    def __post_init__(self) -> None:
        _check_name("a user's id", self.id)
        _check_name("a user's role", self.role)


@dataclass(frozen=True, slots=True, repr=False)
class Occasion:
    """For whom and why a question is asked."""

    user: User
    purpose: Purpose = Purpose.UNSCHEDULED_CARE
    encounter: str | None = None

    def __post_init__(self) -> None:
        if self.encounter is not None:
            _check_name("an encounter", self.encounter)


@dataclass(frozen=True, slots=True, repr=False)
class Question(Generic[S]):
    """One request, ready to be sent to any base URL, and how to read what comes back.

    One without a body is a GET.
    """

    path: str
    request_id: str
    headers: Mapping[str, str]
    body: bytes
    size: int
    parse: Callable[[bytes], tuple[S, ...] | None]


class Questioner:
    """Makes questions under one enrolment."""

    __slots__ = ("_enrolment", "_tokens")

    def __init__(self, enrolment: Enrolment) -> None:
        self._enrolment = enrolment
        self._tokens = TokenMaker(enrolment.lookup_key)

    def one(self, identifier: Identifier, occasion: Occasion) -> Question[Answer]:
        """Ask about one child; raises ValueError unless `identifier` is canonical."""
        token = self._token(_canonical(identifier))
        return self._lookup("/v1/lookup", {"token": token}, occasion, ANSWER_SIZE, _parse_one)

    def many(self, identifiers: Sequence[Identifier], occasion: Occasion) -> Question[BriefAnswer]:
        """Ask about several children; raises ValueError unless they are 1 to 1,000, canonical."""
        count = len(identifiers)
        if not 1 <= count <= MAX_TOKENS:
            raise ValueError(f"one question may be about 1 to {MAX_TOKENS} identifiers")
        tokens = [self._token(_canonical(identifier)) for identifier in identifiers]

        def parse(body: bytes) -> tuple[BriefAnswer, ...] | None:
            return _without_test(parse_batch_answer(body, count))

        return self._lookup("/v1/lookups", {"tokens": tokens}, occasion, batch_size(count), parse)

    def canary(self) -> Question[Answer]:
        """Ask about the one identifier whose answer is known beforehand."""
        token = self._token(self._enrolment.canary)
        # In the site's audit this says that a machine asked, and about nobody.
        occasion = Occasion(User("canary", "canary"))
        return self._lookup("/v1/lookup", {"token": token}, occasion, ANSWER_SIZE, _parse_canary)

    def recalls(self) -> Question[Recall]:
        """Ask which answers are withdrawn."""
        return _question("/v1/recalls", uuid4(), b"", MAX_RECALLS_BODY, parse_recalls)

    def acknowledge(self, recalls: Sequence[Recall]) -> Question[Recall]:
        """Say that they are deleted; raises ValueError unless these are 1 to 100 recalls."""
        ids = list(dict.fromkeys(each.id for each in recalls))
        if not 1 <= len(ids) <= MAX_RECALLS:
            raise ValueError(f"1 to {MAX_RECALLS} recalls are acknowledged at once")

        def parse(body: bytes) -> tuple[Recall, ...] | None:
            return tuple(recalls) if is_acknowledged(body, ids) else None

        body = msgspec.json.encode({"recalls": ids})
        return _question("/v1/recalls/acknowledge", uuid4(), body, MAX_ACKNOWLEDGE_BODY, parse)

    def _lookup(
        self,
        path: str,
        subject: Mapping[str, object],
        occasion: Occasion,
        size: int,
        parse: Callable[[bytes], tuple[A, ...] | None],
    ) -> Question[A]:
        request_id = uuid4()

        def parse_named(body: bytes) -> tuple[A, ...] | None:
            answers = parse(body)
            if answers is None:
                return None
            return tuple(replace(answer, request_id=request_id) for answer in answers)

        body = msgspec.json.encode({"kid": self._enrolment.kid, **subject, **_members(occasion)})
        return _question(path, request_id, body, size, parse_named)

    def _token(self, identifier: Identifier) -> str:
        token = self._tokens.make(identifier.scheme, identifier.value)
        return urlsafe_b64encode(token).decode().rstrip("=")


def _question(
    path: str,
    request_id: UUID,
    body: bytes,
    size: int,
    parse: Callable[[bytes], tuple[S, ...] | None],
) -> Question[S]:
    headers = {
        "X-Request-ID": str(request_id),
        "Accept": "application/json, application/problem+json",
        # An answer must have its one length on the wire too.
        "Accept-Encoding": "identity",
        "User-Agent": "lacuna-sdk",
    }
    if body:
        headers["Content-Type"] = "application/json"
    return Question(path, str(request_id), headers, body, size, parse)


def _members(occasion: Occasion) -> dict[str, object]:
    user = {"id": occasion.user.id, "role": occasion.user.role}
    members: dict[str, object] = {"purpose": occasion.purpose.value, "user": user}
    if occasion.encounter is not None:
        members["encounter"] = occasion.encounter
    return members


def _parse_one(body: bytes) -> tuple[Answer, ...] | None:
    answer = parse_answer(body)
    return None if answer is None else _without_test((answer,))


def _parse_canary(body: bytes) -> tuple[Answer, ...] | None:
    answer = parse_answer(body)
    return None if answer is None else (answer,)


def _without_test(answers: tuple[A, ...] | None) -> tuple[A, ...] | None:
    """Spoil answers that name the canary's category: they cannot be about the child asked for."""
    return None if answers is None or any(map(names_test, answers)) else answers


def _canonical(identifier: Identifier) -> Identifier:
    if parse_identifier(identifier.text) != identifier:
        raise ValueError("an identifier must be canonical: make it with parse_identifier")
    return identifier


def _check_name(what: str, name: str) -> None:
    if not (1 <= len(name) <= MAX_NAME and name.isprintable()):
        raise ValueError(f"{what} must be 1 to {MAX_NAME} printable characters")
