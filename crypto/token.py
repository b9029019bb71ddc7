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
# How many schemes a maker remembers; there are four, and one for each authority that has its own.
MAX_SCHEMES = 1_100


class LookupKey(SecretBytes):
    """What identifiers are hashed with. Shared with every enrolled hospital."""


class TokenMaker:
    """Makes tokens under one key; a scheme's keyed state is computed once and copied for each."""

    __slots__ = ("_keyed", "_schemes")

    def __init__(self, key: LookupKey) -> None:
        self._keyed = hmac.new(key.expose(), digestmod="sha256")
        self._schemes: dict[str, hmac.HMAC] = {}

    def make(self, scheme: str, value: str) -> Token:
        """Return the token of a canonical identifier."""
        state = (self._schemes.get(scheme) or self._begin(scheme)).copy()
        state.update(encode(value.encode()))  # fields stand side by side: what `encode` is of all
        return Token(state.digest())

    @property
    def kid(self) -> Kid:
        """The fingerprint of the key."""
        state = self._keyed.copy()
        state.update(encode(b"lacuna/kid/v1"))
        return Kid(urlsafe_b64encode(state.digest()[:12]).decode())

    def _begin(self, scheme: str) -> hmac.HMAC:
        state = self._keyed.copy()
        state.update(encode(b"lacuna/token/v1", scheme.encode()))
        if len(self._schemes) < MAX_SCHEMES:
            self._schemes[scheme] = state
        return state
