"""Supplementing: a statement is put beside a record, for the family, by an officer.

Invariants:

* A statement changes nothing but what readers of its record are shown: no version, no answer, no
  case, no epoch. So one may be added to a record under a case, too.
* The same words again change nothing: who is not sure that they arrived may send them again.
* A record of another authority is not there.
"""

from dataclasses import dataclass

from keys.entry import EntryId
from keys.vault import Receipt
from lookup.custodian.custody import Custody
from lookup.custodian.records.adding import ADDED, UNCHANGED
from lookup.custodian.records.supplements import (
    MOST_STATEMENTS,
    InvalidStatementText,
    make_supplement,
    require_statement,
)
from lookup.custodian.writer import Prepare, Prepared
from lookup.errors import Conflict, InvalidRequest, RecordNotFound, Unavailable
from lookup.officers.roles import Act, Officer


@dataclass(frozen=True, slots=True)
class Supplemented:
    """What became of a statement; `number` is how many its record has now."""

    result: str
    statement: EntryId
    number: int


def add_statement(record_id: EntryId, text: str, officer: Officer) -> Prepare[Supplemented]:
    """Put a statement beside a record.

    Raises InvalidRequest for what is no text of one, RecordNotFound, Conflict where a record has as
    many as there may be, and Unavailable while pages with statements are damaged.
    """
    try:
        require_statement(text)
    except InvalidStatementText as error:
        raise InvalidRequest(str(error)) from None

    def prepare(custody: Custody) -> Prepared[Supplemented]:
        record = custody.record(record_id)
        if record is None or not officer.may(Act.ADD_STATEMENT, record.body.authority):
            raise RecordNotFound("there is no such record")
        if custody.docket.damaged:
            raise Unavailable("pages are damaged: restore them, then add the statement")
        there = custody.supplements.of(record_id)
        same = (each for each in there if each.text(custody.vault, custody.store) == text)
        if (found := next(same, None)) is not None:
            unchanged = Supplemented(UNCHANGED, found.id, len(there))
            return Prepared(lambda _: unchanged, touches=frozenset({record_id}))
        if len(there) >= MOST_STATEMENTS:
            raise Conflict(f"a record has at most {MOST_STATEMENTS} statements")
        made, batch, blobs = make_supplement(
            custody.vault, record_id, text, custody.today(), officer.id
        )

        def added(_: Receipt | None) -> Supplemented:
            custody.supplements.put(made)
            return Supplemented(ADDED, made.id, len(custody.supplements.of(record_id)))

        return Prepared(added, batch, blobs, touches=frozenset({record_id}))

    return prepare
