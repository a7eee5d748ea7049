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
    """Record a successful launch."""
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
    properties = schemas[version]["properties"]
    try:
        event_log.emit(_SCHEMA, version, {key: event[key] for key in event if key in properties})
    except Exception:  # noqa: BLE001 - it is logged, and the server runs anyway
        # For example, the schema may not have the provider.
        _log.exception("Could not write the launch of %s to the event log", target.spec.repo_url)
