"""Drafts: a record as an authority sends it, checked against every rule before it is stored.

Invariants:

* `parse_draft` accepts one JSON object of known members, each at most once, and nothing else; a
  refusal names the rule (a stable code) and never a value, for every value may identify a child.
* A draft is canonical: identifiers parsed, sorted and distinct; dates are dates; the window in
  which it is answered is decided. The payload stays byte for byte as it came.
* How long it is kept (`retention`) is apart from how long it is answered.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import blake2b
from itertools import accumulate
from typing import Final

import msgspec

from lookup.catalogue import Catalogue
from lookup.identifiers import Identifier, InvalidIdentifier, parse_identifier
from lookup.index.layout import FIRST_DAY, LAST_DAY
from lookup.officers.proposal import MAX_CURSOR
from lookup.retention import expiry
from lookup.retention.classes import NO_CLASSES, Classes
from lookup.retention.expiry import Retention

MAX_PAYLOAD: Final = 1 << 20
MAX_RECORD: Final = MAX_PAYLOAD + (1 << 14)
# People's records have ten. What is nested so deep that a reader's JSON library gives up could be
# read by nobody, nor be given to the family that it is about.
MAX_NESTING: Final = 64
MAX_IDENTIFIERS: Final = 8
MAX_RETENTION: Final = 512
ANSWERED_AFTER: Final = timedelta(days=365)
_SOURCE_REF: Final = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)  # in JSON
_LEVELS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_LEVEL: Final = bytes(sorted(set(range(256)) - set(_LEVELS)))


class InvalidRecord(ValueError):
    """What was sent is no record. `rule` names what it breaks; no value is in here."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message

    def __str__(self) -> str:
        return self.message


_NULL: Final = msgspec.Raw(b"null")


