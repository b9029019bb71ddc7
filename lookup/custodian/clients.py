"""Clients: what is kept of those who may ask, and what workers are told of them.

    body = [name, made, cell, [[SHA-256 of a secret, until]…], per_second, per_day, batch,
            [SHA-256 of a certificate…]]              MessagePack; members may be added at the end

Invariants:

* The first secret is the one of now, without an end; those behind it were replaced, and are valid
  until the second that stands beside them. Workers look at the clock themselves, so that an end
  comes whether or not a custodian runs.
* A client's id is random and is all that audit and metrics will ever call it.
* `cell` is the client's number in the cells that workers count in: its own as long as it lives,
  the same for all workers and over restarts, and given to another client only afterwards.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from keys.entry import Entry, EntryId, Kind
from lookup.handoff import Client, Former

MAX_NAME: Final = 80
# As many as a view of 10,000 clients has room for.
MAX_CERTIFICATES: Final = 4
MAX_FORMER: Final = 3
MOST_PER_SECOND: Final = 1_000_000
MOST_PER_DAY: Final = 1_000_000_000
_ID_PREFIX: Final = 2  # ids of pinned kinds begin with two zero bytes (keys/entry.py)


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """A secret's SHA-256, and the second since 1970 from which it is refused; None: the newest."""

    digest: bytes
    until: int | None = None


class Allowance(msgspec.Struct, frozen=True):
    """What a client may do; certificates are the SHA-256 of their DER, none means any."""

    per_second: int = 50
    per_day: int = 100_000
    batch: bool = True
    certificates: tuple[bytes, ...] = ()


class _Body(msgspec.Struct, array_like=True):
    name: str
    made: int
    cell: int
    secrets: tuple[Secret, ...]
    per_second: int
    per_day: int
    batch: bool
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, repr=False)
class ClientCard:
    """Who may ask."""

    entry_id: EntryId
    name: str
    made: int
    cell: int
    secrets: tuple[Secret, ...]
    allowance: Allowance

    def __repr__(self) -> str:
        return "<ClientCard>"

    @property
    def id(self) -> str:
        """The client's random id, as the audit names it."""
        return self.entry_id[_ID_PREFIX:].hex()

    @property
    def fingerprint(self) -> str:
        """The hex SHA-256 of its newest secret."""
        return self.secrets[0].digest.hex()

    def former(self, now: int) -> tuple[Secret, ...]:
        """Return the replaced secrets that are still valid."""
        return tuple(each for each in self.secrets[1:] if (each.until or 0) > now)

    def entry(self) -> Entry:
        """Return the card as the map keeps it."""
        may = self.allowance
        body = _Body(
            self.name,
            self.made,
            self.cell,
            self.secrets,
            may.per_second,
            may.per_day,
            may.batch,
            may.certificates,
        )
        return Entry(Kind.CLIENT, self.entry_id, msgspec.msgpack.encode(body))

    def told(self) -> Client:
        """Return what workers are told."""
        may = self.allowance
        return Client(
            id=self.id,
            name=self.name,
            per_second=may.per_second,
            per_day=may.per_day,
            batch=may.batch,
            certificates=[each.hex() for each in may.certificates],
            cell=self.cell,
        )


def read_client(entry: Entry) -> ClientCard:
    """Return the client of an entry."""
    body = msgspec.msgpack.decode(entry.body, type=_Body)
    allowance = Allowance(body.per_second, body.per_day, body.batch, body.certificates)
    return ClientCard(entry.id, body.name, body.made, body.cell, body.secrets, allowance)


def entry_id_of(client: bytes) -> EntryId:
    """Return the name in the map of the client of this id."""
    return EntryId(bytes(_ID_PREFIX) + client)


def tell_clients(cards: Collection[ClientCard]) -> dict[str, Client]:
    """Return the clients of a view, by the hex SHA-256 of their newest secret."""
    return {card.fingerprint: card.told() for card in cards}


def tell_former(cards: Iterable[ClientCard]) -> dict[str, Former]:
    """Return the replaced secrets of a view; workers refuse those that are past their end."""
    return {
        secret.digest.hex(): Former(card.id, secret.until)
        for card in cards
        for secret in card.secrets
        if secret.until is not None
    }
