"""Proposals: changing officers, rules, and what is no case, by as many signatures as one needs.

    Kind.PROPOSAL   the change, its salt, and each signature with when it came

Invariants:

* A change is made with the last approval that it needs, in the same commit: m different officers of
  now who may decide cases, none of them its proposer. Nobody approves twice. A hold alone is placed
  at once, by its proposer; to lift one is a change as the others.
* A change that would leave the site unable to decide a case, or give one key two names, is refused
  when it is proposed and again when it is made.
* A proposal's id tells how many changes there had been: once another was made, none that was
  signed before can be proposed. So nothing is made twice by playing signatures again.
* An officer of one authority proposes and approves what concerns that authority alone.
* Every signature is committed to in the log, in the transaction that stores it.
* Proposals are few: an officer's ninth takes the place of the first, and those of one who has gone
  leave, too. Each signature replaces the entry, so what was there before is forgotten.
"""

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, NamedTuple

import msgspec

from crypto.commitment import Nonce, commit, committed_leaf
from crypto.encoding import encode, uint
from crypto.sshsig import InvalidSignature, Signature, parse_public_key, verify
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove, new_entry_id
from keys.pages import NO_BLOBS, BlobChange
from keys.vault import Vault
from lookup.custodian.cases.case import LostCase, removal
from lookup.custodian.cases.casework import resume_attached
from lookup.custodian.cases.certifying import told_approvals
from lookup.custodian.custody import Custody
from lookup.custodian.officers import (
    Office,
    OfficeRules,
    new_officer,
    officer_entry,
    require_able,
)
from lookup.custodian.records.detaching import attached, is_detached
from lookup.custodian.records.fencing import lifted
from lookup.custodian.retention.holding import MAX_HOLDS, Hold
from lookup.custodian.retention.holding import MOST_EACH as MOST_HOLDS
from lookup.custodian.retention.sweep_list import StandingApproval
from lookup.errors import Conflict, Forbidden, InvalidRequest, NotFound
from lookup.officers.proposal import (
    NAMESPACE,
    AddOfficer,
    AttachRecord,
    Change,
    ChangeOfficer,
    InvalidProposal,
    LiftFence,
    LiftHold,
    PlaceHold,
    Proposal,
    RemoveOfficer,
    SetCursor,
    SetRetention,
    SetRules,
    WithdrawStatement,
    encode_change,
    parse_change,
    parse_proposal,
)
from lookup.officers.roles import Act, Officer, OfficerId

MOST_EACH: Final = 8
MAX_AUTHORITIES: Final = 64  # with rules of their own: they fit into one entry of the map


class Approval(msgspec.Struct, array_like=True, frozen=True):
    """One signature of a proposal. The first is its proposer's."""

    officer: bytes
    signature: bytes
    time: int


class _Body(msgspec.Struct, array_like=True):
    change: bytes
    salt: bytes
    signatures: list[Approval]


@dataclass(frozen=True, slots=True)
class Pending:
    """A proposal that waits for approvals."""

    id: EntryId
    change: Change
    salt: bytes
    signatures: tuple[Approval, ...]

    @property
    def proposer(self) -> OfficerId:
        """Who has proposed it."""
        return OfficerId(self.signatures[0].officer)

    def approvers(self, office: Office) -> list[Officer]:
        """Return the officers of now whose approval counts."""
        signers = (OfficerId(each.officer) for each in self.signatures[1:])
        found = (office.officers[each] for each in signers if each in office.officers)
        authority = authority_of(office, self.change)
        return [each for each in found if _may(each, Act.APPROVE_PROPOSAL, authority)]

    def entry(self) -> Entry:
        """Return the proposal as the map keeps it."""
        body = _Body(encode_change(self.change), self.salt, list(self.signatures))
        return Entry(Kind.PROPOSAL, self.id, msgspec.msgpack.encode(body))

    def leaf(self, proposal: Proposal, signature: bytes) -> bytes:
        """Return what the log is told of its last signature."""
        number = uint(len(self.signatures))
        nonce = hmac.digest(self.salt, encode(b"lacuna/proposal-nonce/v1", number), "sha256")
        return committed_leaf(commit(Nonce(nonce), encode(proposal.text().encode(), signature)))


def proposals(vault: Vault) -> list[Pending]:
    """Return the proposals that wait, the oldest first."""
    found = (_read(entry) for entry in vault.scan(Kind.PROPOSAL))
    return sorted(found, key=lambda each: each.signatures[0].time)


