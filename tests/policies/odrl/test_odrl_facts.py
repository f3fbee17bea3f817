"""Spellings of values, and what a graph may not do to a request, a hierarchy or a policy."""

from datetime import UTC, date, datetime

import pytest

from policies.errors import PolicyError
from policies.odrl import facts, values
from policies.odrl.graph import parse_turtle
from policies.odrl.rdf import policy_uids, read_policy
from policies.odrl.terms import ODRL, XSD, Kind, PolicyKind

EX = "http://example.org/"
PREFIXES = f"@prefix odrl: <{ODRL}> . @prefix ex: <{EX}> . @prefix xsd: <{XSD}> .\n"


def graph(turtle):
    return parse_turtle((PREFIXES + turtle).encode(), "test")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("2023-12-31T24:00:00Z", Kind.INSTANT, datetime(2024, 1, 1, tzinfo=UTC)),
        ("2023-12-31T24:00:00.000Z", Kind.INSTANT, datetime(2024, 1, 1, tzinfo=UTC)),
        ("2023-12-31T24:00Z", Kind.INSTANT, datetime(2024, 1, 1, tzinfo=UTC)),
        ("2023-12-31+00:00", Kind.DATE, date(2023, 12, 31)),
        ("2023-12-31-00:00", Kind.DATE, date(2023, 12, 31)),
    ],
)
def test_other_spellings_of_the_same_value_are_read_exactly(text, kind, value):
    assert values.parse(text, {kind}, "$") == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2023-12-31T24:00:01Z", Kind.INSTANT),
        ("2023-12-31T24:01:00Z", Kind.INSTANT),
        ("9999-12-31T24:00:00Z", Kind.INSTANT),
        ("2023-12-31+02:00", Kind.DATE),
    ],
)
def test_what_would_lose_something_is_refused(text, kind):
    with pytest.raises(PolicyError) as caught:
        values.parse(text, {kind}, "$")
    assert caught.value.code == "ODRL_VALUE"


@pytest.mark.parametrize(
    "name",
    ["unsignedShort", "unsignedByte", "nonPositiveInteger", "negativeInteger", "unsignedLong"],
)
def test_every_integer_of_xml_schema_is_a_number(name):
    assert values.kind_of(XSD + name) is Kind.NUMBER


def test_a_request_that_states_an_operand_in_two_units_is_refused():
    asked = graph("""ex:r a odrl:Request ; odrl:permission [ odrl:action odrl:print ;
      odrl:constraint [ odrl:leftOperand odrl:resolution ; odrl:rightOperand 600 ;
                        odrl:unit ex:dpi ] ,
                      [ odrl:leftOperand odrl:resolution ; odrl:rightOperand 900 ] ] .""")
    with pytest.raises(PolicyError) as caught:
        facts.read_requests(asked, EX + "r")
    assert caught.value.code == "ODRL_VALUE"


def test_an_action_of_odrl_itself_is_not_moved_in_passing():
    state = "ex:s ex:includes ex:now . odrl:distribute odrl:includedIn odrl:read ."
    own = graph("ex:tabulate odrl:includedIn odrl:read . odrl:sell odrl:includedIn odrl:read .")
    world = facts.read_world(graph(state), EX + "s", own)
    assert world.included_in == {EX + "tabulate": (ODRL + "read",)}


def test_a_fact_outside_of_what_the_state_includes_is_not_one():
    state = "ex:s ex:includes ex:a . ex:f odrl:leftOperand odrl:count ; odrl:rightOperand 3 ."
    assert facts.read_world(graph(state), EX + "s").operands == {}


def test_a_membership_that_leads_back_to_itself_is_refused_across_both_graphs():
    state, own = graph("ex:a odrl:partOf ex:b ."), graph("ex:a odrl:hasPart ex:b .")
    with pytest.raises(PolicyError) as caught:
        facts.read_world(state, EX + "s", own)
    assert caught.value.code == "ODRL_CYCLE"


def test_what_an_asset_says_of_a_policy_joins_the_assets_that_the_policy_names():
    own = graph("""ex:p a odrl:Set ; odrl:target ex:y ; odrl:permission [ odrl:action odrl:read ] .
      ex:x odrl:hasPolicy ex:p . ex:y odrl:hasPolicy ex:p .""")
    assert [asset.uid for asset in read_policy(own, EX + "p").scope.targets] == [EX + "y", EX + "x"]


def test_a_privacy_policy_is_a_policy_and_a_request_or_assertion_grants_nothing():
    rule = "odrl:permission [ odrl:action odrl:read ; odrl:target ex:x ] ."
    own = graph(f"ex:p a odrl:Privacy ; {rule}")
    assert policy_uids(own) == [EX + "p"]
    assert read_policy(own, EX + "p").kind is PolicyKind.PRIVACY
    for other in ("Request", "Assertion", "Ticket"):
        with pytest.raises(PolicyError) as caught:
            read_policy(graph(f"ex:p a odrl:{other} ; {rule}"), EX + "p")
        assert caught.value.code == "ODRL_TERM"
