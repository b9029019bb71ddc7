"""Certifying: from what was destroyed, by a case or by the sweep, to its certificate.

    Kind.DESTROYED     what the certificate will say of it; put when the records leave
    Kind.CERTIFICATE   what the slots had said, and the statement's place in the log

Both have the certificate's id, which is random and names nothing.

Invariants:

* A certificate's statement enters the log in the transaction that stores `Kind.CERTIFICATE`, which
  is put once: each destruction has exactly one entry of the log that certifies it.
* None is issued while a registered slot lags: its key and an old backup would read on. It waits,
  over restarts, until the slot has confirmed or was signed off as lost, and the statement says so.
  Only a start and an epoch change hear of slots, so that after these it is issued, if not before.
* Neither entry names a child or a family: commitments, codes, times, fingerprints of keys. The
  nonces that open the commitments were in the case; the family has them, or nobody. Of what was
  swept nobody has: it says how many records, of whom, under which ground.
"""

import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from crypto.commitment import Commitment, Nonce
from crypto.sshsig import fingerprint
from keys.entry import Entry, EntryId, Kind, Put, new_entry_id
from keys.errors import EntryTooLarge
from lookup.cases.standing import DAY, Remedy
from lookup.custodian.cases.case import Case
from lookup.custodian.cases.remedy import lost_links
from lookup.custodian.custody import Custody
from lookup.custodian.records.record import Kept, Record
from lookup.custodian.retention.sweep_list import WAIT, WAIT_DAYS, StandingApproval
from lookup.officers.roles import Officer, Role
from lookup.transparency.certificate import leaf_of
from lookup.transparency.errors import InvalidStatement
from lookup.transparency.opening import FORMAT, NONCE_SIZE, Opening, RecordOpening
from lookup.transparency.statement import (
    COURT_ORDER,
    NOT_COVERED,
    RETENTION,
    Approval,
    ConfirmedSlot,
    CoolingOff,
    Statement,
)

# More would not fit into a statement, and nobody needs more.
MOST_APPROVALS: Final = 16

logger = logging.getLogger("lookup.custodian")


class _DestroyedBody(msgspec.Struct, array_like=True, kw_only=True):
    authority: str
    ground: str
    records: list[bytes]
    requested: int
    approved: int
    not_before: int
    approvals: list[tuple[str, str]]
    cooling_off_days: int
    workers: int
    nonce: bytes
    fenced: bool
    remedy: str = Remedy.ERASE.value


class _CertificateBody(msgspec.Struct, array_like=True, kw_only=True):
    epoch: int
    time: int
    slots: list[tuple[str, bytes]]
    lost: list[bytes]
    position: int


@dataclass(frozen=True, slots=True)
class Certified:
    """A statement, what opens its leaf, and the leaf's place in the log."""

    statement: Statement
    nonce: Nonce
    position: int


def destroyed_entry(custody: Custody, case: Case, begun: int, workers: int) -> Entry:
    """Return what stays of a case; `begun` is the time before its keys are destroyed."""
    standing = custody.docket.standing(case)
    if standing.approved is None:
        raise AssertionError("unreachable: a case that is due was approved")
    openings = opening_of(custody, case).records
    body = _DestroyedBody(
        authority=case.content.authority,
        ground=case.content.ground,
        records=[opening.commitment() for opening in openings],
        requested=standing.opened.time,
        approved=standing.approved.time,
        # The clock on the wall may have been set back since the case was found to be due.
        not_before=max(begun, standing.approved.time + standing.cooling_off_days * DAY),
        approvals=told_approvals(custody.office.officers[each] for each in standing.approvals),
        cooling_off_days=standing.cooling_off_days,
        workers=workers,
        nonce=secrets.token_bytes(32),
        fenced=case.content.terms.remedy is Remedy.ERASE
        and _is_fenced(custody, case.content.authority),
        remedy=case.content.terms.remedy.value,
    )
    return Entry(Kind.DESTROYED, case.certificate, msgspec.msgpack.encode(body))


def swept_entry(
    custody: Custody,
    approval: StandingApproval,
    listed: int,
    records: Sequence[Record],
    workers: int,
) -> Entry:
    """Return what stays of records that the sweep destroys, all of one authority.

    They were asked for and approved with the standing approval; cooling-off is the time on a list.
    """
    authority = records[0].body.authority
    openings = (
        _opening(Nonce(secrets.token_bytes(NONCE_SIZE)), record, record.body.links)
        for record in records
    )
    body = _DestroyedBody(
        authority=authority,
        ground=RETENTION,
        records=[opening.commitment() for opening in openings],
        requested=approval.proposed,
        approved=approval.approved,
        not_before=max(custody.moment().time, max(listed, approval.approved) + WAIT),
        approvals=list(approval.approvals),
        cooling_off_days=WAIT_DAYS,
        workers=workers,
        nonce=secrets.token_bytes(NONCE_SIZE),
        fenced=_is_fenced(custody, authority),
    )
    return Entry(Kind.DESTROYED, new_entry_id(Kind.DESTROYED), msgspec.msgpack.encode(body))


def _is_fenced(custody: Custody, authority: str) -> bool:
    return custody.fences.remembers(authority, custody.catalogue.replay_of(authority))


def told_approvals(officers: Iterable[Officer]) -> list[tuple[str, str]]:
    """Return role and key of officers whose approval counted; of many, legal ones first."""
    told: list[tuple[str, str]] = [
        (Role.LEGAL if Role.LEGAL in officer.roles else Role.APPROVER, fingerprint(officer.key))
        for officer in officers
    ]
    return sorted(told, key=lambda each: each[0] != Role.LEGAL)[:MOST_APPROVALS]


