"""Inside a BinderHub: its application, with our launches and addresses in front.

Start it in place of BinderHub, with the same options and the same configuration::

    python -m binderprogress.deploy.binderhub --config binderhub_config.py

BinderHub's own parts do the work: repo providers, registry, quota, build class, launcher, metrics,
event log, and the checks of a request. What is one long request there (`BuildHandler.get`) is split
here: `handlers` checks the request, `image_builder` resolves and builds, `server_launcher`
launches.
`binderprogress.launches` shares the streams.

This module is the public path. Its names are imported when they are used.
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
