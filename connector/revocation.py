"""The access body's signed word that a permit no longer entitles (Art. 63(3)).

It stands by itself: whoever has the body's key can verify it, from a message or from a log, years
later. It names the permit by id and counts for every version of it: an amended permit has an id of
its own, so nothing but what was meant is stopped, and no second wording of the same permit escapes.
There is no way back. A permit that was suspended is followed by one with a new id (threat: a signed
"it counts again" that somebody keeps, and plays once more).
"""

from typing import Literal

from connector.identity import documents
from connector.identity.keys import VerifyKey
from policies.document import Document, Instant
from policies.permit import Name

Effect = Literal["revoked", "suspended"]
# Why, as fixed codes: a log says nothing about persons.
Reason = Literal[
    "non-compliance",  # the data user does not keep to the permit or the law (Art. 63(3))
    "hearing",  # an objection was raised, the data user is heard first (Art. 63(2))
    "risk",  # a risk of Art. 68(2) has come to light
    "court",  # a court or another authority decided so
    "user-request",  # the data user gave it back
    "issued-in-error",
]
MAX_BYTES = 4_000
# What is said of a job that ends by it.
CODES: dict[Effect, str] = {"revoked": "PERMIT_REVOKED", "suspended": "PERMIT_SUSPENDED"}


class Revocation(Document):
    """Which permit is revoked or suspended, since when, and why. `permit_digest`: as issued."""

    permit_id: Name
    permit_digest: Name
    effect: Effect
    reason: Reason
    revoked_at: Instant


def adds(effect: Effect, known: Effect | None) -> bool:
    """Whether a word says more than the last one: the first, or a revocation at last."""
    return known is None or (known == "suspended" and effect == "revoked")


def verify(document: str, key: VerifyKey) -> Revocation:
    """Parse a statement that `key` must have signed.

    Raises `RemoteError`: SIGNATURE_MALFORMED, SIGNATURE_INVALID.
    """
    return documents.verify(document, Revocation, key, MAX_BYTES)
