"""Keys by URI: files for their owner only, and keys that never leave their token (SoftHSM2)."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector.audit.log import Log
from connector.errors import LocalError
from connector.identity import documents, jose, keystore
from connector.identity.jose import PublicKey
from connector.identity.keys import SigningKey
from connector.identity.manifest import Manifest, succeed

MODULES = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib64/pkcs11/libsofthsm2.so")]
MODULE = next((one for one in MODULES if one.exists()), None)
PIN = "576811"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def refused(uri: str, root: Path, name: str = "north") -> LocalError:
    with pytest.raises(LocalError) as refusal:
        keystore.load(uri, name, root)
    assert refusal.value.remedy
    assert PIN not in refusal.value.diagnostics()
    return refusal.value


def test_a_key_in_a_file_is_found_by_its_absolute_or_relative_path(tmp_path: Path) -> None:
    key = SigningKey.generate("north")
    key.save(tmp_path / "signing.key")
    for uri in (
        "file:signing.key",
        f"file:{tmp_path}/signing.key",
        f"file://{tmp_path}/signing.key",
        "file:signing%2Ekey",
    ):
        assert keystore.load(uri, "north", tmp_path).verify_key == key.verify_key


def test_a_key_file_keeps_its_rules(tmp_path: Path) -> None:
    SigningKey.generate("north").save(tmp_path / "signing.key")
    assert refused("file:signing.key", tmp_path, "south").code == "KEY_FOR_ANOTHER"
    assert refused("file:other.key", tmp_path).code == "KEY_MISSING"
    (tmp_path / "signing.key").chmod(0o644)
    assert refused("file:signing.key", tmp_path).code == "KEY_EXPOSED"


@pytest.mark.parametrize(
    "uri",
    [
        "", "signing.key", "/etc/key", "vault:key", "file:", "file://host/key", "FILE:key",
        "file:a\nb", "file:%00", "file:%zz", "pkcs11:", "pkcs11:object=a", "pkcs11:token=a",
        "pkcs11:token=a;object=b", "pkcs11:token=a;object=b?module-path=/m",
        "pkcs11:token=a;token=a;object=b?module-path=/m&pin-source=env:P",
        "pkcs11:token=a;object=b;color=c?module-path=/m&pin-source=env:P",
        "pkcs11:token=a;object=?module-path=/m&pin-source=env:P",
        "pkcs11:token=a;object=%00?module-path=/m&pin-source=env:P",
        "pkcs11:" + "a" * 3000,
    ],
)  # fmt: skip
def test_what_names_no_key_is_refused(uri: str, tmp_path: Path) -> None:
    assert refused(uri, tmp_path).code == "KEY_URI"


def test_a_pin_in_the_uri_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for mark in ("?", ";"):
        uri = f"pkcs11:token=a;object=b{mark}pin-value={PIN}"
        assert refused(uri, tmp_path).code == "KEY_URI"


def test_a_pin_comes_from_a_file_of_its_owner_or_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pkcs11", reason="python-pkcs11 is an optional dependency")
    uri = "pkcs11:token=a;object=b?module-path=/nowhere.so&pin-source="
    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o644)
    assert refused(f"{uri}file:pin", tmp_path).code == "KEY_EXPOSED"
    assert refused(f"{uri}env:COMMENSAL_NO_PIN", tmp_path).code == "KEY_PIN"
    assert refused(f"{uri}%7Ccat", tmp_path).code == "KEY_PIN", "no commands are run"
    monkeypatch.setenv("COMMENSAL_PIN", PIN)
    (tmp_path / "pin").chmod(0o600)
    for source in ("file:pin", "env:COMMENSAL_PIN"):
        assert refused(uri + source, tmp_path).code == "KEY_MODULE", "it went on to the module"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh SoftHSM2 token with an Ed25519 key `signing`, and others that do not fit."""
    pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is an optional dependency")
    if MODULE is None or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed")
    home = tmp_path_factory.mktemp("softhsm")
    (home / "tokens").mkdir()
    (home / "softhsm2.conf").write_text(f"directories.tokendir = {home}/tokens/\nlog.level = ERROR")
    with pytest.MonkeyPatch.context() as patch:
        # The module reads its configuration once, when it is loaded.
        patch.setenv("SOFTHSM2_CONF", str(home / "softhsm2.conf"))
        patch.setenv("COMMENSAL_PIN", PIN)
        _fill(pkcs11)
        yield f"pkcs11:token=hospital;object={{}}?module-path={MODULE}&pin-source=env:COMMENSAL_PIN"


