"""The officers of the sites that are measured: one of each role, with keys of this run."""

from dataclasses import dataclass, field
from typing import Final

from crypto.sshsig import OfficerKey
from lookup.custodian.officers import new_officer
from lookup.officers.roles import Officer, Role

REQUESTER: Final = Role.REQUESTER.value
APPROVER: Final = Role.APPROVER.value
LEGAL: Final = Role.LEGAL.value
REGISTRAR: Final = Role.REGISTRAR.value


@dataclass(frozen=True, slots=True)
class Enlisted:
    """An officer, and the key that is theirs."""

    officer: Officer
    key: OfficerKey = field(repr=False)


def enlist() -> dict[str, Enlisted]:
    """Return officers, by the role that each has."""
    found = {}
    for role in (REQUESTER, APPROVER, LEGAL, REGISTRAR):
        key = OfficerKey.generate()
        found[role] = Enlisted(new_officer(role, [Role(role)], key.public()), key)
    return found
