"""Access tokens: what a client shows with each request instead of its secret.

    access token = base64url(body || auth tag)                                      56 characters
    body         = client id (14) || expiry, seconds since 1970 (u32) || nonce (8)
    auth tag     = BLAKE2b-128(key=token key, body)

Invariants:

* Whoever has the token key makes and verifies tokens by itself: no table, no disk, no other
  process. All workers of a site have it, from the hand-off; nobody else does.
* A token is valid for ten minutes from when it was made; after that nothing brings it back.
* A token names a client and carries no right: whether there is such a client, and what it may do,
  is asked of the view each time.
* Each new custodian draws a new token key. The former one is accepted as long as tokens made with
  it may live, and the new one is used for making only after every worker must have it (a custodian
  kills a worker that does not take a view in time): a custodian's restart refuses no client.
* 42 bytes are 56 characters without spare bits: a token has one spelling.

Keyed BLAKE2b is RFC 7693, base64url RFC 4648 section 5. A forger has one try in 2**128 for each
request. Pure but for the nonce's randomness.
"""

import os
from base64 import urlsafe_b64encode
from binascii import Error as InvalidBase64
from binascii import a2b_base64
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, NamedTuple, Self

from crypto.secret import SecretBytes
from lookup.audit.entry import CLIENT_ID_SIZE
from lookup.errors import Unauthorized

ACCESS_SECONDS: Final = 600
TOKEN_SIZE: Final = 56
# Longer than a custodian waits for a worker to take a view (lookup/custodian/door.py).
SPREADING_SECONDS: Final = 10
# So that a custodian that starts again and again does not make verifying slower and slower.
MAX_FORMER: Final = 4

_NONCE_SIZE: Final = 8
_EXPIRY_SIZE: Final = 4
_BODY_SIZE: Final = CLIENT_ID_SIZE + _EXPIRY_SIZE + _NONCE_SIZE
_TAG_SIZE: Final = 16
_FROM_URL_ALPHABET: Final = bytes.maketrans(b"-_+/", b"+/!!")


class TokenKey(SecretBytes):
    """What access tokens are authenticated with; lives as long as a custodian process."""

    __slots__ = ("_keyed",)

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._keyed = blake2b(digest_size=_TAG_SIZE, key=value)

    def authenticate(self, body: bytes) -> bytes:
        """Return the auth tag of a token's body."""
        state = self._keyed.copy()
        state.update(body)
        return state.digest()


class Session(NamedTuple):
    """What a token says: who, and until when (seconds since 1970)."""

    client_id: bytes
    expiry: int


class TokenKeys:
    """The newest token key, and the former ones as long as their tokens may live."""

    __slots__ = ("_former", "_newest", "_since")

    def __init__(
        self, newest: TokenKey, since: float, former: tuple[tuple[TokenKey, float], ...] = ()
    ) -> None:
        self._newest = newest
        self._since = since
        self._former = former

    def followed_by(self, key: bytes, now: float) -> Self:
        """Return the keys after a view with this key: the same keys, if it is the newest of now."""
        if compare_digest(self._newest.expose(), key):
            return self
        until = now + SPREADING_SECONDS + ACCESS_SECONDS
        living = tuple((former, end) for former, end in self._former if end > now)
        former = ((self._newest, until), *living)[:MAX_FORMER]
        return type(self)(TokenKey(key), now, former)

    def make(self, client_id: bytes, now: float) -> bytes:
        """Return a new token for a client."""
        expiry = (int(now) + ACCESS_SECONDS).to_bytes(_EXPIRY_SIZE, "big")
        body = client_id + expiry + os.urandom(_NONCE_SIZE)
        return urlsafe_b64encode(body + self._making(now).authenticate(body))

    def _making(self, now: float) -> TokenKey:
        if self._former and now < self._since + SPREADING_SECONDS:
            return self._former[0][0]
        return self._newest

    def verify(self, token: bytes, now: float) -> Session:
        """Return what a token says. Raises Unauthorized, whatever is wrong with it."""
        try:
            raw = a2b_base64(token.translate(_FROM_URL_ALPHABET), strict_mode=True)
        except InvalidBase64:
            raise Unauthorized from None
        body, auth_tag = raw[:_BODY_SIZE], raw[_BODY_SIZE:]
        if not self._is_ours(body, auth_tag, now):
            raise Unauthorized
        expiry = int.from_bytes(body[CLIENT_ID_SIZE:-_NONCE_SIZE], "big")
        if now >= expiry:
            raise Unauthorized
        return Session(body[:CLIENT_ID_SIZE], expiry)

    def _is_ours(self, body: bytes, auth_tag: bytes, now: float) -> bool:
        if compare_digest(self._newest.authenticate(body), auth_tag):
            return True
        return any(
            now < until and compare_digest(key.authenticate(body), auth_tag)
            for key, until in self._former
        )
