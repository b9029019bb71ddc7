"""Access tokens, as a client sees them: fetched with its secret, kept in memory, replaced in time.

    POST /oauth2/token        grant_type=client_credentials, HTTP Basic (RFC 6749 section 4.4)
    200 {"access_token", "token_type": "Bearer", "expires_in"}

Invariants:

* The secret is sent to this one path and to no other; a question goes with an access token.
* What is kept is replaced a minute before its end, and not used after it, by a clock that runs
  while the machine sleeps; the time that the answer was under way counts as used up.
* Neither the request nor a token prints, and no token is written to a file.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec

from lookup.client.enrolment import Enrolment

RENEW_SECONDS: Final = 60.0
# One question renews for all; another one tries when this did not succeed after so long.
RENEWAL_PAUSE: Final = 5.0
_MAX_SECONDS: Final = 86_400
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,2048}=*")  # RFC 6750 section 2.1


class AccessToken:
    """A token, and until when it may be used (seconds since boot)."""

    __slots__ = ("_renew_at", "header", "until")

    def __init__(self, token: str, asked: float, seconds: int) -> None:
        self.header = f"Bearer {token}"
        self.until = asked + seconds
        self._renew_at = self.until - min(RENEW_SECONDS, seconds / 2)

    def is_due(self, now: float) -> bool:
        """Say to one caller at a time that this is to be replaced."""
        if now < self._renew_at:
            return False
        self._renew_at = now + RENEWAL_PAUSE
        return True

    def __repr__(self) -> str:
        return "<AccessToken>"


class _Granted(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str
    expires_in: int


class TokenRequest:
    """The one request that has the secret in it."""

    __slots__ = ("body", "headers", "path")

    def __init__(self, enrolment: Enrolment) -> None:
        # Ids and secrets are of characters that the form encoding of RFC 6749 leaves as they are.
        pair = f"{enrolment.client_id}:{enrolment.secret.text()}"
        self.path = "/oauth2/token"
        self.body = b"grant_type=client_credentials"
        self.headers: Mapping[str, str] = {
            "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "identity",
            "User-Agent": "lacuna-sdk",
        }

    def parse(self, body: bytes, asked: float) -> AccessToken | None:
        """Return the token that an answer grants, or None if it is not well-formed."""
        with suppress(ValueError, RecursionError, msgspec.DecodeError):
            granted = msgspec.json.decode(body, type=_Granted)
            if (
                granted.token_type.lower() == "bearer"
                and 1 <= granted.expires_in <= _MAX_SECONDS
                and _TOKEN.fullmatch(granted.access_token)
            ):
                return AccessToken(granted.access_token, asked, granted.expires_in)
        return None

    def __repr__(self) -> str:
        return "<TokenRequest>"
