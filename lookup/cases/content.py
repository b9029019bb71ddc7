"""What a case says: which records, on which ground, by what evidence.

    content = JSON with sorted members: authority, evidence, ground, note, others, received,
              records, restrict; and, where it does not ask to erase, remedy: unlink, and the
              identifiers of its one record under unlink; rectify, and what is to be said of its
              one record under correction; or restrict

Invariants:

* There is one text for a content: signers sign its bytes, and two readers never read two things.
* What a case asks for beside erasure concerns one record, and says exactly what of it.
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
from msgspec import UNSET, UnsetType

from lookup.cases.grounds import Ground
from lookup.cases.standing import Remedy, Terms
from lookup.identifiers import Identifier, InvalidIdentifier, parse_identifier

MAX_RECORDS: Final = 64  # their commitments fit into one entry of the map
MAX_OTHERS: Final = 1_000
MAX_UNLINKED: Final = 7  # of eight identifiers at most: a record keeps one
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


class Correction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of a record is wrong, as it should be. What is left out stays as it is."""

    category: str | UnsetType = UNSET
    since: str | UnsetType = UNSET
    until: str | UnsetType | None = UNSET
    answer_until: str | UnsetType | None = UNSET
    payload: Any = UNSET

    def __repr__(self) -> str:
        return "<Correction>"

    @property
    def is_empty(self) -> bool:
        """Say whether nothing would change."""
        return all(getattr(self, name) is UNSET for name in self.__struct_fields__)


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
    remedy: Remedy | UnsetType = UNSET
    unlink: (
        Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_UNLINKED)] | UnsetType
    ) = UNSET
    correction: Correction | UnsetType = UNSET

    def __repr__(self) -> str:
        return "<Content>"

    @property
    def terms(self) -> Terms:
        """What its life depends on."""
        remedy = Remedy.ERASE if self.remedy is UNSET else self.remedy
        return Terms(self.ground, self.authority, self.restrict, remedy)

    @property
    def unlinked(self) -> frozenset[Identifier]:
        """The identifiers that its record is to lose."""
        given = () if self.unlink is UNSET else self.unlink
        return frozenset(parse_identifier(each) for each in given)

    @property
    def record_ids(self) -> tuple[bytes, ...]:
        """The records that it is about."""
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
    _require_remedy(content)
    return content


def _require_remedy(content: Content) -> None:
    remedy = content.terms.remedy
    if content.remedy is Remedy.ERASE:
        raise InvalidContent("remedy is left out where a case asks to erase")
    for name, of in (("unlink", Remedy.UNLINK), ("correction", Remedy.RECTIFY)):
        if (getattr(content, name) is not UNSET) != (remedy is of):
            raise InvalidContent(f"{name} comes with the remedy {of}, and with no other")
    if remedy in {Remedy.UNLINK, Remedy.RECTIFY} and len(content.records) != 1:
        raise InvalidContent(f"a case that asks to {remedy} names one record")
    if remedy is Remedy.RESTRICT and not content.restrict:
        raise InvalidContent("a case that asks to restrict says restrict: true")
    if isinstance(content.correction, Correction) and content.correction.is_empty:
        raise InvalidContent("the correction corrects nothing")
    if content.unlink is not UNSET:
        _require_identifiers(content.unlink)


def _require_identifiers(texts: list[str]) -> None:
    try:
        canonical = [f"{scheme}:{value}" for scheme, value in map(parse_identifier, texts)]
    except InvalidIdentifier as error:
        raise InvalidContent(f"unlink: {error.message}") from None
    if canonical != texts or sorted(set(texts)) != texts:
        raise InvalidContent("unlink is sorted, each identifier once, in its canonical form")


def _is_day(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and date.fromisoformat(text).year >= 2000
    except ValueError:
        return False
