"""Officers' signatures: Ed25519 in the SSHSIG format, which `ssh-keygen -Y` makes and checks too.

    signature = Ed25519(officer's key, "SSHSIG" || encode(namespace, "", "sha512",
                SHA-512(message)))
    key blob  = encode("ssh-ed25519", public key)
    blob      = "SSHSIG" || version u32 = 1 || encode(key blob, namespace, "", "sha512",
                encode("ssh-ed25519", signature))
    armored   = BEGIN line || base64(blob) in lines of 70 || END line

`encode` (crypto/encoding.py) writes fields as SSH writes strings (RFC 4251, section 5).

Invariants:

* The namespace is inside the signature: what was signed for one purpose never counts for another.
* There is one text for an armored signature, the one that `ssh-keygen -Y sign` writes. A public
  key has one text too, up to its comment.
* A key that anybody can sign for (a point of small order) and a second encoding of a point are
  refused, also where a signature is verified; OpenSSL would take them.
* Ed25519 alone, SHA-512 alone: what OpenSSH does by default, and nothing to choose.

SSHSIG is OpenSSH's PROTOCOL.sshsig; Ed25519 is RFC 8032, its SSH encoding RFC 8709. Pure.
"""

import re
from base64 import b64decode, b64encode
from hashlib import sha256, sha512
from struct import Struct
from typing import Final, NamedTuple, NewType, NoReturn

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from crypto.encoding import encode
from crypto.secret import SecretBytes

PublicKey = NewType("PublicKey", bytes)
Signature = NewType("Signature", bytes)

PUBLIC_KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
MAX_NAMESPACE: Final = 64
MAX_COMMENT: Final = 256

_ALGORITHM: Final = b"ssh-ed25519"
_HASH: Final = b"sha512"
_MAGIC: Final = b"SSHSIG"
_LENGTH: Final = Struct(">I")
_VERSION: Final = _LENGTH.pack(1)
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----\n"
_END: Final = "-----END SSH SIGNATURE-----\n"
_LINE: Final = 70
_MAX_ARMORED: Final = 512  # with the longest namespace it has 375 characters
_MAX_PUBLIC: Final = 4_096  # an RSA key of 16,384 bits is still told from nonsense
_NAMESPACE: Final = re.compile(r"[!-~]{1,64}")
_COMMENT: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{0,256}")
# What is said by name when it is offered; any other word is not repeated.
_OTHER_TYPES: Final = frozenset(
    {
        "ssh-rsa",
        "ssh-dss",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com",
    }
)
_FIELD: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# The y of the eight points whose order divides 8; a sign bit tells the points of one y apart.
_SMALL_ORDER: Final = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})


class InvalidSignature(Exception):
    """Wrong key, namespace, message or signature, or no signature at all: all are refused alike."""


class InvalidPublicKey(Exception):
    """Not an Ed25519 public key that an officer can have; the message says what it is instead."""


class OfficerKey(SecretBytes):
    """An officer's Ed25519 seed (RFC 8032, section 5.1.5). Held by that officer alone."""

    def public(self) -> PublicKey:
        """Return what everybody may know."""
        return PublicKey(_private(self).public_key().public_bytes_raw())


class SignedBy(NamedTuple):
    """What an armored signature holds; nothing of it is verified."""

    public: PublicKey
    namespace: str
    signature: Signature


def sign(key: OfficerKey, namespace: str, message: bytes) -> Signature:
    """Return the 64 bytes of Ed25519. Raises ValueError for what cannot be a namespace."""
    return Signature(_private(key).sign(_signed(namespace, message)))


def verify(public: PublicKey, namespace: str, message: bytes, signature: Signature) -> None:
    """Raise InvalidSignature unless this key signed this message for this namespace.

    Raises ValueError for what cannot be a namespace.
    """
    signed = _signed(namespace, message)
    try:
        _check_point(public)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except (exceptions.InvalidSignature, InvalidPublicKey):
        raise InvalidSignature("the signature does not verify") from None


def _private(key: OfficerKey) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key.expose())


def _signed(namespace: str, message: bytes) -> bytes:
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f"a namespace has 1 to {MAX_NAMESPACE} printable characters of ASCII")
    return _MAGIC + encode(namespace.encode(), b"", _HASH, sha512(message).digest())


def _check_point(public: bytes) -> None:
    """Refuse what OpenSSL would not: a second encoding of a point, and a point of small order."""
    if len(public) != PUBLIC_KEY_SIZE:
        raise InvalidPublicKey(f"an Ed25519 public key has {PUBLIC_KEY_SIZE} bytes")
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if y >= _FIELD or y in _SMALL_ORDER:
        raise InvalidPublicKey("anybody can sign for this public key")


