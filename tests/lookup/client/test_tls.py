"""Nobody but the site reads a question, and nothing can turn that off."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup.client.outcome import CouldNotCheck, NoRecord, Reason
from lookup.client.tls import Tls, make_context
from tests.lookup.client.certificates import CertificateAuthority
from tests.lookup.client.conftest import Connect
from tests.lookup.client.scripted_site import CHILD, OCCASION, ScriptedSite, scripted_site


def _server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def secure_site(certificate_authority: CertificateAuthority) -> Iterator[ScriptedSite]:
    with scripted_site(_server_context(certificate_authority.issue("server"))) as site:
        yield site


def _reason(connect: Connect, site: ScriptedSite, **tls: Tls) -> Reason:
    with pytest.raises(CouldNotCheck) as caught:
        connect(site, **tls).lookup(CHILD, OCCASION)
    assert site.received == []
    return caught.value.reason


def test_a_trusted_site(connect: Connect, secure_site: ScriptedSite) -> None:
    assert connect(secure_site).lookup(CHILD, OCCASION) == NoRecord()


def test_a_site_that_this_machine_does_not_trust(
    connect: Connect, secure_site: ScriptedSite
) -> None:
    assert _reason(connect, secure_site, tls=Tls()) is Reason.INSECURE


def test_a_certificate_of_another_host(
    connect: Connect, certificate_authority: CertificateAuthority
) -> None:
    certificate = certificate_authority.issue("other", host="127.0.0.2")
    with scripted_site(_server_context(certificate)) as site:
        assert _reason(connect, site) is Reason.INSECURE


def test_a_client_certificate(
    connect: Connect, certificate_authority: CertificateAuthority
) -> None:
    context = _server_context(certificate_authority.issue("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate_authority.file)
    tls = Tls(certificate_authority.file, certificate_authority.issue("client"))
    with scripted_site(context) as site:
        # In TLS 1.3 a server refuses a client after the client has finished its handshake.
        assert _reason(connect, site) in {Reason.INSECURE, Reason.DISCONNECTED}
        assert connect(site, tls=tls).lookup(CHILD, OCCASION) == NoRecord()


def test_a_key_under_a_passphrase_is_refused(certificate_authority: CertificateAuthority) -> None:
    """OpenSSL would stop a server to ask for it on the terminal."""
    certificate = certificate_authority.issue("locked", passphrase=b"secret")

    with pytest.raises(ValueError, match="must not need a passphrase"):
        make_context(Tls(certificate=certificate))


@pytest.mark.parametrize("role", ["ca_file", "certificate"])
def test_a_missing_file_is_noticed_at_once(
    connect: Connect, site: ScriptedSite, tmp_path: Path, role: str
) -> None:
    with pytest.raises(FileNotFoundError):
        connect(site, tls=Tls(**{role: tmp_path / "missing.pem"}))


def test_session_keys_are_not_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets this variable could read the tokens in a recording."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))

    assert make_context(Tls()).keylog_filename is None
    assert not (tmp_path / "keys").exists()
