"""A log of a million lines in a real Chromium: opened, scrolled, searched, and the memory it takes.

The events have the first 20,000 lines and then the note that the log is cut; the rest comes from
the server's own code for parts of logs, behind the double of the wire.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.conftest import CHROMIUM_ARGUMENTS
from tests.support.widget import log_region
from tests.support.wire import KEY, Wire, wire

from .log import chromium, messages, metrics

_IN_EVENTS = 20_000
_WITHIN = 120_000
"""Milliseconds to wait for what is measured."""


def compare(*, lines: int) -> dict[str, Any]:
    """Open a log of so many lines, scroll in it and search it."""
    with wire() as launch, sync_playwright() as playwright:
        fill(launch, lines)
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 1200})
        measured = measure(page, launch, lines)
        version = browser.version
        browser.close()
    return {"lines": lines, "chromium": version, **measured}


def fill(launch: Wire, lines: int) -> None:
    """Have a log with one line in its middle that others are not like."""
    texts = [message.replace("\r", "\n") for message in messages(lines)]
    launch.say(*texts[:_IN_EVENTS])
    launch.cut()
    middle = max(lines // 2, _IN_EVENTS)
    launch.print("".join([*texts[_IN_EVENTS:middle], "the needle\n", *texts[middle:], "the end\n"]))


def measure(page: Page, launch: Wire, lines: int) -> dict[str, float]:
    """Return the times in seconds, and the heap in MiB."""
    page.goto(f"{launch.url}#launch={KEY}")
    page.locator("summary").wait_for(timeout=_WITHIN)
    box = log_region(page)

    def took(action: Callable[[], object], shown: Locator) -> float:
        began = time.monotonic()
        action()
        expect(shown).to_be_in_viewport(timeout=_WITHIN)
        return time.monotonic() - began

    opened = took(page.locator("summary").click, box.locator(".log-row", has_text="the end"))
    scrolled = took(
        lambda: box.evaluate("box => { box.scrollTop = box.scrollHeight * 0.3 }"),
        box.locator(".log-row:not(.missing)", has_text="Collecting").nth(12),
    )
    search = page.get_by_role("searchbox")
    began = time.monotonic()
    found = took(lambda: search.fill("the needle"), box.locator("mark.current"))
    expect(page.locator(".log-match")).to_have_text("1 / 1", timeout=_WITHIN)
    searched = time.monotonic() - began
    # Its parts have different colours. Nobody searches the same twice.
    began = time.monotonic()
    search.fill(f"collecting a-package-{lines - 2} from")
    marked = box.locator(".log-row:has(mark.current)", has_text=f"a-package-{lines - 2} ")
    expect(marked).to_be_in_viewport(timeout=_WITHIN)
    coloured = time.monotonic() - began
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    return {
        "opened_s": opened,
        "scrolled_s": scrolled,
        "found_s": found,
        "searched_s": searched,
        "coloured_s": coloured,
        "heap_mib": metrics(session)["JSHeapUsedSize"] / 2**20,
    }


ROWS = {
    "opened_s": "opened, until its last line is seen, s",
    "scrolled_s": "scrolled, until other lines are seen, s",
    "found_s": "the line in the middle found, s",
    "searched_s": "all lines searched, s",
    "coloured_s": "all lines searched for a text in several colours, s",
    "heap_mib": "JavaScript heap afterwards, MiB",
}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    rows = [f"Log of {result['lines']:,} lines, Chromium {result['chromium']}"]
    rows += [f"  {label:<52}{result[name]:10,.2f}" for name, label in ROWS.items()]
    return "\n".join(rows)
