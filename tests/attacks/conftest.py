"""What the attacks have in common: the real handlers on a real port."""

from __future__ import annotations

from ..web.conftest import (
    api,
    app,
    builder,
    failing,
    hub,
    io_loop,
    launches,
    nothing_uncaught,
    settings,
    shared,
    spawner,
    web,
)

__all__ = [
    "api",
    "app",
    "builder",
    "failing",
    "hub",
    "io_loop",
    "launches",
    "nothing_uncaught",
    "settings",
    "shared",
    "spawner",
    "web",
]
