"""A case, as the map keeps it: its keys, what it says, and its steps with their signatures.

    Kind.CASE    case key, salt, opening key; its version is the revision of its newest content
    Kind.STEP    one step with its signature, and when it was taken; in the same leaf as its case
    blob         the content of each revision, sealed under the case key, named by an id that this
                 site has drawn (a case's own id is its requester's choice) and the revision

Invariants:

* A step is added and never changed: a case is its steps. All of a case leaves in one epoch change,
  with the records that it names.
* Of each step the log holds a commitment, which opens with the case's salt: while the case is there
  an auditor can compare, and afterwards nobody can tell what it was about.
"""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from crypto.aead import InvalidCiphertext
from crypto.commitment import Nonce, commit, committed_leaf
from crypto.encoding import encode
from crypto.record import Dek, seal_payload, unseal_payload
from crypto.sshsig import Signature
from keys.entry import ID_SIZE, Batch, Entry, EntryId, Kind, Remove, new_entry_id
from keys.pages import BlobChange
from keys.vault import Vault
from lookup.cases.content import Content, InvalidContent, parse_content
from lookup.cases.machine import stand
from lookup.cases.standing import Moment, Standing, Taken
from lookup.cases.step import Step, digest_of, nonce_of, parse_details
from lookup.custodian.officers import Office
from lookup.custodian.store.pages import Store
from lookup.officers.roles import Act, OfficerId

_OPENING: Final = b"lacuna/record-opening/v1"
# The first bytes of an id decide the leaf: those of a case and its steps lie in one.
_TOGETHER: Final = 2


class _CaseBody(msgspec.Struct, array_like=True):
    key: bytes
    blob: bytes
    salt: bytes
    opening_key: bytes
    certificate: bytes
    records: list[bytes]


_HOLDING: Final = frozenset({Act.HOLD, Act.RELEASE, Act.WITHDRAW, Act.REVIEW})


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
    entry_id = in_leaf_of(case.id, new_entry_id(Kind.STEP))
    return Signed(Taken(step, at), signature, entry_id)


def in_leaf_of(case_id: EntryId, drawn: EntryId) -> EntryId:
    """Return an id that was drawn, as one of the leaf that a case lies in."""
    return EntryId(case_id[:_TOGETHER] + drawn[_TOGETHER:])


def escalation(case: Case, office: Office, vault: Vault, reason: str, at: Moment) -> Signed:
    """Return the site's own step: what was signed is no longer the whole picture."""
    step = _own_step(case, office, vault, Act.ESCALATE)
    return new_step(case, replace(step, details={"reason": reason}), b"", at)


def recall(case: Case, office: Office, vault: Vault, recipients: int, at: Moment) -> Signed:
    """Return the site's own step: so many recipients of answers are being told."""
    step = _own_step(case, office, vault, Act.RECALL)
    return new_step(case, replace(step, details={"recipients": recipients}), b"", at)


def take_back(case: Case, office: Office, vault: Vault, at: Moment) -> Signed:
    """Return the site's own step: what was recalled is kept, and answered again."""
    return new_step(case, _own_step(case, office, vault, Act.TAKE_BACK), b"", at)


def _own_step(case: Case, office: Office, vault: Vault, act: Act) -> Step:
    last, digest = case.last, case.digest(case.stand(office).revision)
    return Step(vault.id, case.id, last.number + 1, last.hash(), digest, None, act)


@dataclass(frozen=True, slots=True)
class LostCase:
    """A case whose content was lost with a store; it leaves with its records all the same.

    Its steps are there: a legal hold that was not released keeps what it names.
    """

    id: EntryId
    blob: EntryId
    record_ids: frozenset[EntryId]
    signed: tuple[Signed, ...]

    @property
    def hold(self) -> Signed | None:
        """The step that holds it, if one does."""
        last = [each for each in self.signed if each.step.act in _HOLDING][-1:]
        return last[0] if last and last[0].step.act is Act.HOLD else None

    @property
    def revisions(self) -> list[int]:
        """The numbers of the steps that brought a content."""
        return _revisions(self.signed)


def _revisions(signed: Iterable[Signed]) -> list[int]:
    return [each.step.number for each in signed if each.step.act in {Act.OPEN, Act.AMEND}]


def removal(case: Case | LostCase) -> tuple[Batch, BlobChange]:
    """Return what takes a case out of map and store."""
    batch = (
        Remove(Kind.CASE, case.id),
        *(Remove(Kind.STEP, each.entry_id) for each in case.signed),
    )
    return batch, BlobChange(delete=tuple((case.blob, revision) for revision in case.revisions))


def read_case(vault: Vault, store: Store, entry: Entry, taken: list[Signed]) -> "Case | LostCase":
    """Return the case of an entry with its steps; a lost one where its content does not open."""
    body = msgspec.msgpack.decode(entry.body, type=_CaseBody)
    key, name = Dek(body.key), EntryId(body.blob)
    blob = store.blob(name, entry.version)
    try:
        # What was lost opens no better than what was damaged.
        opened = unseal_payload(key, blob or b"", vault.id, name, entry.version)
        content = parse_content(opened)
    except (InvalidCiphertext, InvalidContent):
        ids = frozenset(map(EntryId, body.records))
        return LostCase(entry.id, name, ids, tuple(taken))
    certificate = EntryId(body.certificate)
    return Case(entry.id, key, name, body.salt, body.opening_key, certificate, content, taken)


def content_name(entry: Entry) -> tuple[EntryId, int]:
    """Return id and version of the blob that the newest content of a case's entry is."""
    body = msgspec.msgpack.decode(entry.body, type=_CaseBody)
    return EntryId(body.blob), entry.version


def read_step(vault: Vault, entry: Entry) -> Signed:
    """Return the step of an entry."""
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
