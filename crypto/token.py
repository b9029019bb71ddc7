"""Lookup tokens: what a hospital sends instead of an identifier.

    token = HMAC-SHA-256(lookup_key, encode("lacuna/token/v1", scheme, value))
    kid   = base64url(HMAC-SHA-256(lookup_key, encode("lacuna/kid/v1"))[:12])

Invariants:

* Equal inputs give equal tokens. That equality is the leakage we accept; see
  THREAT-MODEL.md, "What a token reveals".
* The scheme is inside the MAC: a token for "nhs" never matches one for "chi".
* The identifier arrives canonical (lookup/identifiers.py); nothing here normalizes.
* A kid is a fingerprint: whoever has the wrong key cannot carry the right kid by mistake.

HMAC is RFC 2104; as its section 4 suggests, the states after the padded keys are kept and copied
(the standard library's own object takes twice as long for a token). Held by hospitals and the
custodian; a worker never imports this module.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, NewType

from crypto.encoding import encode
from crypto.secret import SecretBytes

if TYPE_CHECKING:
    from hashlib import _Hash as _State

Token = NewType("Token", bytes)
Kid = NewType("Kid", str)

TOKEN_SIZE = 32
KID_LENGTH = 16
# How many schemes a maker remembers; there are four, and one for each authority that has its own.
MAX_SCHEMES = 1_100

_BLOCK_SIZE = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class LookupKey(SecretBytes):
    """What identifiers are hashed with. Shared with every enrolled hospital."""


class TokenMaker:
    """Makes tokens under one key; a scheme's keyed state is computed once and copied for each."""

    __slots__ = ("_inner", "_outer", "_schemes")

    def __init__(self, key: LookupKey) -> None:
        padded = key.expose().ljust(_BLOCK_SIZE, b"\0")
        self._inner = sha256(padded.translate(_INNER_PAD))
        self._outer = sha256(padded.translate(_OUTER_PAD))
        self._schemes: dict[str, _State] = {}

    def make(self, scheme: str, value: str) -> Token:
        """Return the token of a canonical identifier."""
        state = (self._schemes.get(scheme) or self._begin(scheme)).copy()
        state.update(encode(value.encode()))  # fields stand side by side: what `encode` is of all
        return Token(self._finish(state))

    @property
    def kid(self) -> Kid:
        """The fingerprint of the key."""
        state = self._inner.copy()
        state.update(encode(b"lacuna/kid/v1"))
        return Kid(urlsafe_b64encode(self._finish(state)[:12]).decode())

    def _finish(self, inner: "_State") -> bytes:
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def _begin(self, scheme: str) -> "_State":
        state = self._inner.copy()
        state.update(encode(b"lacuna/token/v1", scheme.encode()))
        if len(self._schemes) < MAX_SCHEMES:
            self._schemes[scheme] = state
        return state
