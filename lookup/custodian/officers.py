"""Officers and the rules for cases, as the map keeps them.

    Kind.OFFICER      name, roles, public key, authority
    Kind.GOVERNANCE   the site's rules, and those of single authorities

Invariants:

* Both live in the forgetful map: a store that is rolled back brings no dismissed officer back, and
  no milder rule.
* A public key is one officer's: whoever had two names would be two people to every rule.
* Those who remain can always decide: there are a requester, a legal officer, and as many who may
  approve as the strictest rules ask for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Self

import msgspec

from crypto.sshsig import PublicKey
from keys.entry import Batch, Entry, EntryId, Kind, Put, new_entry_id
from keys.vault import Vault
from lookup.cases.standing import Rules
from lookup.errors import Conflict
from lookup.officers.roles import Act, Officer, OfficerId, Role
from lookup.officers.token import KeyId, key_id_of

MAX_OFFICERS: Final = 256


class _OfficerBody(msgspec.Struct, array_like=True):
    name: str
    roles: list[Role]
    key: bytes
    authority: str | None


class OfficeRules(msgspec.Struct, array_like=True, frozen=True):
    """What the cases of an authority need. `malicious_from`: an ordinal day, or not known yet."""

    approvals: int = 2
    cooling_off_days: int = 14
    malicious_from: int | None = None

    @property
    def rules(self) -> Rules:
        """What the state machine needs of them."""
        return Rules(self.approvals, self.cooling_off_days)

    @property
    def malicious_from_day(self) -> date | None:
        """The day from which ground (g) is law here."""
        return None if self.malicious_from is None else date.fromordinal(self.malicious_from)


class _GovernanceBody(msgspec.Struct, array_like=True):
    site: OfficeRules
    authorities: dict[str, OfficeRules]
    changes: int = 0


@dataclass(slots=True)
class Governance:
    """The rules of a site; `changes` counts those of officers and rules."""

    entry_id: EntryId
    site: OfficeRules
    authorities: dict[str, OfficeRules] = field(default_factory=dict)
    changes: int = 0

    def of(self, authority: str) -> OfficeRules:
        """Return the rules of an authority's cases."""
        return self.authorities.get(authority, self.site)

    @property
    def strictest(self) -> int:
        """The most approvals that any case needs."""
        return max(rules.approvals for rules in (self.site, *self.authorities.values()))

    def entry(self) -> Entry:
        """Return the rules as the map keeps them."""
        body = _GovernanceBody(self.site, self.authorities, self.changes)
        return Entry(Kind.GOVERNANCE, self.entry_id, msgspec.msgpack.encode(body))


@dataclass(slots=True)
class Office:
    """Officers and rules of a site, in step with the map."""

    governance: Governance
    officers: dict[OfficerId, Officer] = field(default_factory=dict)

    @classmethod
    def load(cls, vault: Vault) -> Self:
        """Read a vault's officers and rules."""
        (entry,) = vault.scan(Kind.GOVERNANCE)
        body = msgspec.msgpack.decode(entry.body, type=_GovernanceBody)
        officers = (_read(each) for each in vault.scan(Kind.OFFICER))
        return cls(
            Governance(entry.id, body.site, body.authorities, body.changes),
            {officer.id: officer for officer in officers},
        )

    @property
    def by_key_id(self) -> dict[KeyId, Officer]:
        """The officers by what their tokens say."""
        return {key_id_of(officer.key): officer for officer in self.officers.values()}

    def named(self, name: str) -> Officer | None:
        """Return the officer of this name, or None."""
        return next((each for each in self.officers.values() if each.name == name), None)

    def require_unlike(self, name: str, key: PublicKey) -> None:
        """Raise Conflict for a name or a key that an officer has, and for one officer too many."""
        if len(self.officers) >= MAX_OFFICERS:
            raise Conflict(f"there are {MAX_OFFICERS} officers already")
        if any(each.key == key for each in self.officers.values()):
            raise Conflict("this public key is another officer's: everybody signs with their own")
        if self.named(name) is not None:
            raise Conflict("an officer of this name exists: choose another name")


def require_able(officers: Mapping[OfficerId, Officer], approvals: int) -> None:
    """Raise Conflict where these officers could carry no case out any more.

    Where an approver is bound to one authority, the others' cases need approvers of their own.
    """
    of_all = [each for each in officers.values() if each.authority is None]
    if sum(each.may(Act.APPROVE) for each in of_all) < approvals:
        raise Conflict(f"cases need {approvals} who may approve, and fewer would be left")
    for role in (Role.REQUESTER, Role.LEGAL):
        if not any(each.has({role}) for each in of_all):
            raise Conflict(f"no {role} officer would be left")


def officer_entry(officer: Officer) -> Entry:
    """Return an officer as the map keeps them."""
    body = _OfficerBody(officer.name, sorted(officer.roles), officer.key, officer.authority)
    return Entry(Kind.OFFICER, EntryId(officer.id), msgspec.msgpack.encode(body))


def new_officer(
    name: str, roles: Iterable[Role], key: PublicKey, authority: str | None = None
) -> Officer:
    """Return an officer with a new id."""
    officer_id = OfficerId(new_entry_id(Kind.OFFICER))
    return Officer(officer_id, name, frozenset(roles), key, authority)


def office_entries(officers: Iterable[Officer]) -> Batch:
    """Return a new vault's officers and rules."""
    governance = Governance(new_entry_id(Kind.GOVERNANCE), OfficeRules())
    return (Put(governance.entry()), *(Put(officer_entry(each)) for each in officers))


def _read(entry: Entry) -> Officer:
    body = msgspec.msgpack.decode(entry.body, type=_OfficerBody)
    return Officer(
        OfficerId(entry.id), body.name, frozenset(body.roles), PublicKey(body.key), body.authority
    )
