"""Removing: whatever leaves with records, in the one epoch change that destroys them.

Invariants:

* With a record leave its payload, its supplementary statements, every case that names it, also one
  that was refused or whose content was lost, what was parked for it, and who was told that it was
  withdrawn.
* With what a case takes off a record leave the case, other cases and statements that say it, and
  what was parked; of that, what a detached record may take is parked anew, under another key.
* A case that stays, and lists a destroyed record among the others of its child, lists it no more,
  under another key; if it is open, that escalates it. So does one that lists a record which names
  none of its children any more: it would say which child that was.
* In the same transaction a fence is put around what a feed may send again (fencing.py).
* Nothing is decided here. Who may remove a record, and when, is carrying_out.py's and
  sweeping.py's to say; and whoever removes one does it through `leaving_with`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove
from keys.pages import NO_BLOBS, BlobChange
from keys.vault import Receipt
from lookup.cases.standing import OTHER_GONE
from lookup.custodian.cases.case import Case, LostCase, Signed, escalation, removal
from lookup.custodian.cases.recalls import Recall
from lookup.custodian.cases.remedy import Remade
from lookup.custodian.cases.saying import says
from lookup.custodian.custody import Custody, Edit
from lookup.custodian.records.detaching import NO_CASE, reduced
from lookup.custodian.records.fencing import Fence
from lookup.custodian.records.parking import Aside, Parked, park
from lookup.custodian.records.record import Record, names_of
from lookup.custodian.records.supplements import Supplement


@dataclass(frozen=True, slots=True)
class Relisting:
    """A case that has listed a record which is destroyed, before and after; open ones escalate."""

    before: Case
    after: Case
    step: Signed | None

    def blobs(self, custody: Custody) -> BlobChange:
        """Return the blob of what it says from now on, and the names of those that it leaves."""
        content = self.after.content.encode()
        sealed = self.after.sealed(custody.vault, self.before.revisions[-1], content)
        return BlobChange(sealed.put, removal(self.before)[1].delete)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Records, and all that leaves with them."""

    records: Sequence[Record]
    remade: Sequence[Remade]
    cases: Sequence[Case]
    lost: Sequence[LostCase]
    parked: Sequence[Parked]
    reparked: Sequence[Aside]
    supplements: Sequence[Supplement]
    relisted: Sequence[Relisting]
    fences: Sequence[Fence]
    recalls: Sequence[Recall]

    def commit(
        self,
        custody: Custody,
        destroyed: Sequence[Entry],
        also: Batch = (),
        blobs: BlobChange = NO_BLOBS,
    ) -> Receipt:
        """Let them leave in one epoch change, with what else it does; they never come back.

        `destroyed` are the `Kind.DESTROYED` entries that stay, and wait for their certificates.
        """
        own = self._blobs(custody)
        receipt = custody.commit(
            (*self._batch(), *map(Put, destroyed), *also),
            BlobChange((*own.put, *blobs.put), (*own.delete, *blobs.delete)),
            (
                *(Edit(record.id, record, None) for record in self.records),
                *(Edit(each.old.id, each.old, each.new) for each in self.remade),
            ),
            steps=tuple(each.step for each in self.relisted if each.step is not None),
        )
        custody.uncertified.update((entry.id, entry) for entry in destroyed)
        self._forget(custody)
        custody.show_and_hide()
        if self.recalls:
            custody.announce()  # no worker knows any more who was told
        return receipt

    def _removals(self) -> list[tuple[Batch, BlobChange]]:
        return [
            *map(removal, self.cases),
            *map(removal, self.lost),
            *(each.removal() for each in self.parked),
            *(each.removal() for each in self.supplements),
        ]

    def _batch(self) -> Batch:
        return (
            *(Remove(Kind.RECORD, record.id) for record in self.records),
            *(Put(each.new.entry()) for each in self.remade),
            *(step for steps, _ in self._removals() for step in steps),
            *(step for each in self.reparked for step in each.batch),
            *(each.removal() for each in self.recalls),
            *(Put(fence.entry()) for fence in self.fences),
            *(Put(each.after.entry(each.before.revisions[-1])) for each in self.relisted),
        )

    def _blobs(self, custody: Custody) -> BlobChange:
        rewritten = [
            *(each.blobs(custody) for each in self.relisted),
            *(each.blob(custody.vault) for each in self.remade),
            *(each.blobs for each in self.reparked),
        ]
        gone = [change for _, change in self._removals()]
        return BlobChange(
            put=tuple(blob for change in rewritten for blob in change.put),
            delete=(
                *((record.id, record.version) for record in self.records),
                *(name for change in (*gone, *rewritten) for name in change.delete),
            ),
        )

    def _forget(self, custody: Custody) -> None:
        for relisting in self.relisted:
            relisting.before.become(relisting.after)
        for fence in self.fences:
            custody.fences.put(fence)
        for case in self.cases:
            custody.docket.remove(case.id)
        custody.docket.lost = [each for each in custody.docket.lost if each not in self.lost]
        custody.lot.drop(self.parked)
        custody.lot.parked |= {each.parked.record: each.parked for each in self.reparked}
        custody.outbox.drop(self.recalls)
        custody.supplements.drop(self.supplements)
        custody.destroyed += len(self.records)


