"""The site's certificate: three files become a context, or are refused by their rule."""

import re
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from lookup.tls import InvalidTls, TlsFiles, make_server_context
from tests.lookup.client.certificates import CertificateAuthority, make_certificate_authority

DAY = timedelta(days=1)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return make_certificate_authority(tmp_path)


def both(path: Path, client_ca: Path | None = None) -> TlsFiles:
    """One file that holds the certificate and its key."""
    return TlsFiles(path, path, client_ca)


def refusal(files: TlsFiles) -> str:
    with pytest.raises(InvalidTls) as refused:
        make_server_context(files)
    return str(refused.value)


def test_what_is_spoken(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS 1.3 alone, no tickets, no session keys in files."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(authority.folder / "keys"))

    context = make_server_context(both(authority.issue("site"), authority.file))

    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.num_tickets == 0
    assert context.keylog_filename is None
    assert context.options & ssl.OP_NO_COMPRESSION


def test_without_a_client_ca_nobody_is_asked(authority: CertificateAuthority) -> None:
    assert make_server_context(both(authority.issue("site"))).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o601])
def test_a_key_that_others_may_use(authority: CertificateAuthority, mode: int) -> None:
    path = authority.issue("site")
    path.chmod(mode)

    assert refusal(both(path)) == f"serve.tls_key: {path} can be read by others: chmod 600 {path}"


def test_a_key_that_is_read_only(authority: CertificateAuthority) -> None:
    """As systemd gives a credential."""
    path = authority.issue("site")
    path.chmod(0o400)
    make_server_context(both(path))


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key", "client_ca"])
@pytest.mark.parametrize("broken", ["missing", "folder", "not PEM", "empty"])
def test_files_that_do_not_do(authority: CertificateAuthority, setting: str, broken: str) -> None:
    """Each by its setting, and none by what is in it."""
    path = authority.folder / "broken"
    if broken == "folder":
        path.mkdir(mode=0o700)
    elif broken != "missing":
        path.touch(mode=0o600)
        path.write_bytes(b"QUITE-A-MARKER" if broken == "not PEM" else b"")
    good = authority.issue("site")
    files = {"tls_certificate": good, "tls_key": good, "client_ca": authority.file, setting: path}

    message = refusal(TlsFiles(*files.values()))

    assert f"serve.{setting}" in message
    rule = {"missing": "No such file", "folder": "Is a directory"}.get(broken, "PEM")
    assert rule in message
    assert "MARKER" not in message


def test_a_key_of_another_certificate(authority: CertificateAuthority) -> None:
    files = TlsFiles(authority.issue("site"), authority.issue("other"))

    assert "are not of one pair" in refusal(files)


def test_a_key_under_a_passphrase(authority: CertificateAuthority) -> None:
    assert "passphrase" in refusal(both(authority.issue("site", passphrase=b"secret")))


DATES = {
    "expired": (-2 * DAY, -DAY, r"serve\.tls_certificate expired"),
    "not yet valid": (DAY, 2 * DAY, "is not valid yet"),
}


@pytest.mark.parametrize(("begins", "ends", "rule"), DATES.values(), ids=DATES)
def test_a_certificate_out_of_its_time(
    authority: CertificateAuthority, begins: timedelta, ends: timedelta, rule: str
) -> None:
    """No client would take it: better a site that does not start than one that nobody reaches."""
    assert re.match(f".*{rule}", refusal(both(authority.issue("site", begins=begins, ends=ends))))


def test_one_that_will_soon_be(
    authority: CertificateAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    """Said while there is time."""
    make_server_context(both(authority.issue("months", ends=60 * DAY)))
    assert caplog.messages == []
    make_server_context(both(authority.issue("days", ends=3 * DAY + timedelta(hours=1))))
    assert caplog.messages == ["serve.tls_certificate expires in 3 days"]
