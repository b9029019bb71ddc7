"""The custodian's half of the audit: what workers have written becomes the chain, and notices.

The order of a renewal, which every epoch change makes when its intent is durable (keys/epoch.py):

    what is removed has left the table      Custody.commit
    the new answer key is announced         every worker that runs confirms; all pass
    segments are taken in                   what was sealed under the former key opens for the last
                                            time; authorities' notices are stored
    the former key is forgotten             then the epoch changes

Invariants:

* A worker probes the table and seals the answer in one turn: what was sealed under the new key was
  looked up in a table that had lost what is removed.
* What was sealed under a key that a crash took away is found by witnesses against the links that
  live, in idle moments; until then `told` stays before it.
* `told` is stored in one commit with the notices that it stands for: every row is told of once.
* Nothing here names a child; accesses of a record that is being removed are not told any more.
"""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from crypto.aead import InvalidCiphertext
from crypto.audit import AnswerKey, GroupOpener, WitnessFinder, WitnessMaker
from keys.entry import Entry, EntryId, Kind, Put
from keys.errors import PageDamaged
from keys.vault import Vault
from lookup.audit.entry import SCHEDULED, find_witness, open_answers, parse_entry
from lookup.audit.entry import Entry as AuditEntry
from lookup.audit.errors import InvalidEntry, InvalidSegment
from lookup.audit.segment import open_header, parse_header, split_group
from lookup.custodian.audit.alarms import Alarms
from lookup.custodian.audit.audit_keys import AuditKeys
from lookup.custodian.audit.handles import Handles
from lookup.custodian.audit.intake import Intake, Taken
from lookup.custodian.audit.notices import VISIT_SIZE, Notice, Notices
from lookup.custodian.audit.own_segment import OwnSegment, entry_of
from lookup.custodian.clients import entry_id_of
from lookup.custodian.records.record import Body, Kept, Record, decode_body
from lookup.custodian.store.chain import AuditChain, Row
from lookup.handoff import Audit
from lookup.officers.roles import Officer

INTAKE_SECONDS: Final = 1.0
NOTICE_SECONDS: Final = 60.0
# A notice's number: the row of the chain, and the place among its notices.
_PLACES: Final = 24
# Entries that a crash left to be found by witnesses, each against every live link at 4 us: at a
# million links, each of them takes four seconds of idle moments.
_MOST_UNOPENED: Final = 10_000
_AT_ONCE: Final = 50
_STEP_SECONDS: Final = 0.01


class GroupUnreadable(Exception):
    """A row's segment is lost or damaged, or the row itself is: its entries cannot be read."""


class Groups:
    """Opens rows of the chain; a segment's key is unwrapped once while its rows come in turn."""

    _MOST_OPENERS: Final = 256

    def __init__(self, vault: Vault, keys: AuditKeys, chain: AuditChain) -> None:
        self._vault = vault
        self._keys = keys
        self._chain = chain
        self._openers: dict[bytes, GroupOpener] = {}

    def entries(self, row: Row) -> list[AuditEntry]:
        """Return a row's entries; a gap has none. Raises GroupUnreadable."""
        try:
            return [parse_entry(entry) for entry in self.encoded(row)]
        except InvalidEntry:
            raise GroupUnreadable from None

    def encoded(self, row: Row) -> list[bytes]:
        """Return a row's entries as they were written. Raises GroupUnreadable."""
        if row.is_gap:
            return []
        try:
            return split_group(self._opener(row.segment), row.number, row.sealed)
        except (InvalidCiphertext, InvalidSegment):
            raise GroupUnreadable from None

    def _opener(self, segment: bytes) -> GroupOpener:
        opener = self._openers.get(segment)
        if opener is None:
            header = parse_header(self._chain.header(segment) or b"")
            opener = open_header(header, self._keys.audit, self._vault.id)
            if len(self._openers) >= self._MOST_OPENERS:
                self._openers.clear()
            self._openers[segment] = opener
        return opener


@dataclass(slots=True)
class _Unopened:
    """An entry whose answers do not open, and which links its witnesses have shown so far."""

    row: int
    entry: AuditEntry
    found: list[list[bytes]]


@dataclass(frozen=True, slots=True)
class Known:
    """What entries may speak of: clients and officers of now, and records that are nobody's."""

    is_client: Callable[[EntryId], bool]
    is_officer: Callable[[EntryId], bool]
    is_honey: Callable[[Body], bool]


