"""What the sweep goes by: standing approvals, and the lists of what is to be destroyed.

    Kind.SWEEP   an approval: the classes' digest, the cap a night, who approved, and how many were
                 destroyed since when
                 or a list: key and name of its blob, authority, approval, when it was made
    blob         the ids of a list's records, sealed under the list's key

Invariants:

* An approval is in force as long as it would be made anew: it is of the classes in force, and as
  many of those who signed it as the strictest rules ask for are officers yet who may.
* A list is of one authority and one approval, and is void as soon as that is not the approval in
  force any more. What was on it may be listed anew, and waits anew.
* A list is ripe when it is WAIT old by both clocks: seconds that the site has run, which nobody can
  set, and the wall's. One from the wall's future is void.
* The cap counts in seconds that the site has run, over starts: what was destroyed stands in the
  approval's entry, and is written in the transaction that destroys.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from crypto.aead import InvalidCiphertext
from crypto.record import Dek, seal_payload, unseal_payload
from crypto.sshsig import fingerprint
from keys.entry import ID_SIZE, Batch, Entry, EntryId, Kind, Remove, new_entry_id
from keys.pages import BlobChange
from keys.vault import Vault
from lookup.cases.standing import DAY, Moment
from lookup.custodian.officers import MAX_OFFICERS, Office
from lookup.custodian.store.pages import Store
from lookup.officers.roles import Act
from lookup.retention.classes import Classes

WAIT_DAYS: Final = 7
WAIT: Final = WAIT_DAYS * DAY
MOST_ON_A_LIST: Final = 256  # what one epoch change destroys: a list leaves in one


_fingerprint = lru_cache(maxsize=MAX_OFFICERS)(fingerprint)


class _ApprovalBody(msgspec.Struct, array_like=True, tag=1):
    policy: bytes
    version: int
    cap: int
    authority: str | None
    proposed: int
    approved: int
    approvals: list[tuple[str, str]]
    since: int
    destroyed: int


class _ListBody(msgspec.Struct, array_like=True, tag=2):
    key: bytes
    blob: bytes
    authority: str
    approval: bytes
    elapsed: int
    time: int


_decode: Final = msgspec.msgpack.Decoder(_ApprovalBody | _ListBody).decode


@dataclass(frozen=True, slots=True)
class StandingApproval:
    """Officers let what is due by these classes be swept. `since` is when the night began.

    `approvals` are role and fingerprint of those who approved, for certificates.
    """

    id: EntryId
    policy: bytes
    version: int
    cap: int
    authority: str | None
    proposed: int
    approved: int
    approvals: tuple[tuple[str, str], ...]
    since: int = 0
    destroyed: int = 0

    def is_in_force(self, classes: Classes, office: Office) -> bool:
        """Say whether it is of these classes, and as many who approved it may do so yet."""
        keys = {
            _fingerprint(each.key)
            for each in office.officers.values()
            if each.may(Act.APPROVE_PROPOSAL) and each.authority in {None, self.authority}
        }
        counting = sum(key in keys for _, key in self.approvals)
        return self.policy == classes.policy and counting >= office.governance.strictest

    def left(self, now: Moment) -> int:
        """Return how many records may be destroyed tonight yet."""
        return self.cap - (self.destroyed if now.elapsed - self.since < DAY else 0)

    def counting(self, now: Moment, destroyed: int) -> "StandingApproval":
        """Return the approval after so many more were destroyed."""
        if now.elapsed - self.since >= DAY:
            return replace(self, since=now.elapsed, destroyed=destroyed)
        return replace(self, destroyed=self.destroyed + destroyed)

    def entry(self) -> Entry:
        """Return the approval as the map keeps it."""
        body = _ApprovalBody(
            self.policy,
            self.version,
            self.cap,
            self.authority,
            self.proposed,
            self.approved,
            list(self.approvals),
            self.since,
            self.destroyed,
        )
        return Entry(Kind.SWEEP, self.id, msgspec.msgpack.encode(body))


@dataclass(frozen=True, slots=True)
class SweepList:
    """Records of one authority that are to be destroyed, a week after they were listed."""

    id: EntryId
    key: Dek
    blob: EntryId
    authority: str
    approval: EntryId
    at: Moment
    record_ids: tuple[EntryId, ...]

    def is_ripe(self, now: Moment) -> bool:
        """Say whether it has waited long enough, by both clocks."""
        return now.elapsed - self.at.elapsed >= WAIT and now.time - self.at.time >= WAIT

    def removal(self) -> tuple[Batch, BlobChange]:
        """Return what takes it out of map and store."""
        return (Remove(Kind.SWEEP, self.id),), BlobChange(delete=((self.blob, 1),))

    def entry(self) -> Entry:
        """Return the list as the map keeps it."""
        body = _ListBody(
            self.key.expose(),
            self.blob,
            self.authority,
            self.approval,
            self.at.elapsed,
            self.at.time,
        )
        return Entry(Kind.SWEEP, self.id, msgspec.msgpack.encode(body))

    def sealed(self, vault: Vault) -> BlobChange:
        """Return its blob."""
        blob = seal_payload(self.key, b"".join(self.record_ids), vault.id, self.blob, 1)
        return BlobChange(put=((self.blob, 1, blob),))


def new_list(
    approval: StandingApproval, authority: str, at: Moment, ids: Sequence[EntryId]
) -> SweepList:
    """Return a list of these records."""
    entry_id, blob = new_entry_id(Kind.SWEEP), EntryId(secrets.token_bytes(ID_SIZE))
    return SweepList(entry_id, Dek.generate(), blob, authority, approval.id, at, tuple(ids))


class Left(NamedTuple):
    """A record that left a list alive, and why."""

    authority: str
    record_id: EntryId
    why: str


@dataclass(slots=True)
class Sweeps:
    """All approvals and lists of a site, in step with the map."""

    approvals: dict[str | None, StandingApproval] = field(default_factory=dict)
    lists: dict[EntryId, SweepList] = field(default_factory=dict)
    listed: dict[EntryId, EntryId] = field(default_factory=dict)  # by record
    left: tuple["Left", ...] = ()  # by the last sweep, since the process began

    def approval(self, authority: str, classes: Classes, office: Office) -> StandingApproval | None:
        """Return the approval in force for an authority's records, by classes and office of now."""
        found = self.approvals.get(authority) or self.approvals.get(None)
        return found if found is not None and found.is_in_force(classes, office) else None

    def are_approved(self, classes: Classes, office: Office) -> bool:
        """Say whether any approval is in force."""
        return any(each.is_in_force(classes, office) for each in self.approvals.values())

    def is_void(self, each: SweepList, classes: Classes, office: Office, now: Moment) -> bool:
        """Say whether a list counts no more; one whose blob was lost has no records."""
        approval = self.approval(each.authority, classes, office)
        is_other = approval is None or approval.id != each.approval
        return is_other or now.time < each.at.time or not each.record_ids

    def room(self, approval: StandingApproval, now: Moment) -> int:
        """Return how many records may be listed tonight yet."""
        tonight = (
            len(each.record_ids)
            for each in self.lists.values()
            if each.approval == approval.id and now.elapsed - each.at.elapsed < DAY
        )
        return max(0, approval.cap - sum(tonight))

    def put(self, each: SweepList) -> None:
        """Hear of a list that is durable."""
        self.lists[each.id] = each
        self.listed.update(dict.fromkeys(each.record_ids, each.id))

    def drop(self, gone: Sequence[SweepList]) -> None:
        """Hear that lists have left."""
        for each in gone:
            del self.lists[each.id]
            for record_id in each.record_ids:
                self.listed.pop(record_id, None)


