"""The docket: the cases of a site, as the map keeps them and as they stand in memory.

    Kind.CASE    case key, salt, opening key; its version is the revision of its newest content
    Kind.STEP    one step with its signature, and when it was taken; in the same leaf as its case
    blob         the content of each revision, sealed under the case key, named by an id that this
                 site has drawn (a case's own id is its requester's choice) and the revision

Invariants:

* A step is added and never changed: a case is its steps. All of a case leaves in one epoch change,
  with the records that it names or, where it was refused or withdrawn, after its keeping.
* Of each step the log holds a commitment, which opens with the case's salt: while the case is there
  an auditor can compare, and afterwards nobody can tell what it was about.
* `by_record` and `watched` are read from the map at start and kept in step with it.
* What is asked every second, or with every commit, does not grow with the number of cases that are
  neither restricted nor due: standings and clocks are kept until a step changes them.
"""

import hmac
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, TypeVar

import msgspec

from crypto.aead import InvalidCiphertext
from crypto.commitment import Nonce, commit, committed_leaf
from crypto.encoding import encode
from crypto.record import Dek, seal_payload, unseal_payload
from crypto.sshsig import Signature
from keys.entry import ID_SIZE, Batch, Entry, EntryId, Kind, Remove, new_entry_id
from keys.errors import PageDamaged
from keys.pages import BlobChange
from keys.vault import Vault
from lookup.cases.clock import Clock
from lookup.cases.content import Content, InvalidContent, parse_content
from lookup.cases.machine import stand
from lookup.cases.standing import Moment, Standing, Taken
from lookup.cases.step import Step, digest_of, nonce_of, parse_details
from lookup.cases.supporting import clock_of
from lookup.custodian.officers import Office
from lookup.custodian.store.pages import Store
from lookup.officers.roles import Act, OfficerId

_OPENING: Final = b"lacuna/record-opening/v1"
# The first bytes of an id decide the leaf: those of a case and its steps lie in one.
_TOGETHER: Final = 2

Named = tuple[str, str]
T = TypeVar("T")


class _CaseBody(msgspec.Struct, array_like=True):
    key: bytes
    blob: bytes
    salt: bytes
    opening_key: bytes
    certificate: bytes
    records: list[bytes]


class _StepBody(msgspec.Struct, array_like=True):
    case: bytes
    number: int
    after: bytes
    digest: bytes
    officer: bytes
    act: Act
    details: bytes
    signature: bytes
    elapsed: int
    time: int


@dataclass(frozen=True, slots=True)
class Signed:
    """A step as it was taken, with its signature; empty: the site's own."""

    taken: Taken
    signature: bytes
    entry_id: EntryId

    @property
    def step(self) -> Step:
        """The step alone."""
        return self.taken.step

    def entry(self) -> Entry:
        """Return the step as the map keeps it."""
        step, at = self.step, self.taken.at
        body = _StepBody(
            step.case,
            step.number,
            step.after,
            step.digest,
            step.officer or b"",
            step.act,
            msgspec.json.encode(dict(step.details)),
            self.signature,
            at.elapsed,
            at.time,
        )
        return Entry(Kind.STEP, self.entry_id, msgspec.msgpack.encode(body))


