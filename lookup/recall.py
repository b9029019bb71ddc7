"""Recalls in bytes: what a client reads and says of answers that were withdrawn (UK GDPR Art 19).

    GET  /v1/recalls
                  200 {"recalls": [{"recall", "requests": [uuid…]}…], "more"}
    POST /v1/recalls/acknowledge   {"recalls": ["<32 hex>"…]}
                  200 {"acknowledged": ["<32 hex>"…]}, those that were sent, in their order

Invariants:

* At most 100 recalls, and no more than have 1,000 requests together, so that whoever answers is not
  kept from lookups; `more` says that there are others, which follow when these are acknowledged.
* An unknown member, a repeated one, an id in another spelling than the canonical one or twice is
  refused; the message names the rule and repeats nothing of the input.

Pure. The requests are the X-Request-IDs that a client once sent, in the canonical form of RFC 9562.
"""

import json
from collections.abc import Collection, Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec

from lookup.errors import InvalidRequest
from lookup.handoff import MOST_ACKNOWLEDGED, Recall, fit_recalls
from lookup.wire import unique_members

MAX_LISTED: Final = 100
MAX_LISTED_REQUESTS: Final = 1_000
# Where either bound is reached there is room left for white space, of which nobody sends much.
MAX_LIST_BODY: Final = 64 * 1_024
MAX_ACKNOWLEDGE_BODY: Final = 4 * 1_024

_RULE: Final = (
    f"body must be an object of recalls, 1 to {MOST_ACKNOWLEDGED} distinct ids of 32 lower-case"
    " hexadecimal digits"
)


class _Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    recalls: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]],
        msgspec.Meta(min_length=1, max_length=MOST_ACKNOWLEDGED),
    ]


_ACKNOWLEDGEMENT: Final = msgspec.json.Decoder(_Acknowledgement)


def parse_acknowledgement(body: bytes) -> list[bytes]:
    """Return the ids of the recalls, or raise InvalidRequest naming the rule that is broken."""
    try:
        ids = _ACKNOWLEDGEMENT.decode(body).recalls
    except msgspec.ValidationError:
        raise InvalidRequest(_RULE) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest("body must be JSON in UTF-8") from None
    json.loads(body, object_pairs_hook=unique_members)
    if len(set(ids)) != len(ids):
        raise InvalidRequest(_RULE)
    return [bytes.fromhex(each) for each in ids]


def make_list(recalls: Collection[Recall]) -> bytes:
    """What a client is told of all its recalls."""
    listed = fit_recalls(recalls, MAX_LISTED, MAX_LISTED_REQUESTS)
    told = [
        {"recall": each.id.hex(), "requests": [UUID(bytes=request) for request in each.requests]}
        for each in listed
    ]
    return msgspec.json.encode({"recalls": told, "more": len(listed) < len(recalls)})


def make_acknowledged(ids: Sequence[bytes]) -> bytes:
    """What a client is told when its acknowledgement is durable."""
    return msgspec.json.encode({"acknowledged": [each.hex() for each in ids]})
