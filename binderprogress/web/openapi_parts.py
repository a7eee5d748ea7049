"""Parts of the OpenAPI document that several modules use."""

from __future__ import annotations

from typing import Any

__all__ = ["BUILD_ID", "LAUNCH_ID", "json_response", "operation", "reference"]

LAUNCH_ID = {
    "name": "launch_id",
    "in": "path",
    "required": True,
    "description": "Id of the launch. Whoever has it may watch and cancel the launch.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
BUILD_ID = {
    "name": "build_id",
    "in": "path",
    "required": True,
    "description": "Id of the build, from its first event. Whoever has it may read the log.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}


def operation(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    """Return an operation, with the responses to errors."""
    error = json_response("An error message for people.", "Error")
    return {
        "operationId": name,
        "summary": summary,
        "responses": {**responses, "4XX": error, "5XX": error},
    }


def json_response(description: str, *schemas: str) -> dict[str, Any]:
    """Return a response that has all fields of some schemas."""
    refs = [reference(schema) for schema in schemas]
    schema = refs[0] if len(refs) == 1 else {"allOf": refs}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def reference(schema: str) -> dict[str, str]:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{schema}"}
