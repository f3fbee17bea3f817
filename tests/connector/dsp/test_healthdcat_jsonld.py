"""A record's JSON-LD is a Dataset of the protocol and of HealthDCAT-AP, and says what it means."""

import json
import sys
from pathlib import Path
from typing import Any

import kit_wire
import pytest
from described import DECLARED, FORMATS, MEASURED, OFFER, SERVICE

from connector.dsp import healthdcat_shacl
from connector.dsp.healthdcat import describe
from connector.dsp.healthdcat_documents import DatasetDescription, Measured
from connector.dsp.healthdcat_jsonld import dataset, document, plain_dataset
from connector.dsp.healthdcat_nodes import Json
from connector.errors import LocalError

SHARED = Path(__file__).parents[4] / "shared" / "specs"
RELEASE_5 = SHARED / "healthdcat-ap-r5" / "non-public-shapes.ttl"
CONTEXTS = {
    "https://w3id.org/dspace/2025/1/context.jsonld": "dspace.jsonld",
    "https://w3id.org/dspace/2025/1/odrl-profile.jsonld": "odrl.jsonld",
}
NODE = dataset(describe(DECLARED, MEASURED), SERVICE, FORMATS)
HEALTH = "http://healthdataportal.eu/ns/health#"
pytest.importorskip("pyshacl", reason="needs the extra commensal[rdf]")
# rdflib uses what it deprecates itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")


def without(key: str) -> Json:
    assert key in NODE
    return {name: value for name, value in NODE.items() if name != key}


def violations(node: Json, shapes: str | None = None) -> list[str]:
    report = healthdcat_shacl.validate(node, shapes)
    assert report.conforms == (not any(one.severity == "Violation" for one in report.findings))
    return [one.message for one in report.findings if one.severity == "Violation"]


def test_a_full_record_conforms_to_our_shapes_without_a_warning() -> None:
    assert healthdcat_shacl.validate(NODE).findings == ()


@pytest.mark.skipif(not RELEASE_5.is_file(), reason="needs ../shared/specs/healthdcat-ap-r5")
def test_a_full_record_conforms_to_the_official_shapes_of_release_5() -> None:
    assert violations(NODE, RELEASE_5.read_text()) == []


@pytest.mark.skipif(not RELEASE_5.is_file(), reason="needs ../shared/specs/healthdcat-ap-r5")
def test_the_official_shapes_do_judge() -> None:
    assert violations(without("http://www.w3.org/ns/dcat#keyword"), RELEASE_5.read_text())


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("http://purl.org/dc/terms/title", "a dataset needs a title"),
        ("http://purl.org/dc/terms/description", "a dataset needs a description"),
        ("http://purl.org/dc/terms/identifier", "a dataset needs an identifier"),
        ("http://purl.org/dc/terms/accessRights", "access rights must be NON_PUBLIC"),
        ("http://purl.org/dc/terms/provenance", "a dataset needs a provenance"),
        ("http://www.w3.org/ns/dcat#keyword", "a dataset needs a keyword"),
        ("http://www.w3.org/ns/dcat#contactPoint", "a dataset needs a contact point"),
        ("http://www.w3.org/ns/dcat#theme", "the data themes must have HEAL"),
        (f"{HEALTH}hdab", "a dataset needs one health data access body, with its contact"),
        (f"{HEALTH}healthCategory", "a dataset needs a health category, of the list of Art. 51(1)"),
        (
            f"{HEALTH}hasVariables",
            "a dataset with structured data needs a description of its variables",
        ),
        ("distribution", "a dataset needs a distribution that leads to the access body"),
    ],
)
def test_a_record_without_a_mandatory_element_is_not_published(key: str, message: str) -> None:
    assert violations(without(key)) == [message]


def test_what_missing_says_and_what_the_shapes_say_is_the_same() -> None:
    bare = DatasetDescription(id="hospital-north/flchain", title="Free light chains")
    found = violations(dataset(describe(bare, Measured()), SERVICE, FORMATS))
    assert "a dataset needs a description" in found
    assert "a distribution needs an access URL" in found
    assert not healthdcat_shacl.validate(dataset(describe(bare, Measured()), SERVICE, ())).conforms