def _fill(pkcs11: Any) -> None:
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "hospital", "--pin", PIN,
         "--so-pin", "123456"],
        check=True, capture_output=True,
    )  # fmt: skip
    module = pkcs11.lib(str(MODULE))
    hospital = module.get_token(token_label="hospital")  # noqa: S106 - a label, no password
    with hospital.open(user_pin=PIN, rw=True) as session:
        for label, extractable in (("signing", False), ("open", True)):
            _generate(pkcs11, session, label, extractable=extractable)
        curve = pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
        session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
        ).generate_keypair(store=True, label="p256")


def _generate(pkcs11: Any, session: Any, label: str, *, extractable: bool) -> None:
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415 - optional

    curve = encode_named_curve_parameters("1.3.101.112")
    parameters = session.create_domain_parameters(
        pkcs11.KeyType.EC_EDWARDS, {pkcs11.Attribute.EC_PARAMS: curve}, local=True
    )
    parameters.generate_keypair(
        mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=label,
        private_template={pkcs11.Attribute.EXTRACTABLE: extractable},
    )  # fmt: skip


def test_a_key_in_a_token_signs_what_others_verify(token: str, tmp_path: Path) -> None:
    signer = keystore.load(token.format("signing"), "north", tmp_path)
    assert signer.name == "north"
    signature = signer.sign(b"text")
    assert signer.verify_key.verify(signature, b"text")
    assert not signer.verify_key.verify(signature, b"Text")
    text = jose.sign(signer, {"iss": "did:web:north.example"}, kid="k")
    jose.verify(jose.read(text), PublicKey.of(signer.verify_key))


def test_checkpoints_and_documents_are_signed_in_the_token(token: str, tmp_path: Path) -> None:
    signer = keystore.load(token.format("signing"), "hdab", tmp_path)
    with Log.open(tmp_path / "log", signer) as log:
        log.append([b"entry"])
    with Log.open(tmp_path / "log", signer) as log:
        assert [content for _, content in log.read()] == [b"entry"]
    listed = succeed(None, "hdab", (), NOW)
    assert documents.verify(documents.sign(signer, listed), Manifest, signer.verify_key) == listed


def test_a_commitment_is_repeated_by_this_token_only(token: str, tmp_path: Path) -> None:
    once, again = (keystore.load(token.format("signing"), "north", tmp_path) for _ in range(2))
    assert once.commitment("records") == again.commitment("records")
    assert once.commitment("records") != once.commitment("Records")
    assert once.commitment("records") != SigningKey("north", b"n" * 32).commitment("records")


def test_a_token_signs_for_many_threads(token: str, tmp_path: Path) -> None:
    signer = keystore.load(token.format("signing"), "north", tmp_path)
    made: list[bool] = []

    def work(number: int) -> None:
        for step in range(20):
            message = f"{number}.{step}".encode()
            made.append(signer.verify_key.verify(signer.sign(message), message))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [True] * 80


@pytest.mark.parametrize(
    ("label", "code"),
    [("open", "KEY_UNSUITABLE"), ("p256", "KEY_MISSING"), ("nothing", "KEY_MISSING")],
)
def test_a_key_that_could_leave_its_token_or_is_none_is_refused(
    token: str, tmp_path: Path, label: str, code: str
) -> None:
    assert refused(token.format(label), tmp_path).code == code


def test_a_token_that_is_not_there_and_a_wrong_pin_are_told_apart(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = token.replace("token=hospital", "token=clinic").format("signing")
    assert refused(elsewhere, tmp_path).code == "KEY_MISSING"
    script = (
        "import sys; from pathlib import Path; from connector.identity import keystore\n"
        "from connector.errors import LocalError\n"
        "try: keystore.load(sys.argv[1], 'north', Path('.'))\n"
        "except LocalError as error: print(error.code)\n"
    )
    monkeypatch.setenv("COMMENSAL_PIN", "0000")  # in a process of its own: nobody is logged in
    done = subprocess.run(
        [sys.executable, "-c", script, token.format("signing")], capture_output=True,
        text=True, check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.stdout == "KEY_PIN\n"
