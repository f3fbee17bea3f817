"""A record as JSON-LD: a Dataset of the Dataspace Protocol and of HealthDCAT-AP at once.

The only context is the protocol's, which every connector knows without loading anything; what it
has no term for stands under its full IRI. Values of one property are always a list.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.dsp import healthdcat_terms as terms
from connector.dsp.healthdcat_documents import (
    Agent,
    Contact,
    Count,
    Period,
    Record,
    Variable,
)
from connector.dsp.healthdcat_nodes import Json, concept, day, given, listed, number, text, typed
from connector.dsp.healthdcat_terms import (
    CSVW,
    CV,
    DCAT,
    DCATAP,
    DCT,
    DPV,
    DPV_PD,
    DQV,
    ELI,
    EU,
    FOAF,
    GEODCATAP,
    HDEU,
    HEALTH,
    OA,
    PROV,
    RDFS,
    SKOS,
    VCARD,
)
from policies.odrl.context import DSP_CONTEXT
from policies.purposes import ALLOWED


@dataclass(frozen=True)
class Service:
    """The connector's own data service: its `id`, and the root of its protocol endpoints."""

    id: str
    url: str


def dataset(record: Record, service: Service, formats: Sequence[str]) -> Json:
    """The Dataset without its offers (`hasPolicy`), which depend on who asks."""
    declared = record.declared
    node: Json = {"@id": declared.id, "@type": "Dataset"}
    node |= _texts(record) | _constants() | _parties(record) | _law(record)
    node |= _contents(record) | _coverage(record)
    node["distribution"] = [_distribution(record, service, name) for name in formats]
    return {key: value for key, value in node.items() if value not in ([], None)}


def plain_dataset(identifier: str, service: Service, formats: Sequence[str]) -> Json:
    """A Dataset of which nothing is told but that it exists, as the conformance profile's are."""
    found = [_access(service, name) for name in formats]
    return {"@id": identifier, "@type": "Dataset", "distribution": found}


def document(node: Json, offers: Iterable[Mapping[str, Any]]) -> Json:
    """A Dataset as it is answered: with the context, and the offers, which have no target here."""
    without_target = [
        {key: value for key, value in offer.items() if key != "target"} for offer in offers
    ]
    return {"@context": [DSP_CONTEXT]} | node | {"hasPolicy": without_target}


def _texts(record: Record) -> Json:
    declared, language = record.declared, record.declared.language
    origin = [text(said, language) for said in given(declared.provenance)]
    return {
        f"{DCT}identifier": [declared.id],
        f"{DCT}title": [text(declared.title, language)],
        f"{DCT}description": [text(declared.description, language)] if declared.description else [],
        f"{DCAT}keyword": [text(word, language) for word in declared.keywords],
        f"{DCT}provenance": [
            {"@type": f"{DCT}ProvenanceStatement", f"{RDFS}label": [label]}
            for label in [*origin, *_counting(record)]
        ],
        f"{DCT}modified": [day(record.modified)] if record.modified else [],
    }


def _counting(record: Record) -> list[Json]:
    """How the published counts were made, so that nobody takes them for exact."""
    counts: dict[str, Count | None] = {"Records": record.records, "Persons": record.persons}
    ways = {"banded": "rounded down to a multiple of", "noisy": "with noise, rounded to"}
    return [
        text(f"{what} are counted {ways[count.how]} {count.step}.", "en")
        for what, count in counts.items()
        if count
    ]


def _constants() -> Json:
    """The same for every dataset behind a permit."""
    rights = concept(terms.NON_PUBLIC, "Non-public")
    rights["@type"] = [f"{SKOS}Concept", f"{DCT}RightsStatement"]
    return {
        f"{DCT}accessRights": [rights],
        f"{DCATAP}applicableLegislation": [_legislation()],
        f"{DCAT}theme": [concept(terms.HEALTH_THEME, "Health")],
        f"{DCT}type": [concept(terms.PERSONAL_DATA, "Personal data")],
    }


def _legislation() -> Json:
    return {"@id": terms.EHDS, "@type": f"{ELI}LegalResource"}


def _parties(record: Record) -> Json:
    declared = record.declared
    return {
        f"{HEALTH}hdab": _agents(declared.hdab),
        f"{DCT}publisher": _agents(declared.publisher),
        f"{GEODCATAP}custodian": _agents(declared.custodian),
        f"{DCAT}contactPoint": [_vcard(declared.contact)] if declared.contact else [],
    }


def _agents(agent: Agent | None) -> list[Json]:
    """Release 8 asks for the Core Public Service contact point, Release 5 for a vCard: both."""
    if agent is None:
        return []
    node: Json = {"@id": agent.id} if agent.id else {}
    node |= {"@type": f"{FOAF}Agent", f"{FOAF}name": [agent.name]}
    node[f"{CV}contactPoint"] = [_contact_point(agent.contact)]
    node[f"{DCAT}contactPoint"] = [_vcard(agent.contact)]
    if agent.type:
        node[f"{DCT}type"] = [concept(f"{HDEU}publisher-type/{agent.type}", agent.type)]
    return [node]


def _contact_point(contact: Contact) -> Json:
    node: Json = {"@type": f"{CV}ContactPoint"}
    if contact.email:
        node[f"{CV}email"] = [contact.email]
    if contact.page:
        node[f"{CV}contactPage"] = [{"@id": contact.page}]
    return node


def _vcard(contact: Contact) -> Json:
    node: Json = {"@type": f"{VCARD}Kind", f"{VCARD}fn": [contact.name]}
    if contact.email:
        node[f"{VCARD}hasEmail"] = [{"@id": f"mailto:{contact.email}"}]
    if contact.page:
        node[f"{VCARD}hasURL"] = [{"@id": contact.page}]
    return node


