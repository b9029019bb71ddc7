"""Custody: the vault, what is in memory of it, and the table that workers read.

Invariants:

* One thread uses it, the writer's. Nothing here locks.
* The order of a change: durable in the vault, then in the table, then every worker has passed,
  then the caller hears of it. A record or a link that is removed leaves the table before anything
  of it is destroyed, and the audit of what was answered until then is taken in
  (lookup/custodian/audit/auditing.py).
* `sources` says which record an authority means; it is rebuilt from the map at every start.
"""

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from crypto.token import Kid
from keys.entry import Batch, Entry, EntryId, Kind, Put
from keys.errors import PageDamaged
from keys.pages import BlobChange
from keys.slot.lock import Lock
from keys.vault import Receipt, Vault
from lookup.cases.standing import Moment, State
from lookup.catalogue import Catalogue
from lookup.custodian.audit.alarms import Alarms
from lookup.custodian.audit.auditing import Auditing
from lookup.custodian.cases.case import Signed
from lookup.custodian.cases.docket import Docket, Hiding, Named, load_docket
from lookup.custodian.cases.recalls import Outbox, load_outbox
from lookup.custodian.cases.remedy import answered
from lookup.custodian.clients import tell_clients, tell_former
from lookup.custodian.door import Door
from lookup.custodian.officers import Office
from lookup.custodian.policy import Policy
from lookup.custodian.records.fencing import Fences, load_fences, removal
from lookup.custodian.records.parking import Lot, load_lot
from lookup.custodian.records.record import Body, Record, names_of
from lookup.custodian.records.supplements import Supplements, load_supplements
from lookup.custodian.retention.holding import Holds, load_holds
from lookup.custodian.retention.sweep_list import Sweeps, load_sweeps
from lookup.custodian.store.pages import Store
from lookup.custodian.table.building import Build
from lookup.custodian.table.publishing import Publication, Rules
from lookup.custodian.transparency.log import TransparencyLog
from lookup.handoff import Authority, Category, Recall, View, fit_recalls
from lookup.index.errors import IndexSpace, TableFull
from lookup.index.folder import is_read
from lookup.retention.classes import Classes
from lookup.wire import MAX_RECALLED_REQUESTS, MAX_RECALLS

if TYPE_CHECKING:
    from lookup.custodian.cases.recalling import Search

LEAVES_PER_STEP = 256

logger = logging.getLogger("lookup.custodian")


@dataclass(frozen=True, slots=True)
class Edit:
    """One record before and after a change; None: it is not there."""

    id: EntryId
    old: Record | None
    new: Record | None


