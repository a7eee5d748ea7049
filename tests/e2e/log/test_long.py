"""Logs that are too long for the page, in a real Chromium: their lines come from the server."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from ...support import axe
from ...support.widget import log_region
from ...support.wire import KEY, Wire
from .rows import at_end, line, numbered

pytestmark = pytest.mark.browser

LINES = 150_000


@pytest.fixture
def long(launch: Wire) -> Wire:
    """A launch whose events have the first 3000 lines of its log."""
    launch.say(*numbered(3000))
    launch.cut()
    launch.print("".join(numbered(LINES)[3000:-1]) + f"line {LINES} \x1b[31mneedle\x1b[0m\n")
    return launch


def test_a_log_of_many_lines_is_read_in_parts(
    context: BrowserContext, long: Wire, log: Locator, page: Page
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    summary = page.locator("summary")
    expect(line(log, "needle")).to_be_in_viewport()
    expect(summary).to_contain_text("150,000")
    assert at_end(log)

    # What is shown is read, and nothing else.
    log.evaluate("box => { box.scrollTop = box.scrollHeight / 2 }")
    expect(line(log, re.compile("^75001line 75001$"))).to_be_in_viewport()
    assert len(long.requests) < 12
    log.focus()
    log.press("Home")
    expect(line(log, re.compile("^1line 1$"))).to_be_in_viewport()
    log.press("End")
    expect(line(log, "needle")).to_be_in_viewport()

    # The end goes on, and is followed.
    long.print("one more\n")
    expect(line(log, "one more")).to_be_in_viewport()
    expect(summary).to_contain_text("150,001")

    # The server finds what is not in the page, also what has just come.
    field, match = page.get_by_role("searchbox"), page.locator(".log-match")
    field.fill("LINE 7777")
    expect(match).to_have_text("1 / 11")
    expect(log.locator("mark.current")).to_be_in_viewport()
    field.press("Shift+Enter")
    expect(match).to_have_text("11 / 11")
    expect(line(log, "line 77779").locator("mark.current")).to_be_in_viewport()
    long.print("line 7777 again\n")
    expect(match).to_have_text("11 / 12")
    field.press("Escape")

    # Marked lines and links.
    number = log.get_by_role("link", name="Line 77779", exact=True)
    number.click()
    expect(page).to_have_url(re.compile(f"#launch={KEY}&line=77779$"))
    log.get_by_role("link", name="Line 77777", exact=True).click(modifiers=["Shift"])
    page.get_by_role("button", name="Copy lines 77777–77779").click()
    expect(page.get_by_text("Copied: 3 lines")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "line 77777\nline 77778\nline 77779\n"
    page.set_viewport_size({"width": 360, "height": 800})
    axe.check_both_schemes(page, "binder-progress")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_link_to_a_line_far_beyond_the_events(long: Wire, page: Page) -> None:
    page.goto(f"{long.url}#launch={KEY}")
    page.locator("binder-progress").evaluate("element => { element.line = 120_000 }")
    expect(page.get_by_role("link", name="Line 120000", exact=True)).to_be_focused()
    expect(page.locator(".marked .log-text")).to_have_text("line 120000")


def test_only_the_newest_lines_are_kept(log: Locator, launch: Wire, page: Page) -> None:
    launch.say(*numbered(30_000))
    expect(line(log, "line 30000")).to_be_in_viewport(timeout=30_000)
    log.focus()
    log.press("Home")
    expect(line(log, re.compile("^1line 1$"))).to_be_in_viewport()
    log.evaluate("box => { box.scrollTop = box.scrollHeight * 0.9 }")

    def read() -> list[str]:
        """What was read but for looks at the end, which goes on."""
        return [path for path in launch.requests if "first=-" not in path]

    before = read()
    expect(line(log, re.compile("^27001line 27001$"))).to_be_in_viewport()
    assert read() == before, "these lines are in the page"
    launch.say("one more\n")
    page.get_by_role("button", name="Jump to the latest line").click()
    expect(line(log, "one more")).to_be_in_viewport()


def test_a_part_that_cannot_be_read_is_told(launch: Wire, page: Page) -> None:
    launch.say(*numbered(3000))
    launch.cut()
    page.route("**/log/lines*", lambda route: route.fulfill(status=503, body="{}"))
    page.goto(f"{launch.url}#launch={KEY}")
    page.locator("summary").click()
    expect(page.get_by_text("Some lines could not be loaded.")).to_be_visible()
    page.unroute("**/log/lines*")
    launch.print("one more\n")
    box = log_region(page)
    expect(line(box, "one more")).to_be_in_viewport()


def test_opens_quickly(long: Wire, page: Page) -> None:
    page.goto(f"{long.url}#launch={KEY}")
    expect(page.locator("summary")).to_contain_text("line")
    began = time.monotonic()
    page.locator("summary").click()
    box = log_region(page)
    expect(line(box, "needle")).to_be_in_viewport()
    # Generous, because the machine may be busy; `benchmarks log` measures it.
    assert time.monotonic() - began < 10
