"""A permit as a person writes it: every field checked, every error with its place."""

from datetime import timedelta
from decimal import Decimal

import pytest
from desk import NOW

from coordinator import permits
from policies import purposes
from policies.errors import Error
from policies.permit import Permit, PermitState

TEXT = """\
id = "permit-1"
data_user = "a university"
project = "survival"
purpose = "scientific-research"
datasets = ["north/patients", "south/patients"]
columns = ["age", "died"]
tasks = ["training.logistic"]
outputs = ["model"]
epsilon = 2.5
delta = 0.00001
minimum_participants = 2
not_before = 2026-11-22T12:00:00Z
not_after = 2027-01-01T00:00:00Z
"""


def parse(text: str) -> Permit:
    return permits.parse(text.encode(), "permit.toml", "hdab")


def refused(text: str) -> Error:
    with pytest.raises(Error) as refusal:
        parse(text)
    return refusal.value


def test_a_permit_is_read_exactly() -> None:
    granted = parse(TEXT)
    assert granted.epsilon == Decimal("2.5")
    assert granted.delta == Decimal("0.00001")
    assert granted.purpose == purposes.by_name("scientific-research").iri
    assert (granted.issuer, granted.state) == ("hdab", PermitState.GRANTED)
    assert granted.not_before == NOW
    assert granted.not_after - NOW == timedelta(days=39, hours=12)
    assert Permit.decode(granted.encode()) == granted


def test_the_same_text_is_the_same_permit() -> None:
    assert parse(TEXT).digest == parse(TEXT + "# a comment\n").digest
    assert parse(TEXT).digest != parse(TEXT.replace("2.5", "2.6")).digest


def test_an_amended_permit_says_so() -> None:
    assert parse(TEXT + 'state = "amended"').state is PermitState.AMENDED


def test_a_purpose_that_is_prohibited_can_be_written_for_nodes_to_refuse() -> None:
    asked = parse(TEXT.replace("scientific-research", "advertising"))
    assert asked.purpose == purposes.PROHIBITED["advertising"].iri


@pytest.mark.parametrize(
    ("old", "new", "code", "names"),
    [
        ("scientific-research", "curiosity", "PURPOSE_UNKNOWN", "curiosity"),
        ("purpose", "porpoise", "PURPOSE_UNKNOWN", "purpose"),
        ("epsilon = 2.5", "epsilon = 0", "PERMIT_INVALID", "epsilon"),
        ("epsilon = 2.5", "epsilon = 101", "PERMIT_INVALID", "epsilon"),
        ("epsilon = 2.5", "epsilon = nan", "PERMIT_INVALID", "epsilon"),
        ("epsilon = 2.5", "epsilon = inf", "PERMIT_INVALID", "epsilon"),
        ("delta = 0.00001", "delta = 0.1", "PERMIT_INVALID", "delta"),
        ("minimum_participants = 2", "minimum_participants = 0", "PERMIT_INVALID", "minimum_part"),
        ("minimum_participants = 2", "minimum = 2", "PERMIT_INVALID", "minimum"),
        ('["age", "died"]', "[]", "PERMIT_INVALID", "columns"),
        ('["age", "died"]', '["age", "a b"]', "PERMIT_INVALID", "columns.1"),
        ("12:00:00Z", "12:00:00", "PERMIT_INVALID", "not_before"),
        ("2027-01-01T00:00:00Z", "2026-11-22T12:00:00Z", "PERMIT_INVALID", "not_after"),
        ("2027-01-01T00:00:00Z", "2037-01-01T00:00:00Z", "PERMIT_INVALID", "ten years"),
        ('id = "permit-1"', 'id = ""', "PERMIT_INVALID", "id"),
        ('id = "permit-1"', 'state = "eternal"', "PERMIT_INVALID", "id"),
        ("columns", "kolumns", "PERMIT_INVALID", "columns"),
        ("id =", "id ==", "PERMIT_SYNTAX", "permit.toml"),
        ("id =", "a = " + "[" * 5000, "PERMIT_SYNTAX", "permit.toml"),
    ],
)
def test_a_permit_that_is_wrong_says_where(old: str, new: str, code: str, names: str) -> None:
    assert old in TEXT
    error = refused(TEXT.replace(old, new, 1))
    assert error.code == code
    assert names in error.diagnostics()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", "id = 'ä'".encode("utf-16")])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(Error) as refusal:
        permits.parse(content, "permit.toml", "hdab")
    assert refusal.value.code == "PERMIT_SYNTAX"
