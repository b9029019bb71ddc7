"""Records: what the map keeps of one.

    entry = Kind.RECORD || record_id || version || flags || body
    body  = MessagePack of Body: DEK, source, category, days, links, fingerprint, retention, former,
            lost
    blob  = the payload, sealed under the DEK (crypto/record.py), named by record_id and version

Invariants:

* Whatever identifies a child is in body and blob, nothing in id, version or flags.
* Each version has its own DEK. A link keeps its handle while its identifier stays.
* `lost` are the handles of links that an update took off the record: by them whoever was answered
  with one is found. A handle names nobody. No more than the last 64 are kept.
* `former` is what the record was called before, as marks that fences are made of (fencing.py).
* `fingerprint` tells whether a payload is the same without opening the blob; it is forgotten with
  the body.
"""

import secrets
from datetime import date
from hashlib import blake2b
from typing import Final, NamedTuple, Self

import msgspec

from crypto.record import Dek
from keys.entry import Entry, EntryId, Kind
from lookup.custodian.records.draft import Draft, source_key
from lookup.identifiers import Identifier
from lookup.index.layout import HANDLE_SIZE
from lookup.retention.expiry import Retention

MOST_LOST: Final = 64


class Kept(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A link as the map keeps it: an identifier and its handle."""

    scheme: str
    value: str
    handle: bytes

    def __repr__(self) -> str:
        return f"<Kept {self.scheme}>"


class Body(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The body of a record's entry. Days are ordinals of the Gregorian calendar."""

    dek: bytes
    authority: str
    source_ref: str
    category: str
    since: int
    until: int | None
    answer_until: int | None
    links: tuple[Kept, ...]
    fingerprint: bytes
    retention: Retention | None = None  # missing in records of the first versions, as what follows
    former: bytes = b""
    lost: bytes = b""

    def __repr__(self) -> str:
        return "<Body>"

    @property
    def source(self) -> bytes:
        """What makes a record the same record to its authority."""
        return source_key(self.authority, self.source_ref)

    def says(self, draft: Draft) -> bool:
        """Say whether the draft would change nothing."""
        said = make_body(draft, Dek(self.dek), self.links, self.former)
        return self == msgspec.structs.replace(said, lost=self.lost)

    @property
    def handles(self) -> list[bytes]:
        """The handles of all links that the record has, and has had lately."""
        starts = range(0, len(self.lost), HANDLE_SIZE)
        return [
            *(link.handle for link in self.links),
            *(self.lost[at : at + HANDLE_SIZE] for at in starts),
        ]


decode_body: Final = msgspec.msgpack.Decoder(Body).decode
_encode = msgspec.msgpack.Encoder().encode


class Record(NamedTuple):
    """A stored record: its entry, opened."""

    id: EntryId
    version: int
    flags: int
    body: Body

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Open a record's entry."""
        return cls(entry.id, entry.version, entry.flags, decode_body(entry.body))

    def entry(self) -> Entry:
        """Return the record's entry."""
        return Entry(Kind.RECORD, self.id, _encode(self.body), self.version, self.flags)


def names_of(record: Record) -> list[tuple[str, str]]:
    """Return the identifiers of a record, as scheme and value."""
    return [(link.scheme, link.value) for link in record.body.links]


def with_lost(body: Body, old: Body) -> Body:
    """Return the body of a record's next version, which remembers what links the old one had."""
    kept = {link.handle for link in body.links}
    gone = b"".join(link.handle for link in old.links if link.handle not in kept)
    return msgspec.structs.replace(body, lost=(old.lost + gone)[-MOST_LOST * HANDLE_SIZE :])


def make_body(draft: Draft, dek: Dek, links: tuple[Kept, ...] = (), former: bytes = b"") -> Body:
    """Return a draft's body; identifiers that `links` has keep their handles."""
    handles = {(link.scheme, link.value): link.handle for link in links}
    return Body(
        dek=dek.expose(),
        authority=draft.authority,
        source_ref=draft.source_ref,
        category=draft.category,
        since=draft.since.toordinal(),
        until=_ordinal(draft.until),
        answer_until=_ordinal(draft.answer_until),
        links=tuple(
            Kept(*identifier, handles.get(identifier) or secrets.token_bytes(HANDLE_SIZE))
            for identifier in draft.identifiers
        ),
        fingerprint=blake2b(draft.payload, digest_size=16).digest(),
        retention=draft.retention,
        former=former,
    )


def _ordinal(day: date | None) -> int | None:
    return None if day is None else day.toordinal()


def draft_of(body: Body, payload: bytes) -> Draft:
    """Return the draft that a record with this content would be made of."""
    return Draft(
        authority=body.authority,
        source_ref=body.source_ref,
        identifiers=tuple(Identifier(each.scheme, each.value) for each in body.links),
        category=body.category,
        since=date.fromordinal(body.since),
        until=_day(body.until),
        answer_until=_day(body.answer_until),
        payload=payload,
        retention=body.retention,
    )


def _day(ordinal: int | None) -> date | None:
    return None if ordinal is None else date.fromordinal(ordinal)
