"""Certificates that an officer names: read, and known by the SHA-256 of their DER."""

from pathlib import Path
from typing import Final

from lookup import exits
from lookup.cli.console import fail

MAX_FILE: Final = 64 * 1024


def fingerprint(path: Path) -> str:
    """Return the hex fingerprint of the one certificate in a PEM file, or end the command."""
    # `lacuna client --help` must not wait for it.
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            (certificate,) = load_pem_x509_certificates(file.read(MAX_FILE))
    except OSError as error:
        fail(exits.NO_INPUT, f"{path} cannot be read: {error.strerror}")
    except ValueError:
        hint = "leave out the certificates above it"
        fail(exits.NO_INPUT, f"{path} is not one certificate in PEM", hint)
    return certificate.fingerprint(SHA256()).hex()
