"""Signed notes: a text that people can read, and the signatures of those who vouch for it.

    note         = text || newline || one or more signature lines
    line         = em dash || space || key name || space || base64(key id || signature) || newline
    verifier key = name || "+" || hex(key id) || "+" || base64(0x01 || public key)
    key id       = SHA-256(name || newline || 0x01 || public key)[:4]
    signature    = Ed25519(private key, text)

Invariants:

* A note is UTF-8 without control characters but newline; its text ends in a newline, which is
  signed, as the empty line behind it is not. The last empty line ends the text.
* Base64 is canonical, so that no byte of a known key's line can change unnoticed.
* Signatures of unknown keys are passed over, also where name or id is a known key's. Whoever
  relays a note may have added them: nothing about them is to be believed. There are at most
  `MAX_SIGNATURES`.
* A known key's signature that does not verify spoils the whole note.
* Whatever is wrong with a note, InvalidNote is raised and its text is not returned.

C2SP signed-note (c2sp.org/signed-note); Ed25519 is RFC 8032. Signatures of other types are in
`cosignature`. The bound on signatures, over the 16 that C2SP demands, is that of the Go
implementation. Pure.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from crypto.secret import SecretBytes

MAX_SIGNATURES: Final = 100
KEY_ID_SIZE: Final = 4
PUBLIC_KEY_SIZE: Final = 32

_DASH: Final = "\N{EM DASH} "
# Control characters but newline, and surrogates, which UTF-8 does not have.
_REFUSED: Final = re.compile("[\0-\x09\x0b-\x1f\ud800-\udfff]")
_KEY_ID: Final = re.compile("[0-9a-f]{8}")


class InvalidNote(Exception):
    """Malformed, signed by nobody who is known, or not by whom it says."""


class InvalidVerifierKey(ValueError):
    """The text is no verifier key of this type, or its key id is not its own."""


class Signature(NamedTuple):
    """One signature line. Until verified, anybody may have written it."""

    name: str
    key_id: bytes
    signature: bytes


class UnverifiedNote(NamedTuple):
    """What anybody may have written."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A public key under a name, for signatures of one type."""

    KIND: ClassVar[int]

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise InvalidVerifierKey("a key name has neither spaces nor plus")
        if len(self.public) != PUBLIC_KEY_SIZE:
            raise InvalidVerifierKey("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """What signature lines name the key by, beside its name."""
        named = self.name.encode() + b"\n" + bytes([self.KIND]) + self.public
        return sha256(named).digest()[:KEY_ID_SIZE]

    def text(self) -> str:
        """Return the key as people hand it on."""
        encoded = b64encode(bytes([self.KIND]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that `text()` gives this text. Raises InvalidVerifierKey."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")  # base64 may have a plus of its own
        raw = decode_base64(encoded)
        if raw is None or raw[:1] != bytes([cls.KIND]) or not _KEY_ID.fullmatch(key_id):
            raise InvalidVerifierKey("expected a verifier key, NAME+ID+KEY, of the right type")
        key = cls(name, raw[1:])
        if key.key_id.hex() != key_id:
            raise InvalidVerifierKey("the key id is not that of this name and key")
        return key


@dataclass(frozen=True, slots=True)
class VerifierKey(NamedKey):
    """Verifies notes."""

    KIND: ClassVar[int] = 0x01

    def verify(self, text: str, signature: bytes) -> None:
        """Return if the text was signed with this key. Raises InvalidNote."""
        if not is_signed(self.public, signature, text.encode()):
            raise InvalidNote


class SigningKey(SecretBytes):
    """An Ed25519 private key that signs notes, and nothing else."""

    def verifier(self, name: str) -> VerifierKey:
        """Return what verifies its notes under this name. Raises InvalidVerifierKey."""
        return VerifierKey(name, public_of(self))


class Note(NamedTuple):
    """A text that every key in `verified` signed. Of the other signatures nothing is known."""

    text: str
    verified: tuple[VerifierKey, ...]
    signatures: tuple[Signature, ...]


def sign_text(text: str, name: str, key: SigningKey) -> Signature:
    """Return the signature of one key. Raises ValueError for a text that no note can have."""
    _check_text(text)
    return Signature(name, key.verifier(name).key_id, sign(key, text.encode()))


def sign_note(text: str, name: str, key: SigningKey) -> bytes:
    """Return a note with one signature. Raises ValueError for a text that no note can have."""
    return format_note(text, [sign_text(text, name, key)])


def format_note(text: str, signatures: Sequence[Signature]) -> bytes:
    """Return the note of these signatures, in this order. Raises ValueError."""
    _check_text(text)
    if not 0 < len(signatures) <= MAX_SIGNATURES:
        raise ValueError("a note has one signature at least, and a limited number")
    return "".join([text, "\n", *map(_format_line, signatures)]).encode()


def add_signature(note: bytes, signature: Signature) -> bytes:
    """Return the note with one more signature, last. Raises InvalidNote; verifies nothing."""
    text, signatures = parse_note(note)
    if len(signatures) == MAX_SIGNATURES:
        raise InvalidNote
    return format_note(text, [*signatures, signature])


def parse_note(raw: bytes) -> UnverifiedNote:
    """Return what is written, by whomever. Raises InvalidNote for what is no note."""
    try:
        content = raw.decode()
    except UnicodeDecodeError:
        raise InvalidNote from None
    end = content.rfind("\n\n") + 1
    if not end or not is_text(content):
        raise InvalidNote
    lines = content[end + 1 : -1].split("\n", MAX_SIGNATURES)
    if len(lines) > MAX_SIGNATURES:
        raise InvalidNote
    return UnverifiedNote(content[:end], tuple(map(_parse_line, lines)))


def open_note(raw: bytes, keys: Iterable[VerifierKey]) -> Note:
    """Return the text and who of `keys` signed it: one of them at least.

    Raises InvalidNote if it is no note, if no known key signed it, if a known key's signature does
    not verify, or if two keys have the same name and id.
    """
    text, signatures = parse_note(raw)
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise InvalidNote
    verified: dict[VerifierKey, None] = {}
    for name, key_id, signature in signatures:
        signer = known.get((name, key_id))
        if signer is not None:
            signer.verify(text, signature)
            verified[signer] = None
    if not verified:
        raise InvalidNote
    return Note(text, tuple(verified), signatures)


def is_text(text: str) -> bool:
    """Say whether a note can have this text: it ends in a newline, and no other is a control."""
    return text.endswith("\n") and not _REFUSED.search(text)


def is_key_name(name: str) -> bool:
    """Say whether a key can have this name."""
    if not name or "+" in name or _REFUSED.search(name):
        return False
    return not any(map(str.isspace, name))


def decode_base64(text: str) -> bytes | None:
    """Return the bytes whose one canonical encoding this is (RFC 4648, section 4), or None."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if b64encode(raw).decode() == text else None


def public_of(key: SecretBytes) -> bytes:
    """Return the public half of an Ed25519 private key."""
    return _private(key).public_key().public_bytes_raw()


def sign(key: SecretBytes, message: bytes) -> bytes:
    """Return the Ed25519 signature of a message that can be of one use only."""
    return _private(key).sign(message)


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether the Ed25519 signature is the message's under this key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _private(key: SecretBytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key.expose())


def _check_text(text: str) -> None:
    if not is_text(text):
        raise ValueError("the text of a note ends in a newline and has no control characters")


def _format_line(line: Signature) -> str:
    name, key_id, signature = line
    if not is_key_name(name) or len(key_id) != KEY_ID_SIZE or not signature:
        raise ValueError("a signature has the name and the id of a key")
    return f"{_DASH}{name} {b64encode(key_id + signature).decode()}\n"


def _parse_line(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = decode_base64(encoded)
    if not line.startswith(_DASH) or not is_key_name(name) or raw is None:
        raise InvalidNote
    if len(raw) <= KEY_ID_SIZE:
        raise InvalidNote
    return Signature(name, raw[:KEY_ID_SIZE], raw[KEY_ID_SIZE:])