def test_an_agent_without_a_contact_point_is_found() -> None:
    node = json.loads(json.dumps(NODE))
    del node[f"{HEALTH}hdab"][0]["http://data.europa.eu/m8g/contactPoint"]
    assert violations(node) == ["a dataset needs one health data access body, with its contact"]


def test_a_column_without_a_description_is_found() -> None:
    node = json.loads(json.dumps(NODE))
    table = node[f"{HEALTH}hasVariables"][0]["http://www.w3.org/ns/csvw#table"][0]
    del table["http://www.w3.org/ns/csvw#column"][1]["http://purl.org/dc/terms/description"]
    assert violations(node) == ["a column needs a description"]


def test_recommended_elements_warn_and_do_not_refuse() -> None:
    report = healthdcat_shacl.validate(without(f"{HEALTH}numberOfRecords"))
    assert report.conforms
    assert [one.message for one in report.findings] == ["the number of records is recommended"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/specs/dsp-2025-1")
def test_it_is_a_valid_dataset_of_the_protocol_and_its_offers_have_no_target() -> None:
    spelled = document(NODE, [OFFER])
    assert kit_wire.problems(spelled) == []
    assert "target" not in spelled["hasPolicy"][0]
    assert kit_wire.problems(document(plain_dataset("CAT0101", SERVICE, FORMATS), [OFFER])) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/specs/dsp-2025-1")
def test_an_independent_processor_reads_the_same_from_the_official_contexts() -> None:
    pyld = pytest.importorskip("pyld", reason="an independent JSON-LD processor, in [dev]").jsonld
    rdflib = pytest.importorskip("rdflib")
    compare = pytest.importorskip("rdflib.compare")

    def load(url: str, _options: object) -> dict[str, Any]:
        content = json.loads((SHARED / "dsp-2025-1" / "context" / CONTEXTS[url]).read_text())
        return {"contextUrl": None, "documentUrl": url, "document": content}

    node = dataset(describe(DECLARED, MEASURED), SERVICE, FORMATS[:1])
    spelled = document(node, [OFFER]) | {"@id": "urn:dataset:1"}  # relative ids have no base
    options = {"format": "application/n-quads", "documentLoader": load}
    theirs = rdflib.Graph().parse(data=pyld.to_rdf(spelled, options), format="nquads")
    ours = healthdcat_shacl.graph(spelled)
    assert compare.isomorphic(compare.to_canonical_graph(theirs), compare.to_canonical_graph(ours))


def test_counts_say_how_they_were_made_and_ages_and_dates_are_typed() -> None:
    text = json.dumps(NODE)
    assert "7871" not in text
    assert "Records are counted rounded down to a multiple of 50." in text
    assert NODE[f"{HEALTH}numberOfUniqueIndividuals"] == [
        {"@value": "7800", "@type": "http://www.w3.org/2001/XMLSchema#nonNegativeInteger"}
    ]


def test_the_label_is_linked_with_its_digest() -> None:
    (annotation,) = NODE["http://www.w3.org/ns/dqv#hasQualityAnnotation"]
    assert annotation["http://www.w3.org/ns/oa#hasBody"] == [
        {"@id": "https://north.example/labels/1"}
    ]
    assert annotation["http://purl.org/dc/terms/identifier"] == ["sha256:" + "ab" * 32]


def test_another_context_is_never_fetched() -> None:
    with pytest.raises(LocalError) as caught:
        healthdcat_shacl.graph(NODE | {"@context": ["https://evil.example/context.jsonld"]})
    assert caught.value.code == "RECORD_UNREADABLE"


def test_a_missing_extra_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyshacl", None)
    with pytest.raises(LocalError) as caught:
        healthdcat_shacl.validate(NODE)
    assert caught.value.code == "EXTRA_MISSING"
    assert "commensal[rdf]" in caught.value.remedy
