"""Reading answers: strictly, because whatever is read generously can be read wrongly.

    one     2,048 bytes       {"outcome", "records", "more", "padding"}
    batch   257 n + 1 bytes   [answer, …] of 256 bytes each, in the order of the tokens
    list    up to 64 KiB      {"recalls": [{"recall", "requests"}, …], "more"}
    taken   as was sent       {"acknowledged": [id, …]}

Invariants:

* Only bytes of the right length that say exactly what the protocol lets a site say become an
  answer. Everything else becomes None; nothing is ever guessed.
* A member that is unknown, missing, given twice or of another type spoils the answer; so does
  *no record* with a record in it, and *known* with neither a record nor more of them.
* What will be shown to a person is printable, so that no answer can play with a terminal.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

import msgspec

from lookup.catalogue import MAX_NAME, MAX_PHONE, TEST, Authority
from lookup.client.outcome import (
    Answer,
    BriefAnswer,
    BriefRecord,
    Known,
    KnownRecord,
    NoRecord,
    R,
    Recall,
)
from lookup.wire import ANSWER_SIZE, BATCH_ANSWER_SIZE, MAX_RECALLS, MAX_RECALLS_BODY, MAX_RECORDS


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No member may be missing, and none may be added."""


Code = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z0-9]{1,16}\Z")]
Phone = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PHONE)]


class _Authority(_Strict, frozen=True):
    code: Code
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    office_hours: Phone
    out_of_hours: Phone


class _ShortAuthority(_Strict, frozen=True):
    code: Code


A = TypeVar("A", _Authority, _ShortAuthority)


class _Record(_Strict, Generic[A], frozen=True):
    category: Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,31}\Z")]
    since: date
    until: date | None
    authority: A


class _Answer(_Strict, Generic[A], frozen=True):
    outcome: Literal["known", "no-record"]
    records: Annotated[list[_Record[A]], msgspec.Meta(max_length=MAX_RECORDS)]
    more: bool
    padding: str


class _Recall(_Strict, frozen=True):
    recall: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    requests: list[UUID]


class _Recalls(_Strict, frozen=True):
    recalls: Annotated[list[_Recall], msgspec.Meta(max_length=MAX_RECALLS)]
    more: bool


class _Acknowledged(_Strict, frozen=True):
    acknowledged: list[str]


class _Problem(msgspec.Struct, frozen=True):
    type: str


def parse_answer(body: bytes) -> Answer | None:
    """Return what the answer to one question says, or None if it is not well-formed."""
    if len(body) != ANSWER_SIZE:
        return None
    with suppress(ValueError, RecursionError):
        read = msgspec.convert(_json(body), type=_Answer[_Authority])
        return _outcome(read, tuple(map(_record, read.records)))
    return None


def parse_batch_answer(body: bytes, count: int) -> tuple[BriefAnswer, ...] | None:
    """Return what each of `count` answers says, or None if any of them is not well-formed."""
    if len(body) != batch_size(count):
        return None
    # Every answer stands at a place of its own with a comma or bracket before it.
    starts = range(0, len(body) - 1, BATCH_ANSWER_SIZE + 1)
    frame = bytes(body[start] for start in starts) + body[-1:]
    if frame != b"[" + b"," * (count - 1) + b"]":
        return None
    with suppress(ValueError, RecursionError):
        return tuple(
            _brief_answer(body[start + 1 : start + 1 + BATCH_ANSWER_SIZE]) for start in starts
        )
    return None


def parse_recalls(body: bytes) -> tuple[Recall, ...] | None:
    """Return the recalls that are listed, or None if the list is not well-formed."""
    if len(body) > MAX_RECALLS_BODY:
        return None
    with suppress(ValueError, RecursionError):
        read = msgspec.convert(_json(body), type=_Recalls)
        # Whoever asks until nothing is listed would take an empty list for the end.
        if read.recalls or not read.more:
            return tuple(Recall(each.recall, tuple(each.requests)) for each in read.recalls)
    return None


def is_acknowledged(body: bytes, ids: Sequence[str]) -> bool:
    """Whether an answer says that these very recalls are acknowledged."""
    with suppress(ValueError, RecursionError):
        return msgspec.convert(_json(body), type=_Acknowledged).acknowledged == list(ids)
    return False


def batch_size(count: int) -> int:
    """How long the answer to a batch is: the answers, the commas between them, two brackets."""
    return count * (BATCH_ANSWER_SIZE + 1) + 1


def names_test(answer: Answer | BriefAnswer) -> bool:
    """Whether the canary's own category is in an answer, where no child's record can have it."""
    return isinstance(answer, Known) and any(
        record.category == TEST.name for record in answer.records
    )


def parse_problem_type(body: bytes) -> str | None:
    """Return the `type` of a problem (RFC 9457), or None; good for comparing, not for showing."""
    with suppress(ValueError, RecursionError):
        return msgspec.json.decode(body, type=_Problem).type
    return None


def _outcome(read: "_Answer[A]", records: tuple[R, ...]) -> Known[R] | NoRecord:
    if read.outcome == "known" and (records or read.more):
        return Known(records, more=read.more)
    if read.outcome == "no-record" and not records and not read.more:
        return NoRecord()
    raise ValueError("the outcome contradicts the records")


def _record(read: _Record[_Authority]) -> KnownRecord:
    authority = read.authority
    shown = (authority.name, authority.office_hours, authority.out_of_hours)
    if not all(text.isprintable() for text in shown):
        raise ValueError("an authority has characters that cannot be shown")
    return KnownRecord(read.category, read.since, read.until, Authority(authority.code, *shown))


def _brief_answer(body: bytes) -> BriefAnswer:
    read = msgspec.convert(_json(body), type=_Answer[_ShortAuthority])
    return _outcome(read, tuple(map(_brief_record, read.records)))


def _brief_record(read: _Record[_ShortAuthority]) -> BriefRecord:
    return BriefRecord(read.category, read.since, read.until, read.authority.code)


def _json(body: bytes) -> object:
    return json.loads(body.decode(), object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members
