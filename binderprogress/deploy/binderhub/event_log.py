"""BinderHub's log of launches."""

from __future__ import annotations

import logging
from typing import Any

from ..logs import SafeLogger
from .requests import BinderHubResolvedSpec

__all__ = ["emit_launch"]

_log = SafeLogger(logging.getLogger(__name__))

_SCHEMA = "binderhub.jupyter.org/launch"


def emit_launch(event_log: Any, target: BinderHubResolvedSpec) -> None:
    """Write down that a launch went well."""
    schemas = {
        version: schema for (name, version), schema in event_log.schemas.items() if name == _SCHEMA
    }
    visit = target.spec.visit
    event = {
        "provider": target.provider.name,
        "spec": target.spec.text,
        "ref": target.commit,
        "status": "success",
        "build_token": visit.build_token,
        "origin": visit.host,
        "request_origin": visit.origin,
    }
    version = max(schemas)
    known = schemas[version]["properties"]
    try:
        event_log.emit(_SCHEMA, version, {key: event[key] for key in event if key in known})
    except Exception:  # noqa: BLE001 - the log has it
        # As a provider that the schema does not know: the server runs all the same.
        _log.exception("The launch of %s is not in the event log", target.spec.repo_url)
