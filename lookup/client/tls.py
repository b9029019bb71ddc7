"""The secure channel to a site: verified always, configured by arguments alone.

Invariants:

* Certificate and host name are verified; there is no switch to turn that off.
* TLS 1.2 is the least: older versions are broken, and NHS networks still end some sessions in it.
* SSLKEYLOGFILE is ignored: ssl.create_default_context() would write session keys where it says,
  and tokens could be read out of a recording.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to trust, and who to be: without a CA file, the CAs that this machine trusts.

    `certificate` is PEM, the client's certificate and those above it; `private_key` may be in the
    same file.
    """

    ca_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return the context; raises OSError (ssl.SSLError among them) for a file that does not do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cafile=tls.ca_file)
    if tls.certificate is not None:
        # A key under a passphrase is refused: OpenSSL would ask for it on the terminal.
        context.load_cert_chain(tls.certificate, tls.private_key, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    raise ValueError("a client certificate's key must not need a passphrase")
