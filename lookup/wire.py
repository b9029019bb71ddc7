"""The lookup protocol in bytes: strictly parsed requests, answers of one constant length.

    POST /v1/lookup   {"kid", "token", "user": {"id", "role"}, "purpose"?, "encounter"?}
                  200 {"outcome", "records": [record…], "more", "padding"}       2,048 bytes
    POST /v1/lookups  {"kid", "tokens": […], "user": {"id", "role"}, "purpose"?, "encounter"?}
                  200 [answer, answer, …] in the order of the tokens, 256 bytes each, so
                      257 n + 1 bytes in all

    record            {"category", "since", "until", "authority": {"code", "name", "office_hours",
                      "out_of_hours"}}; in a batch the authority has its code alone: whoever needs
                      to ring asks again for that one child

Invariants:

* `known` and `no-record` are made by one expression, and the length never depends on either.
* At most 8 records, and only as many as fit; `more` says that there are others.
* Padding is base64 of random bytes: it does not compress, so no proxy makes lengths differ.
* An unknown member, a repeated one, a token in another spelling than the canonical one, or
  anything out of bounds is refused; the message names the rule and repeats nothing of the input.
* No repr of a request shows what is in it.

Pure but for the padding's randomness. JSON is RFC 8259, base64url RFC 4648 section 5.
"""

import json
import os
import random
import re
from base64 import b64encode
from binascii import Error as InvalidBase64
from binascii import a2b_base64
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from lookup.errors import InvalidRequest
from lookup.index.layout import FIRST_ORDINAL, NO_DAY

ANSWER_SIZE: Final = 2_048
BATCH_ANSWER_SIZE: Final = 256
MAX_RECORDS: Final = 8
MAX_TOKENS: Final = 1_000
# What an audit entry has room for.
MAX_NAME_BYTES: Final = 64
MAX_LOOKUP_BODY: Final = 4 * 1_024
MAX_BATCH_BODY: Final = 128 * 1_024
# Of recalls, whose answers have no one length (lookup/worker/recalls.py): in one list, and their
# requests. Where either bound is reached its body has room left, and so has an acknowledgement's.
MAX_RECALLS: Final = 100
MAX_RECALLED_REQUESTS: Final = 1_000
MAX_RECALLS_BODY: Final = 64 * 1_024
MAX_ACKNOWLEDGE_BODY: Final = 4 * 1_024

Kid = Annotated[str, msgspec.Meta(min_length=16, max_length=16)]
TokenText = Annotated[str, msgspec.Meta(min_length=43, max_length=43)]
# What the audit can hold of a caller's own names for its staff and visits.
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Purpose = Literal["unscheduled-care", "scheduled-care"]


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks, in the caller's own terms."""

    id: Name
    role: Name

    def __repr__(self) -> str:
        return "<User>"


class Asking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every request says of itself, besides what it looks up."""

    kid: Kid
    user: User
    purpose: Purpose | msgspec.UnsetType = msgspec.UNSET
    encounter: Name | msgspec.UnsetType | None = msgspec.UNSET

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Lookup(Asking, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One lookup, as it is sent."""

    token: TokenText


