"""The OpenAPI schema of routes that read their bodies themselves: FastAPI would check a large body twice."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

_BODIES: list[type[BaseModel]] = []
_ERROR = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("error", "detail", "request_id")},
    "required": ["error", "detail", "request_id"],
}


def documented(body: type[BaseModel]) -> dict[str, Any]:
    """Arguments of a route whose body is `body` and whose answer is JSON."""
    if body not in _BODIES:
        _BODIES.append(body)
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}
    return {
        "response_class": Response,
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "responses": {"4XX": {"description": "Refused.", "content": {"application/json": {"schema": _ERROR}}}},
    }


def with_schemas(app: FastAPI) -> None:
    """Let the application's schema hold the documented bodies, and the token for the forms of /docs."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
            parts = schema.setdefault("components", {})
            _, bodies = models_json_schema(
                [(body, "validation") for body in _BODIES], ref_template="#/components/schemas/{model}"
            )
            parts.setdefault("schemas", {}).update(bodies["$defs"])
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
