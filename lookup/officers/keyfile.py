"""An officer's private key in a file, sealed with a passphrase.

    lacuna-officer-key/v1
    argon2id PASSES MEMORY_KIB LANES
    salt BASE64
    public BASE64
    sealed BASE64

    sealed = seal(Argon2id(passphrase, salt, cost), seed; "lacuna/officer-key/v1", cost, salt,
             public key)

Invariants:

* A file is made once, for its owner alone (0600), and is durable when `write_key_file` returns;
  it never replaces another.
* A file that others can read is refused, whoever made it.
* There is one text for a file: no byte of it can be changed and go unseen.
* The cost is bounded before anything authenticates it (crypto/derive.py).
* A passphrase is asked for only when everything that stands in the clear is right.

An OpenSSH file with an Ed25519 key is accepted as well (openssh.py). What names no vault and no
officer is bound to neither: whose key it is, says the custodian's list of officers.
"""

import os
import re
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Final

from argon2.exceptions import HashingError

from crypto.aead import AssociatedData, InvalidCiphertext, associate, seal, unseal
from crypto.derive import SALT_SIZE, Argon2Cost, stretch
from crypto.encoding import uint
from crypto.sshsig import OfficerKey, PublicKey
from lookup.officers import openssh
from lookup.officers.errors import KeyFileUnreadable, NotAnOfficerKey, WrongPassphrase
from lookup.private_file import new_private_file

HEADER: Final = b"lacuna-officer-key/v1"
MAX_FILE: Final = 16_384  # an RSA key of OpenSSH's still gets its own answer

_FORM: Final = re.compile(
    HEADER + rb"\nargon2id (\d{1,2}) (\d{1,7}) (\d{1,2})\n"
    rb"salt ([A-Za-z0-9+/=]{24})\npublic ([A-Za-z0-9+/=]{44})\nsealed ([A-Za-z0-9+/=]{80})\n"
)
_DAMAGED: Final = "the officer key file is damaged"


def write_key_file(path: Path, key: OfficerKey, passphrase: bytes, cost: Argon2Cost) -> None:
    """Make the file. Raises FileExistsError, or another OSError; then there is no new file."""
    raw = make_key_file(key, passphrase, cost)
    with new_private_file(path) as file:
        file.write(raw)


def load_key_file(path: Path, ask: Callable[[], bytes]) -> OfficerKey:
    """Return the key in a file; `ask` is called when it takes a passphrase.

    Raises KeyFileUnreadable, WrongPassphrase or NotAnOfficerKey.
    """
    raw = _read(path)
    if raw.startswith(HEADER):
        return parse_key_file(raw, ask)
    if raw.startswith(openssh.BEGIN):
        header = openssh.read_header(raw)
        return openssh.open_key(raw, header, ask() if header.sealed else None)
    raise NotAnOfficerKey(f"{path} holds no private key of Lacuna's or OpenSSH's")


def make_key_file(key: OfficerKey, passphrase: bytes, cost: Argon2Cost) -> bytes:
    """Return the content of a new file. Takes the time that `cost` demands."""
    salt, public = secrets.token_bytes(SALT_SIZE), key.public()
    kek = stretch(passphrase, salt, cost)
    # A KEK is made for one file, with a salt of its own: it seals once.
    return _text(cost, salt, public, seal(kek, key.expose(), _bound(cost, salt, public)))


def parse_key_file(raw: bytes, ask: Callable[[], bytes]) -> OfficerKey:
    """Return the key in what `make_key_file` made. Raises KeyFileUnreadable or WrongPassphrase."""
    form = _FORM.fullmatch(raw)
    if form is None:
        raise KeyFileUnreadable(_DAMAGED)
    try:
        cost = Argon2Cost.parse(int(form[1]), int(form[2]), int(form[3]))
        salt, public, sealed = (b64decode(coded, validate=True) for coded in form.groups()[3:])
    except ValueError:
        raise KeyFileUnreadable(_DAMAGED) from None
    if _text(cost, salt, public, sealed) != raw:
        raise KeyFileUnreadable(_DAMAGED)
    try:
        kek = stretch(ask(), salt, cost)
        return OfficerKey(unseal(kek, sealed, _bound(cost, salt, PublicKey(public))))
    except HashingError:
        raise KeyFileUnreadable(
            f"opening the key file takes {cost.memory_kib} KiB of memory, more than there is"
        ) from None
    except InvalidCiphertext:
        raise WrongPassphrase("this passphrase does not open the key file") from None


def _text(cost: Argon2Cost, salt: bytes, public: bytes, sealed: bytes) -> bytes:
    lines = (
        HEADER,
        b"argon2id %d %d %d" % (cost.passes, cost.memory_kib, cost.lanes),
        b"salt " + b64encode(salt),
        b"public " + b64encode(public),
        b"sealed " + b64encode(sealed),
    )
    return b"".join(line + b"\n" for line in lines)


def _bound(cost: Argon2Cost, salt: bytes, public: PublicKey) -> AssociatedData:
    numbers = (uint(cost.passes), uint(cost.memory_kib), uint(cost.lanes))
    return associate("lacuna/officer-key/v1", *numbers, salt, public)


def _read(path: Path) -> bytes:
    """Return a private file's bytes; looks at the very file that it reads."""
    try:
        # Not to wait for a writer, should it be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileUnreadable(f"{path} is no file")
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise KeyFileUnreadable(f"{path} can be read by others: chmod 600 {path}")
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise KeyFileUnreadable(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE:
        raise KeyFileUnreadable(f"{path} is too big for a key")
    return raw
