"""The vocabularies of HealthDCAT-AP Release 8 (September 2026): namespaces, lists, constants.

Release 8 moved its lists to `HDEU`; those of the Publications Office are at `EU`. Of short lists
all codes are here, so that a wrong one is refused where the hospital writes it.
"""

from policies.purposes import CATEGORIES

DCT = "http://purl.org/dc/terms/"
DCAT = "http://www.w3.org/ns/dcat#"
DCATAP = "http://data.europa.eu/r5r/"
HEALTH = "http://healthdataportal.eu/ns/health#"
CV = "http://data.europa.eu/m8g/"
GEODCATAP = "http://data.europa.eu/930/"
DPV = "https://w3id.org/dpv#"
DPV_PD = "https://w3id.org/dpv/pd#"
DQV = "http://www.w3.org/ns/dqv#"
OA = "http://www.w3.org/ns/oa#"
CSVW = "http://www.w3.org/ns/csvw#"
ELI = "http://data.europa.eu/eli/ontology#"
FOAF = "http://xmlns.com/foaf/0.1/"
PROV = "http://www.w3.org/ns/prov#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
VCARD = "http://www.w3.org/2006/vcard/ns#"
XSD = "http://www.w3.org/2001/XMLSchema#"

EU = "http://publications.europa.eu/resource/authority/"
HDEU = "https://hdeu-dcat.data.health.europa.eu/resource/authority/"

EHDS = "http://data.europa.eu/eli/reg/2025/327/oj"
NON_PUBLIC = f"{EU}access-right/NON_PUBLIC"
HEALTH_THEME = f"{EU}data-theme/HEAL"
PERSONAL_DATA = f"{EU}dataset-type/PERSONAL_DATA"

# Art. 51(1), point by point, as the list of health categories spells it. The codes follow the
# proposal's wording, not the final text's: RPDG stands for pathogens, PGEH for medical devices.
CATEGORY_CODES = {
    "a": "EHRS", "b": "DIOH", "c": "NRPE", "d": "RPDG", "e": "HRAD", "f": "HGPD", "g": "HPML",
    "h": "PGEH", "i": "WELA", "j": "IDHP", "k": "PHDR", "l": "MRMR", "m": "EHCT", "n": "EMRD",
    "o": "RMMD", "p": "RQSH", "q": "EINS",
}  # fmt: skip

HEALTH_THEMES = frozenset({
    "ANTIMICROBIAL_CONTROL", "BLOOD_INFECTIONS", "CANCER_DISEASE", "CLIMATE_HEALTH",
    "EMERGENCY_SETTINGS", "ENTERIC_INFECTIONS", "ENVIRONMENTAL_HEALTH", "HEALTH_PRODUCTS",
    "HEALTH_SYSTEMS", "IMMUNIZATION_DISEASES", "INJURY_PREVENTION", "LIFECOURSE_HEALTH",
    "MENTAL_HEALTH", "NONCOMMUNICABLE_DISEASES", "NUTRITION_SECURITY", "REPRODUCTIVE_HEALTH",
    "RESPIRATORY_DISEASES", "SENSORY_HEALTH", "TROPICAL_DISEASES", "VECTOR_DISEASES",
})  # fmt: skip

# ISO 639-1 to the Publications Office's codes: the official languages of the Union.
LANGUAGES = {
    "bg": "BUL", "cs": "CES", "da": "DAN", "de": "DEU", "el": "ELL", "en": "ENG", "es": "SPA",
    "et": "EST", "fi": "FIN", "fr": "FRA", "ga": "GLE", "hr": "HRV", "hu": "HUN", "it": "ITA",
    "lt": "LIT", "lv": "LAV", "mt": "MLT", "nl": "NLD", "pl": "POL", "pt": "POR", "ro": "RON",
    "sk": "SLK", "sl": "SLV", "sv": "SWE",
}  # fmt: skip


def category_iri(point: str) -> str:
    """The list's concept for a point of Art. 51(1)."""
    return f"{HDEU}healthcategories/{CATEGORY_CODES[point]}"


def category_label(point: str) -> str:
    """What the point is about."""
    return CATEGORIES[point].label
