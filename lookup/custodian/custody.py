"""Custody: the vault, what is in memory of it, and the table that workers read.

Invariants:

* One thread uses it, the writer's. Nothing here locks.
* The order of a change: durable in the vault, then in the table, then every worker has passed,
  then the caller hears of it. A removal leaves the table before anything of it is destroyed.
* `sources` says which record an authority means; it is rebuilt from the map at every start.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from crypto.token import Kid
from keys.entry import Batch, EntryId, Kind
from keys.pages import BlobChange
from keys.vault import Receipt, Vault
from lookup.catalogue import Catalogue
from lookup.custodian.building import Build
from lookup.custodian.door import Door
from lookup.custodian.policy import Policy
from lookup.custodian.publishing import Publication, Rules
from lookup.custodian.record import Record
from lookup.custodian.store.pages import Store
from lookup.handoff import Authority, Category, Client, View
from lookup.index.errors import TableFull

LEAVES_PER_STEP = 256


@dataclass(frozen=True, slots=True)
class Edit:
    """One record before and after a change; None: it is not there."""

    id: EntryId
    old: Record | None
    new: Record | None


@dataclass(slots=True)
class Custody:
    """All that one custodian has in its hands."""

    vault: Vault
    store: Store
    policy: Policy
    catalogue: Catalogue
    index: Path
    belt_seconds: int
    door: Door
    today: Callable[[], date]
    sources: dict[bytes, EntryId] = field(default_factory=dict)
    publication: Publication | None = None
    build: Build | None = None
    damaged: list[int] = field(default_factory=list)
    generation: int = 0
    view_number: int = 0

    def commit(self, batch: Batch, blobs: BlobChange, edits: tuple[Edit, ...] = ()) -> Receipt:
        """Make a change durable and visible; return when no worker answers from before it."""
        gone = [edit for edit in edits if edit.new is None]

        def withdraw() -> None:
            self._publish(gone)
            self.door.await_passes()

        receipt = self.vault.commit(batch, blobs, withdraw)
        try:
            self._publish([edit for edit in edits if edit.new is not None])
            for edit in edits:
                self._remember(edit)
            self.door.await_passes()
        except BaseException:
            # Durable, and not visible: only a new table, at the next start, makes up for that.
            self.vault.stop()
            raise
        return receipt

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
        rules = Rules(self.catalogue, self.policy.makers(), self.policy.canary, self.today)
        self.build = Build(rules, self.vault)

    def step_build(self, leaves: int = LEAVES_PER_STEP) -> float:
        """Go on with the table in the making, from 0 to 1; at 1 it is in force."""
        if self.build is None:
            return 1.0
        records = self.build.step(leaves)
        if self.publication is None:
            self.sources.update((record.body.source, record.id) for record in records)
        progress = self.build.progress
        if progress == 1:
            self.generation += 1
            made = self.build.finish(self.index, self.generation)
            self.damaged, self.build = self.build.damaged, None
            self.switch_to(made)
        return progress

    def switch_to(self, made: Publication) -> None:
        """Put another table in force, and supersede the one that was."""
        old, self.publication = self.publication, made
        self.announce()
        if old is not None:
            old.table.supersede()
            self.door.await_passes()
            old.table.close()

    def announce(self) -> None:
        """Give workers the view of now."""
        if self.publication is not None:
            self.view_number += 1
            self.door.publish(self._view(self.publication))

    def _view(self, publication: Publication) -> View:
        catalogue = self.catalogue
        return View(
            number=self.view_number,
            vault=self.vault.id,
            table=str(publication.table.path),
            index_key=publication.key.expose(),
            kids=list(self.kids),
            clients={c.fingerprint: Client(c.id, c.name) for c in self.policy.clients.values()},
            authorities=[
                Authority(a.code, a.name, a.office_hours, a.out_of_hours)
                for a in catalogue.authorities
            ],
            categories=[Category(c.name, c.answerable) for c in catalogue.categories],
            belt_seconds=self.belt_seconds,
        )

    def _publish(self, edits: list[Edit]) -> None:
        if self.publication is None:
            return
        for edit in edits:
            if self.build is not None:
                self.build.note(edit.id, edit.old, edit.new)
            try:
                self.publication.replace(edit.old, edit.new)
            except TableFull:
                self._grow()
                self.publication.replace(edit.old, edit.new)

    def _grow(self) -> None:
        assert self.publication is not None  # noqa: S101  # only _publish calls, after checking
        self.generation += 1
        larger = self.publication.grown(self.generation)
        larger.table.complete()
        self.switch_to(larger)

    def _remember(self, edit: Edit) -> None:
        if edit.old is not None:
            self.sources.pop(edit.old.body.source, None)
        if edit.new is not None:
            self.sources[edit.new.body.source] = edit.id