@dataclass(slots=True)
class Custody:
    """All that one custodian has in its hands. `lock` is what slots are closed with."""

    vault: Vault
    lock: Lock
    store: Store
    policy: Policy
    catalogue: Catalogue
    classes: Classes
    audit: Auditing
    log: TransparencyLog
    index: Path
    belt_seconds: int
    door: Door
    today: Callable[[], date]
    clock: Callable[[], int]
    sources: dict[bytes, EntryId] = field(default_factory=dict)
    docket: Docket = field(init=False)
    lot: Lot = field(default_factory=Lot)
    supplements: Supplements = field(default_factory=Supplements)
    fences: Fences = field(init=False)
    outbox: Outbox = field(default_factory=Outbox)
    search: "Search | None" = None  # for recipients, while one goes on
    holds: Holds = field(init=False)
    sweeps: Sweeps = field(init=False)
    # What hospitals are told of instead of records that cases hide or change; None: nothing.
    instead: dict[EntryId, Record | None] = field(default_factory=dict)
    hiding: dict[EntryId, Hiding] = field(default_factory=dict)
    publication: Publication | None = None
    build: Build | None = None
    damaged: list[int] = field(default_factory=list)
    # What was destroyed and has no certificate yet, and the epoch after whose beginning that was
    # last seen to.
    uncertified: dict[EntryId, Entry] = field(default_factory=dict)
    certified: int = 0
    destroyed: int = 0  # records, since the process began
    stuck: set[EntryId] = field(default_factory=set)  # cases that are due, and not whole
    generation: int = 0
    view_number: int = 0
    # What workers authenticate access tokens with; never stored, so that no backup can forge one.
    token_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def commit(
        self,
        batch: Batch,
        blobs: BlobChange,
        edits: tuple[Edit, ...] = (),
        steps: tuple[Signed, ...] = (),
    ) -> Receipt:
        """Make a change durable and visible; return when no worker answers from before it.

        `steps` are those of cases: stored, and committed to in the log, with the change.
        """
        withdrawals = [_withdrawal(self._shown(edit)) for edit in edits]
        leaving = [edit.old for edit in edits if edit.old is not None and edit.new is None]

        def withdraw() -> None:
            self._publish([first for first, _ in withdrawals if first is not None])
            self.audit.forget_records(leaving)

        notices = self.audit.notices.without({bytes(record.id) for record in leaving})
        batch += notices + tuple(Put(each.entry()) for each in steps)
        receipt = self.vault.commit(batch, blobs, withdraw, log=self.docket.leaves(steps))
        try:
            for signed in steps:
                self.docket.take(signed)
            self._publish([then for _, then in withdrawals if then is not None])
            for edit in edits:
                self._remember(edit)
            self._show_and_hide({edit.id for edit in edits})
            self.door.await_passes()
        except BaseException:
            # Durable, and not visible: only a new table, at the next start, makes up for that.
            self.vault.stop()
            raise
        return receipt

    @property
    def office(self) -> Office:
        """The officers, and the rules for their cases."""
        return self.policy.office

    def load_cases(self) -> None:
        """Read the cases, and what they hide; before the first table is built."""
        self.docket = load_docket(self.vault, self.store, self.office, self._names_of)
        if self.docket.damaged:
            self.lot, self.supplements, self.uncertified = Lot(), Supplements(), {}
        else:
            self.lot, self.supplements = load_lot(self.vault), load_supplements(self.vault)
            certified = {entry.id for entry in self.vault.scan(Kind.CERTIFICATE)}
            destroyed = {entry.id: entry for entry in self.vault.scan(Kind.DESTROYED)}
            self.uncertified = {each: destroyed[each] for each in destroyed.keys() - certified}
        self.fences = load_fences(self.vault)
        self.outbox = load_outbox(self.vault)
        self.holds = load_holds(self.vault)
        self.sweeps = load_sweeps(self.vault, self.store)
        self.hiding = self.docket.hiding(self.moment())
        found = {each: self._found(each) for each in self.hiding}
        self.instead = {
            each: None if record is None else self._answered(self.hiding[each], record)
            for each, record in found.items()
        }
        hidden = (self._hides(found[each], told) for each, told in self.instead.items())
        self.alarms.hide(sum(hidden))

    def _found(self, record_id: EntryId) -> Record | None:
        """Return a record, or None also where its page is damaged."""
        try:
            return self.record(record_id)
        except PageDamaged:
            return None

    def _answered(self, hiding: Hiding, record: Record) -> Record | None:
        content = self.docket.cases[hiding.case].content
        return answered(content, record, self.catalogue, hidden=hiding.restricted)

    def _hides(self, record: Record | None, told: Record | None) -> bool:
        """Say whether hospitals hear of fewer children than a record names, or not for as long."""
        return (
            record is None
            or told is None
            or len(told.body.links) < len(record.body.links)
            or self.answered_until(told.body) < self.answered_until(record.body)
        )

    def _names_of(self, record_id: EntryId) -> list[Named]:
        """Return a record's identifiers; none where its page is damaged.

        Until that is restored nothing is added that could name the same child, and a start that
        failed for it would leave hospitals without the answers that there are.
        """
        record = self._found(record_id)
        return [] if record is None else names_of(record)

    def record(self, record_id: EntryId) -> Record | None:
        """Return a record, or None."""
        entry = self.vault.get(Kind.RECORD, record_id)
        return None if entry is None else Record.of(entry)

    def by_source(self, source: bytes) -> Record | None:
        """Return the record that an authority means, or None."""
        record_id = self.sources.get(source)
        return None if record_id is None else self.record(record_id)

    @property
    def kids(self) -> list[Kid]:
        """Return the lookup keys that are live and completely indexed."""
        published = () if self.publication is None else self.publication.kids
        return [kid for kid in published if kid in self.policy.keys]

    def begin_build(self) -> None:
        """Start a new table, with a new index key and the lookup keys of now."""
        rules = Rules(self.catalogue, self.policy.makers(), self.policy.canary, self.today())
        self.build = Build(rules, self.vault, self.instead)

    def mistrust_table(self) -> None:
        """Make another table where the day of this one has not come; until then it is not whole.

        The clock was ahead for a while: what is answered until a day between is not in the table.
        """
        if self.publication is None or self.today() >= self.publication.rules.day:
            return
        self.publication.table.declare_incomplete()
        if self.build is None or self.today() < self.build.rules.day:
            logger.error("alarm: the clock has gone back: the index is made anew")
            self.begin_build()

    def step_build(self, leaves: int = LEAVES_PER_STEP) -> float:
        """Go on with the table in the making, from 0 to 1; at 1 it is in force."""
        if self.build is None:
            return 1.0
        records = self.build.step(leaves)
        if self.publication is None:
            self.sources.update([(body.source, record_id) for record_id, body in records])
            for record_id, body in records:
                self.audit.note(record_id, body.links)
        progress = self.build.progress
        if progress == 1:
            build, self.build = self.build, None
            self._finish(build)
        return progress

    def _finish(self, build: Build) -> None:
        self.generation += 1
        try:
            made = build.finish(self.index, self.generation)
        except IndexSpace as error:
            if self.publication is None:
                raise
            # The table of now is as true as before; another build comes with the daily chores.
            logger.error("the new index was dropped, the old one stays: %s", error)  # noqa: TRY400  # its text is ours
            return
        self.damaged = build.damaged
        self.switch_to(made)

    def switch_to(self, made: Publication) -> None:
        """Put another table in force, and supersede the one that was."""
        old, self.publication = self.publication, made
        self.announce()
        if old is not None:
            old.table.supersede()
            self.door.await_passes()
            old.table.close()

    def announce(self) -> None:
        """Give workers the view of now; return when no older one is in force."""
        if self.publication is not None:
            self.door.publish(self._next_view(self.publication))

    def offer(self) -> None:
        """Give workers the view of now, of which they may hear later without harm."""
        if self.publication is not None:
            self.door.offer(self._next_view(self.publication))

    def _next_view(self, publication: Publication) -> View:
        self.view_number += 1
        catalogue = self.catalogue
        return View(
            number=self.view_number,
            vault=self.vault.id,
            table=str(publication.table.path),
            index_key=publication.key.expose(),
            kids=list(self.kids),
            clients=tell_clients(self.policy.clients.values()),
            authorities=[
                Authority(a.code, a.name, a.office_hours, a.out_of_hours)
                for a in catalogue.authorities
            ],
            categories=[Category(c.name, c.answerable) for c in catalogue.categories],
            belt_seconds=self.belt_seconds,
            token_key=self.token_key,
            former=tell_former(self.policy.clients.values()),
            audit=self.audit.handed_out(demo=self.policy.demo),
            recalls=fit_recalls(self._recalls()),
        )

    def _recalls(self) -> Iterator[Recall]:
        """Yield what clients have to be told while their cases recall it, and have not heard.

        Of each client just more than a worker lists at once: none keeps the others from hearing.
        """
        listed, requests = Counter[bytes](), Counter[bytes]()
        for each in self.outbox.recalls.values():
            client, case = each.client, self.docket.cases.get(each.case)
            recalling = case and self.docket.standing(case).state is State.RECALLING
            is_room = listed[client] <= MAX_RECALLS and requests[client] <= MAX_RECALLED_REQUESTS
            if recalling and not each.acknowledged and is_room:
                listed[client] += 1
                requests[client] += len(each.requests)
                yield Recall(client.hex(), each.id, list(each.requests))

    def renew(self, renewed: tuple[Entry, ...]) -> None:
        """Change the answer key, as part of every epoch change.

        A worker that is stopped keeps nobody waiting: what it seals under the former key, before
        it hears of the new one, was looked up in the table of now, and is found by witnesses.
        """

        def pass_all() -> None:
            self.offer()
            self.door.await_passes()

        self.audit.renew(renewed, pass_all)

    def purge(self, now: int) -> Receipt:
        """Change the epoch; forget notices that were told or are old, and fences past their day."""
        notices, moment = self.audit.notices, Moment(self.vault.elapsed, now)
        gone, counted = self.fences.expired(moment), self.fences.counted(moment)
        expired = notices.expired(self.audit.delivered, now)
        batch = (
            *expired,
            *(step for fence in gone for step in removal(fence)),
            *(Put(fence.entry()) for fence in counted),
        )
        receipt = self.vault.commit(batch) if batch else self.vault.purge()
        notices.drop(expired)
        for fence in (*counted, *(replace(each, marks=()) for each in gone)):
            self.fences.put(fence)
        return receipt

    @property
    def alarms(self) -> Alarms:
        """What looks wrong in the audit; any thread may read it."""
        return self.audit.alarms

    def close(self) -> None:
        """Let go of the table; it stays for workers that read it, and otherwise disappears."""
        if self.publication is not None:
            table = self.publication.table
            table.close(unlink=not is_read(table.path))
            self.publication = None

    def moment(self) -> Moment:
        """Return the time by both clocks."""
        return Moment(self.vault.elapsed, self.clock())

    def told(self, body: Body) -> frozenset[Named]:
        """Return the identifiers for which hospitals are told of a record today."""
        if self.publication is None:
            return frozenset()
        links = self.publication.rules.links(body)
        return frozenset((name.scheme, name.value) for name, link in links if not link.honey)

    def answered_until(self, body: Body) -> int:
        """Return the last day on which hospitals may be told of a record; 0: on none."""
        number = self.catalogue.category_numbers.get(body.category)
        if number is None or not self.catalogue.categories[number].answerable:
            return 0
        return date.max.toordinal() if body.answer_until is None else body.answer_until

    def protects(self, body: Body) -> bool:
        """Say whether a record is one that hospitals are told of today."""
        return bool(self.told(body))

    def show_and_hide(self) -> None:
        """Answer by what the restrictions of cases say by now."""
        if self._show_and_hide():
            self.door.await_passes()

    def _show_and_hide(self, edited: Collection[EntryId] = ()) -> bool:
        """Let the table say of records what cases leave of them by now; say if that changed."""
        wanted, before = self.docket.hiding(self.moment()), self.hiding
        changed = {each for each, _ in wanted.items() ^ before.items()}
        changed.update(each for each in edited if each in wanted)
        if not changed:
            return False
        try:
            for record_id in changed:
                self._change_instead(record_id, wanted.get(record_id))
        except BaseException:
            self.vault.stop()
            raise
        if changed - wanted.keys():
            self.search = None  # what is answered again has new recipients
        self.hiding = wanted
        return True

    def _change_instead(self, record_id: EntryId, hiding: Hiding | None) -> None:
        record = self.record(record_id)
        told = self.instead.pop(record_id, record)
        if record is None:
            return
        tells: Record | None = record
        if hiding is not None:
            tells = self.instead[record_id] = self._answered(hiding, record)
            self.alarms.hide(int(self.protects(record.body) and self._hides(record, tells)))
        self._publish([Edit(record_id, told, tells)])

    def _shown(self, edit: Edit) -> Edit:
        """Return what of a change the table is to see."""
        return Edit(edit.id, None, None) if edit.id in self.instead else edit

    def _publish(self, edits: list[Edit]) -> None:
        for edit in edits:
            if self.build is not None:
                self.build.note(edit.id, edit.old, edit.new)
            if self.publication is not None:
                self._replace(self.publication, edit)

    def _replace(self, publication: Publication, edit: Edit) -> None:
        try:
            publication.replace(edit.old, edit.new)
        except TableFull:
            self.generation += 1
            larger = publication.grown(self.generation)
            if not self.damaged and self.today() >= publication.rules.day:
                larger.table.complete()
            self.switch_to(larger)
            larger.replace(edit.old, edit.new)

    def _remember(self, edit: Edit) -> None:
        before, after = (
            set(record.body.links if record else ()) for record in (edit.old, edit.new)
        )
        self.holds.forget(self.docket.by_record.get(edit.id, ()))
        self.audit.forget_links(before - after)
        self.audit.note(edit.id, after - before)
        if edit.new is not None:
            self.docket.watch(edit.id, names_of(edit.new))
            self._watch_no_more(edit.id, _names_lost(edit))
        if edit.old is not None:
            self.sources.pop(edit.old.body.source, None)
        if edit.new is not None:
            self.sources[edit.new.body.source] = edit.id

    def _watch_no_more(self, record_id: EntryId, lost: frozenset[Named]) -> None:
        """Let cases look out for a child no more whom none of their records names now."""
        for case in self.docket.naming({record_id}) if lost else ():
            said = {name for each in case.record_ids for name in self._names_of(each)}
            self.docket.watch_no_more(case, lost - said)


def _names_lost(edit: Edit) -> frozenset[Named]:
    if edit.old is None or edit.new is None:
        return frozenset()
    return frozenset(names_of(edit.old)) - frozenset(names_of(edit.new))


def _withdrawal(edit: Edit) -> tuple[Edit | None, Edit | None]:
    """Return what of a change comes before its decision is carried out, and what after.

    Links that the record loses come before: were they answered under the answer key of the next
    epoch, an entry would name what this one is to forget.
    """
    if edit.old is None:
        return None, (edit if edit.new is not None else None)
    if edit.new is None:
        return edit, None
    kept = {link.handle for link in edit.new.body.links}
    staying = tuple(link for link in edit.old.body.links if link.handle in kept)
    if len(staying) == len(edit.old.body.links):
        return None, edit
    between = edit.old._replace(body=msgspec.structs.replace(edit.old.body, links=staying))
    return Edit(edit.id, edit.old, between), Edit(edit.id, between, edit.new)