class Auditing:
    """The audit of one vault. For the writer thread; `alarms` may be read by any."""

    def __init__(
        self,
        vault: Vault,
        chain: AuditChain,
        folder: Path,
        known: Known,
    ) -> None:
        self.alarms = Alarms()
        self.handles = Handles()
        self.chain = chain
        self._vault = vault
        self._folder = folder
        self._known = known
        self.keys = AuditKeys.load(vault)
        self.groups = Groups(vault, self.keys, chain)
        self.notices = Notices(vault)
        self._own = OwnSegment(vault.id, self.keys, int(time.time()))
        self._former = [AnswerKey(e.body) for e in vault.former if e.kind is Kind.ANSWER_KEY]
        self.witnesses = WitnessMaker(self.keys.witness)
        self._intake = Intake(folder, vault, self.keys.audit, chain, self.alarms)
        self._heard = 0
        self._number = 0
        self._unopened: list[_Unopened] = []
        self._leaf = 0
        self.delivered = 0
        now = time.monotonic()
        self._intake_due, self._notices_due = now, now + NOTICE_SECONDS

    def handed_out(self, *, demo: bool) -> Audit:
        """Return what workers are told of the audit."""
        return self.keys.handed_out(self._folder, demo=demo)

    def begin(self) -> None:
        """Go on where the last custodian was cut off. The handles of all records are noted."""
        self.handles.sort()
        self._number = self.notices.load()
        self._heard = min(self.keys.told, self.chain.mark().row)
        for row in self.chain.walk(self._heard):
            try:
                entries = self.groups.entries(row)
            except GroupUnreadable:
                self.alarms.find_damage(f"row {row.row} of the audit chain does not open")
                entries = []
            self._hear(row.row, entries)
        self.take_in()
        self._store_notices()
        self._former = []

    def renew(self, renewed: Iterable[Entry], pass_all: Callable[[], None]) -> None:
        """Change the answer key, in the order that the module's docstring gives.

        `pass_all` announces the new key, and returns when no answer is on its way that was begun
        before, and so might name what is removed.
        """
        for entry in renewed:
            if entry.kind is Kind.ANSWER_KEY:
                self._former.append(self.keys.answer)
                self.keys = self.keys.with_answer(entry)
        pass_all()
        self.take_in()
        self._store_notices()
        self._former = []

    def finder(self, handles: Iterable[bytes]) -> WitnessFinder:
        """Return what finds the entries that were answered with these links."""
        return WitnessFinder(self.keys.witness, list(handles))

    def note_read(self, officer: Officer, record: Record) -> None:
        """An officer reads a whole record; return when that is durable. A failure ends the vault.

        Its authority is not told: whoever reads here acts for it.
        """
        handles = [link.handle for link in record.body.links]
        entry = entry_of(self.keys, officer, handles, time.time())
        try:
            mark = self.chain.append({self._own.id: self._own.header}, [self._own.group(entry)])
            self._vault.note_audit(mark)
        except BaseException:
            self._vault.stop()
            raise
        if self._heard == mark.row - 1:
            self._heard = self.alarms.rows = mark.row

    def take_in(self) -> None:
        """Take in all that workers have made durable by now. A failure stops the vault."""
        self.alarms.taken_in = time.monotonic()
        self._intake_due = self.alarms.taken_in + INTAKE_SECONDS
        try:
            for taken in self._intake.take():
                self._hear(taken.row, self._parse(taken))
        except BaseException:
            self._vault.stop()  # what is durable, and what was heard of it, are two things now
            raise

    @property
    def is_due(self) -> bool:
        """Say whether segments should be taken in now, however busy the custodian is."""
        return time.monotonic() >= self._intake_due

    def use_idle_moment(self) -> None:
        """Do what is due, and a little of what a crash left."""
        now = time.monotonic()
        if now >= self._intake_due:
            self.take_in()
        self._resolve_some()
        if now >= self._notices_due:
            self._store_notices()

    def flush(self) -> None:
        """Take in what there is, and store the notices of it.

        A feed that is read all the time leaves no idle moment, so this counts as one.
        """
        self.take_in()
        self._resolve_some()
        self._store_notices()

    def note(self, record_id: EntryId, links: Iterable[Kept]) -> None:
        """Hear of a record's links, at start and when they are new."""
        leaf = self._vault.leaf_of(record_id)
        for link in links:
            self.handles.note(link.handle, leaf)

    def forget_links(self, links: Iterable[Kept]) -> None:
        """Forget links that are gone."""
        for link in links:
            self.handles.forget(link.handle)

    def forget_records(self, records: Collection[Record]) -> None:
        """Forget records that are being removed, and accesses of them: nobody is told any more."""
        for record in records:
            self.forget_links(record.body.links)
        self.notices.forget({bytes(record.id) for record in records})

    def _parse(self, taken: Taken) -> list[AuditEntry]:
        entries = []
        for encoded in taken.entries:
            try:
                entries.append(parse_entry(encoded))
            except InvalidEntry as error:
                self.alarms.find_damage(f"an audit entry is none: {error}")
        return entries

    def _hear(self, row: int, entries: Iterable[AuditEntry]) -> None:
        """Learn from the entries of a row what has to be told, and what looks wrong."""
        self._heard = self.alarms.rows = row
        untold = 0
        for entry in entries:
            handles = self._open(entry)
            if handles is not None:
                self._learn(entry, handles)
            elif len(self._unopened) < _MOST_UNOPENED:
                self._unopened.append(_Unopened(row, entry, [[] for _ in range(entry.n)]))
            else:
                untold += 1
        if untold:
            self.alarms.leave_untold(untold)

    def _open(self, entry: AuditEntry) -> list[list[bytes]] | None:
        for key in (self.keys.answer, *reversed(self._former)):
            try:
                return open_answers(entry, key)
            except InvalidCiphertext:
                continue
        return None

    def _learn(self, entry: AuditEntry, handles: list[list[bytes]]) -> None:
        head = entry.head
        if self._known.is_officer(entry_id_of(head.client)):
            return
        enrolled = self._known.is_client(entry_id_of(head.client))
        client = head.client.hex() if enrolled else "unknown"
        known = sum(1 for answered in handles if answered)
        self.alarms.count(client, head.time // 1_000_000, entry.n, known)
        for handle in {handle for answered in handles for handle in answered}:
            found = self._find(handle)
            if found is None:
                continue  # it is gone since, or the canary's
            record_id, body = found
            if self._known.is_honey(body):
                self.alarms.touch_honey(client)
            elif head.purpose != SCHEDULED:
                self._tell(record_id, entry)

    def _tell(self, record_id: EntryId, entry: AuditEntry) -> None:
        head = entry.head
        visit = blake2b(
            record_id + head.client + (head.encounter or entry.id),
            key=self.keys.witness.expose(),
            person=b"lacuna/visit",
            digest_size=VISIT_SIZE,
        ).digest()
        self._number = max(self._number + 1, self._heard << _PLACES)
        notice = Notice(
            number=self._number,
            record=record_id,
            visit=visit,
            time=head.time // 1_000_000,
            client=head.client,
            purpose=head.purpose,
            user=head.user.decode(),
            role=head.role.decode(),
        )
        if not self.notices.add(notice):
            self.alarms.leave_untold(1)

    def _find(self, handle: bytes) -> tuple[EntryId, Body] | None:
        """Return the record that has a link of this handle, or None."""
        for leaf in self.handles.leaves_of(handle):
            for record_id, encoded in self._records_in(leaf):
                if handle in encoded:
                    body = decode_body(encoded)
                    if any(link.handle == handle for link in body.links):
                        return record_id, body
        return None

    def _records_in(self, leaf: int) -> list[tuple[EntryId, bytes]]:
        """Return id and body of the records in a leaf; none of one that waits for a restore."""
        try:
            return self._vault.scan_bodies(Kind.RECORD, range(leaf, leaf + 1))
        except PageDamaged:
            return []

    def _store_notices(self) -> None:
        """Store what waits, and how far that goes; a batch of nothing where nobody was known."""
        self._notices_due = time.monotonic() + NOTICE_SECONDS
        told = min([self._heard, *(unopened.row - 1 for unopened in self._unopened)])
        if told != self.keys.told or self.notices.waiting:
            keys = self.keys.with_told(told)
            self.notices.store((Put(keys.entry),))
            self.keys = keys

    def _resolve_some(self) -> None:
        """Compare some entries that do not open with some live links."""
        some = self._unopened[:_AT_ONCE]
        if not some:
            return
        until = time.monotonic() + _STEP_SECONDS
        while self._leaf < self._vault.leaves and time.monotonic() < until:
            for _, encoded in self._records_in(self._leaf):
                for link in decode_body(encoded).links:
                    for unopened in some:
                        for at in find_witness(unopened.entry, link.handle, self.witnesses):
                            unopened.found[at].append(link.handle)
            self._leaf += 1
        if self._leaf == self._vault.leaves:
            self._leaf = 0
            del self._unopened[:_AT_ONCE]
            for unopened in some:
                self._learn(unopened.entry, unopened.found)
