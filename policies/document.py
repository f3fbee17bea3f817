"""The base of everything that is stored, hashed or signed: frozen, strict, with one spelling."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from policies import canonical
from policies.errors import PolicyError


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # an offset at the edge of the calendar
        raise ValueError("is outside the calendar") from error


# One spelling of a moment: what is stored compares fast and reads alike.
Instant = Annotated[AwareDatetime, AfterValidator(_to_utc)]


class Document(BaseModel):
    """An immutable record whose canonical bytes identify it.

    Unknown fields are refused, not ignored: a field that this version does not understand could
    be the one that restricts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def encode(self) -> bytes:
        """Canonical JSON (see `policies.canonical`)."""
        return canonical.encode(self.model_dump(mode="json"))

    @cached_property
    def digest(self) -> str:
        """`sha256:<hex>` of the canonical bytes."""
        return canonical.digest(self.encode())

    def __setattr__(self, name: str, value: Any) -> None:
        """Nothing is assigned, nor what was worked out (a digest that is not of the content)."""
        if isinstance(getattr(type(self), name, None), cached_property):
            raise TypeError(f"{name} of a {type(self).__name__} follows from its content")
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, without what was worked out from the original (its digest)."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

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
    place = ".".join(map(_step, problem["loc"])) or "the whole"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _step(part: int | str) -> str:
    # A key may hold anything; an error stays one line (threat: a file that steers a terminal).
    text = str(part)
    return text if text.isprintable() and len(text) <= 80 else "*"
