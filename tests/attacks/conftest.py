"""What the attacks have in common: the real handlers on a real port, and a browser with names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from ..conftest import CHROMIUM_ARGUMENTS, chromium_path
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


@pytest.fixture(scope="module")
def named_browser() -> Iterator[Browser]:
    """A real Chromium, for which all names below .example are this machine.

    By such a name, plain http is not "potentially trustworthy": it sends no `Sec-Fetch-*` there.
    """
    rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=chromium_path(), args=[*CHROMIUM_ARGUMENTS, rules]
        )
        yield chromium
        chromium.close()