def _law(record: Record) -> Json:
    declared = record.declared
    basis = {"@type": f"{DPV}LegalBasis"}
    said = [text(declared.legal_basis, declared.language)] if declared.legal_basis else []
    return {
        f"{DPV}hasLegalBasis": [basis | {f"{DCT}description": said}] if said else [],
        f"{DPV}hasPurpose": [
            {"@id": ALLOWED[name].iri, "@type": f"{DPV}Purpose"} for name in declared.purposes
        ],
        f"{DPV}hasPersonalData": [
            {"@id": DPV_PD + code, "@type": f"{DPV}PersonalData"} for code in record.personal_data
        ],
        f"{HEALTH}retentionPeriod": _periods(declared.retention),
    }


def _contents(record: Record) -> Json:
    declared = record.declared
    categories = [
        concept(terms.category_iri(point), terms.category_label(point))
        for point in declared.categories
    ]
    return {
        f"{HEALTH}healthCategory": categories,
        f"{HEALTH}healthTheme": listed(f"{HDEU}health-theme", declared.themes),
        f"{HEALTH}hasStructuredData": [typed(str(record.structured).lower(), "boolean")],
        f"{HEALTH}hasVariables": [_table_group(record)] if record.variables else [],
        f"{HEALTH}hasCodingSystem": listed(
            f"{HDEU}coding-system", record.coding_systems, f"{DCT}Standard"
        ),
        f"{DCT}conformsTo": listed(f"{HDEU}standard", declared.conforms_to, f"{DCT}Standard"),
        f"{HEALTH}numberOfRecords": _counts(record.records),
        f"{HEALTH}numberOfUniqueIndividuals": _counts(record.persons),
        f"{DQV}hasQualityAnnotation": _annotations(record),
        f"{PROV}wasGeneratedBy": [
            {"@type": f"{PROV}Activity", f"{DCT}type": [concept]}
            for concept in listed(f"{HDEU}health-activity", given(declared.generated_by))
        ],
    }


def _table_group(record: Record) -> Json:
    """The variables as CSV on the Web; the profile repeats csvw:column, it has no list."""
    declared = record.declared
    title = text(f"Variables of {declared.title}"[:300], declared.language)
    table = {
        "@type": f"{CSVW}Table",
        f"{DCT}title": [text(declared.title, declared.language)],
        f"{CSVW}column": [_column(record, variable) for variable in record.variables],
    }
    return {"@type": f"{CSVW}TableGroup", f"{DCT}title": [title], f"{CSVW}table": [table]}


def _column(record: Record, variable: Variable) -> Json:
    """Release 8 asks for csvw:title, Release 5 for csvw:titles: both."""
    title = text(variable.title, record.declared.language)
    node = {
        "@type": f"{CSVW}Column",
        f"{CSVW}name": [variable.name],
        f"{CSVW}title": [title],
        f"{CSVW}titles": [title],
        f"{CSVW}datatype": [variable.datatype],
        f"{DCT}description": [text(variable.description, record.declared.language)],
    }
    if variable.coding_system:
        coded = listed(f"{HDEU}coding-system", (variable.coding_system,), f"{DCT}Standard")
        node[f"{DCT}conformsTo"] = coded
    return node


def _annotations(record: Record) -> list[Json]:
    """The dataset's label, which says itself how each of its values was found."""
    if record.label is None:
        return []
    label = {
        "@type": f"{DQV}QualityCertificate",
        f"{DCT}identifier": [record.label.content],
        f"{DCT}issued": [day(record.label.issued)],
        f"{OA}motivatedBy": [{"@id": f"{DQV}qualityAssessment"}],
        f"{OA}hasBody": [{"@id": record.label.url}],
    }
    return [label]


def _coverage(record: Record) -> Json:
    declared, ages = record.declared, record.ages
    people = [text(declared.population, declared.language)] if declared.population else []
    return {
        f"{HEALTH}populationCoverage": people,
        f"{HEALTH}minTypicalAge": [number(ages.youngest)] if ages else [],
        f"{HEALTH}maxTypicalAge": [number(ages.oldest)] if ages else [],
        f"{DCT}temporal": _periods(record.temporal),
        f"{DCT}spatial": listed(f"{EU}country", declared.countries, f"{DCT}Location"),
        f"{DCT}language": listed(
            f"{EU}language",
            tuple(terms.LANGUAGES[code] for code in declared.languages),
            f"{DCT}LinguisticSystem",
        ),
        f"{DCT}accrualPeriodicity": listed(
            f"{EU}frequency", given(declared.frequency), f"{DCT}Frequency"
        ),
    }


def _distribution(record: Record, service: Service, name: str) -> Json:
    """How it is had: through this connector, after the body has given a permit."""
    declared = record.declared
    node = _access(service, name) | {f"{DCATAP}applicableLegislation": [_legislation()]}
    node[f"{DCT}title"] = [text(f"{declared.title} ({name})"[:300], declared.language)]
    if declared.access_url:
        node[f"{DCAT}accessURL"] = [{"@id": declared.access_url}]
    return node


def _access(service: Service, name: str) -> Json:
    served = {"@id": service.id, "@type": "DataService", "endpointURL": service.url}
    return {"@type": "Distribution", "format": name, "accessService": served}


def _periods(period: Period | None) -> list[Json]:
    if period is None:
        return []
    node: Json = {"@type": f"{DCT}PeriodOfTime"}
    if period.start:
        node[f"{DCAT}startDate"] = [day(period.start)]
    if period.end:
        node[f"{DCAT}endDate"] = [day(period.end)]
    return [node]


def _counts(count: Count | None) -> list[Json]:
    return [number(count.value)] if count else []
