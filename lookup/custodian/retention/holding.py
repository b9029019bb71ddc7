"""Holds: records of a scope that nobody destroys, whatever was decided about them.

    Kind.HOLD   what was signed to place it: scope, reason, salt, signature, time

Invariants:

* A hold covers a record that meets every condition of its scope; without any, each record there is.
* What is on hold is neither swept (sweeping.py) nor expunged by a case (carrying_out.py): both ask
  here at the moment at which they would destroy. A record that a hold names therefore never goes
  before the hold.
* A hold is placed by one, lifted by several (proposals.py); its id is its proposal's. Once lifted
  it is forgotten, with the id of the record that it named.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from keys.entry import Entry, EntryId, Kind
from keys.vault import Vault
from lookup.custodian.records.record import Record
from lookup.officers.proposal import PlaceHold, encode_change, parse_change
from lookup.officers.roles import OfficerId

MAX_HOLDS: Final = 256
MOST_EACH: Final = 64  # by one officer: nobody uses up what others need


class _Body(msgspec.Struct, array_like=True):
    change: bytes
    salt: bytes
    officer: bytes
    signature: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold, and what was signed to place it."""

    id: EntryId
    scope: PlaceHold
    salt: bytes = field(repr=False)
    officer: OfficerId
    signature: bytes = field(repr=False)
    time: int

    def covers(self, record: Record) -> bool:
        """Say whether a record meets every condition of its scope."""
        scope, body = self.scope, record.body
        retention = body.retention
        return (
            scope.record in {None, record.id.hex()}
            and scope.authority in {None, body.authority}
            and scope.category in {None, body.category}
            and scope.of_class in {None, retention and retention.code}
        )

    def entry(self) -> Entry:
        """Return the hold as the map keeps it."""
        body = _Body(encode_change(self.scope), self.salt, self.officer, self.signature, self.time)
        return Entry(Kind.HOLD, self.id, msgspec.msgpack.encode(body))


@dataclass(slots=True)
class Holds:
    """All holds of a site, the oldest first, in step with the map.

    `cases` are those that were found to be on hold, so that what waits is not looked at each second
    anew; a case leaves it when holds change, or a record that it names.
    """

    holds: dict[EntryId, Hold] = field(default_factory=dict)
    cases: set[EntryId] = field(default_factory=set)

    def over(self, records: Iterable[Record]) -> list[Hold]:
        """Return the holds that cover one of these records."""
        if not self.holds:
            return []
        found = list(records)
        return [hold for hold in self.holds.values() if any(map(hold.covers, found))]

    def put(self, hold: Hold) -> None:
        """Hear of a hold that is durable."""
        self.holds[hold.id] = hold
        self.cases.clear()

    def drop(self, hold: Hold) -> None:
        """Hear that a hold was lifted."""
        del self.holds[hold.id]
        self.cases.clear()

    def forget(self, cases: Iterable[EntryId]) -> None:
        """Hear that a record of these cases is not what it was."""
        self.cases.difference_update(cases)


def load_holds(vault: Vault) -> Holds:
    """Read a vault's holds."""
    found = sorted(map(_read, vault.scan(Kind.HOLD)), key=lambda each: (each.time, each.id))
    return Holds({each.id: each for each in found})


def _read(entry: Entry) -> Hold:
    body = msgspec.msgpack.decode(entry.body, type=_Body)
    scope = parse_change(body.change)
    if not isinstance(scope, PlaceHold):
        raise TypeError("unreachable: a hold is what was signed to place one")
    return Hold(entry.id, scope, body.salt, OfficerId(body.officer), body.signature, body.time)
