"""One spelling, strict parsing, bounded input."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from builders import permit
from hypothesis import given
from hypothesis import strategies as st

from policies import canonical, purposes
from policies import policy as policies
from policies.errors import PolicyError
from policies.permit import Permit


def test_a_digest_cannot_be_set_but_follows_from_the_content() -> None:
    one = permit()
    for digest in (one.digest, "sha256:00"):
        with pytest.raises(TypeError, match="follows from its content"):
            one.digest = digest
    assert one.digest == permit().digest
    with pytest.raises(ValueError, match="frozen"):
        one.id = "permit-2"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_what_is_encoded_is_decoded(value: Any) -> None:
    assert canonical.decode(canonical.encode(value)) == value


@pytest.mark.parametrize("value", [1.5, 2**53, -(2**53), {"é": 1}, {1: 2}, b"bytes", float("nan")])
def test_what_has_more_than_one_spelling_is_refused(value: Any) -> None:
    with pytest.raises(PolicyError) as refused:
        canonical.encode({"a": [value]})
    assert refused.value.code == "CANONICAL_VALUE"
    assert "$.a[0]" in refused.value.message


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}',
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":NaN}',
        b'"\\u0041"',
        b'{"a":1}\n',
        b"\xff",
        b"",
        b"[" * 100_000,
        b'{"a":"' + b"]" * 5000 + b'","b":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":"\\"]]]]]","b":' + b"[" * 40 + b"]" * 40 + b"}",
        b'"' + b"a" * canonical.MAX_BYTES + b'"',
    ],
)
def test_any_other_spelling_is_refused(content: bytes) -> None:
    with pytest.raises(PolicyError) as refused:
        canonical.decode(content)
    assert refused.value.code == "CANONICAL_BYTES"


def test_brackets_in_a_text_are_not_depth() -> None:
    for text in ("[" * 5000, "]" * 5000, '"[' * 500, "\\" * 99 + '"{'):
        assert canonical.decode(canonical.encode({"a": [text]})) == {"a": [text]}


def test_a_text_that_never_closes_is_refused_in_one_pass() -> None:
    # Quadratic scanning of this took minutes: a pattern that goes back would hang here.
    for tail in (b"", b"\\", b"[" * 9):
        with pytest.raises(PolicyError):
            canonical.decode(b'"' + b'\\"' * 500_000 + tail)


def test_what_can_be_spelled_at_the_greatest_depth_can_be_read() -> None:
    value: list[Any] = []
    for _ in range(canonical.MAX_DEPTH):
        value = [value]
    assert canonical.decode(canonical.encode(value)) == value
    with pytest.raises(PolicyError):
        canonical.encode([value])
    with pytest.raises(PolicyError):
        canonical.decode(b"[" + canonical.encode(value) + b"]")


@pytest.mark.parametrize("text", ["a\x1b[2J", "a\x00", "a\nb", "a\x9b31m", "a\u2028b"])
def test_a_permits_text_cannot_steer_a_terminal(text: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        permit(data_user=text)


def test_a_document_survives_its_own_spelling() -> None:
    assert Permit.decode(permit().encode()) == permit()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_another_document_or_none(place: int, flip: int) -> None:
    content = bytearray(permit().encode())
    content[place % len(content)] ^= flip
    try:
        changed = Permit.decode(bytes(content))
    except PolicyError:
        return
    assert changed.digest != permit().digest


def test_an_unknown_field_is_refused_not_ignored() -> None:
    content = permit().encode().replace(b'"id":', b'"hidden":1,"id":')
    with pytest.raises(PolicyError):
        Permit.decode(content)


def test_an_error_names_the_field_and_not_its_value() -> None:
    content = permit().encode().replace(b'"state":"granted"', b'"state":"PATIENT-4711"')
    with pytest.raises(PolicyError) as refused:
        Permit.decode(content)
    assert "state" in refused.value.message
    assert "4711" not in refused.value.message


def test_a_permit_lasts_at_most_ten_years() -> None:
    early = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="ten years"):
        permit(not_before=early, not_after=datetime(2036, 1, 3, tzinfo=UTC))
    permit(not_before=early, not_after=datetime(2036, 1, 1, tzinfo=UTC))


POLICY = """\
id = "north/research"
version = 1
dataset = "north/flchain"
purposes = ["scientific-research"]
tasks = ["training.logistic"]
columns = ["age"]
outputs = ["model"]
minimum_cohort = 10
minimum_participants = 3
epsilon_per_job = 0.1
not_before = 2026-01-01T00:00:00Z
not_after = 2027-01-01T00:00:00Z
[budget]
epsilon = 0.3
delta = 0.00001
"""


def test_a_policy_file_is_read_exactly() -> None:
    policy = policies.parse(POLICY.encode(), "policy.toml")
    assert policy.epsilon_per_job == Decimal("0.1")
    assert policy.budget.delta == Decimal("0.00001")


@pytest.mark.parametrize(
    ("old", "new", "code", "names"),
    [
        ('"scientific-research"', '"advertising"', "POLICY_INVALID", "purposes"),
        ('"scientific-research"', '"curiosity"', "POLICY_INVALID", "purposes"),
        ("version = 1", "version = 0", "POLICY_INVALID", "version"),
        ("epsilon = 0.3", "epsilon = 0", "POLICY_INVALID", "budget.epsilon"),
        ("epsilon = 0.3", "epsilon = nan", "POLICY_INVALID", "budget.epsilon"),
        ("epsilon = 0.3", "epsilon = inf", "POLICY_INVALID", "budget.epsilon"),
        ("minimum_cohort = 10", "minimum_cohrt = 10", "POLICY_INVALID", "minimum_coh"),
        (
            "not_after = 2027-01-01T00:00:00Z",
            "not_after = 2027-01-01",
            "POLICY_INVALID",
            "not_after",
        ),
        ("[budget]", "[budget", "POLICY_SYNTAX", "policy.toml"),
        ("[budget]", "a = " + "[" * 5000, "POLICY_SYNTAX", "policy.toml"),
    ],
)
def test_a_policy_that_is_wrong_says_where(old: str, new: str, code: str, names: str) -> None:
    with pytest.raises(PolicyError) as refused:
        policies.parse(POLICY.replace(old, new).encode(), "policy.toml")
    assert refused.value.code == code
    assert names in refused.value.message


def test_a_huge_policy_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(PolicyError) as refused:
        policies.parse(b"#" * (policies.MAX_BYTES + 1), "policy.toml")
    assert refused.value.code == "POLICY_SYNTAX"


def test_purposes_have_the_articles_of_the_regulation() -> None:
    assert purposes.by_name("train-algorithms").article == "Art. 53(1)(e)(ii)"
    assert purposes.by_name("advertising").article == "Art. 54(c)"
    assert purposes.by_iri(purposes.by_name("statistics").iri) is purposes.by_name("statistics")
    assert purposes.by_iri("urn:none") is None
    with pytest.raises(PolicyError) as refused:
        purposes.by_name("curiosity")
    assert "scientific-research" in refused.value.remedy
