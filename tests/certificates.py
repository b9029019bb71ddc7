"""What was destroyed and has no certificate yet, by the map itself."""

from keys.entry import Entry, Kind
from lookup.custodian.custody import Custody


def waiting(custody: Custody) -> list[Entry]:
    """Return it, once the custodian's own account agrees."""
    certified = {entry.id for entry in custody.vault.scan(Kind.CERTIFICATE)}
    found = [e for e in custody.vault.scan(Kind.DESTROYED) if e.id not in certified]
    assert {entry.id: entry for entry in found} == custody.uncertified
    return found
