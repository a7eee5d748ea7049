"""Runs BinderHub with our launches and endpoints in front of its own.

Start it instead of BinderHub, with the same options and the same configuration::

    python -m binderprogress.deploy.binderhub --config binderhub_config.py

BinderHub's own code does the work: repo providers, registry, quota, build class, launcher, metrics,
event log, and the checks of requests. BinderHub has one long method for all of it,
`BuildHandler.get`. Here, `handlers` checks the request, `image_builder` resolves and builds,
`server_launcher` starts the server, and `binderprogress.launches` streams the events.

Import the public names from this module. They are imported lazily.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import BinderProgress, BinderProgressHub

__all__ = ["BinderProgress", "BinderProgressHub"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".app", __name__), name)
