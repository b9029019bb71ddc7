"""`lacuna serve` with TLS on both ports, and `lacuna lookup` with a certificate, end to end."""

import http.client
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lookup import exits
from lookup.config import load_config
from tests.lookup.cli.commanding import SAMPLE, Folders, Result, serving, start
from tests.lookup.client.certificates import CertificateAuthority, make_certificate_authority

KNOWN = "nhs:9990001014\n"


@dataclass(frozen=True)
class SecureSite:
    """A site with a certificate, which asks callers for theirs."""

    site: Folders
    authority: CertificateAuthority

    @property
    def pem(self) -> Path:
        return self.site.folder / "site.pem"

    def look_up(self, *options: str | Path) -> Result:
        enrolment = self.site.folder / "e.json"
        ca = ("--ca-file", self.authority.file)
        return self.site.run("lookup", "--enrolment", enrolment, *ca, *options, typed=KNOWN)


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureSite]:
    site = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    assert site.init("--demo").status == 0
    made = SecureSite(site, make_certificate_authority(site.folder))
    pem = made.authority.issue("site")
    keys = f'tls_certificate = "{pem}"\ntls_key = "{pem}"\nclient_ca = "{made.authority.file}"\n'
    text = site.config.read_text().replace("base_urls = ", "# base_urls = ")
    site.config.write_text(text.replace("[serve]\n", f"[serve]\n{keys}"))
    yield made
    site.remove()


def test_lookups_and_officers_systems(secure: SecureSite) -> None:
    """Both ports ask for a certificate; the commands of this machine need none."""
    site, hospital = secure.site, secure.authority.issue("hospital")
    with serving(site):
        assert site.run("import", SAMPLE).status == 0
        enrolment = site.folder / "e.json"
        assert site.run("client", "add", "A", "--enrolment", enrolment).status == 0

        assert secure.look_up("--certificate", hospital).stdout.startswith("known")
        # The same by a file for each.
        key = site.folder / "hospital.key"
        parts = hospital.read_text().partition("-----BEGIN CERTIFICATE")
        key.write_text(parts[0])
        hospital.write_text(parts[1] + parts[2])
        both = secure.look_up("--certificate", hospital, "--key", key)
        assert both.stdout.startswith("known")
        assert secure.look_up().status == exits.TEMPORARY
        assert secure.look_up("--key", key).status == exits.USAGE

        custodian = load_config(site.config).custodian
        context = ssl.create_default_context(cafile=str(secure.authority.file))
        with pytest.raises(OSError, match=r"(?i)certificate|reset|eof|closed"):
            _status(custodian.port, context)
        context.load_cert_chain(hospital, key)
        assert _status(custodian.port, context) == 401


def _status(port: int, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request("GET", "/v1/records/00")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_key_for_all_to_read_stops_the_site(secure: SecureSite) -> None:
    """Another start would end the same way; the log says what to do."""
    secure.pem.chmod(0o644)
    try:
        served = start(secure.site)
        assert served.process.wait(30) == exits.CONFIG
        assert f"chmod 600 {secure.pem}" in served.log
    finally:
        secure.pem.chmod(0o600)
