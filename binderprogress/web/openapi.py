"""The OpenAPI document, made from the types that the handlers use."""

from __future__ import annotations

from typing import Any

import msgspec

from .._version import __version__
from ..core.events import Event
from ..core.trace import Trace
from ..launches import LaunchState
from .api import Links, StartRequest
from .base import ApiHandler
from .stats import PopularAnswer, StatsAnswer

__all__ = ["OpenApiHandler", "document"]


class ErrorDetail(msgspec.Struct):
    """What went wrong, in a sentence for people."""

    message: str
    status: int


class Error(msgspec.Struct):
    """The body of every answer that is an error."""

    error: ErrorDetail


_LAUNCH_ID = {
    "name": "launch_id",
    "in": "path",
    "required": True,
    "description": "Unguessable; the key to the launch.",
    "schema": {"type": "string"},
}
_AFTER = {
    "name": "after",
    "in": "query",
    "description": "The number of the last event that the viewer has.",
    "schema": {"type": "integer", "minimum": 0},
}
_SPEC = {
    "name": "spec",
    "in": "query",
    "description": "What the viewer's page names: 409 if the launch is of another repository.",
    "schema": {"type": "string"},
}
_FORMAT = {
    "name": "format",
    "in": "query",
    "description": "chrome: the Trace Event Format, for Perfetto, instead of a Trace.",
    "schema": {"type": "string", "enum": ["chrome"]},
}
_PROVIDER = {
    "name": "provider",
    "in": "query",
    "description": "Count only launches of this one: one of `providers` in the answer, or of those "
    "that are known here; empty: of all.",
    "schema": {"type": "string"},
}
_HOST = {
    "name": "host",
    "in": "query",
    "description": "Count only launches at this one: one of `hosts` in the answer, `here` for "
    "those of no other host; empty: at all. `repositories` knows no host.",
    "schema": {"type": "string"},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The same, as a browser's EventSource sends it.",
    "schema": {"type": "string"},
}


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    types = [StartRequest, Links, LaunchState, Trace, Event, StatsAnswer, PopularAnswer, Error]
    _, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "binderprogress",
            "version": __version__,
            "description": "One resumable stream from a repository to a running Jupyter server.",
        },
        "paths": _paths(),
        "components": {"schemas": components},
    }


def _paths() -> dict[str, Any]:
    started = _json("It has been started.", "Links")
    body = {"required": True, "content": {"application/json": {"schema": _ref("StartRequest")}}}
    stream = {
        "description": "Events, one a block, numbered by `id`; the data is an Event.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    text = {
        "description": "The whole log so far.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    build = {
        "name": "spec",
        "in": "path",
        "required": True,
        "description": "<provider>/<...>/<ref>, its slashes as they are.",
        "schema": {"type": "string"},
    }
    return {
        "/api/launches": {
            "get": _operation(
                "listLaunches",
                "One's own launches, the newest first; only where there are users.",
                {"200": _list("Their states.", "launches", "LaunchState", "Links")},
            ),
            "post": {
                **_operation("startLaunch", "Start a launch.", {"201": started}),
                "requestBody": body,
            },
        },
        "/api/launches/{launch_id}": {
            "parameters": [_LAUNCH_ID],
            "get": _operation(
                "getLaunch", "How it stands.", {"200": _json("Its state.", "LaunchState", "Links")}
            ),
            "delete": _operation(
                "cancelLaunch", "Cancel it.", {"202": _json("Its state.", "LaunchState")}
            ),
        },
        "/api/launches/{launch_id}/events": {
            "parameters": [_LAUNCH_ID, _AFTER, _SPEC, _LAST_EVENT_ID],
            "get": _operation("watchLaunch", "Watch it; it starts nothing.", {"200": stream}),
        },
        "/api/launches/{launch_id}/socket": {
            "parameters": [_LAUNCH_ID, _AFTER, _SPEC],
            "get": _operation(
                "watchLaunchSocket",
                "Watch it over WebSocket: each message is an Event.",
                {"101": {"description": "A WebSocket."}},
            ),
        },
        "/api/launches/{launch_id}/log": {
            "parameters": [_LAUNCH_ID],
            "get": _operation("getLog", "Its whole log.", {"200": text}),
        },
        "/api/stats": {
            "parameters": [_number("days", 30, 366), _PROVIDER, _HOST],
            "get": _operation(
                "getStats",
                "Where the time of launches went, how they ended, and what runs now.",
                {"200": _json("Numbers.", "StatsAnswer")},
            ),
        },
        "/api/popular": {
            "parameters": [_number("limit", 20, 1000)],
            "get": _operation(
                "getPopular",
                "Images that are worth having on every node, the most worth first.",
                {"200": _json("Images.", "PopularAnswer")},
            ),
        },
        "/api/launches/{launch_id}/trace": {
            "parameters": [_LAUNCH_ID, _FORMAT],
            "get": _operation(
                "getTrace", "Where its time went.", {"200": _json("So far, or in all.", "Trace")}
            ),
        },
        "/build/{spec}": {
            "parameters": [build, _LAST_EVENT_ID],
            "get": _operation(
                "build",
                "BinderHub's endpoint: start a launch and watch it, or resume.",
                {"200": stream},
            ),
        },
    }


def _number(name: str, default: int, most: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return {"name": name, "in": "query", "schema": schema}


def _operation(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    error = _json("What went wrong, in a sentence.", "Error")
    return {
        "operationId": name,
        "summary": summary,
        "responses": {**responses, "4XX": error},
    }


def _json(description: str, *schemas: str) -> dict[str, Any]:
    refs = [_ref(schema) for schema in schemas]
    schema = refs[0] if len(refs) == 1 else {"allOf": refs}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _list(description: str, name: str, *schemas: str) -> dict[str, Any]:
    item = {"allOf": [_ref(schema) for schema in schemas]}
    listed = {"type": "array", "items": item}
    schema = {"type": "object", "properties": {name: listed}, "required": [name]}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


class OpenApiHandler(ApiHandler):
    """GET /api/openapi.json."""

    public = True

    def get(self) -> None:
        """Send the document."""
        self.write_json(document())
