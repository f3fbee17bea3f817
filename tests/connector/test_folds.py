import pytest
from pydantic import ValidationError

from connector.folds import Split


def test_the_share_is_about_what_was_asked():
    split = Split(salt="01" * 16, holdout="0.3")
    held_out = sum(split.holds_out(str(n).encode()) for n in range(10_000))
    assert 2_800 < held_out < 3_200


@pytest.mark.parametrize(("holdout", "expected"), [("0", 0), ("1", 200)])
def test_nobody_and_everybody_can_be_held_out(holdout, expected):
    split = Split(salt="02" * 16, holdout=holdout)
    assert sum(split.holds_out(bytes([n])) for n in range(200)) == expected


def test_another_salt_is_another_split():
    one, other = (Split(salt=salt * 16, holdout="0.5") for salt in ("03", "04"))
    people = [str(n).encode() for n in range(100)]
    assert [one.holds_out(p) for p in people] != [other.holds_out(p) for p in people]


def test_the_fold_of_a_person_is_fixed_for_good():
    # From `openssl dgst -sha256 -mac HMAC`. Another construction would move people between folds.
    split = Split(salt="00" * 16, holdout="0.5")
    assert [split.holds_out(p) for p in (b"a", b"b", b"c", b"d", b"e", b"f")] == [
        *(False, True, False),
        *(False, True, True),
    ]


@pytest.mark.parametrize(
    ("salt", "holdout"),
    [("00" * 15, "0.5"), ("zz" * 16, "0.5"), ("00" * 16, "1.1"), ("00" * 16, "-0.1")],
)
def test_a_short_salt_or_an_impossible_share_is_refused(salt, holdout):
    with pytest.raises(ValidationError):
        Split(salt=salt, holdout=holdout)
