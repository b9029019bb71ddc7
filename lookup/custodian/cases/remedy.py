"""Remedies: what a case makes of its records, when it is carried out and meanwhile.

    erase      nothing is left of a record
    unlink     it loses identifiers, of another child or of a number that is no more
    rectify    it says what is right
    restrict   it stays, and hospitals are told of it no more; nothing is ever carried out

Invariants:

* What is unlinked or corrected is destroyed as a whole record would be: the version that is left
  has another DEK, and the epoch changes. With it leaves whatever else about the record says the
  identifier: other cases, the family's statements, and what was parked.
* An identifier is not taken off a record whose payload or source reference says it: that has to be
  corrected first.
* Meanwhile hospitals hear what they will hear, or nothing of the record where officers restrict it.
* What a case has changed is detached from its feed: see detaching.py.
"""

from dataclasses import dataclass, replace
from typing import Final

import msgspec
from msgspec import UNSET

from crypto.aead import InvalidCiphertext
from crypto.record import Dek, seal_payload, unseal_payload
from keys.pages import BlobChange
from keys.vault import Vault
from lookup.cases.content import Content, Correction
from lookup.cases.standing import Remedy
from lookup.catalogue import Catalogue
from lookup.custodian.cases.saying import says
from lookup.custodian.records.draft import (
    Draft,
    InvalidRecord,
    RecordShape,
    encode_draft,
    parse_draft,
)
from lookup.custodian.records.record import Body, Kept, Record, draft_of, make_body
from lookup.custodian.store.pages import Store
from lookup.identifiers import Identifier

DETACHED: Final = 1  # a record's flag
_NO_PAYLOAD: Final = b"null"


@dataclass(frozen=True, slots=True)
class Remade:
    """A record before and after a case, and its content, unless that was lost before."""

    old: Record
    new: Record
    payload: bytes | None

    def blob(self, vault: Vault) -> BlobChange:
        """Return what takes the place of the old content."""
        old, new = self.old, self.new
        gone = ((old.id, old.version),)
        if self.payload is None:
            return BlobChange(delete=gone)
        sealed = seal_payload(Dek(new.body.dek), self.payload, vault.id, new.id, new.version)
        return BlobChange(((new.id, new.version, sealed),), gone)


def kept_links(body: Body, identifiers: frozenset[Identifier]) -> tuple[Kept, ...]:
    """Return the links that a record keeps when it loses these identifiers."""
    return tuple(
        each for each in body.links if Identifier(each.scheme, each.value) not in identifiers
    )


def lost_links(content: Content, body: Body) -> tuple[Kept, ...]:
    """Return the links whose answers a case withdraws or changes."""
    if content.terms.remedy is Remedy.UNLINK:
        kept = kept_links(body, content.unlinked)
        return tuple(each for each in body.links if each not in kept)
    return body.links


def withdrawn(content: Content, body: Body) -> list[bytes]:
    """Return the handles of the answers that a case withdraws.

    Whatever it asks for, those are among them that an update has taken off the record.
    """
    kept = {link.handle for link in body.links} - {
        link.handle for link in lost_links(content, body)
    }
    return [each for each in body.handles if each not in kept]


def answered(
    content: Content, record: Record, catalogue: Catalogue, *, hidden: bool
) -> Record | None:
    """Return what hospitals are told of a record while its case hides or changes it; None: nothing.

    `hidden`: because of a restriction, and not because it is being carried out.
    """
    match content.terms.remedy:
        case Remedy.UNLINK:
            links = kept_links(record.body, content.unlinked)
            return record._replace(body=msgspec.structs.replace(record.body, links=links))
        case Remedy.RECTIFY if not hidden:
            try:
                body, _ = _corrected(content, record, _NO_PAYLOAD, catalogue)
            except InvalidRecord:  # by the configuration of now; so it is not carried out, either
                return record
            return record._replace(body=body)
        case _:
            return None


