"""Builds OpenAPI 3.1 descriptions: one operation a call, schemas from the messages themselves."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"
JSON = "application/json"


def document(title: str, version: str, about: str, paths: Json, components: Json) -> Json:
    """A whole description."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    }


def schemas(*models: type[BaseModel]) -> Json:
    """The schemas of messages as they are received, and of all that they hold."""
    wanted: Any = [(model, "validation") for model in models]
    _, found = models_json_schema(wanted, by_alias=True, ref_template=_REF)
    return dict(found["$defs"])


def ref(name: str) -> Json:
    """A schema of the components."""
    return {"$ref": _REF.format(model=name)}


def operation(
    summary: str,
    answers: Mapping[int, Json],
    *,
    body: Json | None = None,
    parameters: list[Json] | None = None,
    security: list[Json] | None = None,
) -> Json:
    """What one method of one path does. `answers`: status to content; empty: no body is told."""
    said: Json = {"summary": summary, "responses": {}}
    for status, content in sorted(answers.items()):
        answer: Json = {"description": HTTPStatus(status).phrase}
        if content:
            answer["content"] = content
        said["responses"][str(status)] = answer
    if body is not None:
        said["requestBody"] = {"required": True, "content": body}
    if parameters:
        said["parameters"] = parameters
    said["security"] = security or []
    return said


def content(schema: Json, *kinds: str) -> Json:
    """The same schema in each media type; JSON where none is named."""
    return {kind: {"schema": schema} for kind in kinds or (JSON,)}


def parameter(name: str, place: str, about: str, **schema: Any) -> Json:
    """A parameter; those of a path are required."""
    return {
        "name": name, "in": place, "description": about, "required": place == "path",
        "schema": {"type": "string"} | schema,
    }  # fmt: skip
