"""Token requests: what a client sends to get an access token, read strictly.

    POST /oauth2/token, application/x-www-form-urlencoded, at most 1 KiB:
        grant_type=client_credentials, and either
        client_id=…&client_secret=…                                 in the form, or
        Authorization: Basic base64(form(client_id):form(client_secret))

Invariants:

* Whatever is malformed, given twice or given both ways is refused, not resolved (RFC 6749 sections
  2.3 and 3.2); a parameter that is not known is ignored, one without a value was not given.
* Names and values are printable ASCII (RFC 6749, appendix A), after exactly one decoding.
* Pure, bounded by the size of the request, and nothing is spooled to a file, as libraries for
  forms do. No message repeats what was sent.

The form is that of the URL standard; Basic is RFC 7617 as RFC 6749 section 2.3.1 uses it.
"""

import re
from binascii import Error as InvalidBase64
from binascii import a2b_base64
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

MAX_FORM: Final = 1_024
MEDIA_TYPE: Final = b"application/x-www-form-urlencoded"
GRANT_TYPE: Final = "client_credentials"
_MAX_PARAMETERS: Final = 16
_MAX_AUTHORIZATION: Final = 1_024
_ENCODED: Final = re.compile(rb"(?:[!-$'-<>-~]|%[0-9A-Fa-f]{2})*")
_PRINTABLE: Final = re.compile(r"[ -~]*")

INVALID_REQUEST: Final = "invalid_request"
INVALID_CLIENT: Final = "invalid_client"
INVALID_SCOPE: Final = "invalid_scope"
UNSUPPORTED_GRANT_TYPE: Final = "unsupported_grant_type"


class InvalidGrant(Exception):
    """A token request is refused: `code` is RFC 6749's (5.2), the message names the rule."""

    def __init__(self, code: str, rule: str) -> None:
        super().__init__(rule)
        self.code = code


class Credentials(NamedTuple):
    """Who says to ask, and the secret that is to prove it."""

    client_id: str
    secret: bytes

    def __repr__(self) -> str:
        return "<Credentials>"


def parse_request(authorization: bytes | None, body: bytes) -> Credentials:
    """Return the credentials of a token request. Raises InvalidGrant.

    `authorization` is the header's value, None where there was none.
    """
    form = _parse_form(body)
    if "grant_type" not in form:
        raise InvalidGrant(INVALID_REQUEST, "grant_type is required")
    if form["grant_type"] != GRANT_TYPE:
        raise InvalidGrant(UNSUPPORTED_GRANT_TYPE, f"grant_type must be {GRANT_TYPE}")
    if "scope" in form:
        raise InvalidGrant(INVALID_SCOPE, "there are no scopes here: leave it out")
    if authorization is not None:
        credentials = _parse_basic(authorization)
        if "client_secret" in form or form.get("client_id") not in {None, credentials.client_id}:
            raise InvalidGrant(INVALID_REQUEST, "send the credentials in one way, not in two")
        return credentials
    try:
        return Credentials(form["client_id"], form["client_secret"].encode())
    except KeyError:
        raise InvalidGrant(INVALID_CLIENT, "client_id and client_secret are required") from None


def _parse_form(body: bytes) -> dict[str, str]:
    pieces = body.split(b"&", _MAX_PARAMETERS)
    if len(pieces) > _MAX_PARAMETERS:
        raise InvalidGrant(INVALID_REQUEST, f"a form has at most {_MAX_PARAMETERS} parameters")
    form: dict[str, str] = {}
    for piece in pieces:
        name, _, value = piece.partition(b"=")
        decoded = _decode(name)
        if decoded in form:
            raise InvalidGrant(INVALID_REQUEST, "no parameter may be given twice")
        form[decoded] = _decode(value)
    return {name: value for name, value in form.items() if value}


def _decode(encoded: bytes) -> str:
    if _ENCODED.fullmatch(encoded):
        text = unquote_to_bytes(encoded.replace(b"+", b" ")).decode("latin-1")
        if _PRINTABLE.fullmatch(text):
            return text
    raise InvalidGrant(INVALID_REQUEST, "the body must be a form of printable ASCII")


def _parse_basic(authorization: bytes) -> Credentials:
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        raise InvalidGrant(INVALID_CLIENT, "clients show who they are by Basic, or in the form")
    try:
        pair = a2b_base64(encoded[:_MAX_AUTHORIZATION], strict_mode=True)
    except InvalidBase64:
        pair = b""
    name, colon, secret = pair.partition(b":")
    if not colon or len(encoded) > _MAX_AUTHORIZATION:
        raise InvalidGrant(INVALID_REQUEST, "Basic is base64 of client_id:client_secret")
    return Credentials(_decode(name), _decode(secret).encode())
