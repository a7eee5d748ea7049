"""The OpenAPI document, made from the types that the handlers use."""

from __future__ import annotations

from typing import Any

import msgspec

from .._version import __version__
from ..core.events import Event
from ..core.timing.breakdown import Trace
from ..launches import LaunchState
from .api import Links
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
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
_AFTER = {
    "name": "after",
    "in": "query",
    "description": "The number of the last event that the viewer has.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
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
    "description": "chrome: the Trace Event Format, for Perfetto; empty: a Trace.",
    "schema": {"type": "string", "enum": ["", "chrome"]},
}
_PROVIDER = {
    "name": "provider",
    "in": "query",
    "description": "Count only launches of this one: one of `providers` in the answer, or of those "
    "that are known here; empty: of all. Of another one it is 404.",
    "schema": {"type": "string"},
}
_HOST = {
    "name": "host",
    "in": "query",
    "description": "Count only launches at this one: one of `hosts` in the answer, `here` for "
    "those of no other host; empty: at all. Of another one it is 404. `repositories` knows no "
    "host.",
    "schema": {"type": "string"},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The same, as a browser's EventSource sends it.",
    "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"},
}
_LAST_BUILD_EVENT_ID = {
    **_LAST_EVENT_ID,
    "description": "The id of the last event, as a browser's EventSource sends it: it resumes.",
    "schema": {"type": "string"},
}
# What one event is once it is read; those without a type have "message".
_BLOCK = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["data"],
}
_CHROME = {
    "type": "object",
    "description": "The Trace Event Format.",
    "properties": {"traceEvents": {"type": "array", "items": {"type": "object"}}},
    "required": ["traceEvents"],
}
_TEXT = {"type": "string", "minLength": 1, "maxLength": 2048}
_START_REQUEST = {
    "title": "StartRequest",
    "description": "A spec, or a repository's address with a ref.",
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "spec": {**_TEXT, "description": "As gh/binder-examples/requirements/HEAD."}
            },
            "required": ["spec"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "repo": {**_TEXT, "description": "An address that git clones, or a DOI."},
                "ref": {
                    "type": "string",
                    "maxLength": 2048,
                    "description": "A branch, tag or commit; the default branch if left out.",
                },
            },
            "required": ["repo"],
            "additionalProperties": False,
        },
    ],
}
# A slash that is part of a component is quoted.
_BUILDS = {
    "gh": ("GitHub", ["user", "repository", "ref"]),
    "gist": ("Gist", ["user", "gist", "ref"]),
    "gl": ("GitLab", ["namespace", "ref"]),
    "git": ("Git", ["address", "ref"]),
    "zenodo": ("Zenodo", ["prefix", "suffix"]),
    "figshare": ("Figshare", ["prefix", "suffix"]),
    "dataverse": ("Dataverse", ["prefix", "suffix"]),
    "hydroshare": ("HydroShare", ["id"]),
    "ckan": ("CKAN", ["address"]),
}


def document(*, lists: bool = True) -> dict[str, Any]:
    """Return the OpenAPI document.

    Parameters
    ----------
    lists : bool
        Whether there are users, whose launches can be listed.
    """
    types = [Links, LaunchState, Trace, Event, StatsAnswer, PopularAnswer, Error]
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
        "paths": {**_paths(lists=lists), **_builds()},
        "components": {"schemas": {**components, "StartRequest": _START_REQUEST}},
    }


def _paths(*, lists: bool) -> dict[str, Any]:
    started = _json("It has been started.", "Links")
    body = {"required": True, "content": {"application/json": {"schema": _ref("StartRequest")}}}
    stream = {
        "description": "Events, one a block, numbered by `id`; the data is an Event.",
        "content": {"text/event-stream": {"schema": _BLOCK}},
    }
    text = {
        "description": "The whole log so far.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    trace = _json("So far, or in all.", "Trace")
    schemas = trace["content"]["application/json"]
    schemas["schema"] = {"anyOf": [schemas["schema"], _CHROME]}
    own = _operation(
        "listLaunches",
        "One's own launches, the newest first; only where there are users.",
        {"200": _list("Their states.", "launches", "LaunchState", "Links")},
    )
    return {
        "/api/launches": {
            **({"get": own} if lists else {}),
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
                "Watch it over WebSocket: each message is an Event. Without Upgrade it is 426.",
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
            "get": _operation("getTrace", "Where its time went.", {"200": trace}),
        },
    }


def _builds() -> dict[str, Any]:
    """Return BinderHub's endpoint, for each provider."""
    stream = {
        "description": "Events, one a block, with BinderHub's fields; `failed` ends it if the spec "
        "is not understood.",
        "content": {"text/event-stream": {"schema": _BLOCK}},
    }
    paths = {}
    for provider, (title, names) in _BUILDS.items():
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
        path = "".join(f"/{{{name}}}" for name in names)
        paths[f"/build/{provider}{path}"] = {
            "parameters": [*parameters, _LAST_BUILD_EVENT_ID],
            "get": _operation(
                f"build{title}",
                f"BinderHub's endpoint for {title}: start a launch and watch it, or resume. Ask "
                "for text/event-stream, or it is 406.",
                {"200": stream},
            ),
        }
    return paths


def _number(name: str, default: int, most: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return {"name": name, "in": "query", "schema": schema}


def _operation(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    error = _json("What went wrong, in a sentence.", "Error")
    return {
        "operationId": name,
        "summary": summary,
        "responses": {**responses, "4XX": error, "5XX": error},
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
        self.write_json(document(lists=self.web.access.lists))