def can_be_certified(custody: Custody, case: Case) -> bool:
    """Say whether a certificate could say what it will have to, before anything is destroyed."""
    now = custody.moment().time
    try:
        entry = destroyed_entry(custody, case, now, len(custody.door.workers()))
    except (EntryTooLarge, KeyError):
        return False
    return certifiable(custody, entry)


def certifiable(custody: Custody, destroyed: Entry) -> bool:
    """Say whether a certificate could say what an entry does, once slots have confirmed."""
    time = max(custody.moment().time, _read_destroyed(destroyed).not_before)
    slot = ("D", bytes(16))
    trial = _CertificateBody(epoch=1, time=time, slots=[slot], lost=[], position=0)
    try:
        _certified(custody, destroyed, trial)
    except InvalidStatement:
        return False
    return True


def opening_of(custody: Custody, case: Case) -> Opening:
    """Return what lets the family show that the certificate speaks of their records."""
    records = [custody.record(record_id) for record_id in case.record_ids]
    authority = custody.catalogue.authority(case.content.authority)
    return Opening(
        format=FORMAT,
        certificate=case.certificate.hex(),
        authority_name=authority.name,
        contact=authority.office_hours,
        records=tuple(
            _opening(case.nonce(record.id), record, lost_links(case.content, record.body))
            for record in records
            if record is not None
        ),
    )


def _opening(nonce: Nonce, record: Record, links: Iterable[Kept]) -> RecordOpening:
    return RecordOpening(
        nonce=nonce,
        authority=record.body.authority,
        source_ref=record.body.source_ref,
        record_id=record.id.hex(),
        identifiers=tuple(sorted(f"{link.scheme}:{link.value}" for link in links)),
    )


def issue(custody: Custody) -> None:
    """Certify what was destroyed, in one commit; nothing while a slot lags."""
    vault = custody.vault
    custody.certified = vault.version.epoch
    if vault.lagging or not custody.uncertified:
        return
    batch: list[Put] = []
    leaves: list[bytes] = []
    for entry in custody.uncertified.values():
        begun = _read_destroyed(entry).not_before
        body = _CertificateBody(
            epoch=vault.version.epoch,
            # The wall's clock may have been set back since, over a start.
            time=max(custody.moment().time, begun),
            slots=[(letter, slot) for slot, letter in vault.confirmed],
            lost=sorted(vault.lost),
            position=vault.log.size + len(leaves),
        )
        try:
            certified = _certified(custody, entry, body)
        except InvalidStatement as error:
            logger.error("a certificate waits, for it would say what cannot be: %s", error)  # noqa: TRY400  # its text is ours
            continue
        batch.append(Put(Entry(Kind.CERTIFICATE, entry.id, msgspec.msgpack.encode(body))))
        leaves.append(leaf_of(certified.statement, certified.nonce))
    if leaves:
        vault.commit(tuple(batch), log=tuple(leaves))
        for put in batch:
            del custody.uncertified[put.entry.id]


def issue_waiting(custody: Custody) -> None:
    """Certify what could not be certified before, where slots were heard of since."""
    if custody.certified != custody.vault.version.epoch:
        issue(custody)


def certificates(custody: Custody) -> list[Certified]:
    """Return all that was certified, in the order of the log."""
    destroyed = {entry.id: entry for entry in custody.vault.scan(Kind.DESTROYED)}
    found = (
        _certified(custody, destroyed[entry.id], _read(entry))
        for entry in custody.vault.scan(Kind.CERTIFICATE)
    )
    return sorted(found, key=lambda each: each.position)


def find_certificate(custody: Custody, certificate: EntryId) -> Certified | None:
    """Return what was certified under an id, or None."""
    destroyed = custody.vault.get(Kind.DESTROYED, certificate)
    found = custody.vault.get(Kind.CERTIFICATE, certificate)
    if destroyed is None or found is None:
        return None
    return _certified(custody, destroyed, _read(found))


def _read_destroyed(entry: Entry) -> _DestroyedBody:
    return msgspec.msgpack.decode(entry.body, type=_DestroyedBody)


def _read(entry: Entry) -> _CertificateBody:
    return msgspec.msgpack.decode(entry.body, type=_CertificateBody)


def _certified(custody: Custody, destroyed: Entry, certificate: _CertificateBody) -> Certified:
    """Return the statement that two entries make together."""
    body = _read_destroyed(destroyed)
    letters = {letter for letter, _ in certificate.slots}
    statement = Statement(
        certificate=destroyed.id.hex(),
        site=custody.vault.id.hex(),
        authority=body.authority,
        ground=body.ground,
        records=tuple(Commitment(each) for each in body.records),
        requested_at=body.requested,
        approved_at=body.approved,
        effective_not_before=body.not_before,
        destroyed_at=certificate.time,
        epoch=certificate.epoch,
        approvals=tuple(Approval(*each) for each in body.approvals),
        cooling_off=CoolingOff(body.cooling_off_days, "" if body.cooling_off_days else COURT_ORDER),
        slots=tuple(ConfirmedSlot(letter, slot.hex()) for letter, slot in certificate.slots),
        lost_slots=tuple(slot.hex() for slot in certificate.lost),
        workers=body.workers,
        not_covered=(
            *NOT_COVERED[:2],
            *(("feed-fence",) if body.fenced else ()),
            *(("slot-class-d",) if "D" in letters else ()),
        ),
        demo=custody.policy.demo,
        remedy=body.remedy,
    )
    return Certified(statement, Nonce(body.nonce), certificate.position)
