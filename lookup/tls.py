"""A site's own end of TLS: three files become one context, or the rule they break is named.

    serve.tls_certificate    PEM, the site's certificate and those above it
    serve.tls_key            PEM, its key, for this account alone (mode 0600 or 0400)
    serve.client_ca          PEM, the CAs whose certificates callers must show; optional

Invariants:

* TLS 1.3 and nothing older: whoever needs 1.2 has a proxy in front that speaks it.
* Where there is a client CA, a caller without a certificate of it gets no byte of HTTP answered.
  Any certificate in the file is an anchor, so it may be a hospital's own issuing CA, or one
  client's self-signed certificate.
* No tickets. A resumed session would keep a certificate that has expired since or was taken off
  the list, and the ticket key would be one more secret; connections are kept open instead.
* No session key is logged: ssl.create_default_context() would obey SSLKEYLOGFILE.
* The files are tried in memory, one handshake against themselves, before anyone can connect: a
  certificate that no client would take is refused here, by its rule.

They are read once. A process that is started again reads them again.
"""

import logging
import os
import ssl
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

logger = logging.getLogger("lookup.tls")

_DAY: Final = 86_400
# Certificates that a machine renews are renewed a month before they end.
_WARN_DAYS: Final = 14
# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_BROKEN: Final = {9: "is not valid yet: compare its dates with this machine's clock", 10: "expired"}


class InvalidTls(ValueError):
    """The files do not do; the message names the setting and the rule."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a site's certificate lies, its key, and the CAs of its callers."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def make_server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context. Raises InvalidTls."""
    _require_readable("tls_certificate", files.certificate, private=False)
    _require_readable("tls_key", files.key, private=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    # Bytes that were meant for another protocol's server are refused in the handshake.
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, files)
    days = _try(context, files.certificate)
    if days < _WARN_DAYS:
        logger.warning("serve.tls_certificate expires in %d days", days)
    if files.client_ca is not None:
        _require_readable("client_ca", files.client_ca, private=False)
        _trust(context, files.client_ca)
    return context


def trust_own(context: ssl.SSLContext, certificate: Path) -> None:
    """Let a client's context trust a site by its own certificate, whoever signed it."""
    context.load_verify_locations(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _require_readable(setting: str, path: Path, *, private: bool) -> None:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            file.read(1)
    except OSError as error:
        raise InvalidTls(f"serve.{setting}: {path} cannot be read: {error.strerror}") from None
    if private and mode & 0o077:
        raise InvalidTls(f"serve.{setting}: {path} can be read by others: chmod 600 {path}")


def _load_pair(context: ssl.SSLContext, files: TlsFiles) -> None:
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            rule = "are not of one pair: the key is another certificate's"
        else:
            rule = "must be PEM: a certificate with those above it, and its key"
        raise InvalidTls(f"serve.tls_certificate and serve.tls_key {rule}") from None


def _no_passphrase() -> NoReturn:
    # OpenSSL would ask for it on the terminal, of which a service has none.
    raise InvalidTls("serve.tls_key must not need a passphrase; its file's mode protects it")


def _trust(context: ssl.SSLContext, client_ca: Path) -> None:
    try:
        context.load_verify_locations(cafile=client_ca)
    except ssl.SSLError:
        raise InvalidTls(f"serve.client_ca: {client_ca} holds no certificate in PEM") from None
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _try(context: ssl.SSLContext, certificate: Path) -> int:
    """Shake hands with ourselves, as a client that trusts this one certificate; return its days."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False  # which names it is reached by is the clients' affair
    trust_own(asking, certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for end in (client, server, client):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        rule = _BROKEN.get(error.verify_code, f"is no server's: {error.verify_message}")
        raise InvalidTls(f"serve.tls_certificate {rule}") from None
    except ssl.SSLError as error:
        raise InvalidTls(f"serve.tls_certificate cannot be used: {error.reason}") from None
    shown = client.getpeercert()
    ends = str(shown["notAfter"]) if shown else ""
    return int(ssl.cert_time_to_seconds(ends) - time.time()) // _DAY
