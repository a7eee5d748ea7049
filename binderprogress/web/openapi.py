"""The OpenAPI document, generated from the types that the handlers use."""

from __future__ import annotations

from typing import Any

import msgspec

from .._version import __version__
from ..core.events import Event
from ..core.kubernetes.prepull_report import PrepullReport
from ..core.timing.breakdown import Trace
from ..launches import LaunchState
from ..launches.lookups import ImageState
from ..whatif.report import SimulationReport
from .api import BuildLogLink, EarlierBuildLog, LaunchLinks, LaunchRetention, StorageStatus
from .base import ApiHandler
from .log_lines import TYPES as LOG_TYPES
from .log_lines import log_paths
from .openapi_parts import BUILD_ID, LAUNCH_ID, json_response, operation, reference
from .stats import PopularAnswer, StatsAnswer
from .whatif import SETTINGS

__all__ = ["OpenApiHandler", "document"]


class ErrorDetail(msgspec.Struct):
    """An error message for people, and the HTTP status."""

    message: str
    status: int


class Error(msgspec.Struct):
    """The body of every error response."""

    error: ErrorDetail


_AFTER = {
    "name": "after",
    "in": "query",
    "description": "Number of the last event that the viewer has received.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
}
_SPEC = {
    "name": "spec",
    "in": "query",
    "description": "The expected spec. The response is 409 if the launch is of another repository.",
    "schema": {"type": "string"},
}
_IMAGE = [
    {"name": "provider", "in": "path", "required": True, "schema": {"type": "string"}},
    {
        "name": "spec",
        "in": "path",
        "required": True,
        "description": "The rest of the spec, with its slashes.",
        "schema": {"type": "string"},
    },
]
_STATUS = {
    "name": "status",
    "in": "query",
    "description": "If it is not empty, there are also messages that are not events: "
    '{"waiting_for_storage": true} or false.',
    "schema": {"type": "string"},
}
_FORMAT = {
    "name": "format",
    "in": "query",
    "description": "`chrome` for the Trace Event Format, which Perfetto reads; empty for a Trace.",
    "schema": {"type": "string", "enum": ["", "chrome"]},
}
_LOG_FORMAT = {
    "name": "format",
    "in": "query",
    "description": "`plain` for the log without escape sequences and without what a terminal "
    "overwrites; empty for the log as it was printed.",
    "schema": {"type": "string", "enum": ["", "plain"]},
}
_PROVIDER = {
    "name": "provider",
    "in": "query",
    "description": "Only count launches of this provider: one of `providers` in the response, or "
    "another one that this server supports; empty for all. The response is 404 for others.",
    "schema": {"type": "string"},
}
_HOST = {
    "name": "host",
    "in": "query",
    "description": "Only count launches at this host: one of `hosts` in the response, or `here` "
    "for this server itself; empty for all. The response is 404 for others. `repositories` always "
    "counts all hosts.",
    "schema": {"type": "string"},
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The same as `after`. Browsers send it when an EventSource reconnects.",
    "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"},
}
_LAST_BUILD_EVENT_ID = {
    **_LAST_EVENT_ID,
    "description": "Id of the last event, to resume a stream. Browsers send it when an EventSource "
    "reconnects.",
    "schema": {"type": "string"},
}
_BUILD_ONLY = {
    "name": "build_only",
    "in": "query",
    "description": "`true`: end when the environment is built, without starting a server.",
    "schema": {"type": "string", "default": "false"},
}
_CLASS = {
    "name": "class",
    "in": "query",
    "description": "Who launches.",
    "schema": {"type": "string", "default": "120 students, Mondays at 10"},
}
_RECORDED = {
    "name": "launches",
    "in": "query",
    "description": "`history`: instead of a class, the launches of the last 7 days.",
    "schema": {"type": "string", "enum": ["class", "history"], "default": "class"},
}
_SETTINGS = [
    {
        "name": f"{policy}.{key}",
        "in": "query",
        "description": f"Of the {order} policy.",
        "schema": {"type": "number", "minimum": 0},
    }
    for policy, order in (("now", "first"), ("instead", "second"))
    for key in SETTINGS
]
# A parsed event of a stream. The type of events without one is "message".
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
    "description": "A spec, or the URL of a repository with a ref.",
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "spec": {**_TEXT, "description": "Such as gh/binder-examples/requirements/HEAD."}
            },
            "required": ["spec"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "repo": {**_TEXT, "description": "A URL that git can clone, or a DOI."},
                "ref": {
                    "type": "string",
                    "maxLength": 2048,
                    "description": "A branch, tag or commit; by default the default branch.",
                },
            },
            "required": ["repo"],
            "additionalProperties": False,
        },
    ],
}
# Slashes within a component are percent-encoded.
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


_LAUNCH = ("LaunchState", "LaunchRetention", "StorageStatus", "LaunchLinks", "BuildLogLink")


def document(*, lists: bool = True) -> dict[str, Any]:
    """Return the OpenAPI document.

    Parameters
    ----------
    lists : bool
        Whether users can list their launches.
    """
    types = [
        BuildLogLink,
        EarlierBuildLog,
        LaunchLinks,
        LaunchRetention,
        StorageStatus,
        LaunchState,
        Trace,
        Event,
        *LOG_TYPES,
        ImageState,
        StatsAnswer,
        PopularAnswer,
        PrepullReport,
        SimulationReport,
        Error,
    ]
    _, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "binderprogress",
            "version": __version__,
            "description": "One resumable event stream from a repository to a running Jupyter "
            "server.",
        },
        "paths": {**_launches(lists=lists), **_launch(), **log_paths(), **_history(), **_builds()},
        "components": {"schemas": {**components, "StartRequest": _START_REQUEST}},
    }


