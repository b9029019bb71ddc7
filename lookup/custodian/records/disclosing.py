"""Disclosing: all that a site holds about a record, for whom it is about (UK GDPR Art 15).

    {"record": {...}}       what it says, with its payload; the site, the authority, the time
    {"statement": {...}}    each supplementary statement
    {"case": {...}}         each case that names it: where it stands, and its steps
    {"waiting": 1}          how many updates are parked for it
    {"access": {...}}       everybody who was answered with it, by a walk along the whole audit
    {"complete": true, "missing": 0}    the last line; how many rows of the audit cannot be read

Invariants:

* That an officer has exported the record is audited before its first line leaves, as a reading is;
  so the export is one of its own accesses. The site keeps nothing else of it.
* Officers are told of by their roles; their names stand in `user` alone, as hospitals' staff do.
* It is of one version: where the record changes meanwhile it ends, and is not complete.
* Of what is parked it says that something waits, not what: nobody has decided on it yet.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from keys.entry import EntryId
from lookup.custodian.audit.accesses import Search, instant
from lookup.custodian.audit.own_segment import is_own
from lookup.custodian.cases.case import Case, LostCase, Signed
from lookup.custodian.clients import entry_id_of
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Record
from lookup.custodian.records.record_view import members, open_record, payload, statement
from lookup.custodian.store.chain import Row
from lookup.errors import Conflict
from lookup.officers.roles import Act, Officer, OfficerId
from lookup.retention.expiry import Retention, expiry

Json = dict[str, Any]

SITE = "site"


class Disclosure(Search):
    """One export. Raises RecordNotFound, and Conflict where the record changes meanwhile."""

    def __init__(self, record_id: EntryId, officer: Officer) -> None:
        super().__init__(record_id)
        self._officer = officer
        self._version = 0
        self._own: dict[bytes, bool] = {}

    def begin(self, custody: Custody) -> list[Json]:
        """Return what is held but for the accesses."""
        record = open_record(custody, self._officer, Act.EXPORT_RECORD, self.record_id)
        self._version = record.version
        return [
            {"record": _record(custody, record)},
            *({"statement": statement(custody, s)} for s in custody.supplements.of(record.id)),
            *({"case": each} for each in _cases(custody, record)),
            {"waiting": len(custody.lot.about([record.id]))},
        ]

    def record(self, custody: Custody) -> Record:
        """Return the record, as it was when the export began."""
        record = super().record(custody)
        if record.version != self._version:
            raise Conflict("the record has changed while it was exported: export it again")
        return record

    def read(self, custody: Custody, row: Row) -> list[Json]:
        """Return the row's accesses of the record; officers' without what names them for good."""
        found = super().read(custody, row)
        if not found:
            return []
        officer, office = self._is_own(custody, row.segment), custody.office.officers
        told = []
        for access in (each["access"] for each in found):
            # A worker that writes an officer's id for a client's names no officer by it.
            client = OfficerId(entry_id_of(bytes.fromhex(access["client"])))
            nameless = {"client": None, "client_name": None} if officer or client in office else {}
            told.append({"access": access | nameless | {"officer": officer}})
        return told

    def _is_own(self, custody: Custody, segment: bytes) -> bool:
        """Say whether a segment is a custodian's own: in those are officers, also such as left."""
        if segment not in self._own:
            self._own[segment] = is_own(custody.store.audit.header(segment))
        return self._own[segment]


def _record(custody: Custody, record: Record) -> Json:
    return members(record) | {
        "kept": _kept(custody, record.body.retention),
        # As text: a number or a member that is given twice stays as it came.
        "payload": bytes(payload(custody, record)).decode(),
        "site": custody.vault.id.hex(),
        "time": instant(custody.clock()),
        "authority": _authority(custody, record.body.authority),
    }


def _kept(custody: Custody, retention: Retention | None) -> Json | None:
    """Return by which class a record is kept and its last day, if that can be said."""
    if retention is None:
        return None
    day = expiry(retention, custody.classes).day
    until = None if day is None else (day - timedelta(days=1)).isoformat()
    return {"schedule": retention.code, "until": until}


def _authority(custody: Custody, code: str) -> Json:
    """Return an authority with its telephone numbers; empty where the site has it no more."""
    catalogue = custody.catalogue
    number = catalogue.authority_numbers.get(code)
    found = None if number is None else catalogue.authorities[number]
    return {
        "code": code,
        "name": found.name if found else "",
        "office_hours": found.office_hours if found else "",
        "out_of_hours": found.out_of_hours if found else "",
    }


def _cases(custody: Custody, record: Record) -> list[Json]:
    """Return the cases that name a record, also those whose content was lost."""
    known = [
        _case(custody, case.signed) | _about(custody, case)
        for case in custody.docket.naming([record.id])
    ]
    lost: list[LostCase] = [c for c in custody.docket.lost if record.id in c.record_ids]
    nothing = {"state": None, "remedy": None, "ground": None, "received": None}
    return known + [_case(custody, case.signed) | nothing for case in lost]


def _about(custody: Custody, case: Case) -> Json:
    return {
        "state": custody.docket.standing(case).state,
        "remedy": case.content.terms.remedy,
        "ground": case.content.ground,
        "received": case.content.received,
    }


def _case(custody: Custody, signed: Sequence[Signed]) -> Json:
    return {
        "steps": [
            {
                "act": each.step.act,
                "time": instant(each.taken.at.time),
                "by": _roles(custody, each.step.officer),
                # What a refusal says in words is said to the family; codes are officers' own.
                "words": each.step.details.get("words"),
            }
            for each in signed
        ]
    }


def _roles(custody: Custody, officer_id: OfficerId | None) -> str | None:
    """Return the roles of who took a step; None for an officer who has gone."""
    if officer_id is None:
        return SITE
    officer = custody.office.officers.get(officer_id)
    return None if officer is None else ", ".join(sorted(officer.roles))
