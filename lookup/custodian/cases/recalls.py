"""Recalls: who has to be told that an answer is withdrawn, before its record goes (UK GDPR Art 19).

    Kind.RECALL   the case, the client and its name, up to 200 request ids; flag 1: acknowledged

Invariants:

* One entry is for one client of one case. It lies in the leaf of its case and leaves with it, in
  the epoch change that destroys the records: afterwards nobody knows who was told of them.
* An acknowledgement changes the flag alone, so that it costs no epoch change.
* A client reads of a recall what it knows already: its own request ids, and no child.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from keys.entry import Entry, EntryId, Kind, Remove, new_entry_id
from keys.errors import PageDamaged
from keys.vault import Vault
from lookup.custodian.cases.case import in_leaf_of
from lookup.handoff import MOST_REQUESTS

_REQUEST_SIZE: Final = 16
_ACKNOWLEDGED: Final = 1


class _Body(msgspec.Struct, array_like=True):
    case: bytes
    client: bytes
    name: str
    requests: bytes


@dataclass(frozen=True, slots=True)
class Recall:
    """What one client has to be told: the answers to these requests are withdrawn."""

    id: EntryId
    case: EntryId
    client: bytes
    name: str
    requests: tuple[bytes, ...]
    acknowledged: bool = False

    def entry(self) -> Entry:
        """Return the recall as the map keeps it."""
        body = _Body(self.case, self.client, self.name, b"".join(self.requests))
        flags = _ACKNOWLEDGED if self.acknowledged else 0
        return Entry(Kind.RECALL, self.id, msgspec.msgpack.encode(body), flags=flags)

    def removal(self) -> Remove:
        """Return what takes it out of the map."""
        return Remove(Kind.RECALL, self.id)


def new_recalls(
    case_id: EntryId, client: bytes, name: str, requests: Collection[bytes]
) -> Iterator[Recall]:
    """Yield what tells a client of these requests."""
    found = sorted(requests)
    for at in range(0, len(found), MOST_REQUESTS):
        entry_id = in_leaf_of(case_id, new_entry_id(Kind.RECALL))
        yield Recall(entry_id, case_id, client, name, tuple(found[at : at + MOST_REQUESTS]))


@dataclass(slots=True)
class Outbox:
    """All recalls of a site. What is asked of one case does not grow with those of others."""

    recalls: dict[EntryId, Recall] = field(default_factory=dict)
    _of: dict[EntryId, dict[EntryId, None]] = field(default_factory=dict)

    def of(self, case_ids: Iterable[EntryId]) -> list[Recall]:
        """Return the recalls of these cases."""
        return [self.recalls[each] for case_id in case_ids for each in self._of.get(case_id, ())]

    def waiting(self, case_id: EntryId) -> list[Recall]:
        """Return the recalls of a case that nobody has acknowledged."""
        return [each for each in self.of({case_id}) if not each.acknowledged]

    def acknowledged(self, client: bytes, ids: Iterable[EntryId]) -> list[Recall]:
        """Return those of these recalls that are this client's, as they are when acknowledged."""
        found = (self.recalls.get(each) for each in ids)
        return [
            replace(each, acknowledged=True)
            for each in found
            if each is not None and each.client == client and not each.acknowledged
        ]

    def put(self, recalls: Iterable[Recall]) -> None:
        """Hear of recalls that are durable."""
        for each in recalls:
            self.recalls[each.id] = each
            self._of.setdefault(each.case, {})[each.id] = None

    def drop(self, recalls: Iterable[Recall]) -> None:
        """Forget what has left the map."""
        for each in recalls:
            self.recalls.pop(each.id, None)
            left = self._of.get(each.case, {})
            left.pop(each.id, None)
            if not left:
                self._of.pop(each.case, None)


def load_outbox(vault: Vault) -> Outbox:
    """Read a vault's recalls; none while pages with cases are damaged."""
    outbox = Outbox()
    try:
        outbox.put(map(_read, vault.scan(Kind.RECALL)))
    except PageDamaged:
        return Outbox()
    return outbox


def _read(entry: Entry) -> Recall:
    body = msgspec.msgpack.decode(entry.body, type=_Body)
    size = _REQUEST_SIZE
    requests = (body.requests[at : at + size] for at in range(0, len(body.requests), size))
    acknowledged = bool(entry.flags & _ACKNOWLEDGED)
    case_id = EntryId(body.case)
    return Recall(entry.id, case_id, body.client, body.name, tuple(requests), acknowledged)
