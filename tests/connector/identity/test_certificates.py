"""The small authority: what it issues is believed by a real TLS client, and by no other's."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from connector.errors import LocalError
from connector.files import write_durably
from connector.identity import certificates
from connector.identity.certificates import (
    AUTHORITY_DAYS,
    SERVER_DAYS,
    create_authority,
    fingerprint,
    generate_private_key,
    load_private_key,
    private_pem,
    renew_server_certificate,
)
from connector.identity.keys import write_secret

NOW = datetime.now(UTC)  # a real TLS client reads the real clock
LIFE = timedelta(days=SERVER_DAYS)


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    create_authority(tmp_path, "hdab", NOW)
    renew_server_certificate(tmp_path, "127.0.0.1", NOW)
    return tmp_path


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def handshake(identity: Path, authority: Path, host: str = "127.0.0.1") -> None:
    """TLS through memory, both sides real: raises what a client's library raises."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(identity / "server.pem", identity / "server.key")
    client_side = ssl.create_default_context(cafile=str(authority))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return
    pytest.fail("the handshake did not end")


def test_a_client_that_pins_the_authority_believes_the_server(identity: Path) -> None:
    handshake(identity, identity / "ca.pem")


def test_a_client_that_pins_another_authority_does_not(identity: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    create_authority(other, "hdab", NOW)  # the same name, another key
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(identity, other / "ca.pem")


def test_a_client_that_asks_for_another_host_does_not(identity: Path) -> None:
    for host in ("127.0.0.2", "localhost"):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(identity, identity / "ca.pem", host)


@pytest.mark.parametrize("host", ["localhost", "::1", "data.example.org"])
def test_hosts_can_be_names_and_addresses(identity: Path, host: str) -> None:
    renew_server_certificate(identity, host, NOW)
    handshake(identity, identity / "ca.pem", host)


def test_a_server_certificate_cannot_sign_others(identity: Path) -> None:
    server = certificate(identity / "server.pem").extensions
    assert not server.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    authority = certificate(identity / "ca.pem").extensions
    constraints = authority.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (
        True,
        x509.BasicConstraints(ca=True, path_length=0),
    )


@pytest.mark.parametrize("name", ["ca.key", "server.key"])
def test_key_files_are_for_their_owner_only(identity: Path, name: str) -> None:
    path = identity / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(LocalError) as refusal:
        load_private_key(path)
    assert refusal.value.code == "KEY_EXPOSED"


def test_an_authority_is_not_made_twice(identity: Path) -> None:
    before = {path.name: path.read_bytes() for path in identity.iterdir()}
    with pytest.raises(LocalError) as refusal:
        create_authority(identity, "hdab", NOW)
    assert refusal.value.code == "KEY_EXISTS"
    assert {path.name: path.read_bytes() for path in identity.iterdir()} == before


def test_a_server_certificate_is_kept_for_two_thirds_of_its_life(identity: Path) -> None:
    before = certificate(identity / "server.pem")
    renew_server_certificate(identity, "127.0.0.1", NOW + LIFE * 2 / 3 - timedelta(minutes=1))
    assert certificate(identity / "server.pem") == before
    renew_server_certificate(identity, "127.0.0.1", NOW + LIFE * 2 / 3 + timedelta(minutes=1))
    after = certificate(identity / "server.pem")
    assert after.not_valid_after_utc > before.not_valid_after_utc
    assert after.serial_number != before.serial_number
    assert after.public_key() != before.public_key()


def test_a_renewed_certificate_is_believed_under_the_same_authority(identity: Path) -> None:
    pinned = fingerprint((identity / "ca.pem").read_bytes())
    (identity / "server.pem").unlink()
    renew_server_certificate(identity, "127.0.0.1", NOW)
    assert fingerprint((identity / "ca.pem").read_bytes()) == pinned
    handshake(identity, identity / "ca.pem")


def test_another_host_gets_another_certificate(identity: Path) -> None:
    renew_server_certificate(identity, "localhost", NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(identity, identity / "ca.pem", "127.0.0.1")


@pytest.mark.parametrize("written", [0, 1])
def test_a_crash_or_a_full_disk_in_a_renewal_leaves_a_pair_or_is_repaired(
    identity: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    before = (identity / "server.pem").read_bytes()
    left = [written]

    def full(path: Path, content: bytes, mode: int = 0o600) -> None:
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        write_durably(path, content, mode)

    with monkeypatch.context() as broken:
        broken.setattr(certificates, "write_durably", full)
        with pytest.raises(OSError, match="No space"):
            renew_server_certificate(identity, "127.0.0.1", NOW + LIFE)
    assert (identity / "server.pem").read_bytes() == before
    if not written:
        handshake(identity, identity / "ca.pem")
    renew_server_certificate(identity, "127.0.0.1", NOW)
    handshake(identity, identity / "ca.pem")


def test_an_expired_authority_issues_nothing_more(identity: Path) -> None:
    before = (identity / "server.pem").read_bytes()
    with pytest.raises(LocalError) as refusal:
        renew_server_certificate(identity, "127.0.0.1", NOW + timedelta(days=AUTHORITY_DAYS))
    assert refusal.value.code == "AUTHORITY_EXPIRED"
    assert refusal.value.remedy
    assert (identity / "server.pem").read_bytes() == before


@pytest.mark.parametrize("half", [0, 100])
def test_half_a_server_certificate_is_issued_again(identity: Path, half: int) -> None:
    path = identity / "server.pem"
    path.write_bytes(path.read_bytes()[:half])
    renew_server_certificate(identity, "127.0.0.1", NOW)
    handshake(identity, identity / "ca.pem")


def test_an_authority_that_is_none_is_named(identity: Path) -> None:
    (identity / "server.pem").unlink()
    (identity / "ca.pem").write_text("none")
    with pytest.raises(LocalError) as refusal:
        renew_server_certificate(identity, "127.0.0.1", NOW)
    assert refusal.value.code == "CERTIFICATE_MALFORMED"
    assert "ca.pem" in refusal.value.message


def test_a_key_that_is_none_or_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    created = generate_private_key()
    write_secret(path, private_pem(created))
    assert load_private_key(path).public_key() == created.public_key()
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for content in (b"", b"not a key", other):
        path.write_bytes(content)
        with pytest.raises(LocalError) as refusal:
            load_private_key(path)
        assert refusal.value.code == "KEY_MALFORMED"
        assert str(path) in refusal.value.message


def test_a_fingerprint_is_of_the_certificate_not_of_its_wrapping(identity: Path) -> None:
    content = (identity / "ca.pem").read_bytes()
    assert len(fingerprint(content)) == 64
    assert fingerprint(b"a comment\n" + content) == fingerprint(content)
    assert fingerprint((identity / "server.pem").read_bytes()) != fingerprint(content)
    with pytest.raises(ValueError, match="PEM"):
        fingerprint(b"no certificate")
