"""Carrying out: destroying the keys of the records that cases name.

Invariants:

* What is carried out is approved by the officers and rules of now, and is past its cooling-off, as
  the machine says at this moment; neither the case nor a record of it is on hold (holding.py).
* All cases that are carried out together share one epoch change, however many they are; what leaves
  with their records is said in removing.py.
* In the same transaction a `Kind.DESTROYED` entry takes the case's place: what a certificate will
  say of it, and no more. So each destroyed case gets its one certificate, whatever crashes.
* Before, whoever was answered with them is told, as recalling.py says.
* What a crash or a slot that lags has left without a certificate is certified as soon as it can be.
* `tend` is the scheduler: it runs in the writer's idle moments, and under load once a second.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keys.entry import EntryId, Kind
from keys.epoch import Destruction
from keys.errors import PageDamaged
from keys.pages import NO_BLOBS
from keys.vault import Vault
from lookup.cases.standing import Remedy, State
from lookup.custodian.cases.case import Case, take_back
from lookup.custodian.cases.certifying import (
    can_be_certified,
    destroyed_entry,
    issue,
    issue_waiting,
)
from lookup.custodian.cases.recalling import PATIENCE, is_told, told
from lookup.custodian.cases.remedy import Remade, can_be_remade, remake
from lookup.custodian.cases.removing import leaving_with
from lookup.custodian.custody import Custody
from lookup.custodian.records.draft import InvalidRecord
from lookup.custodian.records.record import Record
from lookup.custodian.retention.holding import Hold
from lookup.custodian.retention.reviewing import noted
from lookup.errors import Conflict

# What one epoch change destroys at most: 10,000 records take some seconds, and lookups go on.
MOST_AT_ONCE = 256
ON_HOLD: Final = "a hold covers a record of the case: `lacuna officer holds` lists it"

logger = logging.getLogger("lookup.custodian")


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """Records, or parts of them, are gone; this is what the slots said, and what certifies it."""

    record_ids: tuple[EntryId, ...]
    certificates: tuple[bytes, ...]
    destruction: Destruction


def carry_out(custody: Custody, cases: Sequence[Case]) -> CarriedOut:
    """Destroy the records of cases that are due; issue their certificates unless a slot lags.

    Raises InvalidStatement, with nothing destroyed, for what no certificate could say, and Conflict
    for what is on hold.
    """
    if any(is_on_hold(custody, case) for case in cases):
        raise Conflict(ON_HOLD)
    erased = [each for each in cases if each.content.terms.remedy is Remedy.ERASE]
    records = [record for case in erased for record in _records(custody, case)]
    remade = [
        (case, _remade(custody, case, record))
        for case in cases
        if case.content.terms.remedy is not Remedy.ERASE
        for record in _records(custody, case)
    ]
    leaving = leaving_with(custody, records, remade)
    begun, workers = custody.moment().time, len(custody.door.workers())
    destroyed = [destroyed_entry(custody, case, begun, workers) for case in cases]
    receipt = leaving.commit(custody, destroyed)
    if receipt.destruction is None:
        raise AssertionError("unreachable: a removal is always an epoch change")
    issue(custody)
    return CarriedOut(
        (*(record.id for record in records), *(each.old.id for _, each in remade)),
        tuple(case.certificate for case in cases),
        receipt.destruction,
    )


def _remade(custody: Custody, case: Case, record: Record) -> Remade:
    """Return what a case makes of its record; whoever has corrected it has looked at it."""
    made = remake(custody.vault, custody.store, custody.catalogue, case.content, record)
    flags = noted(made.new.flags, custody.today())
    return replace(made, new=made.new._replace(flags=flags))


def tend(custody: Custody) -> None:
    """Carry out what is due, certify what waits, hide and show what restrictions say by now."""
    if custody.docket.damaged:
        return
    issue_waiting(custody)
    _take_back(custody)
    due = [
        case
        for case in custody.docket.due(custody.moment())
        if case.id not in custody.stuck
        and not _is_waiting(custody, case)
        and not _is_held(custody, case)
    ]
    ready = [case for case in due if _is_ready(custody, case)]
    custody.docket.withhold(ready)
    custody.show_and_hide()
    going = told(custody, ready)
    for at in range(0, len(going), MOST_AT_ONCE):
        # The batch before may have destroyed what one of these lists, and so has escalated it.
        now, docket = custody.moment(), custody.docket
        batch = [c for c in going[at : at + MOST_AT_ONCE] if docket.standing(c).is_due(now)]
        if batch:
            done = carry_out(custody, batch)
            logger.info("carried out %d cases: %d records", len(batch), len(done.record_ids))
    stuck = {case.id for case in due} - {case.id for case in ready}
    if stuck:
        custody.stuck |= stuck
        logger.error("%d cases that are due cannot be carried out: see the runbook", len(stuck))


def carry_out_now(custody: Custody, case: Case) -> CarriedOut | None:
    """Carry out a case that is due, unless recipients have to be told first; `tend` does then."""
    docket, now = custody.docket, custody.moment()
    # Whatever is searched for goes on for all: what is found of the others is not thrown away.
    others = (each for each in docket.withheld if each.id != case.id)
    ready = [
        each
        for each in (case, *others)
        if docket.standing(each).is_due(now)
        and not _is_held(custody, each)
        and _is_ready(custody, each)
    ]
    docket.withhold(ready)
    custody.show_and_hide()
    going = {each.id for each in told(custody, ready, PATIENCE)}
    return carry_out(custody, [case]) if case.id in going else None


def holds_over(custody: Custody, case: Case) -> list[Hold]:
    """Return the holds that cover a record of a case."""
    try:
        return custody.holds.over(_records(custody, case))
    except PageDamaged:
        return []  # such a case is not whole, and waits for a person


def is_on_hold(custody: Custody, case: Case) -> bool:
    """Say whether a hold covers a record of a case, or is of a case that was lost."""
    return bool(holds_over(custody, case) or custody.docket.lost_on_hold(case.record_ids))


def _is_waiting(custody: Custody, case: Case) -> bool:
    """Say whether recipients are waited for: for a week, in which there is nothing to look at."""
    recalling = custody.docket.standing(case).state is State.RECALLING
    return recalling and not is_told(custody, case)


def _take_back(custody: Custody) -> None:
    """Answer again what was recalled and is not to go any more, by a hold or the rules of now."""
    office, vault, now = custody.office, custody.vault, custody.moment()
    steps = tuple(
        take_back(case, office, vault, now)
        for case in custody.docket.recalling
        if not custody.docket.standing(case).is_due(now) or _is_held(custody, case)
    )
    if steps:
        custody.commit((), NO_BLOBS, steps=steps)
        custody.offer()  # nobody is to delete what is answered again


def _is_ready(custody: Custody, case: Case) -> bool:
    return is_whole(custody, case) and can_be_certified(custody, case)


def _is_held(custody: Custody, case: Case) -> bool:
    held = case.id in custody.holds.cases or is_on_hold(custody, case)
    if held:
        custody.holds.cases.add(case.id)
    return held


def is_whole(custody: Custody, case: Case) -> bool:
    """Say whether all that leaves with a case is there, and can leave; else it needs a person."""
    vault, leaving = custody.vault, custody.docket.naming(case.record_ids)
    parts = [
        *((Kind.CASE, each.id) for each in leaving),
        *((Kind.STEP, step.entry_id) for each in leaving for step in each.signed),
        *((Kind.PARKED, each.id) for each in custody.lot.about(case.record_ids)),
        *((Kind.RECALL, each.id) for each in custody.outbox.of({each.id for each in leaving})),
        *((Kind.SUPPLEMENT, each.id) for each in custody.supplements.about(case.record_ids)),
    ]
    try:
        records = list(_records(custody, case))
        for record in records:
            can_be_remade(vault, custody.store, custody.catalogue, case.content, record)
        return len(records) == len(case.record_ids) and _are_there(vault, parts)
    except (PageDamaged, InvalidRecord):
        return False


def _are_there(vault: Vault, parts: Iterable[tuple[Kind, EntryId]]) -> bool:
    """Say whether entries are there, of which many may lie in one leaf: each is opened once."""
    wanted: dict[tuple[Kind, int], set[EntryId]] = {}
    for kind, entry_id in parts:
        wanted.setdefault((kind, vault.leaf_of(entry_id)), set()).add(entry_id)
    return all(
        ids <= {entry.id for entry in vault.scan_leaf(kind, leaf)}
        for (kind, leaf), ids in wanted.items()
    )


def _records(custody: Custody, case: Case) -> Iterable[Record]:
    for record_id in case.record_ids:
        record = custody.record(record_id)
        if record is not None:
            yield record
