"""A page with a log, for the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from ...support.widget import log_region
from ...support.wire import KEY, Wire, wire


@pytest.fixture
def launch() -> Iterator[Wire]:
    with wire() as launch:
        yield launch


@pytest.fixture
def context(browser: Browser, launch: Wire) -> Iterator[BrowserContext]:
    # High enough for the whole of the element.
    context = browser.new_context(viewport={"width": 1280, "height": 1200})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def problems(page: Page) -> list[str]:
    """What the browser complains of, as of what a policy refuses."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
    return found


@pytest.fixture
def log(page: Page, launch: Wire, problems: list[str]) -> Iterator[Locator]:
    """The box of the open log; there is nothing to complain of in the end."""
    page.goto(f"{launch.url}#launch={KEY}")
    page.locator("summary").click()
    expect(log_region(page)).to_be_visible()
    yield log_region(page)
    assert not problems
