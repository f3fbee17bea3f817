"""Permits as a person writes them (`permit.toml`), turned into what is signed."""

from pydantic import ValidationError

from connector.errors import LocalError
from policies import purposes, toml
from policies.document import first_problem
from policies.permit import Permit


def parse(content: bytes, place: str, issuer: str) -> Permit:
    """A permit from TOML; `purpose` is a short name of `policies.purposes`.

    Raises `LocalError` (PERMIT_SYNTAX, PERMIT_INVALID), `PolicyError` (PURPOSE_UNKNOWN).
    """
    try:
        table = toml.load(content)
        purpose = purposes.by_name(str(table.get("purpose")))
        return Permit.model_validate(
            {"issuer": issuer, "state": "granted", **table, "purpose": purpose.iri}
        )
    except ValidationError as error:
        raise LocalError(
            "PERMIT_INVALID",
            f"{place} is not valid: {first_problem(error)}",
            "Correct that field; see docs/hdab.md",
        ) from error
    except ValueError as error:
        raise LocalError(
            "PERMIT_SYNTAX",
            f"{place} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error
