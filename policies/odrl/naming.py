"""How datasets and policies, which have short names at a hospital, are named in ODRL: by IRIs.

A name that already is an IRI (https, urn, did) stands for itself; another gets a prefix of ours.
"""

from policies.odrl.values import is_iri

_DATASET = "urn:commensal:dataset:"
_POLICY = "urn:commensal:policy:"
_SCHEMES = ("https://", "http://", "urn:", "did:")


def dataset_iri(name: str) -> str:
    """The IRI of the dataset that a hospital calls `name`."""
    return _iri(name, _DATASET)


def dataset_name(iri: str) -> str:
    """What a hospital calls the dataset with that IRI."""
    return _name(iri, _DATASET)


def policy_iri(name: str) -> str:
    """The IRI of the policy with that id."""
    return _iri(name, _POLICY)


def policy_name(iri: str) -> str:
    """The id of the policy with that IRI."""
    return _name(iri, _POLICY)


def _iri(name: str, prefix: str) -> str:
    return name if _stands_for_itself(name) else prefix + name


def _name(iri: str, prefix: str) -> str:
    name = iri.removeprefix(prefix)
    return iri if _stands_for_itself(name) else name


def _stands_for_itself(name: str) -> bool:
    return name.startswith(_SCHEMES) and is_iri(name)