def load_sweeps(vault: Vault, store: Store) -> Sweeps:
    """Read a vault's approvals and lists."""
    sweeps = Sweeps()
    for entry in vault.scan(Kind.SWEEP):
        body = _decode(entry.body)
        if isinstance(body, _ApprovalBody):
            sweeps.approvals[body.authority] = _approval(entry.id, body)
        else:
            sweeps.put(_read(vault, store, entry.id, body))
    return sweeps


def list_names(vault: Vault) -> Iterator[tuple[EntryId, int]]:
    """Yield id and version of the blob of each list."""
    for entry in vault.scan(Kind.SWEEP):
        body = _decode(entry.body)
        if isinstance(body, _ListBody):
            yield EntryId(body.blob), 1


def _approval(entry_id: EntryId, body: _ApprovalBody) -> StandingApproval:
    return StandingApproval(
        entry_id,
        body.policy,
        body.version,
        body.cap,
        body.authority,
        body.proposed,
        body.approved,
        tuple(body.approvals),
        body.since,
        body.destroyed,
    )


def _read(vault: Vault, store: Store, entry_id: EntryId, body: _ListBody) -> SweepList:
    key, blob = Dek(body.key), EntryId(body.blob)
    try:
        # What was lost opens no better than what was damaged.
        ids = unseal_payload(key, store.blob(blob, 1) or b"", vault.id, blob, 1)
    except InvalidCiphertext:
        ids = b""
    return SweepList(
        entry_id,
        key,
        blob,
        body.authority,
        EntryId(body.approval),
        Moment(body.elapsed, body.time),
        tuple(EntryId(ids[at : at + ID_SIZE]) for at in range(0, len(ids), ID_SIZE)),
    )
