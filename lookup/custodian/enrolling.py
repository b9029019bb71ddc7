"""Clients and lookup keys: who may ask, and with which key.

Invariants:

* A lookup key is live when every link has a slot for it; until then lookups with it are refused.
* Retiring a key first takes it from the workers, then destroys it.
* A client's secret leaves this process once, in the enrolment; its SHA-256 stays.
"""

from collections.abc import Callable
from typing import Final

from crypto.token import Kid, LookupKey
from keys.entry import Kind, Put, Remove
from lookup.client.enrolment import ClientSecret, Enrolment, InvalidEnrolment
from lookup.custodian.custody import Custody
from lookup.custodian.policy import (
    MAX_CLIENTS,
    MAX_LIVE_KEYS,
    client_entry,
    lookup_key_entry,
    read_client,
)
from lookup.errors import Conflict, InvalidRequest, NotFound

MAX_NAME: Final = 80


def add_client(name: str, base_urls: tuple[str, ...], now: int) -> Callable[[Custody], Enrolment]:
    """Enrol a client under the newest lookup key. Raises InvalidRequest or Conflict."""
    if not (name.isprintable() and name.strip() == name and 1 <= len(name) <= MAX_NAME):
        raise InvalidRequest(f"a client's name has 1 to {MAX_NAME} printable characters")

    def run(custody: Custody) -> Enrolment:
        policy = custody.policy
        if len(policy.clients) >= MAX_CLIENTS:
            raise Conflict(f"there are {MAX_CLIENTS} clients already")
        if any(card.name == name for card in policy.clients.values()):
            raise Conflict("a client of this name exists: choose another name")
        indexed = custody.kids
        newest = [key for key in policy.live_keys() if key.kid in indexed][-1]
        secret = ClientSecret.generate()
        entry = client_entry(name, secret.fingerprint(), now)
        card = read_client(entry)
        identifier = policy.canary.identifier
        try:
            enrolment = Enrolment(
                card.id, name, secret, base_urls, newest.kid, newest.key, identifier
            )
        except InvalidEnrolment as error:
            raise Conflict(f"serve.base_urls of the configuration: {error}") from None
        custody.vault.commit((Put(entry),))
        policy.clients[card.entry_id] = card
        custody.announce()
        return enrolment

    return run


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
