"""Lookup tokens: what a hospital sends instead of an identifier.

    token = HMAC-SHA-256(lookup_key, encode("lacuna/token/v1", scheme, value))
    kid   = base64url(HMAC-SHA-256(lookup_key, encode("lacuna/kid/v1"))[:12])

Invariants:

* Equal inputs give equal tokens. That equality is the leakage we accept; see
  THREAT-MODEL.md, "What a token reveals".
* The scheme is inside the MAC: a token for "nhs" never matches one for "chi".
* The identifier arrives canonical (lookup/identifiers.py); nothing here normalizes.
* A kid is a fingerprint: whoever has the wrong key cannot carry the right kid by mistake.

HMAC is RFC 2104. Held by hospitals and the custodian; a worker never imports this module.
"""

import hmac
from base64 import urlsafe_b64encode
from typing import NewType

from crypto.encoding import encode
from crypto.secret import SecretBytes

Token = NewType("Token", bytes)
Kid = NewType("Kid", str)

TOKEN_SIZE = 32
KID_LENGTH = 16


class LookupKey(SecretBytes):
    """What identifiers are hashed with. Shared with every enrolled hospital."""


class TokenMaker:
    """Makes tokens under one key; the keyed state is computed once and copied for each."""

    __slots__ = ("_keyed",)

    def __init__(self, key: LookupKey) -> None:
        self._keyed = hmac.new(key.expose(), digestmod="sha256")

    def make(self, scheme: str, value: str) -> Token:
        """Return the token of a canonical identifier."""
        return Token(self._mac(b"lacuna/token/v1", scheme.encode(), value.encode()))

    @property
    def kid(self) -> Kid:
        """The fingerprint of the key."""
        return Kid(urlsafe_b64encode(self._mac(b"lacuna/kid/v1")[:12]).decode())

    def _mac(self, *fields: bytes) -> bytes:
        state = self._keyed.copy()
        state.update(encode(*fields))
        return state.digest()
