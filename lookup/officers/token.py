"""Officer tokens: what an officer shows with a call, made with the own key and no server's help.

    key id  = the first 16 bytes of SHA-256(public key)
    payload = encode("lacuna/officer-token/v1", vault id (16), key id (16), expires u64,
              nonce (16))
    token   = base64url(payload) || "." || base64url(SSHSIG(officer's key, NAMESPACE, payload))

Invariants:

* There is one text for a token; no character of it can be changed, added or left out.
* It names the vault: shown to one custodian, it opens nothing at another.
* It says when it ends, at most MOST_SECONDS ahead. Until then whoever has it can use it, so it is
  never logged, and its signature is not printed; no token can approve anything, because a step of
  a case is signed by itself, for another namespace.

base64url is without padding (RFC 4648, section 5); `expires` is in seconds since 1970, big-endian.
"""

import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NewType

from crypto.encoding import encode, uint
from crypto.sshsig import InvalidSignature, OfficerKey, PublicKey, Signature, sign, verify

KeyId = NewType("KeyId", bytes)

NAMESPACE: Final = "lacuna-officer@v1"
MOST_SECONDS: Final = 600
CLOCK_DIFFERENCE: Final = 60  # seconds that an officer's clock may be ahead of the custodian's
ID_SIZE: Final = 16
NONCE_SIZE: Final = 16

_LABEL: Final = b"lacuna/officer-token/v1"
_FORM: Final = re.compile(r"([A-Za-z0-9_-]{132})\.([A-Za-z0-9_-]{86})")


class InvalidToken(Exception):
    """No token of this officer for this vault at this time; the message says which rule broke."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says of itself; `verify_token` finds whether it is true."""

    vault: bytes
    key_id: KeyId
    expires: int
    payload: bytes = field(repr=False)
    signature: Signature = field(repr=False)


def key_id_of(public_key: PublicKey) -> KeyId:
    """Return what a token says of who made it: an officer need not know more than the own key."""
    return KeyId(sha256(public_key).digest()[:ID_SIZE])


def make_token(key: OfficerKey, vault: bytes, expires: int) -> str:
    """Return a new token; no two are alike. Raises ValueError for a vault that is none."""
    if len(vault) != ID_SIZE:
        raise ValueError(f"a vault id has {ID_SIZE} bytes")
    signer = key_id_of(key.public())
    payload = _payload(vault, signer, uint(expires), secrets.token_bytes(NONCE_SIZE))
    return _text(payload, sign(key, NAMESPACE, payload))


def parse_token(text: str) -> Claims:
    """Return what a token says. Raises InvalidToken for whatever `make_token` cannot have made."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise InvalidToken("this is no officer token")
    payload = urlsafe_b64decode(form[1])
    signature = Signature(urlsafe_b64decode(form[2] + "=="))
    vault, key_id, expires, nonce = _unpacked(payload)
    # Written anew it is the same text: label, lengths and the last bits of base64 are right.
    if _payload(vault, key_id, expires, nonce) != payload or _text(payload, signature) != text:
        raise InvalidToken("this is no officer token")
    return Claims(vault, KeyId(key_id), int.from_bytes(expires, "big"), payload, signature)


def verify_token(claims: Claims, public_key: PublicKey, vault: bytes, now: int) -> None:
    """Raise InvalidToken unless this officer made it for this vault and it has not ended."""
    if claims.vault != vault:
        raise InvalidToken("the officer token is for another vault")
    if claims.expires <= now:
        raise InvalidToken("the officer token has ended")
    if claims.expires > now + MOST_SECONDS + CLOCK_DIFFERENCE:
        raise InvalidToken(f"the officer token lasts for more than {MOST_SECONDS} seconds")
    try:
        verify(public_key, NAMESPACE, claims.payload, claims.signature)
    except InvalidSignature:
        raise InvalidToken("the officer token is not signed with this officer's key") from None


def _payload(vault: bytes, key_id: bytes, expires: bytes, nonce: bytes) -> bytes:
    return encode(_LABEL, vault, key_id, expires, nonce)


def _unpacked(payload: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the four fields from their places; what stands between them is not looked at."""
    at = 4 + len(_LABEL) + 4
    expires = at + ID_SIZE + 4 + ID_SIZE + 4
    return (
        payload[at : at + ID_SIZE],
        payload[at + ID_SIZE + 4 : expires - 4],
        payload[expires : expires + 8],
        payload[expires + 8 + 4 :],
    )


def _text(payload: bytes, signature: bytes) -> str:
    return f"{_coded(payload)}.{_coded(signature)}"


def _coded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
