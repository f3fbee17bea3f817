"""Permits as a person writes them (`permit.toml`), turned into what is signed."""

import tomllib
from decimal import Decimal, InvalidOperation

from pydantic import ValidationError

from connector.errors import LocalError
from policies import purposes
from policies.document import first_problem
from policies.permit import Permit


def parse(content: bytes, place: str, issuer: str) -> Permit:
    """A permit from TOML; `purpose` is a short name of `policies.purposes`.

    Raises `LocalError` (PERMIT_SYNTAX, PERMIT_INVALID), `PolicyError` (PURPOSE_UNKNOWN).
    """
    try:
        table = tomllib.loads(content.decode(), parse_float=Decimal)
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
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise LocalError(
            "PERMIT_SYNTAX",
            f"{place} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error
