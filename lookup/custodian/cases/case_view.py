"""What officers read of a case: where it stands, what is wanting, and what to sign next.

Invariants:

* `next` is all that a further step has to say of the case; whoever signs it signs what is shown.
* An auditor can compare every step with the log: `nonce` and `committed` open its leaf.
* What is under a case is read through the case, not through the records: nothing here shows a
  payload or an identifier, but for what the case itself asks to be unlinked or corrected.
"""

from base64 import b64encode
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from lookup.cases.grounds import describe
from lookup.cases.standing import DAY, Moment, Standing
from lookup.cases.supporting import assessment_of
from lookup.custodian.cases.carrying_out import holds_over
from lookup.custodian.cases.case import Case, Signed
from lookup.custodian.clients import entry_id_of
from lookup.custodian.custody import Custody
from lookup.custodian.records.detaching import is_detached
from lookup.custodian.records.record import Record
from lookup.officers.roles import OfficerId
from lookup.transparency.statement import moment


def summary(custody: Custody, case: Case) -> dict[str, Any]:
    """Return a case as the list of them shows it."""
    standing, now = custody.docket.standing(case), custody.moment()
    clock = custody.docket.clock(case, custody.today())
    return {
        "case": case.id.hex(),
        "certificate": case.certificate.hex(),
        "authority": case.content.authority,
        "ground": case.content.ground,
        "remedy": case.content.terms.remedy,
        "records": len(case.content.records),
        "state": standing.state,
        "wanting": list(standing.wanting),
        "hold": standing.held_by is not None,
        "holds": [
            *(each.id.hex() for each in holds_over(custody, case)),
            *(each.id.hex() for each in custody.docket.lost_on_hold(case.record_ids)),
        ],
        "hidden": standing.hides(now),
        "escalated": list(standing.escalated),
        "opened": standing.opened.time,
        "due_in": _left(standing, now),
        "answer_by": clock.due.isoformat(),
        "clock": clock.state,
        "parked": len(custody.lot.of(case.id)),
    }


def whole(custody: Custody, case: Case) -> dict[str, Any]:
    """Return all of a case."""
    standing, content = custody.docket.standing(case), case.content
    rules = custody.office.governance.of(content.authority)
    assessment = assessment_of(content, rules.malicious_from_day, custody.today())
    clock = custody.docket.clock(case, custody.today())
    restriction, refusal = standing.restriction, standing.refusal
    return summary(custody, case) | {
        "content": msgspec.Raw(content.encode()),
        "named": [
            describe_record(custody, record)
            for each in case.record_ids
            if (record := custody.record(each)) is not None
        ],
        "approvals": [_name(custody, each) for each in standing.approvals],
        "cooling_off_days": standing.cooling_off_days,
        "court_order": standing.shortened.court_order if standing.shortened else "",
        "held_by": _name(custody, standing.held_by),
        "restriction": restriction
        and {
            "by": _name(custody, restriction.by),
            "since": restriction.since.time,
            "confirmed_by": _name(custody, restriction.confirmed_by),
        },
        "recall": standing.recalled and _recall(custody, case, standing),
        "refusal": refusal and {"by": _name(custody, refusal.by), "reason": refusal.reason},
        "assessment": [] if assessment is None else describe(assessment),
        "notes": list(clock.notes),
        "steps": [_step(custody, case, each) for each in case.signed],
        "next": next_step(custody, case),
    }


def next_step(custody: Custody, case: Case) -> dict[str, Any]:
    """Return what the next step has to say of the case, and what shows that it is this case.

    `digest` follows from salt, revision and content, `after` from the last step's text.
    """
    standing = custody.docket.standing(case)
    return {
        "vault": custody.vault.id.hex(),
        "case": case.id.hex(),
        "number": case.last.number + 1,
        "after": case.last.hash().hex(),
        "digest": case.digest(standing.revision).hex(),
        "salt": case.salt.hex(),
        "revision": standing.revision,
    }


def describe_record(custody: Custody, record: Record) -> dict[str, Any]:
    """Return what of a record its requester has to see; not what identifies the child."""
    body = record.body
    return {
        "record_id": record.id.hex(),
        "version": record.version,
        "authority": body.authority,
        "category": body.category,
        "since": date.fromordinal(body.since).isoformat(),
        "until": None if body.until is None else date.fromordinal(body.until).isoformat(),
        "protects": custody.protects(body),
        "detached": is_detached(record),
        "statements": len(custody.supplements.of(record.id)),
    }


def _recall(custody: Custody, case: Case, standing: Standing) -> dict[str, Any]:
    """Return how many clients were told, and who has to be written to."""
    waiting: dict[tuple[bytes, str], list[str]] = {}
    for each in custody.outbox.waiting(case.id):
        requests = (str(UUID(bytes=request)) for request in each.requests)
        waiting.setdefault((each.client, each.name), []).extend(requests)
    authority = custody.catalogue.authority(case.content.authority)
    return {
        "authority_name": authority.name,
        "contact": authority.office_hours,
        "recipients": standing.recipients,
        "acknowledged": standing.recipients - len(waiting),
        "written": standing.written,
        "overdue": standing.is_overdue(custody.moment()),
        "waiting": [
            {
                "client": client.hex(),
                "client_name": name or None,
                "enrolled": entry_id_of(client) in custody.policy.clients,
                "requests": requests,
            }
            for (client, name), requests in waiting.items()
        ],
    }


def _step(custody: Custody, case: Case, signed: Signed) -> dict[str, Any]:
    step, at = signed.step, signed.taken.at
    nonce, message = case.commitment(signed)
    return {
        "number": step.number,
        "act": step.act,
        "officer": _name(custody, step.officer) or "site",
        "details": dict(step.details),
        "time": at.time,
        "when": moment(at.time),
        "text": step.text(),
        "signature": b64encode(signed.signature).decode(),
        "nonce": b64encode(nonce).decode(),
        "committed": b64encode(message).decode(),
    }


def _name(custody: Custody, officer_id: OfficerId | None) -> str | None:
    """Return an officer's name, or the id of one who has gone."""
    if officer_id is None:
        return None
    officer = custody.office.officers.get(officer_id)
    return officer_id.hex() if officer is None else officer.name


def _left(standing: Standing, now: Moment) -> int | None:
    """Return how long the cooling-off lasts yet, in seconds, by the slower of the clocks."""
    if not standing.is_open or standing.due is None or standing.approved is None:
        return None  # also of a case that was refused or withdrawn after it was approved
    by_wall = standing.approved.time + standing.cooling_off_days * DAY - now.time
    return max(0, standing.due - now.elapsed, by_wall)
