"""Enrolment files: what a site gives a client so that it can ask.

    {"format": "lacuna-enrolment/1", "client_id": …, "client_name": …, "secret": …,
     "base_urls": […], "kid": …, "lookup_key": …, "canary": …}

Invariants:

* An Enrolment that exists is valid: the kid is the lookup key's own fingerprint, and the secret
  and what it is exchanged for only ever travel under TLS or inside this machine.
* A file that anybody else can read, that is a link, or that belongs to somebody else is refused,
  as is any member, size or spelling that the format does not know.
* Neither an Enrolment nor an error about one shows the secret, the lookup key or the canary.

Secrets are base64url without padding (RFC 4648 section 5), in their one canonical spelling.
"""

import json
import os
import re
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from crypto.secret import SecretBytes
from crypto.token import Kid, LookupKey, TokenMaker
from lookup.identifiers import Identifier, canary
from lookup.private_file import new_private_file

FORMAT: Final = "lacuna-enrolment/1"
MAX_FILE_SIZE: Final = 16_384
MAX_BASE_URLS: Final = 8
MEMBERS: Final = frozenset(
    {
        "format",
        "client_id",
        "client_name",
        "secret",
        "base_urls",
        "kid",
        "lookup_key",
        "canary",
    }
)

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")
_BASE_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,255}(?:/[A-Za-z0-9._~-]{1,64}){0,8}")


class InvalidEnrolment(ValueError):
    """An enrolment, or the file it is in, breaks a rule; the message names the rule."""


class ClientSecret(SecretBytes):
    """What a client proves itself with; 256 random bits."""

    def text(self) -> str:
        """Return what is sent for an access token. Call it where a request is built."""
        return _encode(self.expose())

    def fingerprint(self) -> str:
        """Return what a site keeps instead: SHA-256 suffices for 256 random bits."""
        return sha256(self.text().encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """Everything a client needs to ask one site. Raises InvalidEnrolment for a broken rule."""

    client_id: str
    client_name: str
    secret: ClientSecret
    base_urls: tuple[str, ...]
    kid: Kid
    lookup_key: LookupKey
    canary: Identifier = field(repr=False)

    def __post_init__(self) -> None:
        _require(_CLIENT_ID.fullmatch(self.client_id), "client_id is not 1 to 64 of A-Za-z0-9_-")
        _require(
            1 <= len(self.client_name) <= 80 and self.client_name.isprintable(),
            "client_name is not 1 to 80 printable characters",
        )
        _require(1 <= len(self.base_urls) <= MAX_BASE_URLS, "base_urls does not hold 1 to 8 URLs")
        for base_url in self.base_urls:
            check_base_url(base_url)
        _require(len(set(self.base_urls)) == len(self.base_urls), "a base URL is given twice")
        _require(
            TokenMaker(self.lookup_key).kid == self.kid, "kid is not the fingerprint of lookup_key"
        )
        _require(self.canary.scheme == "canary", "canary is not a canary identifier")


def load_enrolment(path: Path) -> Enrolment:
    """Read an enrolment file; raises InvalidEnrolment, from which nothing read can be reached."""
    try:
        return parse_enrolment(_read_private_file(path))
    except InvalidEnrolment as broken:
        # The frames that found it hold what they read, and some reporters print locals.
        raise broken.with_traceback(None) from None


def store_enrolment(path: Path, enrolment: Enrolment) -> None:
    """Write a new file, mode 0600, and return when it is durable.

    Raises FileExistsError when the path is taken, another OSError when it cannot be written; a
    file that could not be written whole is removed again.
    """
    with new_private_file(path) as file:
        file.write(format_enrolment(enrolment))


def parse_enrolment(data: bytes) -> Enrolment:
    """Read the format above; raises InvalidEnrolment."""
    members = _json_object(data)
    _require(members.get("format") == FORMAT, f"format is not {FORMAT}")
    _require(members.keys() == MEMBERS, "enrolment lacks a member or has one too many")
    return Enrolment(
        client_id=_text(members, "client_id"),
        client_name=_text(members, "client_name"),
        secret=ClientSecret(_decode(members, "secret")),
        base_urls=_texts(members, "base_urls"),
        kid=Kid(_text(members, "kid")),
        lookup_key=LookupKey(_decode(members, "lookup_key")),
        canary=_canary(_text(members, "canary")),
    )


def format_enrolment(enrolment: Enrolment) -> bytes:
    """Write the format above. The result is as secret as what is in it."""
    return json.dumps(enrolment_members(enrolment), indent=2, ensure_ascii=False).encode() + b"\n"


def enrolment_members(enrolment: Enrolment) -> dict[str, object]:
    """Return the members of the format above, for a document that has more to say."""
    return {
        "format": FORMAT,
        "client_id": enrolment.client_id,
        "client_name": enrolment.client_name,
        "secret": enrolment.secret.text(),
        "base_urls": enrolment.base_urls,
        "kid": enrolment.kid,
        "lookup_key": _encode(enrolment.lookup_key.expose()),
        "canary": enrolment.canary.value,
    }


def _read_private_file(path: Path) -> bytes:
    # O_NONBLOCK: opening a pipe that somebody put there must not wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags)
    except OSError as error:
        # A link fails here too, with "Too many levels of symbolic links".
        raise InvalidEnrolment(f"enrolment file does not open: {error.strerror}") from None
    try:
        _check_private(os.fstat(handle))
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MAX_FILE_SIZE)
    finally:
        os.close(handle)


