"""The base of everything that is stored, hashed or signed: frozen, strict, with one spelling."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from policies import canonical
from policies.errors import PolicyError


class Document(BaseModel):
    """An immutable record whose canonical bytes identify it.

    Unknown fields are refused, not ignored: a field that this version does not understand could
    be the one that restricts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def encode(self) -> bytes:
        """Canonical JSON (see `policies.canonical`)."""
        return canonical.encode(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the canonical bytes."""
        return canonical.digest(self.encode())

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Parse exactly what `encode` produces.

        Raises `PolicyError` (DOCUMENT_INVALID) that names the first field that is wrong, never its
        value (it may come from a peer, and could be anything).
        """
        canonical.decode(content)
        try:
            document = cls.model_validate_json(content)
        except ValidationError as error:
            raise PolicyError(
                "DOCUMENT_INVALID", f"not a valid {cls.__name__}: {first_problem(error)}"
            ) from error
        if document.encode() != content:
            raise PolicyError("DOCUMENT_INVALID", f"not the canonical form of a {cls.__name__}")
        return document


def first_problem(error: ValidationError) -> str:
    """Where and what is wrong first, without the offending value."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"]) or "the whole"
    return f"{place}: {problem['msg']}"
