"""Records with marks: texts that occur nowhere else, so that a thief who sees one has won."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from secrets import token_bytes
from typing import NamedTuple

from crypto.aead import Sealed
from crypto.record import Dek, seal_payload
from keys.entry import Batch, EntryId, Kind, Put, Remove
from keys.page import VaultId
from keys.pages import BlobChange
from lookup.custodian.records.record import Body, Kept, Record
from lookup.demo.recover import Loot
from lookup.index.layout import HANDLE_SIZE


class Living(NamedTuple):
    """A record that the vault keeps, or is being asked to keep, and its blob."""

    record: Record
    payload: bytes
    blob: tuple[EntryId, int, Sealed]

    def secrets(self) -> set[bytes]:
        """Return every byte string by which it could be recognised."""
        body = self.record.body
        texts = (body.source_ref, body.category, *(link.value for link in body.links))
        handles = (link.handle for link in body.links)
        return {body.dek, body.fingerprint, self.payload, *handles, *(t.encode() for t in texts)}


Model = dict[EntryId, Living]


def model_of(records: Iterable[Living]) -> Model:
    return {living.record.id: living for living in records}


def secrets_of(model: Model) -> set[bytes]:
    return set().union(*(living.secrets() for living in model.values()))


def records_of(model: Model) -> dict[EntryId, Record]:
    return {name: living.record for name, living in model.items()}


def adding(*records: Living) -> tuple[Batch, BlobChange]:
    """Return what adds these records."""
    batch = tuple(Put(living.record.entry()) for living in records)
    return batch, BlobChange(put=tuple(living.blob for living in records))


def shredding(*records: Living) -> tuple[Batch, BlobChange]:
    """Return what shreds these records."""
    batch = tuple(Remove(Kind.RECORD, living.record.id) for living in records)
    return batch, BlobChange(delete=tuple(living.blob[:2] for living in records))


def correcting(old: Living, new: Living) -> tuple[Batch, BlobChange]:
    """Return what puts a new version in the place of an old one."""
    blobs = BlobChange(put=(new.blob,), delete=(old.blob[:2],))
    return (Put(new.record.entry()),), blobs


def missing(loot: Loot, secrets: set[bytes]) -> list[bytes]:
    """Return what the thief did not find."""
    return [secret for secret in secrets if not loot.holds(secret)]


def found(loot: Loot, secrets: set[bytes]) -> list[bytes]:
    """Return what the thief found."""
    return [secret for secret in secrets if loot.holds(secret)]


@dataclass
class Maker:
    """Makes records of one vault, each with marks of its own."""

    vault: VaultId
    number: int = 0

    def mark(self) -> bytes:
        """Return a text that occurs nowhere else."""
        self.number += 1
        return b"mark-%06d" % self.number

    def link(self, value: str | None = None) -> Kept:
        return Kept("nhs", value or self.mark().decode(), token_bytes(HANDLE_SIZE))

    def make(self, value: str | None = None, payload: bytes | None = None) -> Living:
        """Return a new record. Few leaves: records share them, with each other and with slots."""
        name = EntryId(bytes((self.number % 3,)) + token_bytes(15))
        return self._seal(name, 1, payload or self.mark(), self.mark(), (self.link(value),))

    def make_many(self, count: int) -> list[Living]:
        return [self.make() for _ in range(count)]

    def correct(self, old: Living, part: str) -> Living:
        """Return the next version of a record, with another payload, alias or category."""
        body = old.record.body
        return self._seal(
            old.record.id,
            old.record.version + 1,
            self.mark() if part == "payload" else old.payload,
            self.mark() if part == "category" else body.category.encode(),
            (self.link(),) if part == "alias" else body.links,
        )

    def _seal(
        self, name: EntryId, version: int, payload: bytes, category: bytes, links: tuple[Kept, ...]
    ) -> Living:
        dek = Dek.generate()
        body = Body(
            dek=dek.expose(),
            authority="A",
            source_ref=self.mark().decode(),
            category=category.decode(),
            since=1,
            until=None,
            answer_until=None,
            links=links,
            fingerprint=blake2b(payload, digest_size=16).digest(),
        )
        sealed = seal_payload(dek, payload, self.vault, name, version)
        return Living(Record(name, version, 0, body), payload, (name, version, sealed))
