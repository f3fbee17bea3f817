"""Small policies, written as JSON-LD."""

import json
from typing import Any

from policies.odrl import terms
from policies.odrl.model import Policy
from policies.odrl.read import read


def operand(left: str, operator: str, right: Any, **other: Any) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right, **other}


def permission(*constraints: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"action": "use", "constraint": list(constraints), **other}


def odrl(
    permissions: list[dict[str, Any]],
    prohibitions: list[dict[str, Any]] | None = None,
    *,
    uid: str = "urn:policy",
    **other: Any,
) -> Policy:
    document = {
        "@context": ["http://www.w3.org/ns/odrl.jsonld", {"commensal": terms.COMMENSAL}],
        "@id": uid,
        "@type": "Set",
        "permission": permissions,
        **({"prohibition": prohibitions} if prohibitions else {}),
        **other,
    }
    return read(json.dumps(document).encode())
