import pytest

from connector.audit import note
from connector.audit.note import Checkpoint
from connector.errors import RemoteError
from connector.identity.encoding import decode_base64
from connector.identity.keys import SigningKey, VerifyKey

# Published vectors: golang.org/x/mod/sumdb/note and the example of c2sp.org/signed-note.
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_SIGNATURE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6"
    "KE6RyyBwJnAM=\n"
)
ENOCH_SIGNATURE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33W"
    "Wd1RvMc+QQ=\n"
)
SPEC_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def _key(name, encoded):
    return VerifyKey(name, decode_base64(encoded)[1:])


PETER = _key("PeterNeumann", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
ENOCH = _key("EnochRoot", "ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
SPEC = _key("example.com/foo", "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
NORTH = SigningKey("hospital-north", bytes(range(32)))
SOUTH = SigningKey("hospital-south", bytes(range(1, 33)))
CHECKPOINT = Checkpoint("hospital-north", 3, bytes(range(32)))


def _refused(content, *keys):
    with pytest.raises(RemoteError) as caught:
        note.open_note(content if isinstance(content, bytes) else content.encode(), *keys)
    return caught.value.code


def test_published_notes_open_under_their_published_keys():
    assert PETER.key_id.hex() == "c74f20a3"
    assert ENOCH.key_id.hex() == "af0cfe78"
    assert SPEC.key_id.hex() == "530d903a"
    assert note.open_note((TEXT + "\n" + PETER_SIGNATURE).encode(), PETER) == TEXT
    assert note.open_note((TEXT + "\n" + ENOCH_SIGNATURE).encode(), ENOCH) == TEXT
    assert note.open_note(SPEC_NOTE.encode(), SPEC) == "This is an example message.\n"


def test_our_signature_over_the_published_text_has_the_published_bytes():
    seed = decode_base64("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
    published = decode_base64(PETER_SIGNATURE.split(" ")[2].strip())[4:]
    signed = note.sign(TEXT, SigningKey("peter", seed)).decode()
    assert signed.startswith(TEXT + "\n— peter ")
    assert decode_base64(signed.split(" ")[-1].strip())[4:] == published


def test_signatures_of_unknown_keys_are_ignored_but_one_known_key_must_sign():
    both = TEXT + "\n" + PETER_SIGNATURE + ENOCH_SIGNATURE
    assert note.open_note(both.encode(), PETER) == TEXT
    assert note.open_note(both.encode(), PETER, ENOCH) == TEXT
    assert _refused(both) == "NOTE_UNVERIFIED"
    assert _refused(both, SPEC) == "NOTE_UNVERIFIED"


def test_a_known_key_that_fails_refuses_the_note_though_another_signed_well():
    forged = ENOCH_SIGNATURE[:60] + "A" + ENOCH_SIGNATURE[61:]
    content = TEXT + "\n" + PETER_SIGNATURE + forged
    assert _refused(content, PETER, ENOCH) == "NOTE_FORGED"
    assert note.open_note(content.encode(), PETER) == TEXT


@pytest.mark.parametrize(
    "content",
    [
        "",
        TEXT,
        TEXT + "\n",
        TEXT + "\n" + PETER_SIGNATURE[:-1],
        "\x01" + TEXT + "\n" + PETER_SIGNATURE,
        "\r" + TEXT + "\n" + PETER_SIGNATURE,
        b"\xff" + (TEXT + "\n" + PETER_SIGNATURE).encode(),
        TEXT + "\n" + PETER_SIGNATURE + "Unexpected line.\n",
        TEXT + "\n" + PETER_SIGNATURE.replace("PeterNeumann", "Bad Name"),
        TEXT + "\n" + PETER_SIGNATURE.replace("PeterNeumann", "Bad+Name"),
        TEXT + "\n" + PETER_SIGNATURE.replace("PeterNeumann", "Bad\u2003Name"),
        TEXT + "\n" + PETER_SIGNATURE.replace("PeterNeumann", ""),
        TEXT + "\n" + PETER_SIGNATURE.replace("—", "-"),
        TEXT + "\n" + PETER_SIGNATURE.replace("AM=", "AN="),
        TEXT + "\n— PeterNeumann x08gow==\n",
        TEXT + "\n" + PETER_SIGNATURE * 101,
        "a" * note.MAX_BYTES + "\n\n" + PETER_SIGNATURE,
    ],
)
def test_malformed_notes_are_refused(content):
    assert _refused(content, PETER) == "NOTE_MALFORMED"


def test_a_hundred_signatures_are_read_and_the_text_may_hold_blank_lines():
    text = "first\n\nsecond\n"
    signed = note.sign(text, NORTH)
    assert note.open_note(signed, NORTH.verify_key) == text
    many = (TEXT + "\n" + ENOCH_SIGNATURE * 99 + PETER_SIGNATURE).encode()
    assert note.open_note(many, PETER) == TEXT


@pytest.mark.parametrize("text", ["", "no newline", "a tab\t\n", "\x00\n"])
def test_text_that_no_note_can_hold_is_not_signed(text):
    with pytest.raises(ValueError, match="not the text of a note"):
        note.sign(text, NORTH)


def test_a_checkpoint_reads_as_it_was_signed():
    signed = note.sign_checkpoint(CHECKPOINT, NORTH)
    assert signed.startswith(
        b"hospital-north\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n"
        b"\xe2\x80\x94 hospital-north "
    )
    assert note.open_checkpoint(signed, NORTH.verify_key) == CHECKPOINT


def test_a_checkpoint_with_extension_lines_is_read():
    extended = Checkpoint("hospital-north", 3, bytes(32), ("one", "two"))
    assert Checkpoint.parse(extended.text) == extended


def test_every_changed_byte_of_a_checkpoint_is_refused():
    signed = note.sign_checkpoint(CHECKPOINT, NORTH)
    for position in range(len(signed)):
        for bit in range(8):
            changed = bytearray(signed)
            changed[position] ^= 1 << bit
            with pytest.raises(RemoteError):
                note.open_checkpoint(bytes(changed), NORTH.verify_key)


def test_every_cut_and_every_doubled_byte_of_a_checkpoint_is_refused():
    signed = note.sign_checkpoint(CHECKPOINT, NORTH)
    for position in range(len(signed)):
        doubled = signed[:position] + signed[position : position + 1] + signed[position:]
        for changed in (signed[:position], signed[position + 1 :], doubled):
            with pytest.raises(RemoteError):
                note.open_checkpoint(changed, NORTH.verify_key)


def test_a_participants_key_cannot_sign_for_another_log():
    foreign = note.sign(CHECKPOINT.text, SOUTH)
    with pytest.raises(RemoteError) as caught:
        note.open_checkpoint(foreign, SOUTH.verify_key)
    assert caught.value.code == "CHECKPOINT_FOREIGN"
    with pytest.raises(ValueError, match="does not sign for"):
        note.sign_checkpoint(CHECKPOINT, SOUTH)


ROOT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"log\n3\n{ROOT}",
        f"log\n3\n{ROOT}\n\n",
        f"\n3\n{ROOT}\n",
        f"log\n03\n{ROOT}\n",
        f"log\n+3\n{ROOT}\n",
        f"log\n-3\n{ROOT}\n",
        f"log\n1_0\n{ROOT}\n",
        f"log\n 3\n{ROOT}\n",
        f"log\n\u0661\u0662\n{ROOT}\n",
        f"log\n99999999999999999999\n{ROOT}\n",
        f"log\n9223372036854775808\n{ROOT}\n",
        f"log\n3\n{ROOT[:-1]}\n",
        f"log\n3\n{ROOT.replace('8=', '9=')}\n",
        f"log\n3\n{ROOT} \n",
        "log\n3\nAAECAw==\n",
        f"log\u20283\n{ROOT}\n",
    ],
)
def test_other_spellings_of_a_checkpoint_are_refused(text):
    with pytest.raises(RemoteError) as caught:
        Checkpoint.parse(text)
    assert caught.value.code == "CHECKPOINT_MALFORMED"
