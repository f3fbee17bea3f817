"""What the parser understands, what it refuses, and how it says so."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from policies.errors import PolicyError
from policies.odrl import inherit, terms
from policies.odrl.context import DSP_CONTEXT, ODRL_CONTEXT, PLAIN
from policies.odrl.model import (
    Action,
    Asset,
    AssetCollection,
    Constraint,
    LogicalConstraint,
    Party,
    Permission,
    Policy,
    Scope,
)
from policies.odrl.read import read, read_embedded
from policies.odrl.terms import COMMENSAL, ODRL, Iri, LogicalOperator, Operator
from policies.odrl.values import Duration

EXAMPLES = Path(__file__).parents[4] / "shared" / "specs" / "dsp-2025-1"
RESEARCH = "https://w3id.org/dpv/legal/eu/ehds#HealthcareScientificResearch"


def offer(**changes):
    return {
        "@context": [DSP_CONTEXT],
        "@type": "Offer",
        "@id": "urn:uuid:1",
        "permission": [{"action": "use", **changes}],
    }


def plain(**changes):
    return {
        "@context": ODRL_CONTEXT,
        "@type": "Set",
        "uid": "urn:p",
        "permission": [{"action": "use", "target": "urn:x"}],
        **changes,
    }


def constrained(left="dateTime", operator="lteq", right="2030-01-01T00:00:00Z", **more):
    atom = {"leftOperand": left, "operator": operator, "rightOperand": right, **more}
    return offer(constraint=[atom])


def parse(document, known=None):
    return read(json.dumps(document).encode(), known)


def refused(document):
    with pytest.raises(PolicyError) as caught:
        parse(document) if not isinstance(document, bytes) else read(document)
    return caught.value


def right_of(document):
    return parse(document).permissions[0].constraints[0].right


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs ../shared/specs/dsp-2025-1")
def test_the_offers_of_the_dataspace_protocols_examples_are_read():
    path = EXAMPLES / "negotiation" / "example" / "contract-offer-message.json"
    policy = read_embedded(json.loads(path.read_bytes())["offer"])
    bound = policy.permissions[0].constraints[0]
    assert bound.left == terms.DATE_TIME
    assert bound.right == datetime(2023, 12, 31, 6, tzinfo=UTC)
    catalog = json.loads((EXAMPLES / "catalog" / "example" / "catalog.json").read_bytes())
    spatial = read_embedded(catalog["dataset"][0]["hasPolicy"][0]).permissions[0].constraints[0]
    assert spatial == Constraint(ODRL + "spatial", Operator.EQ, Iri("http://example.org/EU"))


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs ../shared/specs/dsp-2025-1")
def test_an_agreement_with_a_profile_and_operands_of_others_is_refused_with_the_place():
    path = EXAMPLES / "negotiation" / "example" / "contract-agreement-message-full.json"
    agreement = json.loads(path.read_bytes())["agreement"]
    with pytest.raises(PolicyError, match=r"^\$\.profile is a profile that is not known"):
        read_embedded(agreement)
    del agreement["profile"]
    with pytest.raises(PolicyError) as caught:
        read_embedded(agreement)
    assert caught.value.code == "ODRL_TERM"
    assert caught.value.message.startswith("$.permission[1].constraint[0].and[0].leftOperand ")


def test_a_plain_policy_with_everything_becomes_the_typed_model():
    document = plain(
        **{
            "@context": [ODRL_CONTEXT, {"ex": "http://example.org/"}],
            "@type": "Agreement",
            "assigner": "ex:hospital",
            "assignee": {"@type": "Party", "uid": "ex:lab", "partOf": ["ex:labs"]},
            "conflict": "prohibit",
            "dct:title": "Statistics",
            "permission": {
                "uid": "ex:rule",
                "action": [
                    {
                        "rdf:value": {"@id": "odrl:print"},
                        "refinement": {
                            "leftOperand": "resolution",
                            "operator": "lteq",
                            "rightOperand": {"@value": "1200", "@type": "xsd:integer"},
                            "unit": "ex:dpi",
                        },
                    }
                ],
                "target": {
                    "@type": "AssetCollection",
                    "source": "ex:all",
                    "refinement": [{
                        "leftOperand": COMMENSAL + "cohortSize",
                        "operator": "gteq",
                        "rightOperand": 50,
                    }],
                },
                "constraint": {"xone": [
                    {"leftOperand": "purpose", "operator": "isA",
                     "rightOperand": {"@id": RESEARCH}},
                    {"leftOperand": "odrl:elapsedTime", "operator": "odrl:lt",
                     "rightOperand": {"@value": "P6M", "@type": "xsd:duration"}},
                ]},
                "duty": [{"action": "inform", "consequence": [{"action": "delete"}]}],
            },
        }
    )  # fmt: skip
    policy = parse(document)
    rule = policy.permissions[0]
    assert policy.scope.assigners == (Party("http://example.org/hospital"),)
    assert policy.scope.assignees == (
        Party("http://example.org/lab", ("http://example.org/labs",)),
    )
    assert policy.metadata == ((terms.DCT + "title", "Statistics"),)
    assert rule.scope.actions[0].iri == ODRL + "print"
    assert rule.scope.actions[0].refinements[0].unit == "http://example.org/dpi"
    assert isinstance(rule.scope.targets[0], AssetCollection)
    assert rule.scope.targets[0].refinements[0].right == Decimal(50)
    assert rule.constraints[0] == LogicalConstraint(
        LogicalOperator.XONE,
        (
            Constraint(terms.PURPOSE, Operator.IS_A, Iri(RESEARCH)),
            Constraint(terms.ELAPSED_TIME, Operator.LT, Duration(6, Decimal(0))),
        ),
    )
    assert rule.duties[0].consequences[0].scope.actions == (Action(ODRL + "delete"),)


def test_terms_with_and_without_prefix_mean_the_same():
    short = parse(constrained("dateTime"))
    assert parse(constrained("odrl:dateTime")) == short
    assert parse(constrained(ODRL + "dateTime", "odrl:lteq")) == short


@pytest.mark.parametrize(
    ("left", "right", "value"),
    [
        (COMMENSAL + "epsilon", "0.1", Decimal("0.1")),
        (COMMENSAL + "delta", "1e-5", Decimal("0.00001")),
        ("count", {"@value": "5", "@type": "xsd:integer"}, Decimal(5)),
        ("dateTime", "2030-01-31", date(2030, 1, 31)),
        ("dateTime", {"@value": "2030-01-31T01:00:00+02:00", "@type": "xsd:dateTime"},
         datetime(2030, 1, 30, 23, tzinfo=UTC)),
        ("elapsedTime", "P1Y2M3DT4H5M6.5S", Duration(14, Decimal("273906.5"))),
    ],
)  # fmt: skip
def test_values_are_exact_and_typed(left, right, value):
    assert right_of(constrained(left, "lteq", right)) == value


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("count", "five"), ("count", "5 "), ("count", "\u0665"), ("count", "NaN"),
        ("count", "1e9999"),
        ("count", {"@value": "5", "@type": "xsd:string"}), ("count", {"@value": True}),
        ("count", None), ("count", True), ("count", "9" * 31),
        ("dateTime", "2030-01-31T00:00:00"), ("dateTime", "2030-13-01T00:00:00Z"),
        ("dateTime", "2030-01-01T00:00:00.123456789Z"), ("dateTime", "2030-W01-1"),
        ("dateTime", "0001-01-01T00:00:00+14:00"), ("dateTime", {"@id": "urn:now"}),
        ("elapsedTime", "P"), ("elapsedTime", "PT"), ("elapsedTime", "6 months"),
        ("elapsedTime", ["P1D"]),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_operand_is_refused_at_its_place(left, right):
    error = refused(constrained(left, "lteq", right))
    assert error.code == "ODRL_VALUE"
    assert error.message.startswith("$.permission[0].constraint[0].")


def test_a_bare_number_is_a_syntax_error_in_the_protocol_and_fine_in_plain_odrl():
    error = refused(constrained("count", "lt", 5))
    assert (error.code, "xsd:integer" in error.remedy) == ("ODRL_SYNTAX", True)
    atom = {"leftOperand": "count", "operator": "lt", "rightOperand": 5}
    policy = parse(plain(permission=[{"action": "use", "constraint": atom}]))
    assert policy.permissions[0].constraints[0].right == Decimal(5)


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        (constrained("mood", "eq", "good"), "ODRL_TERM",
         "$.permission[0].constraint[0].leftOperand"),
        (constrained(operator="like"), "ODRL_TERM", "$.permission[0].constraint[0].operator"),
        (constrained("purpose", "lt", RESEARCH), "ODRL_VALUE",
         "$.permission[0].constraint[0].operator"),
        (constrained("purpose", "eq", RESEARCH + "s"), "ODRL_TERM",
         "$.permission[0].constraint[0].rightOperand"),
        (constrained("purpose", "eq", "science"), "ODRL_VALUE",
         "$.permission[0].constraint[0].rightOperand"),
        (constrained("purpose", "isAnyOf", []), "ODRL_VALUE",
         "$.permission[0].constraint[0].rightOperand"),
        (constrained(status="5"), "ODRL_TERM", "$.permission[0].constraint[0].status"),
        (constrained(rightOperandReference="urn:r"), "ODRL_TERM",
         "$.permission[0].constraint[0].rightOperandReference"),
        (offer(constraint=[{"and": [], "or": []}]), "ODRL_SYNTAX", "$.permission[0].constraint[0]"),
        (offer(constraint=[{"and": []}]), "ODRL_SYNTAX", "$.permission[0].constraint[0].and"),
        (offer(constraint=["urn:elsewhere"]), "ODRL_SYNTAX", "$.permission[0].constraint[0]"),
        (offer(action="frobnicate"), "ODRL_TERM", "$.permission[0].action"),
        (offer(consequence=[]), "ODRL_TERM", "$.permission[0].consequence"),
        (offer(hidden=1), "ODRL_TERM", "$.permission[0].hidden"),
        (offer(**{"odrl:action": "use"}), "ODRL_SYNTAX", "$.permission[0].odrl:action"),
        (offer(assignee={"@type": "odrl:AssetCollection", "@id": "urn:a"}), "ODRL_SYNTAX",
         "$.permission[0].assignee.@type"),
        ({**offer(), "permission": {"action": "use"}}, "ODRL_SYNTAX", "$.permission"),
        ({**offer(), "@type": "Set"}, "ODRL_SYNTAX", "$.@type"),
        ({**offer(), "@type": "Agreement"}, "ODRL_SYNTAX", "$"),
        ({**offer(), "@type": "Ticket"}, "ODRL_TERM", "$.@type"),
        ({**offer(), "odrl:conflict": "sometimes"}, "ODRL_TERM", "$.conflict"),
        ({**offer(), "@context": ["https://example.org/c.jsonld"]}, "ODRL_TERM", "$.@context[0]"),
        ({**offer(), "@context": [DSP_CONTEXT, {"use": "http://example.org/x"}]}, "ODRL_TERM",
         "$.@context[1].use"),
        ({**offer(), "@context": [DSP_CONTEXT, {"odrl": "http://example.org/"}]}, "ODRL_SYNTAX",
         "$.@context[1].odrl"),
        ({**offer(), "@context": [DSP_CONTEXT, {"https": "http://example.org/"}]}, "ODRL_SYNTAX",
         "$.@context[1].https"),
        ({**offer(), "@context": []}, "ODRL_SYNTAX", "$.@context"),
        (plain(permission=[]), "ODRL_SYNTAX", "$"),
        (plain(permission=[{"target": "urn:x"}]), "ODRL_SYNTAX", "$.permission[0]"),
        (plain(uid="relative"), "ODRL_VALUE", "$.@id"),
        (plain(**{"@id": "urn:other"}), "ODRL_SYNTAX", "$.@id"),
        (plain(target={"uid": "urn:a", "partOf": "urn:a"}), "ODRL_CYCLE", "$"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_an_error_with_its_path(document, code, path):
    error = refused(document)
    assert error.code == code
    assert error.message.startswith(path + " "), error.message


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b'{"@context": 1, "@context": 2}', "ODRL_SYNTAX", "$.@context is given twice"),
        (b'{"a": [{"b": 1, "b": 1}]}', "ODRL_SYNTAX", "$.a[0].b is given twice"),
        (b'{"a": NaN}', "ODRL_VALUE", "$.a is not a decimal number"),
        (b'{"a": -Infinity}', "ODRL_VALUE", "$.a is not a decimal number"),
        (b'{"a": 1' + b"0" * 100 + b"}", "ODRL_VALUE", "$.a is not a decimal number"),
        (b'{"a": 1e99999}', "ODRL_VALUE", "$.a is not a decimal number"),
        (b'{"a": "\\ud800"}', "ODRL_VALUE", "$.a has a character"),
        (b'{"a": "\xff"}', "ODRL_SYNTAX", "$ is not JSON"),
        (b'{"a": ', "ODRL_SYNTAX", "$ is not JSON"),
        (b"[]", "ODRL_SYNTAX", "$ must be an object"),
        (b"", "ODRL_SYNTAX", "$ is not JSON"),
        (b'"' + b'\\"' * 500_000, "ODRL_SYNTAX", "$ is not JSON"),
        (b"[" + b"{}," * 300_000 + b"{}]", "ODRL_TOO_LARGE", "$ has more than 50000 values"),
        (b"[" * 10_000, "ODRL_TOO_LARGE", "$ is nested deeper than 64"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "ODRL_TOO_LARGE", "$ is nested deeper"),
        (b'"' + b"[" * (1 << 20) + b'"', "ODRL_TOO_LARGE", "$ has 1048578 bytes"),
        (b"[" + b"1," * 60_000 + b"1]", "ODRL_TOO_LARGE", "$ has more than 50000 values"),
        (json.dumps({"a": "x" * 5000}).encode(), "ODRL_TOO_LARGE", "$.a has more than"),
    ],
    ids=range(18),
)
def test_json_that_no_two_readers_would_agree_on_is_refused(content, code, message):
    error = refused(content)
    assert (error.code, error.message[: len(message)]) == (code, message)


def test_a_value_that_was_parsed_elsewhere_is_bounded_all_the_same():
    deep = "urn:x"
    for _ in range(5000):
        deep = [deep]
    cyclic = {}
    cyclic["a"] = cyclic
    for value in (deep, cyclic, {"a": 10**5000}, {"a": float("nan")}, {1: 2}, {"a": object()}, 7):
        with pytest.raises(PolicyError):
            read_embedded(value)


def test_an_error_repeats_little_of_what_was_received_and_no_strange_keys():
    secret = "S" * 3000
    for document in (
        constrained("urn:" + secret, "eq", "x"), constrained("count", "eq", secret),
        offer(**{secret: 1}), {**offer(), "@context": [secret]}, offer(action="urn:" + secret),
        {**offer(), "@id": secret + " "}, offer(**{"<script>": 1}),
    ):  # fmt: skip
        error = refused(document)
        assert error.message.count("S") <= 80
        assert "$" in error.message
        assert ".<" not in error.message


def test_ten_megabytes_are_refused_without_being_parsed():
    error = refused(b"[" * 10_000_000)
    assert (error.code, error.message) == (
        "ODRL_TOO_LARGE", "$ has 10000000 bytes, more than 1048576"
    )  # fmt: skip


def test_an_inline_context_may_add_a_prefix():
    context = [DSP_CONTEXT, {"ehds": "https://w3id.org/dpv/legal/eu/ehds#"}]
    document = {
        **constrained("odrl:purpose", "isA", "ehds:HealthcareScientificResearch"),
        "@context": context,
    }
    assert right_of(document) == Iri(RESEARCH)


def test_an_action_outside_the_vocabulary_needs_a_place_in_the_hierarchy():
    action = {"@id": "urn:train", "odrl:includedIn": "use", "odrl:implies": ["odrl:derive"]}
    policy = parse(offer(action=action))
    assert policy.permissions[0].scope.actions == (
        Action("urn:train", (), terms.USE, (ODRL + "derive",)),
    )
    assert refused(offer(action={"@id": "odrl:read", "odrl:includedIn": "use"})).code == (
        "ODRL_SYNTAX"
    )


def test_what_is_inherited_is_merged_from_the_policies_that_are_given():
    parent = Policy(
        "urn:parent",
        permissions=(Permission(uid="urn:r"),),
        scope=Scope(actions=(Action(terms.USE),), targets=(Asset("urn:y"),)),
    )
    child = plain(inheritFrom="urn:parent")
    assert parse(child).inherits == ("urn:parent",)
    merged = parse(child, {"urn:parent": parent})
    assert [rule.scope.targets for rule in merged.permissions] == [
        (Asset("urn:x"),), (Asset("urn:y"),),
    ]  # fmt: skip
    with pytest.raises(PolicyError, match=r"^\$\.inheritFrom names a policy|^\$\.inheritFrom\[0\]"):
        parse(child, {})


def test_policies_that_inherit_from_each_other_are_refused():
    one, other = (
        Policy("urn:a", inherits=("urn:b",)), Policy("urn:b", inherits=("urn:a",))
    )  # fmt: skip
    with pytest.raises(PolicyError) as caught:
        inherit.resolve(one, {"urn:a": one, "urn:b": other})
    assert caught.value.code == "ODRL_CYCLE"


def test_a_long_line_of_ancestors_is_refused():
    line = {f"urn:{n}": Policy(f"urn:{n}", inherits=(f"urn:{n + 1}",)) for n in range(100)}
    with pytest.raises(PolicyError) as caught:
        inherit.resolve(line["urn:0"], line)
    assert caught.value.code == "ODRL_TOO_LARGE"


def test_reading_inside_a_message_uses_the_messages_context():
    value = plain()
    del value["@context"]
    assert read_embedded(value, context=PLAIN).uid == "urn:p"
    with pytest.raises(PolicyError):
        read_embedded(value)
