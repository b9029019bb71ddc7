"""A certificate authority of the tests' own, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class CertificateAuthority:
    """Signs certificates for 127.0.0.1 and writes them, with their keys, into `folder`."""

    folder: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    def issue(
        self,
        name: str,
        *,
        host: str = "127.0.0.1",
        passphrase: bytes = b"",
        begins: timedelta = -HOUR,
        ends: timedelta = HOUR,
    ) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(name), self.name, key.public_key(), begins, ends)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False
            )
            .sign(self.key, SHA256())
        )
        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase:
            encryption = BestAvailableEncryption(passphrase)
        path = self.folder / f"{name}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        path.touch(mode=0o600)
        path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
        return path


def make_certificate_authority(folder: Path) -> CertificateAuthority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("tests")
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    authority = CertificateAuthority(folder, name, key)
    authority.file.write_bytes(certificate.public_bytes(Encoding.PEM))
    return authority


def fingerprint(path: Path) -> str:
    """The hex SHA-256 of a certificate, as a client is bound to it."""
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(SHA256()).hex()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: timedelta = -HOUR,
    ends: timedelta = HOUR,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
