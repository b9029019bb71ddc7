"""Redactions: what is left out of an export, by explicit marks, and why.

    [{"path": "/payload/notes/0/author", "reason": "third-party", "note": "..."}, ...]

    a value that is marked  ->  {"redacted": "third-party"}

Invariants:

* What is marked is replaced, so that neither file holds it; `note` is the officer's own and goes
  nowhere. Names of members stay: to leave one out is to mark what it stands in.
* A path is a pointer (RFC 6901) into the export. It points to something, to nothing twice, and
  into nothing that another one leaves out. A mark that misses would tell what it was to hide.
* Which record this is, and that somebody was told of it, and when, is never left out.
* Names of hospitals' staff and of officers are somebody else's data: they are left out, with or
  without marks, unless the caller says otherwise.

Reasons: Data Protection Act 2018, Schedules 2 and 3; words.py has them for people. Pure.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from lookup.disclosure.errors import InvalidRedactions
from lookup.disclosure.export import Export, Json

MAX_FILE: Final = 1 << 20
MAX_REDACTIONS: Final = 5_000
# Shorter words stand in too many places by chance.
_LEAST_WORD: Final = 4
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*")


class Reason(StrEnum):
    """Why something is not told."""

    THIRD_PARTY = "third-party"
    SERIOUS_HARM = "serious-harm"
    BEST_INTERESTS = "best-interests"
    LEGAL_PRIVILEGE = "legal-privilege"


class Redaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mark. Neither path nor note prints."""

    path: Annotated[str, msgspec.Meta(max_length=1_024)]
    reason: Reason
    note: Annotated[str, msgspec.Meta(max_length=1_000)] = ""

    def __repr__(self) -> str:
        return f"<Redaction {self.reason}>"


@dataclass(slots=True)
class _Marks:
    """The marks at and below one value; a reason at it leaves it out."""

    reason: Reason | None = None
    below: "dict[str | int, _Marks]" = field(default_factory=dict)


def parse_redactions(raw: bytes) -> list[Redaction]:
    """Return the marks of a file. Raises InvalidRedactions."""
    if len(raw) > MAX_FILE:
        raise InvalidRedactions(f"the redactions have more than {MAX_FILE} bytes")
    try:
        listed = json.loads(raw, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise InvalidRedactions(
            "the redactions are no JSON, or name a member of one of them twice"
        ) from None
    if not isinstance(listed, list) or len(listed) > MAX_REDACTIONS:
        raise InvalidRedactions(f"the redactions are no list of at most {MAX_REDACTIONS}")
    return [_parse(each, number) for number, each in enumerate(listed, start=1)]


def redact(export: Export, redactions: Sequence[Redaction], *, with_users: bool = False) -> Export:
    """Return the export without what is marked. Raises InvalidRedactions."""
    marks = _Marks()
    for number, redaction in enumerate(redactions, start=1):
        _mark(marks, export.document, redaction, number)
    if not with_users:
        _mark_users(marks, export.document)
    document: Json = _without(export.document, marks)
    found = Counter(_reasons(marks))
    counts = {each.value: found[each] for each in Reason if found[each]}
    return Export(document | {"redactions": counts})


def reason_of(value: object) -> Reason | None:
    """Return why a value of an export was left out; None: it was not.

    What a payload itself says in these words is no mark: its strings are none of `Reason`.
    """
    if isinstance(value, dict) and isinstance(reason := value.get("redacted"), Reason):
        return reason
    return None


def left_elsewhere(
    before: Export, after: Export, redactions: Sequence[Redaction]
) -> list[tuple[int, int]]:
    """Return which marks have left out words that still stand in other places, and in how many."""
    standing = "\n".join(_strings(after.document)).casefold()
    found = []
    for number, redaction in enumerate(redactions, start=1):
        value = _at(before.document, _tokens(redaction.path, number))
        words = {each.casefold() for each in _strings(value) if len(each) >= _LEAST_WORD}
        if places := sum(standing.count(each) for each in words):
            found.append((number, places))
    return found


def _parse(value: object, number: int) -> Redaction:
    try:
        return msgspec.convert(value, Redaction)
    except msgspec.ValidationError:  # its words may quote what they were given
        reasons = ", ".join(Reason)
        raise InvalidRedactions(
            f"redaction {number} is not a path, a reason ({reasons}) and perhaps a note"
        ) from None


def _distinct(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _tokens(path: str, number: int) -> list[str]:
    """Return the parts of a pointer."""
    if not _POINTER.fullmatch(path):
        raise InvalidRedactions(f"the path of redaction {number} is no pointer (RFC 6901)")
    parts = path.split("/")[1:]
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _may_be_left_out(tokens: Sequence[str]) -> bool:
    match tokens:
        case ["payload", *_] | ["cases", _, *_] | ["statements", _, "text"]:
            return True
        case ["record", member, *_]:
            return member not in {"record_id", "version"}
        case ["accesses", _, member]:
            return member not in {"time", "officer"}
        case _:
            return False


def _mark(marks: _Marks, document: Json, redaction: Redaction, number: int) -> None:
    tokens = _tokens(redaction.path, number)
    if not _may_be_left_out(tokens):
        raise InvalidRedactions(
            f"redaction {number} points to what has to be told: which record this is, who holds it,"
            " that there are statements, cases and accesses, and when those were"
        )
    value: Any = document
    for token in tokens:
        key, value = _step(value, token, number)
        marks = marks.below.setdefault(key, _Marks())
        if marks.reason is not None:
            raise InvalidRedactions(
                f"redaction {number} points to, or into, what another one leaves out"
            )
    if marks.below:
        raise InvalidRedactions(f"redaction {number} leaves out what another one points into")
    marks.reason = redaction.reason


def _step(value: Any, token: str, number: int) -> tuple[str | int, Any]:  # noqa: ANN401  # JSON
    """Return the key of a value in the one that holds it, and the value."""
    if isinstance(value, dict) and token in value:
        return token, value[token]
    if isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
        return int(token), value[int(token)]
    raise InvalidRedactions(f"redaction {number} points to nothing in this export")


def _at(value: Any, tokens: Sequence[str]) -> Any:  # noqa: ANN401  # whatever JSON holds
    for token in tokens:
        _, value = _step(value, token, 0)
    return value


def _mark_users(marks: _Marks, document: Json) -> None:
    for number, access in enumerate(document["accesses"]):
        if access["user"] is not None:
            its = marks.below.setdefault("accesses", _Marks()).below.setdefault(number, _Marks())
            its.below.setdefault("user", _Marks(Reason.THIRD_PARTY))


def _without(value: Any, marks: _Marks) -> Any:  # noqa: ANN401  # whatever JSON holds
    if marks.reason is not None:
        return {"redacted": marks.reason}
    copy = value.copy()
    for key, below in marks.below.items():
        copy[key] = _without(copy[key], below)
    return copy


def _reasons(marks: _Marks) -> Iterator[Reason]:
    if marks.reason is not None:
        yield marks.reason
    for below in marks.below.values():
        yield from _reasons(below)


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401  # whatever JSON holds
    """Yield all words of a value, numbers and names of members too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, msgspec.Raw):
        yield bytes(value).decode()
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _strings(each)
