"""Clients and lookup keys: who may ask, and with which key.

Invariants:

* A lookup key is live when every link has a slot for it; until then lookups with it are refused.
* Retiring a key first takes it from the workers, then destroys it.
* A client's secret leaves this process once, in the enrolment; its SHA-256 stays.
* A secret that was replaced stays valid for a stated time, so that a hospital can change over; and
  so a new one that was lost on its way to the hospital has locked nobody out.
* A client that was revoked, and a secret that was replaced without grace, are forgotten by an epoch
  change, and refused by every worker before anybody hears that it is done. Access tokens that were
  given for a secret live on for at most ten minutes: only revoking the client ends them at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from crypto.token import Kid, LookupKey
from keys.entry import Kind, Put, Remove, new_entry_id
from keys.epoch import Destruction
from keys.vault import Receipt
from lookup.cells import MAX_CLIENTS
from lookup.client.enrolment import ClientSecret, Enrolment, InvalidEnrolment
from lookup.custodian.clients import (
    MAX_CERTIFICATES,
    MAX_FORMER,
    MAX_NAME,
    MOST_PER_DAY,
    MOST_PER_SECOND,
    Allowance,
    ClientCard,
    Secret,
)
from lookup.custodian.custody import Custody
from lookup.custodian.policy import MAX_LIVE_KEYS, lookup_key_entry
from lookup.errors import Conflict, InvalidRequest, NotFound

MAX_GRACE: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Rotated:
    """A client has another secret; the former ones are refused from `former_until` on."""

    enrolment: Enrolment
    former_until: int
    destruction: Destruction


def add_client(
    name: str, allowance: Allowance, base_urls: tuple[str, ...], now: int
) -> Callable[[Custody], Enrolment]:
    """Enrol a client under the newest lookup key. Raises InvalidRequest or Conflict."""
    if not (name.isprintable() and name.strip() == name and 1 <= len(name) <= MAX_NAME):
        raise InvalidRequest(f"a client's name has 1 to {MAX_NAME} printable characters")
    _require_bounds(allowance)

    def run(custody: Custody) -> Enrolment:
        clients = custody.policy.clients
        if len(clients) >= MAX_CLIENTS:
            raise Conflict(f"there are {MAX_CLIENTS} clients already")
        if any(card.name == name for card in clients.values()):
            raise Conflict("a client of this name exists: choose another name")
        taken = {card.cell for card in clients.values()}
        cell = next(number for number in range(MAX_CLIENTS) if number not in taken)
        secret, secrets = _new_secret()
        entry_id = new_entry_id(Kind.CLIENT)
        card = ClientCard(entry_id, name, now, cell, secrets, allowance)
        enrolment = _enrolment(custody, card, secret, base_urls)
        custody.vault.commit((Put(card.entry()),))
        clients[card.entry_id] = card
        custody.announce()
        return enrolment

    return run


def rotate_client(
    client_id: str, grace_seconds: int, base_urls: tuple[str, ...], now: int
) -> Callable[[Custody], Rotated]:
    """Give a client another secret, and the newest lookup key; the former stays valid for a while.

    Without grace every former secret ends now. Raises InvalidRequest, NotFound or Conflict.
    """
    if not 0 <= grace_seconds <= MAX_GRACE:
        raise InvalidRequest(f"a former secret may stay valid for 0 to {MAX_GRACE} seconds")

    def run(custody: Custody) -> Rotated:
        before = _find(custody, client_id)
        until = now + grace_seconds
        former = (Secret(before.secrets[0].digest, until), *before.former(now))
        if not grace_seconds:
            former = ()
        if len(former) > MAX_FORMER:
            raise Conflict(f"{MAX_FORMER} former secrets are valid yet: wait, or give no grace")
        secret, secrets = _new_secret()
        card = replace(before, secrets=(*secrets, *former))
        enrolment = _enrolment(custody, card, secret, base_urls)

        def announce() -> None:
            custody.policy.clients[card.entry_id] = card
            custody.announce()

        receipt = custody.vault.commit((Put(card.entry()),), withdraw=announce)
        return Rotated(enrolment, until, _destruction(receipt))

    return run


def revoke_client(client_id: str) -> Callable[[Custody], Destruction]:
    """Forget a client: no worker answers it any more. Raises NotFound.

    Returns when every worker has confirmed the view without it, and no answer to it is under way.
    """

    def run(custody: Custody) -> Destruction:
        card = _find(custody, client_id)

        def withdraw() -> None:
            del custody.policy.clients[card.entry_id]
            custody.announce()
            custody.door.await_passes()

        batch = (Remove(Kind.CLIENT, card.entry_id),)
        return _destruction(custody.vault.commit(batch, withdraw=withdraw))

    return run


def _require_bounds(allowance: Allowance) -> None:
    if not 1 <= allowance.per_second <= MOST_PER_SECOND:
        raise InvalidRequest(f"per_second is a number from 1 to {MOST_PER_SECOND}")
    if not 1 <= allowance.per_day <= MOST_PER_DAY:
        raise InvalidRequest(f"per_day is a number from 1 to {MOST_PER_DAY}")
    if len(allowance.certificates) > MAX_CERTIFICATES:
        raise InvalidRequest(f"a client has at most {MAX_CERTIFICATES} certificates")


def _find(custody: Custody, client_id: str) -> ClientCard:
    for card in custody.policy.clients.values():
        if card.id == client_id:
            return card
    raise NotFound("there is no client of this id")


def _new_secret() -> tuple[ClientSecret, tuple[Secret]]:
    """Draw a secret; return it, and what is kept of it."""
    secret = ClientSecret.generate()
    return secret, (Secret(bytes.fromhex(secret.fingerprint())),)


def _enrolment(
    custody: Custody, card: ClientCard, secret: ClientSecret, base_urls: tuple[str, ...]
) -> Enrolment:
    indexed = custody.kids
    newest = [key for key in custody.policy.live_keys() if key.kid in indexed][-1]
    canary = custody.policy.canary.identifier
    try:
        return Enrolment(card.id, card.name, secret, base_urls, newest.kid, newest.key, canary)
    except InvalidEnrolment as error:
        raise Conflict(f"serve.base_urls of the configuration: {error}") from None


def _destruction(receipt: Receipt) -> Destruction:
    if receipt.destruction is None:
        raise Conflict("unreachable: a client's entry is never replaced or removed without one")
    return receipt.destruction


def rotate_lookup_key(now: int) -> Callable[[Custody], Kid]:
    """Add a lookup key; it is live once the table built with it is in force."""

    def run(custody: Custody) -> Kid:
        if len(custody.policy.keys) >= MAX_LIVE_KEYS:
            raise Conflict("two lookup keys are live: retire the old one first")
        # The newest key is the one that new clients get, also after a clock was set back.
        latest = max(key.made for key in custody.policy.live_keys())
        entry = lookup_key_entry(LookupKey.generate(), max(now, latest + 1))
        custody.vault.commit((Put(entry),))
        kid = custody.policy.take_key(entry).kid
        custody.begin_build()
        return kid

    return run


def retire_lookup_key(kid: Kid) -> Callable[[Custody], None]:
    """Destroy a lookup key. Raises NotFound, or Conflict for the last one."""

    def run(custody: Custody) -> None:
        live = custody.policy.keys.get(kid)
        if live is None:
            raise NotFound("there is no live lookup key of this kid")
        if not any(other != kid for other in custody.kids):
            raise Conflict("no other lookup key is live and indexed: rotate first, then retire")

        def withdraw() -> None:
            del custody.policy.keys[kid]
            custody.announce()

        custody.vault.commit((Remove(Kind.LOOKUP_KEY, live.entry_id),), withdraw=withdraw)
        custody.begin_build()

    return run