def parse_public_key(text: str) -> PublicKey:
    """Return the key of a line "ssh-ed25519 AAAA... comment", as `ssh-keygen` writes it.

    Raises InvalidPublicKey: another type of key, options before it, more than one line, a second
    spelling of the same bytes, a key that anybody can sign for.
    """
    if len(text) > _MAX_PUBLIC:
        raise InvalidPublicKey("this is too long for a public key")
    kind, _, rest = text.removesuffix("\n").partition(" ")
    if kind in _OTHER_TYPES:
        raise InvalidPublicKey(f"this is a key of type {kind}, expected ssh-ed25519")
    if kind != _ALGORITHM.decode():
        raise InvalidPublicKey(
            "this is no OpenSSH public key: it begins with its type, ssh-ed25519"
        )
    coded, separator, comment = rest.partition(" ")
    if not _COMMENT.fullmatch(comment) or (separator and not comment):
        raise InvalidPublicKey(
            f"after the key stands a comment of up to {MAX_COMMENT} characters, on the same line"
        )
    public = _decoded(coded)[-PUBLIC_KEY_SIZE:]
    _check_point(public)
    if coded != _coded(_key_blob(public)):
        raise InvalidPublicKey("the public key is damaged")
    return PublicKey(public)


def format_public_key(key: PublicKey, comment: str = "") -> str:
    """Return the line that `parse_public_key` accepts, without a line end.

    Raises ValueError for a comment that would not stay on it.
    """
    if not _COMMENT.fullmatch(comment):
        raise ValueError(f"a comment has up to {MAX_COMMENT} characters on one line")
    return f"{_ALGORITHM.decode()} {_coded(_key_blob(key))} {comment}".rstrip(" ")


def fingerprint(key: PublicKey) -> str:
    """Return "SHA256:..." as OpenSSH prints it."""
    return "SHA256:" + _coded(sha256(_key_blob(key)).digest()).rstrip("=")


def armor(public: PublicKey, namespace: str, signature: Signature) -> str:
    """Return the file that `ssh-keygen -Y sign` would have written."""
    coded = _coded(
        _MAGIC
        + _VERSION
        + encode(_key_blob(public), namespace.encode(), b"", _HASH, encode(_ALGORITHM, signature))
    )
    lines = [coded[at : at + _LINE] + "\n" for at in range(0, len(coded), _LINE)]
    return "".join([_BEGIN, *lines, _END])


def parse_armored(text: str) -> SignedBy:
    """Return what an armored signature holds, as it says; `verify` finds whether that is true.

    Raises InvalidSignature for every text but the one that `armor` writes.
    """
    if len(text) > _MAX_ARMORED or not (text.startswith(_BEGIN) and text.endswith(_END)):
        _refuse_armor()
    blob = _decoded(text[len(_BEGIN) : -len(_END)].replace("\n", ""))
    fields = _fields(blob[len(_MAGIC) + len(_VERSION) :])
    if len(fields) != 5:
        _refuse_armor()
    try:
        found = SignedBy(
            PublicKey(fields[0][-PUBLIC_KEY_SIZE:]),
            fields[1].decode("ascii"),
            Signature(fields[4][-SIGNATURE_SIZE:]),
        )
        _check_point(found.public)
    except (UnicodeDecodeError, InvalidPublicKey):
        _refuse_armor()
    well_formed = _NAMESPACE.fullmatch(found.namespace) and len(found.signature) == SIGNATURE_SIZE
    # Written anew it is the same text: magic, version, types, hash, lines and padding are right.
    if not well_formed or armor(*found) != text:
        _refuse_armor()
    return found


def _refuse_armor() -> NoReturn:
    raise InvalidSignature(
        "this is no Ed25519 signature as `ssh-keygen -Y sign` writes it"
    ) from None


def _fields(raw: bytes) -> list[bytes]:
    """Return the fields that `encode` put together, or none if it did not."""
    fields: list[bytes] = []
    at = 0
    while at + _LENGTH.size <= len(raw):
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size + length
        fields.append(raw[at - length : at])
    return fields if at == len(raw) else []


def _key_blob(public: bytes) -> bytes:
    return encode(_ALGORITHM, public)


def _coded(raw: bytes) -> str:
    return b64encode(raw).decode()


def _decoded(coded: str) -> bytes:
    """Return the bytes, or none; the caller writes them anew, so that spelling need not count."""
    try:
        return b64decode(coded, validate=True)
    except ValueError:
        return b""