@dataclass(slots=True, repr=False)
class Case:
    """One case."""

    id: EntryId
    key: Dek
    blob: EntryId
    salt: bytes
    opening_key: bytes
    certificate: EntryId
    content: Content
    signed: list[Signed] = field(default_factory=list)

    @property
    def record_ids(self) -> tuple[EntryId, ...]:
        """The records that it would destroy."""
        return tuple(EntryId(each) for each in self.content.record_ids)

    @property
    def steps(self) -> list[Taken]:
        """Its steps, in order."""
        return [each.taken for each in self.signed]

    @property
    def last(self) -> Step:
        """Its last step."""
        return self.signed[-1].step

    @property
    def revisions(self) -> list[int]:
        """The numbers of the steps that brought a content."""
        return _revisions(self.signed)

    def stand(self, office: Office) -> Standing:
        """Return where it stands, by the officers and rules of now."""
        rules = office.governance.of(self.content.authority).rules
        return stand(self.steps, self.content.terms, office.officers, rules)

    def digest(self, revision: int, content: bytes | None = None) -> bytes:
        """Return its digest as of a revision."""
        return digest_of(self.salt, self.id, revision, content or self.content.encode())

    def nonce(self, record_id: EntryId) -> Nonce:
        """Return what opens the commitment to a record, on the certificate to come."""
        return Nonce(hmac.digest(self.opening_key, encode(_OPENING, record_id), "sha256"))

    def entry(self, revision: int) -> Entry:
        """Return the case as the map keeps it, with the content of a revision."""
        body = _CaseBody(
            self.key.expose(),
            self.blob,
            self.salt,
            self.opening_key,
            self.certificate,
            list(self.record_ids),
        )
        return Entry(Kind.CASE, self.id, msgspec.msgpack.encode(body), revision)

    def commitment(self, signed: Signed) -> tuple[Nonce, bytes]:
        """Return what opens a step's commitment in the log, and what was committed to."""
        nonce = Nonce(nonce_of(self.salt, signed.step.number))
        return nonce, encode(signed.step.text().encode(), signed.signature)

    def without(self, gone: frozenset[str]) -> "Case":
        """Return the case as it no longer lists these records among the others of the child.

        It has another key and another blob: no copy of what it said before opens any more.
        """
        others = [each for each in self.content.others if each not in gone]
        return replace(
            self,
            key=Dek.generate(),
            blob=EntryId(secrets.token_bytes(ID_SIZE)),
            content=msgspec.structs.replace(self.content, others=others),
        )

    def become(self, other: "Case") -> None:
        """Say what another version of this case says."""
        self.key, self.blob, self.content = other.key, other.blob, other.content

    def leaf(self, signed: Signed) -> bytes:
        """Return a step's leaf of the log."""
        return committed_leaf(commit(*self.commitment(signed)))

    def sealed(self, vault: Vault, revision: int, content: bytes) -> BlobChange:
        """Return the blob of a revision's content."""
        blob = seal_payload(self.key, content, vault.id, self.blob, revision)
        return BlobChange(put=((self.blob, revision, blob),))


def new_step(case: Case, step: Step, signature: bytes, now: Moment) -> Signed:
    """Return a step that is about to be taken; a case's times never go back."""
    at = Moment(now.elapsed, max(now.time, case.signed[-1].taken.at.time if case.signed else 0))
    entry_id = EntryId(case.id[:_TOGETHER] + new_entry_id(Kind.STEP)[_TOGETHER:])
    return Signed(Taken(step, at), signature, entry_id)


def escalation(case: Case, office: Office, vault: Vault, reason: str, at: Moment) -> Signed:
    """Return the site's own step: what was signed is no longer the whole picture."""
    last = case.last
    number = last.number + 1
    revision = case.stand(office).revision
    step = Step(
        vault.id,
        case.id,
        number,
        last.hash(),
        case.digest(revision),
        None,
        Act.ESCALATE,
        {"reason": reason},
    )
    return new_step(case, step, b"", at)


