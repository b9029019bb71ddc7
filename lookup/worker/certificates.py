"""Which certificate a connection must have shown before a client is believed.

A client's secret can be copied; the key of its certificate, in a hospital's own hardware, cannot.
So a client may be bound to certificates, named by the SHA-256 of their DER (what
`openssl x509 -noout -fingerprint -sha256` prints, in lower case and without the colons). A list,
because for some days around a renewal there are two.

Invariants:

* A connection without TLS, or behind a proxy that ends it, has shown none: whoever is bound to a
  certificate cannot come that way. No header stands for a certificate: anyone can write one.
* 401 does not say that it was the certificate: a stolen secret cannot be told from a wrong one.
"""

from lookup.errors import Unauthorized
from lookup.handoff import Client


def require_certificate(client: Client, shown: str | None) -> None:
    """Return if the client may come over a connection that has shown this, or raise Unauthorized.

    `shown` is `BoundedProtocol.certificate`; `scope["lacuna.certificate"]` in an ASGI app. What is
    compared is public, so the time that it takes need not be constant.
    """
    if client.certificates and shown not in client.certificates:
        raise Unauthorized
