"""The coordinator's small certificate authority, and the TLS certificate that it issues itself.

Nodes pin the authority's fingerprint from their invitation; they never ask the web's authorities.
ECDSA P-256 throughout, because hardware modules and browsers speak it.
"""

import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from connector.errors import LocalError
from connector.files import write_durably
from connector.identity.keys import read_secret, write_secret

AUTHORITY_DAYS = 3650
SERVER_DAYS = 30
_CURVE = ec.SECP256R1()


def create_authority(directory: Path, name: str, now: datetime) -> None:
    """Write `ca.key` (owner only) and `ca.pem` into `directory`."""
    key = ec.generate_private_key(_CURVE)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_secret(directory / "ca.key", private_pem(key))
    write_durably(directory / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def renew_server_certificate(directory: Path, host: str, now: datetime) -> None:
    """Issue `server.pem` and `server.key` for `host`, unless a third of their life is left.

    Raises `LocalError`: AUTHORITY_EXPIRED, CERTIFICATE_MALFORMED; KEY_EXPOSED and others for
    either private key, whether it is needed now or not.
    """
    authority_key = load_private_key(directory / "ca.key")
    current = directory / "server.pem"
    if _is_still_good(current, host, now):
        read_secret(directory / "server.key")  # the web server would take an exposed one
        return
    authority = _load_certificate(directory / "ca.pem")
    if authority.not_valid_after_utc <= now:
        raise LocalError(
            "AUTHORITY_EXPIRED",
            f"the authority in {directory} expired on {authority.not_valid_after_utc:%Y-%m-%d}",
            "Create a new coordinator directory and enrol the hospitals again",
        )
    key = ec.generate_private_key(_CURVE)
    certificate = (
        _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]),
            authority.subject, key.public_key(), now, SERVER_DAYS,
        )
        .add_extension(x509.SubjectAlternativeName([_alternative_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )  # fmt: skip
    # The key first: a certificate without its key is reissued at the next start, and a disk that is
    # full leaves the old pair as it is.
    write_durably(directory / "server.key", private_pem(key))
    write_durably(current, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 of a certificate's DER form, in hexadecimal. Raises `ValueError` if it is none."""
    return x509.load_pem_x509_certificate(certificate_pem).fingerprint(hashes.SHA256()).hex()


def key_fingerprint(public_pem: bytes) -> str:
    """SHA-256 of a public key (SubjectPublicKeyInfo, DER), in hexadecimal. Raises `ValueError`."""
    der = serialization.load_pem_public_key(public_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def single(certificate_pem: bytes) -> bytes:
    """Exactly one certificate, spelled anew. Raises `ValueError` for none and for several.

    Threat: a bundle whose first certificate has the right fingerprint and whose second is trusted.
    """
    (certificate,) = x509.load_pem_x509_certificates(certificate_pem)
    return certificate.public_bytes(serialization.Encoding.PEM)


def generate_private_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(_CURVE)


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half (SubjectPublicKeyInfo)."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def load_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read an elliptic-curve key file, refusing one that others could have read."""
    try:
        key = serialization.load_pem_private_key(read_secret(path), password=None)
    except ValueError as error:
        raise LocalError(
            "KEY_MALFORMED", f"{path} is not a private key", "Restore it from a backup"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise LocalError(
            "KEY_MALFORMED", f"{path} is not an elliptic-curve key", "Restore it from a backup"
        )
    return key


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise LocalError(
            "CERTIFICATE_MALFORMED", f"{path} is not a certificate", "Restore it from a backup"
        ) from error


def _is_still_good(path: Path, host: str, now: datetime) -> bool:
    """Half a certificate is none, nor is one without its key: it is made again.

    A key that others could read is an error all the same (KEY_EXPOSED).
    """
    try:
        certificate = _load_certificate(path)
        key = load_private_key(path.with_suffix(".key"))
    except (LocalError, FileNotFoundError) as error:
        if isinstance(error, LocalError) and error.code == "KEY_EXPOSED":
            raise
        return False
    if key.public_key() != certificate.public_key():
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = certificate.not_valid_after_utc - now
    return _alternative_name(host) in names and left > timedelta(days=SERVER_DAYS) / 3


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(minutes=5))  # clocks differ a little
        .not_valid_after(now.astimezone(UTC) + timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates,
        crl_sign=signs_certificates, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 without encryption: for a file that only its owner can read."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
