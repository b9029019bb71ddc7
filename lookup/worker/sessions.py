"""Sessions: from an Authorization header to the client that sent it.

    Authorization: Bearer <access token, 56 characters>

Invariants:

* A header is verified once (lookup/worker/access.py) and then found by its bytes: on the way of
  every lookup there is one look into a dictionary and one into the view.
* Whether the client is still in the view, and whether the token has expired, is asked each time:
  a revoked client is refused by the first request after the view without it, whatever is
  remembered here.
* Only what was verified is remembered, so that strangers cannot fill the memory or push others
  out. At most twice `REMEMBERED` headers are: when the younger generation is full it becomes the
  elder, and what was the elder is forgotten, to be verified again.
* A missing, malformed, forged, expired or revoked token is one error, and says nothing else.

RFC 6750, header fields alone: a token in a form or in a URL is not looked for.
"""

from typing import Final

from lookup.errors import Unauthorized
from lookup.handoff import Client
from lookup.worker.access import TOKEN_SIZE, Session
from lookup.worker.view import OpenView

REMEMBERED: Final = 8_192
_SCHEME: Final = b"bearer "
_HEADER_SIZE: Final = len(_SCHEME) + TOKEN_SIZE


class Sessions:
    """What one worker remembers of the access tokens it has verified."""

    __slots__ = ("_elder", "_younger")

    def __init__(self) -> None:
        self._younger: dict[bytes, Session] = {}
        self._elder: dict[bytes, Session] = {}

    def client_of(self, authorization: bytes, view: OpenView, now: float) -> tuple[Client, int]:
        """Return the client whose token this header is, and when it expires. Raises Unauthorized.

        `authorization` is the field's value, empty where there was none or more than one; `now` is
        in seconds since 1970.
        """
        session = self._younger.get(authorization)
        if session is None:
            session = self._admit(authorization, view, now)
        client = view.clients.get(session.client_id)
        if client is None or now >= session.expiry:
            raise Unauthorized
        return client, session.expiry

    def _admit(self, authorization: bytes, view: OpenView, now: float) -> Session:
        """Verify a header that the younger generation does not have, and remember it."""
        session = self._elder.get(authorization)
        if session is None:
            if len(authorization) != _HEADER_SIZE:
                raise Unauthorized
            if authorization[: len(_SCHEME)].lower() != _SCHEME:
                raise Unauthorized
            session = view.token_keys.verify(authorization[len(_SCHEME) :], now)
        if len(self._younger) >= REMEMBERED:
            self._elder, self._younger = self._younger, {}
        self._younger[authorization] = session
        return session
