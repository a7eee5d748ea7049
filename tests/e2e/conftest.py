"""Fixtures for tests of the element with recorded streams, whose pace a test sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from ..support.replay import Stage, stage


@pytest.fixture
def play() -> Iterator[Stage]:
    with stage() as made:
        yield made


@pytest.fixture
def motion() -> None:
    """Let things move in the page: the person did not ask for less of it."""


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    context = browser.new_context(
        locale="en-US",
        viewport={"width": 1280, "height": 900},
        # A bar that moves in each frame takes a fifth of a processor.
        reduced_motion="no-preference" if "motion" in request.fixturenames else "reduce",
    )
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page of which the browser must not complain."""
    problems: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    yield page
    assert not problems


@pytest.fixture
def started(page: Page) -> list[str]:
    """The requests that start a launch, of all pages."""
    addresses: list[str] = []
    page.context.on("request", lambda r: addresses.append(r.url) if r.method == "POST" else None)
    return addresses