def correct(draft: Draft, correction: Correction, catalogue: Catalogue) -> Draft:
    """Return a draft as it should be. Raises InvalidRecord where that breaks a rule of records.

    A record whose end is corrected is answered for as long as any record with that end. How long it
    is kept stays as it is, also where its class is none of those in force any more; and so does a
    content that is not corrected, also where none like it is taken any more.
    """
    encoded = encode_draft(replace(draft, retention=None, payload=_NO_PAYLOAD))
    shape = msgspec.json.decode(encoded, type=RecordShape)
    given = {
        name: value
        for name in correction.__struct_fields__
        if (value := getattr(correction, name)) is not UNSET
    }
    if "until" in given:
        given = {"answer_until": None} | given
    if "payload" in given:
        given["payload"] = msgspec.Raw(msgspec.json.encode(given["payload"], order="sorted"))
    counted = 1 if catalogue.replay_of(draft.authority).cursor else None
    shape = msgspec.structs.replace(shape, cursor=counted, **given)
    made = parse_draft(msgspec.json.encode(shape), catalogue)
    payload = made.payload if "payload" in given else draft.payload
    return replace(made, retention=draft.retention, payload=payload)


def remake(
    vault: Vault, store: Store, catalogue: Catalogue, content: Content, old: Record
) -> Remade:
    """Return what a case that is carried out makes of its record. Raises InvalidRecord."""
    payload = stored_payload(vault, store, old)
    body, corrected = _corrected(content, old, payload or _NO_PAYLOAD, catalogue)
    links = kept_links(body, content.unlinked)
    # What the record was called before may have said the identifier; it was given another name so
    # that this could be unlinked. A mark would tell whoever has the vault and tries them all.
    former = b"" if content.unlinked else body.former
    body = msgspec.structs.replace(
        body, dek=Dek.generate().expose(), links=links, former=former, lost=b""
    )
    new = Record(old.id, old.version + 1, old.flags | DETACHED, body)
    lost = payload is None and corrected == _NO_PAYLOAD
    return Remade(old, new, None if lost else corrected)


def can_be_remade(
    vault: Vault, store: Store, catalogue: Catalogue, content: Content, record: Record
) -> None:
    """Raise InvalidRecord unless a case that asks for it could be carried out on this record."""
    remedy = content.terms.remedy
    if remedy is Remedy.UNLINK:
        names = {Identifier(each.scheme, each.value) for each in record.body.links}
        if not content.unlinked <= names:
            raise InvalidRecord("unlink", "the record has no such identifier")
        if content.unlinked == names:
            raise InvalidRecord("unlink", "a record keeps an identifier: ask to erase it instead")
        if says(record.body.source_ref.encode(), content.unlinked):
            raise InvalidRecord(
                "unlink",
                "the record's source reference says the identifier: have its authority give it"
                " another first",
            )
        if says(stored_payload(vault, store, record) or b"", content.unlinked):
            raise InvalidRecord(
                "unlink", "the record's content says the identifier: have that corrected first"
            )
    elif remedy is Remedy.RECTIFY:
        remake(vault, store, catalogue, content, record)


def stored_payload(vault: Vault, store: Store, record: Record) -> bytes | None:
    """Return a record's content, or None where it was lost or damaged."""
    blob = store.blob(record.id, record.version)
    if blob is None:
        return None
    try:
        return unseal_payload(Dek(record.body.dek), blob, vault.id, record.id, record.version)
    except InvalidCiphertext:
        return None


def _corrected(
    content: Content, record: Record, payload: bytes, catalogue: Catalogue
) -> tuple[Body, bytes]:
    """Return a record's body and content as they should be, with the links that it has."""
    body = record.body
    if not isinstance(content.correction, Correction):
        return body, payload
    draft = correct(draft_of(body, payload), content.correction, catalogue)
    made = make_body(draft, Dek(body.dek), body.links, body.former)
    if content.correction.payload is UNSET:  # its fingerprint may be of a content that was lost
        made = msgspec.structs.replace(made, fingerprint=body.fingerprint)
    return made, draft.payload
