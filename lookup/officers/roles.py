"""Roles: which officer may do what, in one table.

Invariants:

* What is not in the table nobody may do. An act of a case needs, besides a role, a state of the
  case that allows it and often a second person: lookup/cases/machine.py.
* A registrar is a system of an authority, or whoever feeds records by hand; the other roles are
  people's. One officer may have several, and is one person all the same.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType

from crypto.sshsig import PublicKey

OfficerId = NewType("OfficerId", bytes)


class Role(StrEnum):
    """What an officer is here for."""

    REQUESTER = "requester"
    APPROVER = "approver"
    LEGAL = "legal"
    SAFEGUARDING = "safeguarding"
    AUDITOR = "auditor"
    REGISTRAR = "registrar"


class Act(StrEnum):
    """What an officer may do. The first group are the steps of a case."""

    OPEN = "open"
    AMEND = "amend"
    APPROVE = "approve"
    REFUSE = "refuse"
    REVIEW = "review"
    RESTRICT = "restrict"
    CONFIRM = "confirm"
    LIFT = "lift"
    HOLD = "hold"
    RELEASE = "release"
    SHORTEN = "shorten"
    ASK_IDENTITY = "ask-identity"
    CONFIRM_IDENTITY = "confirm-identity"
    EXTEND = "extend"
    WITHDRAW = "withdraw"
    CARRY_OUT = "carry-out"
    LETTERS = "letters"
    RECALL = "recall"  # the site's own, as the next two: no officer signs them
    TAKE_BACK = "take-back"
    ESCALATE = "escalate"

    READ_CASES = "read-cases"
    READ_OPENING = "read-opening"
    READ_OFFICERS = "read-officers"
    PROPOSE = "propose"
    APPROVE_PROPOSAL = "approve-proposal"
    SEND_RECORDS = "send-records"
    READ_RECORDS = "read-records"
    READ_ACCESSES = "read-accesses"
    READ_RETENTION = "read-retention"
    REVIEW_RECORDS = "review-records"
    ADD_STATEMENT = "add-statement"
    EXPORT_RECORD = "export-record"


_REQUESTER, _APPROVER, _LEGAL, _SAFEGUARDING, _AUDITOR, _REGISTRAR = Role
_PEOPLE: Final = frozenset(Role) - {_REGISTRAR}
_DECIDERS: Final = frozenset({_APPROVER, _LEGAL})

MAY: Final = MappingProxyType(
    {
        Act.OPEN: frozenset({_REQUESTER}),
        Act.AMEND: frozenset({_REQUESTER}),
        Act.APPROVE: _DECIDERS,
        Act.REFUSE: _DECIDERS,
        Act.REVIEW: _DECIDERS,
        Act.RESTRICT: frozenset({_SAFEGUARDING}),
        Act.CONFIRM: frozenset({_SAFEGUARDING, _APPROVER, _LEGAL}),
        Act.LIFT: frozenset({_SAFEGUARDING, _LEGAL}),
        Act.HOLD: frozenset({_LEGAL, _SAFEGUARDING}),
        Act.RELEASE: frozenset({_LEGAL}),
        Act.SHORTEN: frozenset({_LEGAL}),
        Act.ASK_IDENTITY: frozenset({_REQUESTER, _LEGAL}),
        Act.CONFIRM_IDENTITY: frozenset({_REQUESTER, _LEGAL}),
        Act.EXTEND: frozenset({_REQUESTER, _LEGAL}),
        Act.WITHDRAW: frozenset({_REQUESTER}),
        Act.CARRY_OUT: frozenset({_REQUESTER, _APPROVER, _LEGAL}),
        Act.LETTERS: frozenset({_REQUESTER, _APPROVER, _LEGAL}),
        Act.RECALL: frozenset(),
        Act.TAKE_BACK: frozenset(),
        Act.ESCALATE: frozenset(),
        Act.READ_CASES: _PEOPLE,
        Act.READ_OPENING: frozenset({_REQUESTER, _LEGAL}),
        Act.READ_OFFICERS: frozenset(Role),
        Act.PROPOSE: _PEOPLE - {_AUDITOR},
        Act.APPROVE_PROPOSAL: _DECIDERS,
        Act.SEND_RECORDS: frozenset({_REGISTRAR}),
        Act.READ_RECORDS: frozenset(Role),
        Act.READ_ACCESSES: frozenset({_REGISTRAR, _AUDITOR, _REQUESTER}),
        Act.READ_RETENTION: _PEOPLE,
        Act.REVIEW_RECORDS: frozenset({_REGISTRAR, _REQUESTER, _LEGAL, _SAFEGUARDING}),
        Act.ADD_STATEMENT: frozenset({_REQUESTER, _LEGAL}),
        Act.EXPORT_RECORD: frozenset({_REQUESTER, _LEGAL}),
    }
)


@dataclass(frozen=True, slots=True)
class Officer:
    """Who an officer is to a site. `authority` None: of all its authorities."""

    id: OfficerId
    name: str
    roles: frozenset[Role]
    key: PublicKey
    authority: str | None = None

    def may(self, act: Act, authority: str | None = None) -> bool:
        """Say whether the roles allow an act, about what is this authority's."""
        if self.authority is not None and authority is not None and self.authority != authority:
            return False
        return bool(self.roles & MAY[act])

    def has(self, roles: Collection[Role]) -> bool:
        """Say whether the officer has one of these roles."""
        return not self.roles.isdisjoint(roles)
