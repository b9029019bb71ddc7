"""Carrying out: destroying the keys of the records that cases name.

Invariants:

* Nothing else in this service destroys a record. What is carried out is approved by the officers
  and rules of now, is on no hold, and is past its cooling-off, as the machine says at this moment.
* A case that stays, and lists a destroyed record among the others of its child, lists it no more.
* All cases that are carried out together share one epoch change, however many they are. With a
  record leaves every case that names it, also one that was refused, and what was parked for it.
* In the same transaction a fence is put around what its feed may send again (fencing.py).
* In the same transaction a `Kind.DESTROYED` entry takes the case's place: what a certificate will
  say of it, and no more. So each destroyed case gets its one certificate, whatever crashes.
* What a crash or a slot that lags has left without a certificate is certified as soon as it can be.
* `tend` is the scheduler: it runs in the writer's idle moments, and under load once a second.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keys.entry import Batch, EntryId, Kind, Put, Remove
from keys.epoch import Destruction
from keys.errors import PageDamaged
from keys.pages import BlobChange
from lookup.cases.standing import OTHER_GONE
from lookup.custodian.case import Case, Signed, escalation, removal
from lookup.custodian.certifying import (
    can_be_certified,
    destroyed_entry,
    issue,
    issue_waiting,
)
from lookup.custodian.custody import Custody, Edit
from lookup.custodian.fencing import Fence
from lookup.custodian.record import Record

# What one epoch change destroys at most: 10,000 records take some seconds, and lookups go on.
MOST_AT_ONCE = 256

logger = logging.getLogger("lookup.custodian")


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """Records are gone; this is what the slots have said, and what certifies it."""

    record_ids: tuple[EntryId, ...]
    certificates: tuple[bytes, ...]
    destruction: Destruction


def carry_out(custody: Custody, cases: Sequence[Case]) -> CarriedOut:
    """Destroy the records of cases that are due; issue their certificates unless a slot lags.

    Raises InvalidStatement, with nothing destroyed, for what no certificate could say.
    """
    of_cases = [(case, list(_records(custody, case))) for case in cases]
    records = [record for _, found in of_cases for record in found]
    ids = frozenset(record.id for record in records)
    leaving = custody.docket.naming(ids)
    lost = [each for each in custody.docket.lost if not ids.isdisjoint(each.record_ids)]
    parked = custody.lot.about(ids)
    relisted = _relisted(custody, ids, leaving)
    removals = [
        *map(removal, leaving),
        *map(removal, lost),
        *(each.removal() for each in parked),
    ]
    fences = [
        fence for case, found in of_cases if (fence := _fence(custody, case, found)) is not None
    ]
    begun, workers = custody.moment().time, len(custody.door.workers())
    batch: Batch = (
        *(Remove(Kind.RECORD, record.id) for record in records),
        *(step for steps, _ in removals for step in steps),
        *(Put(destroyed_entry(custody, case, begun, workers)) for case in cases),
        *(Put(fence.entry()) for fence in fences),
        *(Put(each.after.entry(each.before.revisions[-1])) for each in relisted),
    )
    blobs = BlobChange(
        put=tuple(blob for each in relisted for blob in each.blobs(custody).put),
        delete=(
            *((record.id, record.version) for record in records),
            *(name for _, change in removals for name in change.delete),
            *(name for each in relisted for name in removal(each.before)[1].delete),
        ),
    )
    receipt = custody.commit(
        batch,
        blobs,
        tuple(Edit(record.id, record, None) for record in records),
        steps=tuple(each.step for each in relisted if each.step is not None),
    )
    for relisting in relisted:
        relisting.before.become(relisting.after)
    for fence in fences:
        custody.fences.put(fence)
    for case in leaving:
        custody.docket.remove(case.id)
    custody.docket.lost = [each for each in custody.docket.lost if each not in lost]
    custody.lot.drop(parked)
    custody.destroyed += len(records)
    if receipt.destruction is None:
        raise AssertionError("unreachable: a removal is always an epoch change")
    issue(custody)
    return CarriedOut(
        tuple(record.id for record in records),
        tuple(case.certificate for case in cases),
        receipt.destruction,
    )


def _fence(custody: Custody, case: Case, records: Sequence[Record]) -> Fence | None:
    replay = custody.catalogue.replay_of(case.content.authority)
    return custody.fences.around(records, replay, custody.today())


@dataclass(frozen=True, slots=True)
class _Relisting:
    """A case that has listed a record which is destroyed, before and after; open ones escalate."""

    before: Case
    after: Case
    step: Signed | None

    def blobs(self, custody: Custody) -> BlobChange:
        """Return the blob of what it says from now on."""
        content = self.after.content.encode()
        return self.after.sealed(custody.vault, self.before.revisions[-1], content)


def _relisted(
    custody: Custody, ids: frozenset[EntryId], leaving: Sequence[Case]
) -> list[_Relisting]:
    """Return the cases that stay, and must not say any more that a destroyed record was there."""
    gone, office, vault = frozenset(each.hex() for each in ids), custody.office, custody.vault
    going = {case.id for case in leaving}
    now = custody.moment()
    return [
        _Relisting(
            case,
            case.without(gone),
            escalation(case, office, vault, OTHER_GONE, now)
            if custody.docket.standing(case).is_open
            else None,
        )
        for case in custody.docket.listing(ids)
        if case.id not in going
    ]


def tend(custody: Custody) -> None:
    """Carry out what is due, certify what waits, hide and show what restrictions say by now."""
    if custody.docket.damaged:
        return
    issue_waiting(custody)
    custody.show_and_hide()
    due = [case for case in custody.docket.due(custody.moment()) if case.id not in custody.stuck]
    ready = [case for case in due if is_whole(custody, case) and can_be_certified(custody, case)]
    for at in range(0, len(ready), MOST_AT_ONCE):
        batch = ready[at : at + MOST_AT_ONCE]
        done = carry_out(custody, batch)
        logger.info("carried out %d cases: %d records", len(batch), len(done.record_ids))
    stuck = {case.id for case in due} - {case.id for case in ready}
    if stuck:
        custody.stuck |= stuck
        logger.error("%d cases that are due cannot be carried out: see the runbook", len(stuck))


def is_whole(custody: Custody, case: Case) -> bool:
    """Say whether all that leaves with a case is there; what was lost or damaged needs a person."""
    vault, leaving = custody.vault, custody.docket.naming(case.record_ids)
    parts = [
        *((Kind.RECORD, each) for each in case.record_ids),
        *((Kind.CASE, each.id) for each in leaving),
        *((Kind.STEP, step.entry_id) for each in leaving for step in each.signed),
        *((Kind.PARKED, each.id) for each in custody.lot.about(case.record_ids)),
    ]
    try:
        return all(vault.get(kind, entry_id) is not None for kind, entry_id in parts)
    except PageDamaged:
        return False


def _records(custody: Custody, case: Case) -> Iterable[Record]:
    for record_id in case.record_ids:
        record = custody.record(record_id)
        if record is not None:
            yield record
