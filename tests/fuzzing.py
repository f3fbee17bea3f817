"""Schemathesis on a description and its application: seeded, bounded, and told some real ids."""

import copy
from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.schemas import BaseSchema
from starlette.types import ASGIApp

EXAMPLES = 12
schemathesis.serializer.alias("application/protobuf", "application/octet-stream")
_CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip
_SETTINGS = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
    phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
)  # fmt: skip


def load(description: dict[str, Any]) -> BaseSchema:
    schema = schemathesis.openapi.from_dict(copy.deepcopy(description))
    schema.validate()
    return schema


def operations(description: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Path, method, and whether what is asked is as described; where nothing is, it cannot be."""
    return [
        (path, method, mode)
        for path, methods in sorted(description["paths"].items())
        for method, operation in sorted(methods.items())
        for mode in ("positive", "negative")
        if mode == "positive" or operation.keys() & {"parameters", "requestBody"}
    ]


def run(
    description: dict[str, Any], app: ASGIApp, operation: tuple[str, str, str],
    check: Callable[[int], None], *, headers: dict[str, str], known: dict[str, Any] | None = None,
) -> set[int]:  # fmt: skip
    """Ask the application; the statuses that came.

    Half of the cases get the values of `known` wherever they have a parameter or a field of that
    name. `check` is called with each status.
    """
    path, method, mode = operation
    schema = load(description)  # one that was used before still asks the application of then
    schema.app = app
    strategy = schema[path][method].as_strategy(generation_mode=GenerationMode(mode))
    statuses: set[int] = set()

    @_SETTINGS
    @given(case=strategy, informed=st.booleans())
    def ask(case: Case, informed: bool) -> None:
        if informed:
            _inform(case, known or {})
        answer = case.call(headers=headers, allow_redirects=False)
        case.validate_response(answer, checks=_CHECKS)
        statuses.add(answer.status_code)
        check(answer.status_code)

    ask()
    return statuses


def _inform(case: Case, known: dict[str, Any]) -> None:
    places: list[Any] = [case.path_parameters, case.body]
    for place in places:
        if isinstance(place, dict):
            place |= {name: value for name, value in known.items() if name in place}
