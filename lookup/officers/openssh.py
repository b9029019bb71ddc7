"""OpenSSH's own private key files: what they say in the clear, and the Ed25519 key in them.

    file = BEGIN line || base64(blob) || END line
    blob = "openssh-key-v1" NUL || encode(cipher, kdf, kdf options) || number of keys u32 ||
           encode(key blob, private part)
    kdf options = encode(salt) || rounds u32        (kdf "bcrypt"; empty for "none")

Invariants:

* Type of key, number of keys and rounds are read before a passphrase is asked for, and the rounds
  are bounded: a changed file must not cost hours.
* The key that comes out is the one whose public half the file names.

OpenSSH's PROTOCOL.key. What is sealed is opened by `cryptography`; bcrypt_pbkdf is the package
`bcrypt`'s.
"""

import warnings
from base64 import b64decode
from dataclasses import dataclass
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from crypto.sshsig import OfficerKey
from lookup.officers.errors import KeyFileUnreadable, NotAnOfficerKey, WrongPassphrase

BEGIN: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----"
MOST_ROUNDS: Final = 1_024  # `ssh-keygen -a`; its default is 24; this many take ten seconds

_END: Final = b"-----END OPENSSH PRIVATE KEY-----"
_MAGIC: Final = b"openssh-key-v1\0"
_NUMBER: Final = Struct(">I")
_TYPE: Final = b"ssh-ed25519"


class _Malformed(Exception):
    """Not such a file."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says in the clear."""

    sealed: bool
    public: bytes


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, size: int) -> bytes:
        taken = self._raw[self._at : self._at + size]
        if len(taken) != size:
            raise _Malformed
        self._at += size
        return taken

    def number(self) -> int:
        number: int = _NUMBER.unpack(self.take(_NUMBER.size))[0]
        return number

    def field(self) -> bytes:
        return self.take(self.number())


def read_header(raw: bytes) -> Header:
    """Return what a file says. Raises KeyFileUnreadable or NotAnOfficerKey."""
    try:
        return _header(_blob(raw))
    except (_Malformed, ValueError):
        raise KeyFileUnreadable("the OpenSSH key file is damaged") from None


def _blob(raw: bytes) -> bytes:
    text = raw.strip()
    if not (text.startswith(BEGIN) and text.endswith(_END)):
        raise _Malformed
    inside = text[len(BEGIN) : -len(_END)]
    blob = b64decode(b"".join(inside.split()), validate=True)
    if not blob.startswith(_MAGIC):
        raise _Malformed
    return blob[len(_MAGIC) :]


def _header(blob: bytes) -> Header:
    reader = _Reader(blob)
    cipher, kdf, options = reader.field(), reader.field(), _Reader(reader.field())
    if kdf == b"bcrypt":
        options.field()
        if not 1 <= options.number() <= MOST_ROUNDS:
            raise KeyFileUnreadable(f"the key file asks for more than {MOST_ROUNDS} rounds")
    if reader.number() != 1:
        raise NotAnOfficerKey("the file holds more than one key")
    key = _Reader(reader.field())
    if key.field() != _TYPE:
        raise NotAnOfficerKey("the key is of another type than ssh-ed25519")
    return Header(cipher != b"none", key.field())


def open_key(raw: bytes, header: Header, passphrase: bytes | None) -> OfficerKey:
    """Return the key; `passphrase` is for a sealed file. Raises KeyFileError."""
    try:
        key = _loaded(raw, passphrase)
    except UnsupportedAlgorithm:
        raise KeyFileUnreadable("the key file is sealed with a cipher that is not known") from None
    except (InvalidTag, TypeError, ValueError):
        # A wrong passphrase and a changed byte give the same nonsense.
        if header.sealed:
            raise WrongPassphrase("this passphrase does not open the key file") from None
        raise KeyFileUnreadable("the OpenSSH key file is damaged") from None
    if not isinstance(key, Ed25519PrivateKey):
        # unreachable: `read_header` has seen the type in the clear, and `cryptography` compares
        # it with the type that is sealed.
        raise NotAnOfficerKey("the key is of another type than ssh-ed25519")
    found = OfficerKey(key.private_bytes_raw())
    if found.public() != header.public:
        raise KeyFileUnreadable("the key file names another public key than its own")
    return found


def _loaded(raw: bytes, passphrase: bytes | None) -> object:
    with warnings.catch_warnings():
        # bcrypt warns of few rounds: it is too late to say so of a file that is there.
        warnings.simplefilter("ignore")
        return load_ssh_private_key(raw, passphrase)
