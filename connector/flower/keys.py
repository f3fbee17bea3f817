"""The EC key that proves a node's identity to the Fleet API, beside its Ed25519 signing key.

Flower signs a timestamp with ECDSA (valid 5 minutes, not bound to the request), so the key only
means something inside TLS. Public keys travel and are compared as PEM SubjectPublicKeyInfo.
"""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connector.errors import LocalError, RemoteError


def generate() -> bytes:
    """A fresh P-256 private key as unencrypted PKCS#8 PEM; store it as a secret."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load(private_key: bytes) -> ec.EllipticCurvePrivateKey:
    """Parse a PEM private key. Raises `LocalError` (KEY_MALFORMED)."""
    try:
        key = serialization.load_pem_private_key(private_key, password=None)
    except (ValueError, TypeError) as error:
        raise _malformed_private() from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _malformed_private()
    return key


def public_bytes(private_key: bytes) -> bytes:
    """The public half, as a coordinator registers it."""
    return _spell(load(private_key).public_key())


def check_public(public_key: bytes) -> bytes:
    """One spelling of a PEM public key. Raises `RemoteError` (KEY_MALFORMED)."""
    try:
        key = serialization.load_pem_public_key(public_key[:4096])
    except ValueError as error:
        raise RemoteError("KEY_MALFORMED", "a node's key is not a PEM public key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise RemoteError("KEY_MALFORMED", "a node's key is not an elliptic curve key")
    return _spell(key)


def _spell(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _malformed_private() -> LocalError:
    return LocalError(
        "KEY_MALFORMED",
        "the node's Fleet key is not an elliptic curve private key in PEM form",
        "Restore it from a backup, or enrol again",
    )
