"""What officers read of retention: approvals, what is listed, what left a list, a survey.

Invariant: a record is told by its id, class and days of the sweep; never what identifies a child,
nor the days that its expiry was computed of.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from keys.entry import EntryId
from keys.errors import PageDamaged
from lookup.cases.standing import Moment
from lookup.custodian.custody import Custody
from lookup.custodian.retention.surveying import judge
from lookup.custodian.retention.sweep_list import WAIT, StandingApproval, SweepList
from lookup.officers.roles import Act, Officer

Json = dict[str, Any]


def standing(custody: Custody) -> Json:
    """Return which classes are in force, and what officers have approved."""
    classes = custody.classes
    return {
        "version": classes.version,
        "policy": classes.policy.hex(),
        "approvals": [_approval(custody, each) for each in custody.sweeps.approvals.values()],
    }


def lists_for(officer: Officer) -> Callable[[Custody], list[EntryId]]:
    """Return the lists that an officer may read, the oldest first."""

    def run(custody: Custody) -> list[EntryId]:
        found = (
            each
            for each in custody.sweeps.lists.values()
            if officer.may(Act.READ_RETENTION, each.authority)
        )
        return [each.id for each in sorted(found, key=lambda each: (each.at.elapsed, each.id))]

    return run


def rows_of(list_id: EntryId) -> Callable[[Custody], list[Json]]:
    """Return the records of a list; none of one that has left meanwhile."""

    def run(custody: Custody) -> list[Json]:
        found = custody.sweeps.lists.get(list_id)
        if found is None:
            return []
        now = custody.moment()
        return [_row(custody, found, each, now) for each in found.record_ids]

    return run


def left_for(officer: Officer) -> Callable[[Custody], list[Json]]:
    """Return what left a list alive in the last sweep, and why."""

    def run(custody: Custody) -> list[Json]:
        return [
            {"record_id": each.record_id.hex(), "why": each.why}
            for each in custody.sweeps.left
            if officer.may(Act.READ_RETENTION, each.authority)
        ]

    return run


def _approval(custody: Custody, approval: StandingApproval) -> Json:
    return {
        "authority": approval.authority,
        "version": approval.version,
        "policy": approval.policy.hex(),
        "cap": approval.cap,
        "approved": _instant(approval.approved),
        "in_force": approval.is_in_force(custody.classes, custody.office),
        "left_tonight": approval.left(custody.moment()),
    }


def _row(custody: Custody, listed: SweepList, record_id: EntryId, now: Moment) -> Json:
    try:
        record = custody.record(record_id)
    except PageDamaged:
        record = None
    row: Json = {
        "record_id": record_id.hex(),
        "authority": listed.authority,
        "listed": _instant(listed.at.time),
        "not_before": _instant(listed.at.time + WAIT),
        "due_in": max(0, listed.at.elapsed + WAIT - now.elapsed, listed.at.time + WAIT - now.time),
        "class": None,
        "expired": None,
        "why": "gone",
        "holds": [],
    }
    if record is None or record.body.retention is None:
        return row
    found = judge(custody, record, custody.today())
    return row | {
        "class": record.body.retention.code,
        "expired": None if found.expiry.day is None else found.expiry.day.isoformat(),
        "why": found.why,
        "holds": [each.id.hex() for each in found.holds],
    }


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
