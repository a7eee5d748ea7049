"""How lines of a log look in a real Chromium: wrapped, tinted, with links, overwritten."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Locator, Page, expect

from ...support.wire import Wire
from .rows import at_end, line, numbered

pytestmark = pytest.mark.browser

ESC = "\x1b"


def height(row: Locator) -> float:
    box = row.bounding_box()
    assert box is not None
    return box["height"]


def test_long_lines_wrap_until_a_button_is_clicked(log: Locator, launch: Wire, page: Page) -> None:
    wrap = page.get_by_role("button", name="Wrap lines")
    # Wide characters and tabs: how many rows they take is only known when they are drawn.
    wide = "漢字\t"
    for number in range(300):
        launch.say(f"{number} {'word ' * (number % 90)}{wide * (number % 40)}end {number}.\n")
    expect(wrap).to_have_attribute("aria-pressed", "true")
    expect(line(log, "end 299.")).to_be_in_viewport()
    assert at_end(log)
    assert height(line(log, "end 299.")) > 40
    assert log.evaluate("box => box.scrollWidth <= box.clientWidth")

    log.press("Home")
    expect(line(log, "end 0.")).to_be_in_viewport()
    page.get_by_role("searchbox").fill("end 170.")
    expect(log.locator("mark.current")).to_be_in_viewport()
    rows = log.locator(".log-row")
    # Rows do not overlap, and nothing is between them.
    boxes = rows.evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().toJSON())")
    assert all(abs(a["bottom"] - b["top"]) < 0.5 for a, b in itertools.pairwise(boxes))

    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "false")
    assert height(line(log, "end 170.")) < 30
    assert log.evaluate("box => box.scrollWidth > box.clientWidth")
    # What was read stays in view.
    expect(line(log, "end 170.").locator(".log-number")).to_be_in_viewport()


def test_a_needle_in_a_wrapped_line_is_brought_into_view(
    log: Locator, launch: Wire, page: Page
) -> None:
    launch.say(*numbered(50), "." * 9000 + "needle\n", *numbered(50))
    page.get_by_role("searchbox").fill("needle")
    expect(log.locator("mark.current")).to_be_in_viewport()


def test_errors_and_warnings_stand_out(log: Locator, launch: Wire) -> None:
    launch.say("fine\n", "ERROR: no\n", "WARNING: old\n", f"error: {ESC}[32mgreen{ESC}[0m\n")
    red, yellow, green = "rgb(173, 36, 24)", "rgb(124, 82, 0)", "rgb(23, 105, 59)"
    expect(log.get_by_text("ERROR: no")).to_have_css("color", red)
    expect(log.get_by_text("WARNING: old")).to_have_css("color", yellow)
    expect(log.get_by_text("green", exact=True)).to_have_css("color", green)
    # Also without colours.
    expect(log.get_by_role("link", name="Line 2, error")).to_be_visible()
    expect(log.get_by_role("link", name="Line 3, warning")).to_be_visible()
    expect(log.get_by_role("link", name="Line 1", exact=True)).to_be_visible()


def test_addresses_are_links_that_say_where_they_lead(log: Locator, launch: Wire) -> None:
    launch.say(
        "see https://pip.example/help, please\n",
        f"{ESC}]8;;https://docs.example/a{ESC}\\the docs{ESC}]8;;{ESC}\\ and more\n",
        f"{ESC}]8;;javascript:alert(1){ESC}\\not this{ESC}]8;;{ESC}\\\n",
    )
    links = log.locator(".log-link")
    expect(links).to_have_text(["https://pip.example/help", "the docs"])
    for link, href in zip(
        links.all(), ["https://pip.example/help", "https://docs.example/a"], strict=True
    ):
        expect(link).to_have_attribute("href", href)
        expect(link).to_have_attribute("title", href)
        expect(link).to_have_attribute("target", "_blank")
        expect(link).to_have_attribute("rel", "noopener noreferrer")
    after = links.last.evaluate("link => getComputedStyle(link, '::after').content")
    assert "docs.example" in after


def test_what_a_terminal_overwrites_is_overwritten(log: Locator, launch: Wire, page: Page) -> None:
    launch.say("[+] Building 0.1s (1/3)\n", " => load\n", "Solving: |\b/\b-\b \bdone\n")
    page.get_by_role("searchbox").fill("building")
    expect(page.locator(".log-match")).to_have_text("1 / 1")
    launch.say(f"{ESC}[3A{ESC}[2K[+] Building 2.0s (2/3)\n", f"{ESC}[2K => Building x\n")
    text = log.locator(".log-text")
    expect(text).to_have_text(["[+] Building 2.0s (2/3)", " => Building x", "Solving: done"])
    expect(page.locator(".log-match")).to_have_text("– / 2")