class Lookups(Asking, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Up to 1,000 lookups under one kid, as they are sent."""

    tokens: Annotated[list[TokenText], msgspec.Meta(min_length=1, max_length=MAX_TOKENS)]


Request = TypeVar("Request", Lookup, Lookups)

_LOOKUP: Final = msgspec.json.Decoder(Lookup)
_LOOKUPS: Final = msgspec.json.Decoder(Lookups)

# msgspec's message repeats parts of the input, so only the place it names is used, and only where
# that place is one of ours.
_RULES: Final = {
    "`$.kid`": "kid must be 16 characters",
    "`$.token`": "token must be 43 characters of base64url",
    "`$.tokens`": "tokens must be a list of 1 to 1000 tokens",
    "`$.tokens[...]`": "each of tokens must be 43 characters of base64url",
    "`$.user`": "user must have id and role and nothing else",
    "`$.user.id`": "user.id must be 1 to 64 characters",
    "`$.user.role`": "user.role must be 1 to 64 characters",
    "`$.purpose`": "purpose must be unscheduled-care or scheduled-care",
    "`$.encounter`": "encounter must be 1 to 64 characters",
}


# Of kid and its value, "token" or "tokens", user, id and role and their values.
_USUAL_MARKS: Final = 16
_INDEX: Final = re.compile(r"\[\d+\]")


def parse_lookup(body: bytes) -> Lookup:
    """Return the request, or raise InvalidRequest naming the rule it breaks."""
    return _parse(_LOOKUP, body, "token")


def parse_lookups(body: bytes) -> Lookups:
    """Return the request, or raise InvalidRequest naming the rule it breaks."""
    return _parse(_LOOKUPS, body, "tokens")


def _parse(decoder: "msgspec.json.Decoder[Request]", body: bytes, subject: str) -> Request:
    try:
        request = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_rule_broken(str(error), subject)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest("body must be JSON in UTF-8") from None
    # Two tokens in one object: which child was meant?  msgspec would take the last. Each string has
    # two quotation marks; so a member that repeats, or one spelled with an escape, shows in their
    # number, and only bodies with another number than the usual are read again.
    escaped = b"\\" in body
    if escaped or body.count(b'"') != _quotation_marks(request):
        json.loads(body, object_pairs_hook=unique_members)
    # No string of JSON holds a control character but by an escape, or DEL.
    if escaped or not body.isascii() or b"\x7f" in body:
        _require_names(request)
    return request


def _require_names(request: Asking) -> None:
    user, encounter = request.user, request.encounter or ""
    if not (user.id.isprintable() and user.role.isprintable() and encounter.isprintable()):
        raise InvalidRequest("names of users, roles and encounters must be printable")
    if not (user.id.isascii() and user.role.isascii() and encounter.isascii()):
        for name in (user.id, user.role, encounter):
            if len(name.encode()) > MAX_NAME_BYTES:
                raise InvalidRequest(
                    "names of users, roles and encounters take at most 64 bytes in UTF-8"
                )


def _quotation_marks(request: Asking) -> int:
    purpose = 0 if request.purpose is msgspec.UNSET else 4
    encounter = request.encounter
    named = 0 if encounter is msgspec.UNSET else 2 if encounter is None else 4
    tokens = 2 if type(request) is Lookup else 2 * len(request.tokens)  # type: ignore[attr-defined]  # one of two
    return _USUAL_MARKS + purpose + named + tokens


def _rule_broken(message: str, subject: str) -> str:
    place = _INDEX.sub("[...]", message.rpartition(" - at ")[2])
    members = f"body must be an object of kid, {subject}, user and optionally purpose and encounter"
    return _RULES.get(place, members)


def unique_members(pairs: list[tuple[str, object]]) -> None:
    """An `object_pairs_hook` that raises InvalidRequest for a member that is given twice."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidRequest("members of an object must not repeat")


_FROM_URL_ALPHABET: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
# 43 characters carry 258 bits: the last two must be zero, or one token had four spellings.
_CANONICAL_LAST: Final = frozenset("AEIMQUYcgkosw048")
_TOKEN_SIZE: Final = 32


def parse_token(text: str) -> bytes:
    """Return the 32 bytes of a token, or raise InvalidRequest."""
    try:
        if text[-1] in _CANONICAL_LAST:
            spelled = text.encode("ascii").translate(_FROM_URL_ALPHABET)
            return a2b_base64(spelled + b"=", strict_mode=True)
    except (InvalidBase64, UnicodeEncodeError):
        pass
    raise InvalidRequest(_RULES["`$.token`"])


def parse_tokens(texts: Sequence[str]) -> list[bytes]:
    """As `parse_token`, of many at once, each of 43 characters.

    With an A behind it, six zero bits, a token is 33 bytes, the last of them zero if it is
    canonical.
    """
    try:
        spelled = "A".join((*texts, "")).encode("ascii").translate(_FROM_URL_ALPHABET)
        decoded = a2b_base64(spelled, strict_mode=True)
    except (InvalidBase64, UnicodeEncodeError):
        raise InvalidRequest(_RULES["`$.token`"]) from None
    step = _TOKEN_SIZE + 1
    if any(decoded[_TOKEN_SIZE::step]):
        raise InvalidRequest(_RULES["`$.token`"])
    return [decoded[at : at + _TOKEN_SIZE] for at in range(0, len(decoded), step)]


def make_authority(code: str, name: str, office_hours: str, out_of_hours: str) -> bytes:
    """The authority as an answer shows it."""
    return msgspec.json.encode(
        {"code": code, "name": name, "office_hours": office_hours, "out_of_hours": out_of_hours}
    )


def make_short_authority(code: str) -> bytes:
    """The authority as a batch's answers show it."""
    return msgspec.json.encode({"code": code})


_DAYS: Final = [
    b'"%b"' % date.fromordinal(FIRST_ORDINAL + day).isoformat().encode() for day in range(NO_DAY)
] + [b"null"]


def begin_record(category: bytes) -> bytes:
    """What stands before a record's days; `category` is JSON already."""
    return b'{"category":%b,"since":' % category


def end_record(authority: bytes) -> bytes:
    """What stands behind them; `authority` is JSON already."""
    return b',"authority":%b}' % authority


def word_record(begin: bytes, since: int, until: int, end: bytes) -> bytes:
    """One record; days are the index's."""
    return b"".join((begin, _DAYS[since], b',"until":', _DAYS[until], end))


def make_record(category: bytes, since: int, until: int, authority: bytes) -> bytes:
    """One record, of names that are JSON already."""
    return word_record(begin_record(category), since, until, end_record(authority))


# Drawn once: padding is no secret, it only must not compress, and a compressor sees one response.
_NOISE: Final = b64encode(os.urandom(384 * 1_024))
# What single answers take it from: it stays in the processor's caches.
_SINGLE_NOISE: Final = 64 * 1_024
_BEGIN: Final = (b'{"outcome":"no-record","records":[', b'{"outcome":"known","records":[')
_MORE: Final = (b'],"more":false,"padding":"', b'],"more":true,"padding":"')
_END: Final = b'"}'
_LARGEST_FRAME: Final = len(_BEGIN[0] + _MORE[0] + _END)

# What one record may take, so that the first always fits.
MAX_RECORD: Final = ANSWER_SIZE - _LARGEST_FRAME
MAX_BATCH_RECORD: Final = BATCH_ANSWER_SIZE - _LARGEST_FRAME


def make_answer(records: Sequence[bytes]) -> bytes:
    """The answer to one lookup: 2,048 bytes whatever was found."""
    begin, shown, more = _say(records, ANSWER_SIZE)
    room = ANSWER_SIZE - len(begin) - len(shown) - len(more) - len(_END)
    start = _random_place(ANSWER_SIZE, _SINGLE_NOISE)
    return b"".join((begin, shown, more, _NOISE[start : start + room], _END))


def make_batch_answer(answers: Sequence[Sequence[bytes]]) -> bytes:
    """The answers to a batch, 256 bytes each, in a JSON array without white space."""
    parts = [b"["]
    start = _random_place(len(answers) * BATCH_ANSWER_SIZE, len(_NOISE))
    for records in answers:
        begin, shown, more = _say(records, BATCH_ANSWER_SIZE)
        end = start + BATCH_ANSWER_SIZE
        padding = _NOISE[start + len(begin) + len(shown) + len(more) + len(_END) : end]
        parts += (begin, shown, more, padding, b'"},')
        start = end
    parts[-1] = b'"}]'
    return b"".join(parts)


def _say(records: Sequence[bytes], size: int) -> tuple[bytes, bytes, bytes]:
    """What an answer of this size says before its padding."""
    if len(records) > 1:
        fitting = _fitting(records, size - _LARGEST_FRAME)
        return _BEGIN[1], b",".join(fitting), _MORE[len(fitting) < len(records)]
    return _BEGIN[len(records)], b"".join(records), _MORE[0]


def _random_place(size: int, within: int) -> int:
    """Where to take noise: a running place would count this worker's lookups for its clients."""
    return int(random.random() * (within - size))  # noqa: S311  # no secret, see above


def _fitting(records: Sequence[bytes], room: int) -> Sequence[bytes]:
    """As many of the first records as are allowed and fit, with the commas between them.

    The first always fits.
    """
    for count, record in enumerate(records[:MAX_RECORDS]):
        room -= len(record) + (count > 0)
        if room < 0:
            return records[:count]
    return records[:MAX_RECORDS]
