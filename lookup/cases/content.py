"""What a case says: which records, on which ground, by what evidence.

    content = JSON with sorted members: authority, evidence, ground, note, others, received,
              records, restrict

Invariants:

* There is one text for a content: signers sign its bytes, and two readers never read two things.
* All records are of one authority, each named with the version that the requester saw.
* `others` are the records that name the same child and are not in the case: whoever approves it has
  seen that they exist.
* An error names the rule and no value: evidence and note are about people.

Content is sealed under the case's own key, and leaves with it. Pure.
"""

import re
from datetime import date
from typing import Annotated, Any, Final

import msgspec

from lookup.cases.grounds import Ground
from lookup.cases.standing import Terms

MAX_RECORDS: Final = 64  # their commitments fit into one entry of the map
MAX_OTHERS: Final = 1_000
MAX_NOTE: Final = 4_000
MAX_CONTENT: Final = 1 << 18
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# A `$` alone would let a line end pass, and one record be named in two ways.
HexId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", max_length=32)]


class InvalidContent(ValueError):
    """This is no content of a case; the message names the rule."""


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """A record of a case, as its requester saw it."""

    record_id: HexId
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**32)]


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a case says. `received` is the day of the request; `restrict` asks for a restriction."""

    authority: Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{1,16}\\Z")]
    records: Annotated[list[Named], msgspec.Meta(min_length=1, max_length=MAX_RECORDS)]
    others: Annotated[list[HexId], msgspec.Meta(max_length=MAX_OTHERS)] = []
    ground: str
    received: str
    restrict: bool = False
    evidence: dict[str, Any] | None = None
    note: Annotated[str, msgspec.Meta(max_length=MAX_NOTE)] = ""

    def __repr__(self) -> str:
        return "<Content>"

    @property
    def terms(self) -> Terms:
        """What its life depends on."""
        return Terms(self.ground, self.authority, self.restrict)

    @property
    def record_ids(self) -> tuple[bytes, ...]:
        """The records to be destroyed."""
        return tuple(bytes.fromhex(named.record_id) for named in self.records)

    @property
    def received_on(self) -> date:
        """The day from which the law counts."""
        return date.fromisoformat(self.received)

    def encode(self) -> bytes:
        """Return the bytes that are signed and sealed."""
        return msgspec.json.encode(self, order="sorted")


_decode = msgspec.json.Decoder(Content).decode


def parse_content(raw: bytes) -> Content:
    """Return the content that these bytes are. Raises InvalidContent."""
    if len(raw) > MAX_CONTENT:
        raise InvalidContent(f"a case's content has at most {MAX_CONTENT} bytes")
    try:
        content = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        known = ", ".join(Content.__struct_fields__)
        raise InvalidContent(f"not the content of a case; its members are {known}") from None
    if content.encode() != raw:
        raise InvalidContent(
            "the content is not written in its one form: members sorted, no blanks"
        )
    if content.ground not in list(Ground):
        raise InvalidContent(f"the ground is one of {', '.join(Ground)}")
    if not _is_day(content.received):
        raise InvalidContent("received is a day, YYYY-MM-DD")
    if not all(line.isprintable() for line in content.note.split("\n")):
        raise InvalidContent("the note holds what cannot be printed")
    ids = [named.record_id for named in content.records]
    for listed in (ids, content.others):
        if sorted(set(listed)) != listed:
            raise InvalidContent("records and others are sorted, each named once")
    if set(ids) & set(content.others):
        raise InvalidContent("a record of the case is not among the others")
    return content


def _is_day(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and date.fromisoformat(text).year >= 2000
    except ValueError:
        return False