def _check_private(status: os.stat_result) -> None:
    _require(stat.S_ISREG(status.st_mode), "enrolment file is not a regular file")
    _require(status.st_uid == os.geteuid(), "enrolment file belongs to another user")
    # 0400 is stricter than 0600, and what systemd gives a credential.
    mode = stat.S_IMODE(status.st_mode)
    _require(mode in {0o600, 0o400}, f"enrolment file must have mode 0600, and has {mode:04o}")
    _require(status.st_size <= MAX_FILE_SIZE, f"enrolment file is larger than {MAX_FILE_SIZE}")


def check_base_url(base_url: str) -> None:
    """Refuse whatever could send a secret in the clear or leave it in a log: InvalidEnrolment.

    The pattern has no room for user information, query, fragment, space or escape.
    """
    _require(_BASE_URL.fullmatch(base_url), "a base URL is not http(s)://host[:port][/path]")
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidEnrolment("a base URL has no valid host or port") from None
    _require(host and port != 0, "a base URL has no valid host or port")
    _require(
        parts.scheme == "https" or _is_loopback(host or ""),
        "a base URL is http, which is for loopback only: use https",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _json_object(data: bytes) -> dict[str, object]:
    # Raised outside an `except`: a JSONDecodeError holds the whole document, secrets included,
    # and would stay reachable as the new error's context.
    with suppress(ValueError, RecursionError):
        members = json.loads(data.decode(), object_pairs_hook=_distinct)
        if isinstance(members, dict):
            return members
    raise InvalidEnrolment("enrolment is not a JSON object with distinct members")


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a member is given twice")
    return dict(pairs)


def _text(members: dict[str, object], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise InvalidEnrolment(f"{name} is not a string")
    return value


def _texts(members: dict[str, object], name: str) -> tuple[str, ...]:
    value = members[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidEnrolment(f"{name} is not a list of strings")
    return tuple(value)


def _canary(value: str) -> Identifier:
    with suppress(ValueError):
        return canary(value)
    raise InvalidEnrolment("canary is not a canary's value")


def _encode(secret: bytes) -> str:
    return urlsafe_b64encode(secret).decode().rstrip("=")


def _decode(members: dict[str, object], name: str) -> bytes:
    text = _text(members, name)
    _require(_SECRET_TEXT.fullmatch(text), f"{name} is not 43 characters of base64url")
    secret = urlsafe_b64decode(text + "=")
    # Four spellings decode alike; the site hashes the spelling, so only one can be right.
    _require(_encode(secret) == text, f"{name} is not canonical base64url")
    return secret


def _require(holds: object, rule: str) -> None:
    if not holds:
        raise InvalidEnrolment(rule)