def _launches(*, lists: bool) -> dict[str, Any]:
    started = json_response("The launch has started.", "LaunchLinks")
    body = {
        "required": True,
        "content": {"application/json": {"schema": reference("StartRequest")}},
    }
    own = operation(
        "listLaunches",
        "List the user's launches, newest first. Only on servers with users.",
        {"200": _list("The launches.", "launches", *_LAUNCH)},
    )
    return {
        "/api/launches": {
            **({"get": own} if lists else {}),
            "post": {
                **operation("startLaunch", "Start a launch.", {"201": started}),
                "requestBody": body,
            },
        },
        "/api/builds": {
            "post": {
                **operation(
                    "startBuild",
                    "Start a launch that ends when the environment is built, without a server.",
                    {"201": started},
                ),
                "requestBody": body,
            },
        },
    }


def _launch() -> dict[str, Any]:
    """Return the paths of one launch."""
    stream = {
        "description": "One block per event. `id` is its number, and `data` an Event.",
        "content": {"text/event-stream": {"schema": _BLOCK}},
    }
    text = {
        "description": "The log so far.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    trace = json_response("The trace so far.", "Trace")
    schemas = trace["content"]["application/json"]
    schemas["schema"] = {"anyOf": [schemas["schema"], _CHROME]}
    path = "/api/launches/{launch_id}"
    return {
        path: {
            "parameters": [LAUNCH_ID],
            "get": operation(
                "getLaunch",
                "Get the state of a launch.",
                {"200": json_response("The state.", *_LAUNCH, "EarlierBuildLog")},
            ),
            "delete": operation(
                "cancelLaunch",
                "Cancel a launch.",
                {"202": json_response("The state.", "LaunchState")},
            ),
        },
        f"{path}/events": {
            "parameters": [LAUNCH_ID, _AFTER, _SPEC, _LAST_EVENT_ID],
            "get": operation("watchLaunch", "Watch a launch.", {"200": stream}),
        },
        f"{path}/socket": {
            "parameters": [LAUNCH_ID, _AFTER, _SPEC, _STATUS],
            "get": operation(
                "watchLaunchSocket",
                "Watch a launch over a WebSocket. Each message is an Event. The response is 426 "
                "if the request is not a WebSocket handshake.",
                {"101": {"description": "The WebSocket is open."}},
            ),
        },
        f"{path}/log": {
            "parameters": [LAUNCH_ID, _LOG_FORMAT],
            "get": operation("getLog", "Get the log of a launch.", {"200": text}),
        },
        f"{path}/trace": {
            "parameters": [LAUNCH_ID, _FORMAT],
            "get": operation("getTrace", "Get the trace of a launch.", {"200": trace}),
        },
        "/api/builds/{build_id}/log": {
            "parameters": [BUILD_ID, _LOG_FORMAT],
            "get": operation(
                "getBuildLog",
                "Get the log of a build, also when its launches are forgotten.",
                {"200": text},
            ),
        },
    }


def _history() -> dict[str, Any]:
    return {
        "/api/stats": {
            "parameters": [_number("days", default=30, maximum=366), _PROVIDER, _HOST],
            "get": operation(
                "getStats",
                "Get statistics of past launches, and the launches in progress.",
                {"200": json_response("The statistics.", "StatsAnswer")},
            ),
        },
        "/api/images/{provider}/{spec}": {
            "parameters": _IMAGE,
            "get": operation(
                "getImage",
                "Get whether the environment of a spec is built. It counts as a launch.",
                {"200": json_response("The image.", "ImageState")},
            ),
        },
        "/api/popular": {
            "parameters": [_number("limit", default=20, maximum=1000)],
            "get": operation(
                "getPopular",
                "List the images that are most worth pulling to every node, best first.",
                {"200": json_response("The images.", "PopularAnswer")},
            ),
        },
        "/api/prepull": {
            "get": operation(
                "getPrepull",
                "Get the state of images that are pulled to nodes in advance. The response is 404 "
                "if none are.",
                {"200": json_response("The nodes and images.", "PrepullReport")},
            ),
        },
        "/api/whatif": {
            "parameters": [_CLASS, _RECORDED, *_SETTINGS],
            "get": operation(
                "getWhatIf",
                "Simulate launches with two policies. The response is 404 unless that is enabled.",
                {"200": json_response("What both bring.", "SimulationReport")},
            ),
        },
    }


def _builds() -> dict[str, Any]:
    """Return the paths of BinderHub's endpoint, one for each provider."""
    stream = {
        "description": "One block per event, with BinderHub's fields. If the spec is invalid, the "
        "only event is `failed`.",
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
            "parameters": [*parameters, _BUILD_ONLY, _LAST_BUILD_EVENT_ID],
            "get": operation(
                f"build{title}",
                f"BinderHub's endpoint for {title}: start and watch a launch, or resume. The "
                "response is 406 unless the Accept header names text/event-stream.",
                {"200": stream},
            ),
        }
    return paths


def _number(name: str, *, default: int, maximum: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return {"name": name, "in": "query", "schema": schema}


def _list(description: str, name: str, *schemas: str) -> dict[str, Any]:
    item = {"allOf": [reference(schema) for schema in schemas]}
    listed = {"type": "array", "items": item}
    schema = {"type": "object", "properties": {name: listed}, "required": [name]}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


class OpenApiHandler(ApiHandler):
    """GET /api/openapi.json."""

    public = True

    def get(self) -> None:
        """Send the OpenAPI document."""
        self.write_json(document(lists=self.web.access.lists))
