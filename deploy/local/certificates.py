"""The stack's own certificate authority and the certificates it signs; private keys never leave `secrets/`.

Subjects say who may do what: Kafka trusts client certificates of `O=platform` only (see kafka_broker.py).
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.local.secret_files import write_secret
from deploy.local.settings import LOOPBACK

PLATFORM: Final = "platform"
_CA_LIFE: Final = timedelta(days=3650)
_LIFE: Final = timedelta(days=397)
_RENEW_BEFORE: Final = timedelta(days=30)


class CertificateAuthority:
    """Signs for one stack; makes its own key on first use.

    Attributes:
        certificate_file: what every client must trust (PEM).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate_file = folder / "ca.crt"
        self._key_file = folder / "ca.key"
        if not (self._key_file.exists() and self.certificate_file.exists()):
            self._create()

    def ensure(self, name: str) -> Path:
        """The PEM file with key, certificate and CA of `CN=<name>,O=platform`, made or renewed when needed."""
        path = self._folder / f"{name}.pem"
        if not (path.exists() and self._is_good(path)):
            write_secret(path, self._sign(name))
        return path

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _subject("jointsoc one-machine CA")
        certificate = (
            _builder(name, name, key.public_key(), _CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_secret(self._key_file, _key_pem(key))
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name: str) -> bytes:
        ca_key = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
        ca = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = [x509.IPAddress(ipaddress.ip_address(LOOPBACK)), x509.DNSName("localhost")]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(_subject(name), ca.subject, key.public_key(), _LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM) + self.certificate_file.read_bytes()

    def _is_good(self, path: Path) -> bool:
        """Whether it was signed by this CA and will not expire soon."""
        try:
            certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(self.certificate_file.read_bytes()))
        except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one mends it
            return False
        return certificate.not_valid_after_utc - datetime.now(UTC) > _RENEW_BEFORE


def _subject(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, PLATFORM),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of two machines differ
        .not_valid_after(now + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