def propose(text: str, signature: bytes) -> Callable[[Custody], tuple[Pending, bool]]:
    """Store a proposal; return it, and whether the change was made: a hold is at once.

    Raises InvalidRequest, Forbidden or Conflict.
    """
    proposal = _parsed(text, Act.PROPOSE)

    def run(custody: Custody) -> tuple[Pending, bool]:
        _signer(custody, proposal, signature)
        waiting = proposals(custody.vault)
        authority = authority_of(custody.office, proposal.change)
        if authority is not None and authority not in custody.catalogue.authority_numbers:
            raise Conflict("this site keeps no records of an authority of this code")
        if proposal.id[:2] != bytes(2):
            raise InvalidRequest("a proposal's id begins with four zeros")
        if proposal.id[2:6] != custody.office.governance.changes.to_bytes(4):
            raise Conflict("officers or rules have changed since this was signed: look again")
        if any(each.id == proposal.id for each in waiting):
            raise Conflict("a proposal of this id is there already")
        mine = [each for each in waiting if each.proposer == proposal.officer]
        removals = _removals(mine[: max(0, len(mine) - MOST_EACH + 1)])
        approval = Approval(proposal.officer, signature, custody.moment().time)
        pending = Pending(
            EntryId(proposal.id), proposal.change, secrets.token_bytes(32), (approval,)
        )
        leaf = pending.leaf(proposal, signature)
        if isinstance(proposal.change, PlaceHold):
            hold = _held(custody, pending, proposal.change)
            custody.vault.commit((Put(hold.entry()),), log=(leaf,))
            custody.holds.put(hold)
            return pending, True
        made(custody, pending)  # or raise, while nothing is stored yet
        custody.vault.commit((*removals, Put(pending.entry())), log=(leaf,))
        return pending, False

    return run


def _held(custody: Custody, pending: Pending, scope: PlaceHold) -> Hold:
    """Return the hold that is to be placed.

    Raises Forbidden, and Conflict for a scope that is a mistake: it would protect nothing.
    """
    placed, holds = pending.signatures[0], custody.holds.holds
    officer = OfficerId(placed.officer)
    if not custody.office.officers[officer].may(Act.HOLD):
        raise Forbidden(f"none of the officer's roles may {Act.HOLD}")
    if pending.id in holds:
        raise Conflict("this hold is placed already")
    if len(holds) >= MAX_HOLDS or sum(h.officer == officer for h in holds.values()) >= MOST_HOLDS:
        raise Conflict(
            f"there are at most {MAX_HOLDS} holds, {MOST_HOLDS} by one officer: place a wider one,"
            " or have one lifted"
        )
    hold = Hold(pending.id, scope, pending.salt, officer, placed.signature, placed.time)
    if scope.category is not None and scope.category not in custody.catalogue.category_numbers:
        raise Conflict("this site has no category of this name")
    if scope.of_class is not None and scope.of_class not in custody.classes.by_code:
        raise Conflict("there is no retention class of this name")
    record = None if scope.record is None else custody.record(EntryId(bytes.fromhex(scope.record)))
    if scope.record is not None and (record is None or not hold.covers(record)):
        raise Conflict("there is no record of this id in this scope")
    return hold


def approve(text: str, signature: bytes) -> Callable[[Custody], tuple[Pending, bool]]:
    """Count an approval; return the proposal, and whether the change was made.

    Raises InvalidRequest, Forbidden, NotFound or Conflict.
    """
    proposal = _parsed(text, Act.APPROVE_PROPOSAL)

    def run(custody: Custody) -> tuple[Pending, bool]:
        _signer(custody, proposal, signature)
        pending = find(custody, EntryId(proposal.id))
        if encode_change(pending.change) != encode_change(proposal.change):
            raise Conflict("what was signed is not what is proposed: look at it again")
        if any(each.officer == proposal.officer for each in pending.signatures):
            raise Conflict("whoever proposed or approved this does not approve it again")
        approval = Approval(proposal.officer, signature, custody.moment().time)
        pending = replace(pending, signatures=(*pending.signatures, approval))
        leaf = pending.leaf(proposal, signature)
        if len(pending.approvers(custody.office)) < custody.office.governance.strictest:
            custody.vault.commit((Put(pending.entry()),), log=(leaf,))
            return pending, False
        after, batch, hear, blobs = made(custody, pending)
        after.governance.changes = custody.office.governance.changes + 1
        gone = [p for p in proposals(custody.vault) if _is_over(p, pending, after)]
        batch += (*_removals(gone), Put(after.governance.entry()))
        custody.vault.commit(batch, blobs, log=(leaf,))
        custody.office.governance, custody.office.officers = after.governance, after.officers
        custody.docket.rules_changed()
        hear()
        return pending, True

    return run


def _is_over(waiting: Pending, done: Pending, after: Office) -> bool:
    return waiting.id == done.id or waiting.proposer not in after.officers


def _removals(gone: Sequence[Pending]) -> Batch:
    return tuple(Remove(Kind.PROPOSAL, each.id) for each in gone)