@dataclass(slots=True)
class Docket:
    """All cases of a site."""

    office: Office
    cases: dict[EntryId, Case] = field(default_factory=dict)
    by_record: dict[EntryId, set[EntryId]] = field(default_factory=dict)
    watched: dict[Named, set[EntryId]] = field(default_factory=dict)
    lost: list["LostCase"] = field(default_factory=list)
    damaged: bool = False  # pages with cases open nowhere: none is known, none may be opened
    _standings: dict[EntryId, Standing] = field(default_factory=dict)
    _clocks: dict[EntryId, tuple[date, Clock]] = field(default_factory=dict)
    _names: dict[EntryId, tuple[Named, ...]] = field(default_factory=dict)
    _restricted: set[EntryId] = field(default_factory=set)  # that were, or are
    _lookouts: list["Lookout"] = field(default_factory=list)

    def add(self, case: Case, names: Iterable[Named]) -> None:
        """Take a case in; `names` are the identifiers of its records."""
        self.cases[case.id] = case
        for record_id in case.record_ids:
            self.by_record.setdefault(record_id, set()).add(case.id)
        self._names[case.id] = tuple(set(names))
        for name in self._names[case.id]:
            self.watched.setdefault(name, set()).add(case.id)
        for signed in case.signed:
            self._note(signed)

    def watch(self, record_id: EntryId, names: Iterable[Named]) -> None:
        """Hear which children a record names from now on; its cases look out for all of them."""
        for case_id in self.by_record.get(record_id, ()):
            new = set(names) - set(self._names[case_id])
            self._names[case_id] += tuple(new)
            for name in new:
                self.watched.setdefault(name, set()).add(case_id)

    def remove(self, case_id: EntryId) -> None:
        """Forget a case."""
        case = self.cases.pop(case_id)
        self._standings.pop(case_id, None)
        self._clocks.pop(case_id, None)
        self._restricted.discard(case_id)
        for record_id in case.record_ids:
            _discard(self.by_record, record_id, case_id)
        for name in self._names.pop(case_id):
            _discard(self.watched, name, case_id)

    def take(self, signed: Signed) -> None:
        """Hear of a step that is durable."""
        self.cases[EntryId(signed.step.case)].signed.append(signed)
        self._note(signed)

    def _note(self, signed: Signed) -> None:
        case_id = EntryId(signed.step.case)
        self._standings.pop(case_id, None)
        self._clocks.pop(case_id, None)
        if signed.step.act is Act.RESTRICT:
            self._restricted.add(case_id)

    def leaves(self, signed: Iterable[Signed]) -> tuple[bytes, ...]:
        """Return what the log is told of steps."""
        return tuple(self.cases[EntryId(each.step.case)].leaf(each) for each in signed)

    def rules_changed(self) -> None:
        """Hear that officers or rules are not what they were: every case may stand elsewhere."""
        self._standings.clear()

    def standing(self, case: Case) -> Standing:
        """Return where a case stands now."""
        found = self._standings.get(case.id)
        if found is None:
            found = self._standings[case.id] = case.stand(self.office)
        return found

    def open_case_of(self, record_id: EntryId) -> Case | None:
        """Return the open case that names a record, or None. There is at most one."""
        for case_id in self.by_record.get(record_id, ()):
            if self.standing(self.cases[case_id]).is_open:
                return self.cases[case_id]
        return None

    def clock(self, case: Case, today: date) -> Clock:
        """Return how the time of Art 12(3) stands for a case."""
        found = self._clocks.get(case.id)
        if found is None or found[0] != today:
            clock = clock_of(case.content, case.steps, today)
            found = self._clocks[case.id] = today, clock
        return found[1]

    def look_out(self, names: frozenset[Named]) -> "Lookout":
        """Note whether a record of these identifiers is added, until `stop_looking`."""
        lookout = Lookout(names)
        self._lookouts.append(lookout)
        return lookout

    def stop_looking(self, lookout: "Lookout") -> None:
        """End a lookout."""
        self._lookouts.remove(lookout)

    def watching(self, names: Collection[Named]) -> list[Case]:
        """Return the open cases of children whom a record that comes now names, too."""
        for lookout in self._lookouts:
            lookout.seen = lookout.seen or not lookout.names.isdisjoint(names)
        ids = {case_id for name in names for case_id in self.watched.get(name, ())}
        cases = (self.cases[case_id] for case_id in sorted(ids))
        return [case for case in cases if self.standing(case).is_open]

    def hidden(self, now: Moment) -> frozenset[EntryId]:
        """Return the records that are not answered although they protect a child."""
        return frozenset(
            record_id
            for case in map(self.cases.__getitem__, self._restricted)
            if self.standing(case).hides(now)
            for record_id in case.record_ids
        )

    def due(self, now: Moment) -> list[Case]:
        """Return the cases that are to be carried out."""
        return [case for case in self.cases.values() if self.standing(case).is_due(now)]

    def listing(self, record_ids: Collection[EntryId]) -> list[Case]:
        """Return every case that lists one of these records among the others of its child."""
        gone = {each.hex() for each in record_ids}
        return [case for case in self.cases.values() if not gone.isdisjoint(case.content.others)]

    def naming(self, record_ids: Iterable[EntryId]) -> list[Case]:
        """Return every case, open or not, that names one of these records."""
        ids = {case_id for each in record_ids for case_id in self.by_record.get(each, ())}
        return [self.cases[case_id] for case_id in sorted(ids)]


