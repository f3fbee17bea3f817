"""A dataset as a hospital describes it, and as its node measures it."""

import datetime as dt
from decimal import Decimal

from connector.dsp.healthdcat import banded
from connector.dsp.healthdcat_documents import (
    Agent,
    Ages,
    Contact,
    DatasetDescription,
    LabelLink,
    Measured,
    Period,
)
from connector.dsp.healthdcat_jsonld import Service
from connector.dsp.healthdcat_nodes import Json
from connector.schema import Column, Schema

AGENT = Agent(
    name="Health Data Access Body",
    contact=Contact(
        name="Applications", email="apply@hdab.example", page="https://hdab.example/apply"
    ),
    type="public-health-institute",
    id="https://hdab.example",
)
DECLARED = DatasetDescription(
    id="hospital-north/flchain",
    title="Freie Leichtketten",
    language="de",
    description="Serum free light chains of residents, with survival.",
    keywords=("free light chain", "survival"),
    categories=("a", "l"),
    themes=("NONCOMMUNICABLE_DISEASES",),
    hdab=AGENT,
    publisher=Agent(
        name="Hospital North", contact=Contact(name="desk", email="data@north.example")
    ),
    custodian=Agent(name="Archive", contact=Contact(name="desk", page="https://north.example/d")),
    contact=Contact(name="Data office", email="data@north.example"),
    access_url="https://hdab.example/apply",
    provenance="Taken from the laboratory's system; names removed.",
    legal_basis="National hospital act, section 7.",
    purposes=("scientific-research", "train-algorithms"),
    personal_data=("Gender",),
    population="Residents of the county aged 50 and more.",
    languages=("de", "en"),
    countries=("DEU",),
    retention=Period(start=dt.date(2020, 1, 1), end=dt.date(2050, 1, 1)),
    frequency="ANNUAL",
    generated_by="HOSPITAL_RECORDS",
    conforms_to=("OMOP-CDM",),
    coding_systems=("LOINC",),
    codings={"grade": "ICD-10"},
)
SCHEMA = Schema(
    columns=(
        Column(
            name="age", kind="numeric", minimum=Decimal(50), maximum=Decimal(100), unit="years",
            description="Age at sampling.",
        ),
        Column(name="female", kind="binary", nullable=True),
        Column(
            name="grade", kind="category", categories=("low", "high"), description="Tumour grade"
        ),
    )
)  # fmt: skip
MEASURED = Measured(
    columns=SCHEMA,
    records=banded(7871, 50),
    persons=banded(7871, 100),
    ages=Ages(youngest=50, oldest=95),
    temporal=Period(start=dt.date(1995, 1, 1), end=dt.date(2003, 12, 31)),
    coding_systems=("OHDSI-VOCAB",),
    label=LabelLink(
        url="https://north.example/labels/1",
        content="sha256:" + "ab" * 32,
        issued=dt.date(2026, 1, 2),
    ),
    on=dt.date(2026, 1, 3),
)
SERVICE = Service(id="urn:uuid:4aa2dcc8-4d2d-569e-d634-8394a8834d77", url="https://north.example/d")
FORMATS = ("commensal:FederatedJob", "HttpData-PULL")
OFFER: Json = {
    "@id": "urn:offer:1",
    "@type": "Offer",
    "target": "hospital-north/flchain",
    "permission": [
        {
            "action": "use",
            "constraint": [
                {
                    "leftOperand": "odrl:purpose",
                    "operator": "eq",
                    "rightOperand": {"@id": "https://w3id.org/dpv/legal/eu/ehds#ImproveHealthcare"},
                }
            ],
        }
    ],
}