def find(custody: Custody, proposal_id: EntryId) -> Pending:
    """Return a proposal that waits. Raises NotFound."""
    entry = custody.vault.get(Kind.PROPOSAL, proposal_id)
    if entry is None:
        raise NotFound("there is no such proposal; it may have been carried out")
    return _read(entry)


def _nobody_else() -> None:
    """Most changes are heard of by the office alone."""


class Made(NamedTuple):
    """What a change leaves: the office, what does that besides the rules' entry, who hears."""

    office: Office
    batch: Batch
    hear: Callable[[], None] = _nobody_else
    blobs: BlobChange = NO_BLOBS


def made(custody: Custody, pending: Pending) -> Made:
    """Return what a change would leave. Raises Conflict."""
    change = pending.change
    if isinstance(change, SetRetention):
        return _set_retention(custody, change, pending)
    if type(change) in _ELSEWHERE:
        return _ELSEWHERE[type(change)](custody, change)
    return Made(*_MADE[type(change)](custody.office, change))


def _lift_fence(custody: Custody, change: LiftFence) -> Made:
    fences = custody.fences.without(change.authority, change.source_ref)
    if not fences:
        raise Conflict("no fence stands around this source reference")
    batch = tuple(step for each in fences for step in lifted(each))

    def hear() -> None:
        for each in fences:
            custody.fences.put(each)

    return Made(_as_it_is(custody), batch, hear)


def _set_cursor(custody: Custody, change: SetCursor) -> Made:
    fences = custody.fences
    if change.cursor >= fences.cursor(change.authority):
        raise Conflict(
            "the authority's feed has not come further than this cursor: it is set back alone, and"
            " goes forward by what it sends"
        )
    feed = replace(fences.moved(change.authority, change.cursor), set_back=True)
    return Made(
        _as_it_is(custody),
        (Put(feed.entry()),),
        lambda: fences.feeds.update({feed.authority: feed}),
    )


def _lift_hold(custody: Custody, change: LiftHold) -> Made:
    wanted = EntryId(bytes.fromhex(change.hold))
    lost = [each for each in custody.docket.lost if each.id == wanted and each.hold]
    if lost and change.authority is None:
        return _lift_lost(custody, lost[0])
    hold = custody.holds.holds.get(wanted)
    if hold is None or hold.scope.authority != change.authority:
        raise Conflict("there is no such hold of this authority")
    return Made(_as_it_is(custody), (Remove(Kind.HOLD, hold.id),), lambda: custody.holds.drop(hold))


def _lift_lost(custody: Custody, case: LostCase) -> Made:
    """Let a case go whose content was lost: no step of it can be signed any more."""
    batch, blobs = removal(case)
    recalls = custody.outbox.of({case.id})

    def hear() -> None:
        custody.docket.lost.remove(case)
        custody.outbox.drop(recalls)
        custody.holds.cases.clear()

    return Made(_as_it_is(custody), (*batch, *(r.removal() for r in recalls)), hear, blobs)


def _attach(custody: Custody, change: AttachRecord) -> Made:
    record_id = EntryId(bytes.fromhex(change.record))
    record = custody.record(record_id)
    if record is None or record.body.authority != change.authority or not is_detached(record):
        raise Conflict("there is no detached record of this id, of this authority")
    batch = (Put(attached(record).entry()),)
    return Made(_as_it_is(custody), batch, lambda: resume_attached(custody, record_id))


def _withdraw(custody: Custody, change: WithdrawStatement) -> Made:
    record_id = EntryId(bytes.fromhex(change.record))
    record = custody.record(record_id)
    found = [
        each for each in custody.supplements.of(record_id) if each.id.hex() == change.statement
    ]
    if record is None or record.body.authority != change.authority or not found:
        raise Conflict("there is no such statement beside a record of this id, of this authority")
    if custody.holds.over([record]):
        raise Conflict("the record is on hold: nothing beside it is destroyed, either")
    batch, blobs = found[0].removal()
    return Made(_as_it_is(custody), batch, lambda: custody.supplements.drop(found), blobs)


# What is changed besides officers and rules, by its own kind of change alone.
_ELSEWHERE: Final[dict[type[Change], Callable[..., Made]]] = {
    LiftFence: _lift_fence,
    SetCursor: _set_cursor,
    LiftHold: _lift_hold,
    AttachRecord: _attach,
    WithdrawStatement: _withdraw,
}


