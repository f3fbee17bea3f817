"""Keys: one spelling, no overwriting, and no use of a file that others could read."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import LocalError, RemoteError
from connector.identity.encoding import decode_base64, encode_base64
from connector.identity.keys import SigningKey, VerifyKey, check_name, read_secret, write_secret

KEY = SigningKey("hospital-north", b"n" * 32)
# The checksum database of Go, as its tools ship it.
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_a_key_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing.key"
    KEY.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = SigningKey.load(path)
    assert loaded.verify_key == KEY.verify_key
    assert KEY.verify_key.verify(loaded.sign(b"text"), b"text")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.key"
    KEY.save(path)
    path.chmod(mode)
    with pytest.raises(LocalError) as refusal:
        SigningKey.load(path)
    assert refusal.value.code == "KEY_EXPOSED"
    assert str(path) in refusal.value.message
    assert f"chmod 600 {path}" in refusal.value.remedy
    assert "enrol" not in refusal.value.remedy, "officers have keys, too"


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    KEY.save(path)
    before = path.read_bytes()
    with pytest.raises(LocalError) as refusal:
        SigningKey.generate("hospital-north").save(path)
    assert refusal.value.code == "KEY_EXISTS"
    assert path.read_bytes() == before


def test_a_link_to_nowhere_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "signing.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalError) as refusal:
        write_secret(tmp_path / "signing.key", b"secret")
    assert refusal.value.code == "KEY_EXISTS"
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_key_file_names_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none.key", tmp_path):
        with pytest.raises(LocalError) as refusal:
            read_secret(path)
        assert refusal.value.code == "KEY_MISSING"
        assert str(path) in refusal.value.message


def test_every_changed_byte_of_a_key_file_fails(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    KEY.save(path)
    content = path.read_bytes()
    for place in range(len(content)):
        for flip in (1, 0x20, 0x80):
            changed = bytearray(content)
            changed[place] ^= flip
            path.write_bytes(bytes(changed))
            with pytest.raises(LocalError) as refusal:
                SigningKey.load(path)
            assert refusal.value.code == "KEY_MALFORMED"


def test_a_key_file_that_is_longer_or_shorter_fails(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    KEY.save(path)
    content = path.read_bytes()
    for changed in (*(content[:n] for n in range(len(content))), content + b"\n", b" " + content):
        path.write_bytes(changed)
        with pytest.raises(LocalError) as refusal:
            SigningKey.load(path)
        assert refusal.value.code == "KEY_MALFORMED"


def test_every_changed_byte_of_a_public_key_fails() -> None:
    text = KEY.verify_key.vkey
    assert VerifyKey.parse(text) == KEY.verify_key
    for place, character in enumerate(text):
        for flip in (1, 2, 4, 8, 16, 32, 64):
            changed = text[:place] + chr(ord(character) ^ flip) + text[place + 1 :]
            with pytest.raises(RemoteError) as refusal:
                VerifyKey.parse(changed)
            assert refusal.value.code == "KEY_MALFORMED"


@pytest.mark.parametrize(
    "text",
    ["", "+", "++", "north", KEY.verify_key.vkey + "\n", " " + KEY.verify_key.vkey,
     KEY.verify_key.vkey + "+", KEY.verify_key.vkey.upper(), "\N{KELVIN SIGN}" * 20],
)  # fmt: skip
def test_what_is_no_public_key_fails(text: str) -> None:
    with pytest.raises(RemoteError) as refusal:
        VerifyKey.parse(text)
    assert refusal.value.code == "KEY_MALFORMED"


def test_a_well_known_key_of_another_implementation_is_read() -> None:
    assert VerifyKey.parse(SUMDB).vkey == SUMDB


def test_a_signature_is_bound_to_key_and_text() -> None:
    signature = KEY.sign(b"text")
    assert len(signature) == 64
    assert KEY.verify_key.verify(signature, b"text")
    assert not KEY.verify_key.verify(signature, b"Text")
    assert not KEY.verify_key.verify(signature[:-1], b"text")
    assert not KEY.verify_key.verify(b"", b"text")
    assert not SigningKey("hospital-north", b"x" * 32).verify_key.verify(signature, b"text")


def test_two_generated_keys_differ() -> None:
    assert SigningKey.generate("north").verify_key != SigningKey.generate("north").verify_key


def test_a_private_key_does_not_show_in_its_representation() -> None:
    shown = f"{KEY!r} {KEY}"
    assert "nnnn" not in shown
    assert encode_base64(b"\x01" + b"n" * 32) not in shown


@pytest.mark.parametrize(
    "name", ["", "North", "a b", "-a", ".a", "a/b", "a\n", "ä", "a" * 64, "a+b"]
)
def test_what_is_no_participants_name_is_refused(name: str) -> None:
    with pytest.raises(LocalError) as refusal:
        check_name(name)
    assert refusal.value.code == "NAME_INVALID"
    with pytest.raises(LocalError):
        SigningKey(name, b"n" * 32)


@given(st.binary(max_size=80))
def test_base64_has_one_spelling(content: bytes) -> None:
    text = encode_base64(content)
    assert decode_base64(text) == content
    for other in (
        text + "=",
        text + "\n",
        " " + text,
        text.rstrip("=") if "=" in text else text + "A",
    ):
        with pytest.raises(ValueError, match="base64"):
            decode_base64(other)


def test_spare_bits_in_base64_are_refused() -> None:
    assert decode_base64("AA==") == b"\0"
    for other in ("AB==", "AAA", "AAB=", "A-_A", "AA=A"):
        with pytest.raises(ValueError, match="base64"):
            decode_base64(other)