def leaving_with(
    custody: Custody, records: Sequence[Record], remade: Sequence[tuple[Case, Remade]] = ()
) -> Leaving:
    """Return what leaves with records, and with what cases take off others."""
    ids = frozenset(record.id for record in records)
    every = ids | {each.old.id for _, each in remade}
    said = [case for of, each in remade for case in _cases_that_say(custody, of, each.old.id)]
    cases = list({case.id: case for case in (*custody.docket.naming(ids), *said)}.values())
    lost = [each for each in custody.docket.lost if not every.isdisjoint(each.record_ids)]
    return Leaving(
        records,
        [each for _, each in remade],
        cases,
        lost,
        custody.lot.about(every),
        [aside for of, each in remade for aside in _reparked(custody, of, each)],
        [
            *custody.supplements.about(ids),
            *(each for of, it in remade for each in _statements_that_say(custody, of, it.old.id)),
        ],
        _relisted(custody, ids, [each for _, each in remade], cases),
        _fences(custody, records),
        custody.outbox.of({*(case.id for case in cases), *(case.id for case in lost)}),
    )


def _cases_that_say(custody: Custody, carried_out: Case, record_id: EntryId) -> Iterator[Case]:
    """Yield a case, and the others about its record that say what it takes off that."""
    yield carried_out
    names = carried_out.content.unlinked
    for case in custody.docket.naming({record_id}):
        texts = (case.content.encode(), *(each.step.text().encode() for each in case.steps))
        if any(says(text, names) for text in texts):
            yield case


def _statements_that_say(
    custody: Custody, carried_out: Case, record_id: EntryId
) -> Iterator[Supplement]:
    """Yield the family's statements that say what a case takes off the record beside them."""
    for each in custody.supplements.of(record_id):
        text = each.text(custody.vault, custody.store) or ""
        if says(text.encode(), carried_out.content.unlinked):
            yield each


def _reparked(custody: Custody, carried_out: Case, remade: Remade) -> Iterator[Aside]:
    """Yield what was parked about a record, as it may wait for one that is detached from now on."""
    vault, new, lost = custody.vault, remade.new, carried_out.content.unlinked
    for each in custody.lot.about({new.id}):
        draft = each.draft(vault, custody.store, custody.catalogue, custody.classes)
        draft = None if draft is None else reduced(draft, new, lambda: remade.payload, lost)
        if draft is not None and not new.body.says(draft):
            yield park(vault, NO_CASE, new.id, draft)


def _fences(custody: Custody, records: Iterable[Record]) -> list[Fence]:
    """Return fences for the records of each authority whose feed needs them."""
    of: dict[str, list[Record]] = {}
    for record in records:
        of.setdefault(record.body.authority, []).append(record)
    now = custody.moment()
    return [
        fence
        for authority, its in of.items()
        for replay in (custody.catalogue.replay_of(authority),)
        if custody.fences.remembers(authority, replay)
        for fence in custody.fences.around(its, replay, now)
    ]


def _relisted(
    custody: Custody,
    ids: frozenset[EntryId],
    remade: Sequence[Remade],
    leaving: Sequence[Case],
) -> list[Relisting]:
    """Return the cases that stay, and must not say any more that a record names their child."""
    office, vault, docket = custody.office, custody.vault, custody.docket
    moved = [each.new for each in remade if names_of(each.new) != names_of(each.old)]
    going, now = {case.id for case in leaving}, custody.moment()
    relisted = []
    for case in docket.listing(ids | {each.id for each in moved}):
        names = docket.names(case)
        gone = ids | {each.id for each in moved if names.isdisjoint(names_of(each))}
        after = case.without(frozenset(each.hex() for each in gone))
        if case.id not in going and after.content.others != case.content.others:
            is_open = docket.standing(case).is_open
            step = escalation(case, office, vault, OTHER_GONE, now) if is_open else None
            relisted.append(Relisting(case, after, step))
    return relisted
