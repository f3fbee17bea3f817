"""dsp-tck, MET and CAT: the version document and the catalogue; and that schemas do judge."""
# ruff: noqa: N802 - a sequence's id is spelled as in the original kit

import httpx
import kit_wire
import pytest
from kit import Kit

ACTIVE = 65


def test_MET_01_01_the_version_document_names_2025_1_without_authentication(kit: Kit) -> None:
    # Without our token, and outside of any version's path.
    answer = httpx.get(f"{kit.target.root}/.well-known/dspace-version", trust_env=False)
    assert answer.status_code == 200
    document = answer.json()
    assert not kit_wire.version_problems(document)
    (version,) = [one for one in document["protocolVersions"] if one["version"] == "2025-1"]
    assert version["binding"] == "HTTPS"
    assert kit.target.root + version["path"] == kit.target.dsp


def test_CAT_01_01_the_catalogue_holds_the_dataset(kit: Kit) -> None:
    asked = kit_wire.message("CatalogRequestMessage", filter=[])
    catalog = kit.post(f"{kit.target.dsp}/catalog/request", asked).json()
    assert not kit_wire.problems(catalog)
    assert catalog["@type"] == "Catalog"
    assert "CAT0101" in [dataset["@id"] for dataset in catalog["dataset"]]


def test_CAT_01_02_a_dataset_is_found_by_its_id(kit: Kit) -> None:
    dataset = kit.get(f"{kit.target.dsp}/catalog/datasets/CAT0102")
    assert (dataset["@type"], dataset["@id"]) == ("Dataset", "CAT0102")


def test_CAT_01_03_an_unknown_dataset_is_a_catalog_error(kit: Kit) -> None:
    answer = kit.client.get(f"{kit.target.dsp}/catalog/datasets/{kit_wire.new_pid()}")
    assert 400 <= answer.status_code < 500
    assert answer.json()["@type"] == "CatalogError"
    assert not kit_wire.problems(answer.json())


def test_a_filter_that_the_catalogue_does_not_know_is_refused_and_not_ignored(kit: Kit) -> None:
    asked = kit_wire.message("CatalogRequestMessage", filter=[{"theme": "HEAL"}])
    answer = kit.client.post(f"{kit.target.dsp}/catalog/request", json=asked)
    assert answer.status_code == 400
    assert answer.json()["@type"] == "CatalogError"


def test_every_active_sequence_of_the_original_has_its_test(request: pytest.FixtureRequest) -> None:
    text = "".join(file.read_text() for file in request.path.parent.glob("test_conformance_*.py"))
    names = [line.split("(")[0] for line in text.splitlines() if line.startswith("def test_")]
    ported = [name for name in names if name[9:].startswith(("MET_", "CAT_", "CN_", "TP_"))]
    assert len(set(ported)) == ACTIVE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CAT_01_01_DATASETID", "CAT0101"),
        ("CN_01_02_DATASETID", "ACN0102"),
        ("CN_01_02_OFFERID", "CD123:ACN0102:456"),
        ("CN_C_03_06_DATASETID", "ACNC0306"),
        ("CN_C_03_06_OFFERID", "offerACNC0306"),
        ("TP_03_06_AGREEMENTID", "ATP0306"),
        ("TP_C_02_03_AGREEMENTID", "ATPC0203"),
        ("TP_C_02_03_FORMAT", "HttpData-PULL"),
    ],
)
def test_the_printed_properties_lead_the_original_kit_to_the_seeds(
    kit: Kit, name: str, value: str
) -> None:
    assert kit.target.properties[name] == value


@pytest.mark.parametrize("token", ["", "another"])
def test_without_the_static_token_nothing_is_offered(kit: Kit, token: str) -> None:
    headers = {"Authorization": token} if token else {}
    asked = kit_wire.message("CatalogRequestMessage")
    url = f"{kit.target.dsp}/catalog/request"
    answer = httpx.post(url, json=asked, headers=headers, trust_env=False)
    assert 400 <= answer.status_code < 500
    assert answer.json()["@type"] == "CatalogError"


@pytest.mark.skipif(not kit_wire.SPECS.is_dir(), reason="needs ../shared/specs/dsp-2025-1")
def test_messages_are_judged_by_the_official_schemas() -> None:
    good = kit_wire.message("TransferSuspensionMessage", providerPid="a", consumerPid="b")
    assert not kit_wire.problems(good)
    assert kit_wire.problems(good | {"@context": "https://w3id.org/dspace/2025/1/context.jsonld"})
    assert kit_wire.problems(good | {"reason": []})
    assert kit_wire.problems({"@type": "Invented"})
