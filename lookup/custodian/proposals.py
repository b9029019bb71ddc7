"""Proposals: changing officers and rules, by as many signatures as a case needs.

    Kind.PROPOSAL   the change, its salt, and each signature with when it came

Invariants:

* A change is made with the last approval that it needs, in the same commit: m different officers of
  now who may decide cases, none of them its proposer. Nobody approves twice.
* A change that would leave the site unable to decide a case, or give one key two names, is refused
  when it is proposed and again when it is made.
* Every signature is committed to in the log, in the transaction that stores it.
* Proposals are few. Each signature replaces the entry, so what was there before is forgotten.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import msgspec

from crypto.commitment import Nonce, commit, committed_leaf
from crypto.encoding import encode, uint
from crypto.sshsig import InvalidSignature, Signature, parse_public_key, verify
from keys.entry import Batch, Entry, EntryId, Kind, Put, Remove
from keys.vault import Vault
from lookup.custodian.custody import Custody
from lookup.custodian.officers import (
    Governance,
    Office,
    OfficeRules,
    new_officer,
    officer_entry,
    require_able,
)
from lookup.errors import Conflict, Forbidden, InvalidRequest, NotFound
from lookup.officers.proposal import (
    NAMESPACE,
    AddOfficer,
    Change,
    ChangeOfficer,
    InvalidProposal,
    Proposal,
    RemoveOfficer,
    SetRules,
    encode_change,
    parse_change,
    parse_proposal,
)
from lookup.officers.roles import Act, Officer, OfficerId

MAX_PROPOSALS: Final = 32


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
        return [each for each in found if each.may(Act.APPROVE_PROPOSAL)]

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


def propose(text: str, signature: bytes) -> Callable[[Custody], Pending]:
    """Store a proposal. Raises InvalidRequest, Forbidden or Conflict."""
    proposal = _parsed(text, Act.PROPOSE)

    def run(custody: Custody) -> Pending:
        _signer(custody, proposal, signature)
        waiting = proposals(custody.vault)
        if len(waiting) >= MAX_PROPOSALS:
            raise Conflict(f"{MAX_PROPOSALS} proposals wait already: withdraw or approve one first")
        if any(each.id == proposal.id for each in waiting):
            raise Conflict("a proposal of this id is there already")
        if proposal.id[:2] != bytes(2):
            raise InvalidRequest("a proposal's id begins with four zeros")
        made(custody.office, proposal.change)  # or raise, while nothing is stored yet
        approval = Approval(proposal.officer, signature, custody.moment().time)
        pending = Pending(
            EntryId(proposal.id), proposal.change, secrets.token_bytes(32), (approval,)
        )
        leaf = pending.leaf(proposal, signature)
        custody.vault.commit((Put(pending.entry()),), log=(leaf,))
        return pending

    return run


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
        after, batch = made(custody.office, pending.change)
        custody.vault.commit((Remove(Kind.PROPOSAL, pending.id), *batch), log=(leaf,))
        custody.office.governance, custody.office.officers = after.governance, after.officers
        custody.docket.rules_changed()
        return pending, True

    return run


def find(custody: Custody, proposal_id: EntryId) -> Pending:
    """Return a proposal that waits. Raises NotFound."""
    entry = custody.vault.get(Kind.PROPOSAL, proposal_id)
    if entry is None:
        raise NotFound("there is no such proposal; it may have been carried out")
    return _read(entry)


def made(office: Office, change: Change) -> tuple[Office, Batch]:
    """Return the office as a change would leave it, and what does that. Raises Conflict."""
    return _MADE[type(change)](office, change)


def _add(office: Office, change: AddOfficer) -> tuple[Office, Batch]:
    key = parse_public_key(change.key)
    office.require_unlike(change.name, key)
    officer = new_officer(change.name, change.roles, key, change.authority)
    officers = office.officers | {officer.id: officer}
    return Office(office.governance, officers), (Put(officer_entry(officer)),)


def _change(office: Office, change: ChangeOfficer) -> tuple[Office, Batch]:
    officer = _officer(office, change.officer)
    changed = replace(officer, roles=frozenset(change.roles))
    officers = office.officers | {officer.id: changed}
    require_able(officers, office.governance.strictest)
    return Office(office.governance, officers), (Put(officer_entry(changed)),)


def _remove(office: Office, change: RemoveOfficer) -> tuple[Office, Batch]:
    officer = _officer(office, change.officer)
    officers = {each: found for each, found in office.officers.items() if each != officer.id}
    require_able(officers, office.governance.strictest)
    return Office(office.governance, officers), (Remove(Kind.OFFICER, EntryId(officer.id)),)


def _set_rules(office: Office, change: SetRules) -> tuple[Office, Batch]:
    day = change.malicious_from
    rules = OfficeRules(
        change.approvals,
        change.cooling_off_days,
        None if day is None else date.fromisoformat(day).toordinal(),
    )
    before = office.governance
    governance = (
        Governance(before.entry_id, rules, before.authorities)
        if change.authority is None
        else Governance(
            before.entry_id, before.site, before.authorities | {change.authority: rules}
        )
    )
    require_able(office.officers, governance.strictest)
    return Office(governance, office.officers), (Put(governance.entry()),)


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


def _signer(custody: Custody, proposal: Proposal, signature: bytes) -> Officer:
    if proposal.vault != custody.vault.id:
        raise InvalidRequest("the proposal is another site's")
    officer = custody.office.officers.get(proposal.officer)
    if officer is None or not officer.may(proposal.act):
        raise Forbidden(f"none of the officer's roles may {proposal.act}")
    try:
        verify(officer.key, NAMESPACE, proposal.text().encode(), Signature(signature))
    except InvalidSignature:
        raise Forbidden("the signature is not this officer's, of this proposal") from None
    return officer


def _read(entry: Entry) -> Pending:
    body = msgspec.msgpack.decode(entry.body, type=_Body)
    return Pending(entry.id, parse_change(body.change), body.salt, tuple(body.signatures))