class RecordShape(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON of a record."""

    authority: str
    source_ref: str
    identifiers: list[str]
    category: str
    since: str
    until: str | None = None
    answer_until: str | None = None
    payload: msgspec.Raw = msgspec.field(default_factory=lambda: _NULL)
    cursor: int | None = None
    retention: msgspec.Raw = msgspec.field(default_factory=lambda: _NULL)


class RetentionShape(msgspec.Struct, forbid_unknown_fields=True, rename={"code": "class"}):
    """The JSON of a record's `retention`. A day that is left out, or null, is not known."""

    code: str
    born: str | None = None
    closed: str | None = None
    ordered: str | None = None
    died: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that keeps all rules and is not stored yet."""

    authority: str
    source_ref: str = field(repr=False)
    identifiers: tuple[Identifier, ...]
    category: str
    since: date
    until: date | None
    answer_until: date | None
    payload: bytes = field(repr=False)
    cursor: int | None = None
    retention: Retention | None = None

    @property
    def source(self) -> bytes:
        """What makes a record the same record to its authority."""
        return source_key(self.authority, self.source_ref)


_UNKEYED: Final = blake2b(digest_size=16)


def source_key(authority: str, source_ref: str) -> bytes:
    """Return 16 bytes that stand for (authority, source reference) in memory."""
    state = _UNKEYED.copy()  # a third quicker than a new one
    state.update(f"{authority}\n{source_ref}".encode())
    return state.digest()


_decode = msgspec.json.Decoder(RecordShape).decode
_decode_retention = msgspec.json.Decoder(RetentionShape).decode
_MEMBERS: Final = [f'"{name}"'.encode() for name in RecordShape.__struct_fields__]


def parse_draft(
    raw: bytes, catalogue: Catalogue, classes: Classes = NO_CLASSES, *, kept: bool = False
) -> Draft:
    """Return the draft that a JSON object describes, or raise InvalidRecord.

    Without classes it says nothing of its retention. One that is `kept` was let in before, and has
    moved its feed then: whether that has a cursor by now is nothing to it.
    """
    shape = _parse_shape(raw)
    if shape.authority not in catalogue.authority_numbers:
        raise InvalidRecord("authority-unknown", "the authority is not one of this site's")
    if shape.category not in catalogue.category_numbers:
        known = ", ".join(catalogue.category_numbers)
        raise InvalidRecord("category-unknown", f"the category must be one of {known}")
    if not _SOURCE_REF.fullmatch(shape.source_ref):
        raise InvalidRecord(
            "source-ref", "a source reference has 1 to 64 printable ascii characters"
        )
    since = _date("since", shape.since)
    until = _date("until", shape.until) if shape.until is not None else None
    return Draft(
        authority=shape.authority,
        source_ref=shape.source_ref,
        identifiers=_identifiers(shape.identifiers, catalogue),
        category=shape.category,
        since=since,
        until=until,
        answer_until=_answer_until(shape.answer_until, since, until),
        payload=bytes(shape.payload),
        cursor=shape.cursor if kept else _cursor(shape, catalogue),
        retention=None if shape.retention == _NULL else _retention(shape.retention, classes),
    )


def _cursor(shape: RecordShape, catalogue: Catalogue) -> int | None:
    """Return the place of a record in its authority's feed, if that counts its records."""
    counts = catalogue.replay_of(shape.authority).cursor
    if counts != (shape.cursor is not None):
        wanted = "has a cursor" if counts else "has no cursor"
        raise InvalidRecord("cursor", f"a record of this authority {wanted}")
    if shape.cursor is not None and not 1 <= shape.cursor <= MAX_CURSOR:
        raise InvalidRecord("cursor", f"a cursor is a number from 1 to {MAX_CURSOR}")
    return shape.cursor


def _retention(raw: msgspec.Raw, classes: Classes) -> Retention:
    """Return what a record says of how long it is kept."""
    if len(raw) > MAX_RETENTION:
        raise InvalidRecord("retention-shape", f"retention has at most {MAX_RETENTION} bytes")
    try:
        shape = _decode_retention(raw)
    except (msgspec.DecodeError, RecursionError):
        known = ", ".join(RetentionShape.__struct_encode_fields__)
        raise InvalidRecord(
            "retention-shape", f"retention is null, or an object with only {known}"
        ) from None
    if _repeats(bytes(raw)):
        raise InvalidRecord("retention-shape", "a member of retention is given more than once")
    if shape.code not in classes.by_code:
        known = ", ".join(classes.by_code)
        raise InvalidRecord("retention-class", f"the class of retention must be one of {known}")
    born, closed, ordered, died = (
        None if text is None else _retention_day(member, text)
        for member, text in (
            ("born", shape.born),
            ("closed", shape.closed),
            ("ordered", shape.ordered),
            ("died", shape.died),
        )
    )
    # A matter may be closed before a birth. An order about a person, or a death, cannot come first.
    if born is not None and any(day is not None and day < born for day in (ordered, died)):
        raise InvalidRecord("retention-order", "ordered and died must not be before born")
    return Retention(shape.code, born, closed, ordered, died)


def _retention_day(member: str, text: str) -> date:
    day = _day(text)
    if day is None or not expiry.FIRST_DAY <= day <= expiry.LAST_DAY:
        raise InvalidRecord(
            "retention-date",
            f"{member} must be null, or a day YYYY-MM-DD from {expiry.FIRST_DAY} to"
            f" {expiry.LAST_DAY}",
        )
    return day


def describe_retention(retention: Retention | None) -> dict[str, str | None] | None:
    """Return the JSON that a record's retention is made of."""
    if retention is None:
        return None
    days = (retention.born, retention.closed, retention.ordered, retention.died)
    texts = (None if day is None else day.isoformat() for day in days)
    return dict(zip(RetentionShape.__struct_encode_fields__, (retention.code, *texts), strict=True))


def encode_draft(draft: Draft) -> bytes:
    """Return the JSON that `parse_draft` makes this draft of."""
    shape = RecordShape(
        draft.authority,
        draft.source_ref,
        [f"{scheme}:{value}" for scheme, value in draft.identifiers],
        draft.category,
        draft.since.isoformat(),
        None if draft.until is None else draft.until.isoformat(),
        None if draft.answer_until is None else draft.answer_until.isoformat(),
        msgspec.Raw(draft.payload),
        draft.cursor,
        msgspec.Raw(msgspec.json.encode(describe_retention(draft.retention))),
    )
    return msgspec.json.encode(shape)


def _parse_shape(raw: bytes) -> RecordShape:
    if len(raw) > MAX_RECORD:
        raise InvalidRecord("record-size", f"a record has at most {MAX_RECORD} bytes")
    try:
        raw.decode()  # the decoder passes over a payload without looking into its strings
        shape = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord("record-shape", _without_values(error)) from None
    if len(shape.payload) > MAX_PAYLOAD:
        raise InvalidRecord("payload-size", f"a payload has at most {MAX_PAYLOAD} bytes")
    if _nesting(bytes(shape.payload)) > MAX_NESTING:
        raise InvalidRecord(
            "payload-nesting", f"a payload is nested at most {MAX_NESTING} levels deep"
        )
    # A member can repeat only if its quoted name does, or is spelled with an escape.
    if (b"\\" in raw or any(raw.count(name) > 1 for name in _MEMBERS)) and _repeats(raw):
        raise InvalidRecord("record-members", "a member is given more than once")
    return shape


def _nesting(payload: bytes) -> int:
    """Return how deep a payload is nested; no more than it is where that is few enough."""
    most = payload.count(b"[") + payload.count(b"{")
    if most <= MAX_NESTING:
        return most
    brackets = _STRING.sub(b"", payload).translate(None, _NO_LEVEL)
    return max(accumulate(map(_LEVELS.__getitem__, brackets), initial=0))


def _repeats(raw: bytes) -> bool:
    """Say whether the object has a member twice: which of them was meant? Payloads may."""
    try:
        # Called for the outermost object last, so that its answer is the whole one.
        surplus: int = json.loads(
            raw,
            object_pairs_hook=lambda pairs: len(pairs) - len(dict(pairs)),
            parse_int=len,
            parse_float=len,
        )
    except RecursionError:
        raise InvalidRecord("record-shape", "a member is nested too deep") from None
    return surplus > 0


def _identifiers(texts: list[str], catalogue: Catalogue) -> tuple[Identifier, ...]:
    if not 1 <= len(texts) <= MAX_IDENTIFIERS:
        raise InvalidRecord("identifiers-count", f"a record has 1 to {MAX_IDENTIFIERS} identifiers")
    try:
        found = tuple(sorted({parse_identifier(text) for text in texts}))
    except InvalidIdentifier as error:
        raise InvalidRecord(error.rule, error.message) from None
    for identifier in found:
        if identifier.scheme == "local":
            authority, _, _ = identifier.value.partition(":")
            if authority not in catalogue.authority_numbers:
                raise InvalidRecord(
                    "local-authority", "a local identifier names an authority of this site"
                )
    return found


def _answer_until(text: str | None, since: date, until: date | None) -> date | None:
    """Return the last day that the record is answered on; None: no last day."""
    if until is not None and until < since:
        raise InvalidRecord("dates-order", "until must not be before since")
    if text is None:
        return None if until is None else min(until + ANSWERED_AFTER, LAST_DAY)
    last = _date("answer_until", text)
    if last < (until or since):
        raise InvalidRecord("dates-order", "answer_until must not be before until or since")
    return last


def _date(member: str, text: str) -> date:
    day = _day(text)
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidRecord(
            "date-format", f"{member} must be a day YYYY-MM-DD from {FIRST_DAY} to {LAST_DAY}"
        )
    return day


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _without_values(error: Exception) -> str:
    """Say where the JSON is wrong: msgspec names types, members of ours and places, no values.

    A member that we do not know would be named by its own text, so that one is left out.
    """
    message = str(error)
    if isinstance(error, msgspec.ValidationError) and "unknown field" not in message:
        return f"not the shape of a record: {message[0].lower()}{message[1:]}"
    if isinstance(error, msgspec.ValidationError):
        known = ", ".join(RecordShape.__struct_fields__)
        return f"a member is not known: known are {known}"
    return "not one JSON object"
