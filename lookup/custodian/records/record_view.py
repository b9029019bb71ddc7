"""What readers are shown of a record: what it says, and what stands beside it.

Invariants:

* A record is read whole, under its officer's name: the audit entry is durable before this is shown.
* Statements are shown wherever the payload is.
"""

from datetime import date
from typing import Any

import msgspec

from crypto.aead import InvalidCiphertext
from crypto.record import Dek, unseal_payload
from keys.entry import EntryId
from lookup.custodian.audit.accesses import latest
from lookup.custodian.custody import Custody
from lookup.custodian.records.draft import describe_retention
from lookup.custodian.records.record import Record
from lookup.custodian.records.supplements import Supplement
from lookup.errors import RecordNotFound
from lookup.officers.roles import Act, Officer

Json = dict[str, Any]


def open_record(custody: Custody, officer: Officer, act: Act, record_id: EntryId) -> Record:
    """Return a record of which an officer may do this; that it was read is durable by then.

    Raises RecordNotFound, also for a record of another authority.
    """
    record = custody.record(record_id)
    if record is None or not officer.may(act, record.body.authority):
        raise RecordNotFound("there is no such record")
    custody.audit.note_read(officer, record)
    return record


def whole(custody: Custody, record: Record) -> Json:
    """Return all that readers are shown of a record, its last accesses too."""
    return {
        **members(record),
        "retention": describe_retention(record.body.retention),
        "payload": payload(custody, record),
        "statements": [
            statement(custody, each) | {"officer": officer_name(custody, each)}
            for each in custody.supplements.of(record.id)
        ],
        "accesses": latest(custody, record),
    }


def members(record: Record) -> Json:
    """Return what a record says, but for its payload."""
    body = record.body
    return {
        "record_id": record.id.hex(),
        "version": record.version,
        "authority": body.authority,
        "source_ref": body.source_ref,
        "identifiers": [f"{link.scheme}:{link.value}" for link in body.links],
        "category": body.category,
        "since": _day(body.since),
        "until": _day(body.until),
        "answer_until": _day(body.answer_until),
    }


def payload(custody: Custody, record: Record) -> msgspec.Raw:
    """Return a record's payload, byte for byte. Raises RecordNotFound where that was lost."""
    blob = custody.store.blob(record.id, record.version)
    if blob is None:
        raise RecordNotFound("the record is known, its content was lost with a store")
    try:
        dek = Dek(record.body.dek)
        opened = unseal_payload(dek, blob, custody.vault.id, record.id, record.version)
    except InvalidCiphertext:
        raise RecordNotFound("the record is known, its content is damaged") from None
    return msgspec.Raw(opened)


def statement(custody: Custody, supplement: Supplement) -> Json:
    """Return a supplementary statement; its text is None where that was lost."""
    return {
        "statement": supplement.id.hex(),
        "day": supplement.day,
        "text": supplement.text(custody.vault, custody.store),
    }


def officer_name(custody: Custody, supplement: Supplement) -> str:
    """Return who added a statement: a name, or the id of one who has gone."""
    officer = custody.office.officers.get(supplement.officer)
    return supplement.officer.hex() if officer is None else officer.name


def _day(ordinal: int | None) -> date | None:
    return None if ordinal is None else date.fromordinal(ordinal)
