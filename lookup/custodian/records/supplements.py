"""Supplementary statements: what a family wants beside its record (UK GDPR Art 16).

    Kind.SUPPLEMENT    record id, DEK, name of the text, day, officer who added it
    blob               the text, sealed under that DEK, named by an id that this site has drawn

Invariants:

* A statement is added and never changed, and is no part of what its record says: nobody is answered
  with it, no case rests on it. To add one is no epoch change.
* It has a key of its own and leaves with its record (removing.py), also where its text was lost.
* The name of its text is as random as a record's: among blobs nobody can tell one.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Self

import msgspec

from crypto.aead import InvalidCiphertext
from crypto.record import Dek, seal_payload, unseal_payload
from keys.entry import ID_SIZE, Batch, Entry, EntryId, Kind, Put, Remove, new_entry_id
from keys.pages import BlobChange
from keys.vault import Vault
from lookup.custodian.store.pages import Store
from lookup.officers.roles import OfficerId

MOST_STATEMENTS: Final = 8  # of one record
MAX_STATEMENT: Final = 4_000  # characters
_VERSION: Final = 1


class InvalidStatementText(ValueError):
    """This is no text of a supplementary statement; the message names the rule."""


class _Body(msgspec.Struct, array_like=True):
    record: bytes
    key: bytes
    blob: bytes
    day: int
    officer: bytes


@dataclass(frozen=True, slots=True)
class Supplement:
    """A supplementary statement, but for its text."""

    id: EntryId
    record: EntryId
    key: Dek
    blob: EntryId
    day: date
    officer: OfficerId

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Open a statement's entry."""
        body = msgspec.msgpack.decode(entry.body, type=_Body)
        return cls(
            entry.id,
            EntryId(body.record),
            Dek(body.key),
            EntryId(body.blob),
            date.fromordinal(body.day),
            OfficerId(body.officer),
        )

    def entry(self) -> Entry:
        """Return the statement as the map keeps it."""
        body = _Body(self.record, self.key.expose(), self.blob, self.day.toordinal(), self.officer)
        return Entry(Kind.SUPPLEMENT, self.id, msgspec.msgpack.encode(body))

    @property
    def text_name(self) -> tuple[EntryId, int]:
        """The id and version of the blob that its text is."""
        return self.blob, _VERSION

    def removal(self) -> tuple[Batch, BlobChange]:
        """Return what takes it out of map and store."""
        return (Remove(Kind.SUPPLEMENT, self.id),), BlobChange(delete=(self.text_name,))

    def text(self, vault: Vault, store: Store) -> str | None:
        """Return what it says, or None where that was lost with a store, or is damaged."""
        try:
            blob = store.blob(*self.text_name) or b""  # no better than what was damaged
            return unseal_payload(self.key, blob, vault.id, *self.text_name).decode()
        except InvalidCiphertext:
            return None


@dataclass(slots=True)
class Supplements:
    """All supplementary statements of a site, by record, in the order of their days."""

    by_record: dict[EntryId, list[Supplement]] = field(default_factory=dict)

    def of(self, record_id: EntryId) -> Sequence[Supplement]:
        """Return those of a record."""
        return self.by_record.get(record_id, ())

    def about(self, record_ids: Iterable[EntryId]) -> list[Supplement]:
        """Return those of several records."""
        return [each for record_id in record_ids for each in self.of(record_id)]

    def put(self, supplement: Supplement) -> None:
        """Hear of one that is durable."""
        self.by_record.setdefault(supplement.record, []).append(supplement)

    def drop(self, supplements: Iterable[Supplement]) -> None:
        """Forget what has left the map."""
        for each in supplements:
            kept = [other for other in self.of(each.record) if other.id != each.id]
            if kept:
                self.by_record[each.record] = kept
            else:
                self.by_record.pop(each.record, None)


def make_supplement(
    vault: Vault, record_id: EntryId, text: str, day: date, officer: OfficerId
) -> tuple[Supplement, Batch, BlobChange]:
    """Return a statement, and what stores it."""
    made = Supplement(
        new_entry_id(Kind.SUPPLEMENT),
        record_id,
        Dek.generate(),
        EntryId(secrets.token_bytes(ID_SIZE)),
        day,
        officer,
    )
    sealed = seal_payload(made.key, text.encode(), vault.id, *made.text_name)
    return made, (Put(made.entry()),), BlobChange(put=((*made.text_name, sealed),))


def load_supplements(vault: Vault) -> Supplements:
    """Read a vault's statements."""
    found = map(Supplement.of, vault.scan(Kind.SUPPLEMENT))
    supplements = Supplements()
    for supplement in sorted(found, key=lambda each: (each.day, each.id)):
        supplements.put(supplement)
    return supplements


def require_statement(text: str) -> None:
    """Raise InvalidStatementText for what is not 1 to 4,000 characters that can be printed."""
    if not 1 <= len(text) <= MAX_STATEMENT:
        raise InvalidStatementText(f"a statement has 1 to {MAX_STATEMENT} characters")
    if not text.strip():
        raise InvalidStatementText("a statement is not blank")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.isprintable():
            raise InvalidStatementText(f"line {number} of the statement holds what is not printed")
