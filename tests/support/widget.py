"""What tests of the element do with a launch page."""

from __future__ import annotations

import re
import time
from typing import Any

from playwright.sync_api import Locator, Page, expect

from .replay import Stage

SPEC = "gh/binder-examples/requirements/HEAD"


def open_launch(page: Page, play: Stage, query: str = "") -> None:
    """Open the launch page, and wait until something is heard of the launch."""
    page.goto(f"{play.url}v2/{SPEC}{query}")
    expect(percent(page)).not_to_be_empty()


def percent(page: Page) -> Locator:
    return page.locator("[part=percent]")


def log_region(page: Page) -> Locator:
    """The lines of the log. Other regions have names that begin with the same word."""
    return page.get_by_role("region", name=re.compile(r"^Log(:|$)"))


def phase(page: Page) -> Locator:
    return page.locator("[part=phase]")


def play_ready(page: Page, play: Stage) -> None:
    """Play a launch to its good end."""
    play.play("repo2docker-ok.jsonl")
    expect(phase(page)).to_have_text("Building")
    play.built()
    play.play_hub("hub-progress-kubespawner-ok.txt")
    expect(page.get_by_text("Waiting for the server to respond").first).to_be_visible()
    play.serve()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible()


def until(page: Page, expression: str, seconds: float = 10) -> Any:
    """Wait for JavaScript to be true; Playwright's own way is eval, which policies refuse."""
    deadline = time.monotonic() + seconds
    while not (value := page.evaluate(expression)):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)
    return value


def embed(page: Page, play: Stage, attributes: str = "", style: str = "") -> None:
    """A page of its own with the element in it, where nothing starts by itself."""
    html = (
        "<!doctype html><html lang=en><title>Course</title>"
        '<meta name="viewport" content="width=device-width">'
        f"<style>:root {{ color-scheme: light dark; background: Canvas; }} {style}</style>"
        '<script type="module" src="/static/binder-progress.js"></script>'
        f'<main><h1>Course</h1><binder-progress spec="{SPEC}" {attributes}></binder-progress>'
        "</main>"
    )
    page.route("**/course", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"{play.url}course")
