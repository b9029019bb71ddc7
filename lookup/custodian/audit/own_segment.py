"""The custodian's own entries of the audit: an officer has read a whole record.

Invariants:

* The entry is durable, in the chain and noted on the anchors, before the record leaves: G3, for
  officers as for hospitals.
* It is made and sealed as a worker's is, witnesses and all: it is found while its record lives, and
  afterwards it cannot be told from an entry of anybody who was told nothing.
* A process has one segment, which never is a file: its groups go straight into the chain. What
  comes in a file says another slot by the time that it is there, whatever its worker wrote
  (intake.py): no worker passes for a custodian.
"""

import secrets
from collections.abc import Sequence
from typing import Final

from crypto.audit import public_of
from lookup.audit.entry import ABSENT, CLIENT_ID_SIZE, MAX_TEXT, EntryMaker, Head
from lookup.audit.segment import make_header, parse_header, seal_group
from lookup.custodian.audit.audit_keys import AuditKeys
from lookup.custodian.store.chain import Group
from lookup.officers.roles import Officer

SLOT: Final = 0xFFFF  # no worker's


def is_own(header: bytes | None) -> bool:
    """Say whether a segment of the chain was begun by a custodian: in those are officers alone."""
    return parse_header(header or b"").slot == SLOT


class OwnSegment:
    """Makes the groups of one process."""

    def __init__(self, vault: bytes, keys: AuditKeys, now: int) -> None:
        self.header, self._sealer = make_header(SLOT, now, vault, public_of(keys.audit))
        self.id = parse_header(self.header).segment

    def group(self, entry: bytes) -> Group:
        """Return the next group, of one entry."""
        number, sealed = seal_group(self._sealer, [entry])
        return Group(self.id, number, sealed)


def entry_of(keys: AuditKeys, officer: Officer, handles: Sequence[bytes], time: float) -> bytes:
    """Return what is left behind by an officer who reads the record of these links."""
    head = Head(
        ABSENT,
        int(time * 1_000_000),
        officer.id[-CLIENT_ID_SIZE:],
        secrets.token_bytes(16),
        officer.name.encode()[:MAX_TEXT],
        ", ".join(sorted(officer.roles)).encode()[:MAX_TEXT],
        b"",
    )
    return EntryMaker(keys.witness, keys.answer).make(head, [handles])
