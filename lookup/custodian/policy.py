"""What a site has decided, kept in the map: lookup keys, clients, canary, officers.

Invariants:

* All of it lives in the forgetful map: a store that is rolled back cannot bring a revoked client
  or a retired lookup key back.
* What is kept of clients is told in clients.py; of officers and the rules of cases, in officers.py.
* At most two lookup keys are live at a time: the old one while hospitals change to the new.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from crypto.token import Kid, LookupKey, TokenMaker
from keys.entry import Batch, Entry, EntryId, Kind, Put, new_entry_id
from keys.page import VaultId
from keys.vault import Vault
from lookup.custodian.audit.audit_keys import audit_entries
from lookup.custodian.clients import ClientCard, read_client
from lookup.custodian.officers import Office, OfficeRules, office_entries, require_able
from lookup.custodian.records.fencing import fence_key_entries
from lookup.custodian.table.publishing import Canary
from lookup.custodian.transparency.log_key import log_key_entries
from lookup.identifiers import canary
from lookup.index.layout import HANDLE_SIZE
from lookup.officers.roles import Officer

MAX_LIVE_KEYS: Final = 2


class _LookupKeyBody(msgspec.Struct, array_like=True):
    key: bytes
    made: int


class _PolicyBody(msgspec.Struct, array_like=True):
    canary: str
    canary_handle: bytes
    demo: bool


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A lookup key in use. `made` is in seconds since 1970."""

    entry_id: EntryId
    key: LookupKey
    maker: TokenMaker
    made: int

    @property
    def kid(self) -> Kid:
        """Its fingerprint."""
        return self.maker.kid


@dataclass(slots=True)
class Policy:
    """The decisions, read from the map at start and kept in step with it."""

    canary: Canary
    demo: bool
    office: Office
    keys: dict[Kid, LiveKey] = field(default_factory=dict)
    clients: dict[EntryId, ClientCard] = field(default_factory=dict)

    @classmethod
    def load(cls, vault: Vault) -> Self:
        """Read a vault's policy."""
        (entry,) = vault.scan(Kind.POLICY)
        body = msgspec.msgpack.decode(entry.body, type=_PolicyBody)
        office = Office.load(vault)
        policy = cls(Canary(canary(body.canary), body.canary_handle), body.demo, office)
        for key_entry in vault.scan(Kind.LOOKUP_KEY):
            policy.take_key(key_entry)
        for client_entry in vault.scan(Kind.CLIENT):
            card = read_client(client_entry)
            policy.clients[card.entry_id] = card
        return policy

    def makers(self) -> tuple[TokenMaker, ...]:
        """Return what makes tokens under each live key, the oldest first."""
        return tuple(key.maker for key in self.live_keys())

    def live_keys(self) -> list[LiveKey]:
        """Return the lookup keys in use, the oldest first."""
        return sorted(self.keys.values(), key=lambda key: (key.made, key.kid))

    def take_key(self, entry: Entry) -> LiveKey:
        """Count a lookup key as live."""
        body = msgspec.msgpack.decode(entry.body, type=_LookupKeyBody)
        key = LookupKey(body.key)
        live = LiveKey(entry.id, key, TokenMaker(key), body.made)
        self.keys[live.kid] = live
        return live


def first_entries(vault: VaultId, officers: Sequence[Officer], *, demo: bool, now: int) -> Batch:
    """Return what a new vault decides: lookup key, canary, officers, audit's and log's keys.

    Raises Conflict where the officers could decide no case.
    """
    require_able({officer.id: officer for officer in officers}, OfficeRules().approvals)
    policy = _PolicyBody(secrets.token_urlsafe(24), secrets.token_bytes(HANDLE_SIZE), demo)
    return (
        Put(_entry(Kind.POLICY, policy)),
        *office_entries(officers),
        Put(lookup_key_entry(LookupKey.generate(), now)),
        *audit_entries(),
        *log_key_entries(vault),
        *fence_key_entries(),
    )


def lookup_key_entry(key: LookupKey, now: int) -> Entry:
    """Return the entry of a lookup key."""
    return _entry(Kind.LOOKUP_KEY, _LookupKeyBody(key.expose(), now))


def _entry(kind: Kind, body: msgspec.Struct) -> Entry:
    return Entry(kind, new_entry_id(kind), msgspec.msgpack.encode(body))