def _set_retention(custody: Custody, change: SetRetention, pending: Pending) -> Made:
    classes, sweeps = custody.classes, custody.sweeps
    if (change.policy, change.version) != (classes.policy.hex(), classes.version):
        raise Conflict("these are not the retention classes in force: look at them again")
    before = sweeps.approvals.get(change.authority)
    if before is None and len(sweeps.approvals) > MAX_AUTHORITIES:
        raise Conflict(f"{MAX_AUTHORITIES} authorities have an approval of their own already")
    signatures = pending.signatures
    approval = StandingApproval(
        new_entry_id(Kind.SWEEP),
        classes.policy,
        change.version,
        change.cap,
        change.authority,
        signatures[0].time,
        # Signed since, by a clock that may have been set back meanwhile.
        max(signatures[0].time, signatures[-1].time),
        tuple(told_approvals(pending.approvers(custody.office))),
    )
    gone: Batch = () if before is None else (Remove(Kind.SWEEP, before.id),)
    return Made(
        _as_it_is(custody),
        (*gone, Put(approval.entry())),
        lambda: sweeps.approvals.update({change.authority: approval}),
    )


def _as_it_is(custody: Custody) -> Office:
    office = custody.office
    return Office(replace(office.governance), office.officers)


def _add(office: Office, change: AddOfficer) -> tuple[Office, Batch]:
    key = parse_public_key(change.key)
    office.require_unlike(change.name, key)
    officer = new_officer(change.name, change.roles, key, change.authority)
    officers = office.officers | {officer.id: officer}
    return Office(replace(office.governance), officers), (Put(officer_entry(officer)),)


def _change(office: Office, change: ChangeOfficer) -> tuple[Office, Batch]:
    officer = _officer(office, change.officer)
    changed = replace(officer, roles=frozenset(change.roles))
    officers = office.officers | {officer.id: changed}
    require_able(officers, office.governance.strictest)
    return Office(replace(office.governance), officers), (Put(officer_entry(changed)),)


def _remove(office: Office, change: RemoveOfficer) -> tuple[Office, Batch]:
    officer = _officer(office, change.officer)
    officers = {each: found for each, found in office.officers.items() if each != officer.id}
    require_able(officers, office.governance.strictest)
    return Office(replace(office.governance), officers), (
        Remove(Kind.OFFICER, EntryId(officer.id)),
    )


def _set_rules(office: Office, change: SetRules) -> tuple[Office, Batch]:
    day = change.malicious_from
    rules = OfficeRules(
        change.approvals,
        change.cooling_off_days,
        None if day is None else date.fromisoformat(day).toordinal(),
    )
    before = office.governance
    governance = (
        replace(before, site=rules)
        if change.authority is None
        else replace(before, authorities=before.authorities | {change.authority: rules})
    )
    if len(governance.authorities) > MAX_AUTHORITIES:
        raise Conflict(f"{MAX_AUTHORITIES} authorities have rules of their own already")
    require_able(office.officers, governance.strictest)
    return Office(governance, office.officers), ()


_MADE: Final[dict[type[Change], Callable[..., tuple[Office, Batch]]]] = {
    AddOfficer: _add,
    ChangeOfficer: _change,
    RemoveOfficer: _remove,
    SetRules: _set_rules,
}


def _officer(office: Office, officer_id: str) -> Officer:
    found = office.officers.get(OfficerId(bytes.fromhex(officer_id)))
    if found is None:
        raise Conflict("there is no such officer")
    return found


def _parsed(text: str, act: Act) -> Proposal:
    try:
        proposal = parse_proposal(text)
    except InvalidProposal as error:
        raise InvalidRequest(str(error)) from None
    if proposal.act is not act:
        raise InvalidRequest(f"this is not where one may {proposal.act}")
    return proposal


def authority_of(office: Office, change: Change) -> str | None:
    """Return the one authority that a change concerns; None: all of them."""
    if not isinstance(change, ChangeOfficer | RemoveOfficer):
        return change.authority
    found = office.officers.get(OfficerId(bytes.fromhex(change.officer)))
    return None if found is None else found.authority


def _may(officer: Officer, act: Act, authority: str | None) -> bool:
    return officer.may(act) and officer.authority in {None, authority}


def _signer(custody: Custody, proposal: Proposal, signature: bytes) -> Officer:
    if proposal.vault != custody.vault.id:
        raise InvalidRequest("the proposal is another site's")
    officer = custody.office.officers.get(proposal.officer)
    if officer is None or not officer.may(proposal.act):
        raise Forbidden(f"none of the officer's roles may {proposal.act}")
    if not _may(officer, proposal.act, authority_of(custody.office, proposal.change)):
        raise Forbidden("the change concerns more than the officer's authority")
    try:
        verify(officer.key, NAMESPACE, proposal.text().encode(), Signature(signature))
    except InvalidSignature:
        raise Forbidden("the signature is not this officer's, of this proposal") from None
    return officer


def _read(entry: Entry) -> Pending:
    body = msgspec.msgpack.decode(entry.body, type=_Body)
    return Pending(entry.id, parse_change(body.change), body.salt, tuple(body.signatures))
