"""A log of a million lines in a real Chromium: opened, scrolled, searched, and the memory it takes.

The events have the first 20,000 lines and then the note that the log is cut; the rest comes from
the server's own code for parts of logs, behind the double of the wire.

The page itself notes the times: from an event of the mouse or the keyboard to the frame after the
one in which what is waited for is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import CHROMIUM_ARGUMENTS
from tests.support.wire import KEY, Wire, wire

from .log import chromium, messages, metrics

_IN_EVENTS = 20_000
_WITHIN = 120_000
"""Milliseconds to wait for what is measured."""

WATCH = """([event, text, count]) => {
  const { shadowRoot } = document.querySelector("binder-progress");
  const isSeen = () => {
    const box = shadowRoot.querySelector(".log-box")?.getBoundingClientRect();
    return [...shadowRoot.querySelectorAll(".log-row:not(.missing)")].some((row) => {
      const { top, bottom } = row.getBoundingClientRect();
      if (bottom <= box.top || top >= box.bottom || !row.textContent.includes(text)) return false;
      return !count || row.querySelector("mark.current");
    });
  };
  const isCounted = () => !count || shadowRoot.querySelector(".log-match").textContent === count;
  globalThis.measured = new Promise((resolve) => {
    const began = ({ timeStamp }) => {
      let [seen, counted] = [0, 0];
      const look = () => {
        // What was there in the last frame is on the screen now.
        if (seen) seen = Math.min(seen, performance.now() - timeStamp);
        if (seen && counted) return resolve([seen, performance.now() - timeStamp]);
        if (!seen && isSeen()) seen = Infinity;
        counted = isCounted();
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    };
    shadowRoot.addEventListener(event, began, { capture: true, once: true });
  });
}"""


def compare(*, lines: int) -> dict[str, Any]:
    """Open a log of so many lines, scroll in it and search it."""
    with wire() as launch, sync_playwright() as playwright:
        fill(launch, lines)
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        closed = with_closed_log(browser.new_page(), launch)
        page = browser.new_page(viewport={"width": 1280, "height": 1200})
        measured = {"closed_mib": closed, **measure(page, launch, lines)}
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


def with_closed_log(page: Page, launch: Wire) -> float:
    """Return the memory that a page takes whose log is not opened, in MiB."""
    page.goto(f"{launch.url}#launch={KEY}")
    expect(page.locator("summary")).to_contain_text(f"{_IN_EVENTS:,}", timeout=_WITHIN)
    used = memory(page)
    page.close()
    return used


def measure(page: Page, launch: Wire, lines: int) -> dict[str, float]:
    """Return the times in seconds, and the memory in MiB."""
    page.goto(f"{launch.url}#launch={KEY}")
    page.locator("summary").wait_for(timeout=_WITHIN)

    def took(action: Callable[[], object], event: str, text: str, count: str = "") -> list[float]:
        page.evaluate(WATCH, [event, text, count])
        action()
        times: list[float] = page.evaluate("measured")
        return [time / 1000 for time in times]

    opened, _ = took(page.locator("summary").click, "click", "the end")
    box = page.locator(".log-box")
    scrolled, _ = took(
        lambda: box.evaluate("box => { box.scrollTop = box.scrollHeight * 0.3 }"),
        "scroll",
        "Collecting",
    )
    search = page.get_by_role("searchbox")
    found, searched = took(lambda: search.fill("the needle"), "input", "the needle", "1 / 1")
    # Its parts have different colours. Nobody searches the same twice.
    last = f"collecting a-package-{lines - 2} from"
    _, coloured = took(lambda: search.fill(last), "input", last[1:], "1 / 1")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    return {
        "opened_s": opened,
        "scrolled_s": scrolled,
        "found_s": found,
        "searched_s": searched,
        "coloured_s": coloured,
        "heap_mib": metrics(session)["JSHeapUsedSize"] / 2**20,
        "open_mib": memory(page),
    }


def memory(page: Page) -> float:
    """Return what the page's process has in memory and shares with no other, in MiB."""
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    assert page.context.browser is not None
    processes = page.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    renderers = [each for each in processes["processInfo"] if each["type"] == "renderer"]
    # A browser may keep another one ready.
    pid = max(renderers, key=lambda each: each["cpuTime"])["id"]
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {row.split(":")[0]: int(row.split()[1]) for row in rows}
    return sum(sizes[name] for name in ("Private_Clean", "Private_Dirty", "Swap")) / 1024


ROWS = {
    "opened_s": "opened, until its last line is seen, s",
    "scrolled_s": "scrolled, until other lines are seen, s",
    "found_s": "the line in the middle found, s",
    "searched_s": "all lines searched, s",
    "coloured_s": "all lines searched for a text in several colours, s",
    "heap_mib": "JavaScript heap afterwards, MiB",
    "closed_mib": "memory of the page's process before the log is opened, MiB",
    "open_mib": "… afterwards, MiB",
}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    rows = [f"Log of {result['lines']:,} lines, Chromium {result['chromium']}"]
    rows += [f"  {label:<56}{result[name]:10,.2f}" for name, label in ROWS.items()]
    return "\n".join(rows)
