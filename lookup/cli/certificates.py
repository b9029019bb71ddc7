"""Certificates that an officer names: read, and known by the SHA-256 of their DER."""

import ssl
from hashlib import sha256
from pathlib import Path
from typing import Final

from lookup import exits
from lookup.cli.console import fail

MAX_FILE: Final = 64 * 1024
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def fingerprint(path: Path) -> str:
    """Return the hex fingerprint of the one certificate in a PEM file, or end the command."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("ascii", errors="replace")
    except OSError as error:
        fail(exits.NO_INPUT, f"{path} cannot be read: {error.strerror}")
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        fail(exits.NO_INPUT, f"{path} is not one certificate in PEM", "leave out those above it")
    body = text[text.index(_BEGIN) : text.index(_END) + len(_END)]
    try:
        return sha256(ssl.PEM_cert_to_DER_cert(body)).hexdigest()
    except ValueError:
        fail(exits.NO_INPUT, f"{path} is not one certificate in PEM")