@dataclass(frozen=True, slots=True)
class LostCase:
    """A case whose content was lost with a store; it leaves with its records all the same."""

    id: EntryId
    blob: EntryId
    record_ids: frozenset[EntryId]
    signed: tuple[Signed, ...]

    @property
    def revisions(self) -> list[int]:
        """The numbers of the steps that brought a content."""
        return _revisions(self.signed)


@dataclass(slots=True, eq=False)
class Lookout:
    """Whether a record of these identifiers was added while somebody walked over the vault."""

    names: frozenset[Named]
    seen: bool = False


def _revisions(signed: Iterable[Signed]) -> list[int]:
    return [each.step.number for each in signed if each.step.act in {Act.OPEN, Act.AMEND}]


def removal(case: Case | LostCase) -> tuple[Batch, BlobChange]:
    """Return what takes a case out of map and store."""
    batch = (
        Remove(Kind.CASE, case.id),
        *(Remove(Kind.STEP, each.entry_id) for each in case.signed),
    )
    return batch, BlobChange(delete=tuple((case.blob, revision) for revision in case.revisions))


def load_docket(
    vault: Vault, store: Store, office: Office, names_of: Callable[[EntryId], Sequence[Named]]
) -> Docket:
    """Read a vault's cases; `names_of` tells a record's identifiers.

    A case whose content was lost with a store is left aside: it hides and destroys nothing. Where
    pages are damaged all are, until a restore: hospitals are told what they would be without cases.
    """
    try:
        steps, entries = list(vault.scan(Kind.STEP)), list(vault.scan(Kind.CASE))
    except PageDamaged:
        return Docket(office, damaged=True)
    signed: dict[bytes, list[Signed]] = {}
    for step in steps:
        found = _read_step(vault, step)
        signed.setdefault(found.step.case, []).append(found)
    docket = Docket(office)
    for entry in entries:
        taken = sorted(signed[entry.id], key=lambda each: each.step.number)
        body = msgspec.msgpack.decode(entry.body, type=_CaseBody)
        case = _read_case(vault, store, entry, body)
        if case is None:
            ids = frozenset(map(EntryId, body.records))
            docket.lost.append(LostCase(entry.id, EntryId(body.blob), ids, tuple(taken)))
            continue
        case.signed = taken
        docket.add(case, [name for each in case.record_ids for name in names_of(each)])
    return docket


def _read_case(vault: Vault, store: Store, entry: Entry, body: _CaseBody) -> Case | None:
    key, name = Dek(body.key), EntryId(body.blob)
    blob = store.blob(name, entry.version)
    if blob is None:
        return None
    try:
        content = parse_content(unseal_payload(key, blob, vault.id, name, entry.version))
    except (InvalidCiphertext, InvalidContent):
        return None
    certificate = EntryId(body.certificate)
    return Case(entry.id, key, name, body.salt, body.opening_key, certificate, content)


def _read_step(vault: Vault, entry: Entry) -> Signed:
    body = msgspec.msgpack.decode(entry.body, type=_StepBody)
    step = Step(
        vault.id,
        body.case,
        body.number,
        body.after,
        body.digest,
        OfficerId(body.officer) if body.officer else None,
        body.act,
        parse_details(body.act, body.details),
    )
    taken = Taken(step, Moment(body.elapsed, body.time))
    return Signed(taken, Signature(body.signature), entry.id)


def _discard(index: dict[T, set[EntryId]], name: T, case_id: EntryId) -> None:
    found = index.get(name, set())
    found.discard(case_id)
    if not found:
        index.pop(name, None)
