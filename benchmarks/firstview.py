"""The first view of a launch page and of an embedded element, in a real Chromium.

The page shows a launch that builds. It is opened with an empty cache and then once more, over a
connection like that of a phone. Bytes are those that the server really sends, with headers, as
Chromium's network log counts them; the stream of events does not end and is not counted. The embed
is on another site, whose own HTML is not counted.
"""

from __future__ import annotations

import statistics
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests.conftest import CHROMIUM_ARGUMENTS, chromium_path
from tests.support.replay import Stage, stage
from tests.support.site import other_site

SPEC = "gh/binder-examples/requirements/HEAD"

# A good mobile connection, as Lighthouse simulates it.
NETWORK = {"latency": 150, "downloadThroughput": 1_638_400 / 8, "uploadThroughput": 750_000 / 8}

OBSERVE = """
globalThis.seen = { paint: 0, largest: 0, shift: 0, task: 0, bar: 0 };
const observe = (type, note) => new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) note(entry);
}).observe({ type, buffered: true });
observe("paint", ({ name, startTime }) => {
  if (name === "first-contentful-paint") seen.paint = startTime;
});
observe("largest-contentful-paint", ({ startTime }) => { seen.largest = startTime; });
observe("layout-shift", ({ value }) => { seen.shift += value; });
observe("longtask", ({ duration }) => { seen.task = Math.max(seen.task, duration); });
const look = () => {
  const root = document.querySelector("binder-progress")?.shadowRoot;
  if (root?.querySelector("[role=progressbar]")) seen.bar = performance.now();
  else requestAnimationFrame(look);
};
look();
"""

# The script of the log, the language and what else comes later is there then.
QUIET = 1_500

PAGES = {"launch page": "the launch page", "embed": "two lines of HTML in another page"}
VIEWS = {"first": "empty cache", "again": "opened again"}


def compare(*, repeat: int = 5) -> dict[str, Any]:
    """Open each page with an empty cache and again, `repeat` times, and return medians."""
    with (
        sync_playwright() as playwright,
        stage(Web={"allowed_origins": ["*"]}) as server,
        other_site() as site,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS
        )
        site.embed(server.url, SPEC, "autostart")
        urls = {"launch page": f"{server.url}v2/{SPEC}", "embed": f"{site.origin}/"}
        found: dict[str, Any] = {}
        for name, url in urls.items():
            rounds = [_views(browser, server, url) for _ in range(repeat)]
            found[name] = {
                view: {
                    key: statistics.median(one[view][key] for one in rounds)
                    for key in rounds[0][view]
                }
                for view in VIEWS
            }
        browser.close()
    return {"repeat": repeat, "pages": found}


def _views(browser: Browser, server: Stage, url: str) -> dict[str, dict[str, float]]:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(OBSERVE)
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", {"offline": False, **NETWORK})
    # So that the launch goes on and the page does not change meanwhile.
    server.say("Installing packages")
    views = {view: _view(page, network, url, server.url) for view in VIEWS}
    context.close()
    return views


def _view(page: Page, network: CDPSession, url: str, base_url: str) -> dict[str, float]:
    ours: dict[str, bool] = {}
    sizes: dict[str, int] = {}

    def answered(event: dict[str, Any]) -> None:
        response = event["response"]
        if response["url"].startswith(base_url):
            ours[event["requestId"]] = bool(response.get("fromDiskCache"))

    def ended(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = event["encodedDataLength"]

    network.on("Network.responseReceived", answered)
    network.on("Network.loadingFinished", ended)
    page.goto(url)
    page.wait_for_function("() => seen.bar > 0")
    page.wait_for_timeout(QUIET)
    seen: dict[str, float] = page.evaluate("seen")
    network.remove_listener("Network.responseReceived", answered)
    network.remove_listener("Network.loadingFinished", ended)
    asked = [key for key, cached in ours.items() if not cached]
    received = [size for key in asked if (size := sizes.get(key, 0))]
    return {"requests": len(received), "bytes": sum(received), **seen}


def table(measured: dict[str, Any]) -> str:
    """Write what was measured as a table."""
    lines = [
        "| page | requests | bytes | first paint | largest paint | bar | longest task | shift |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, views in measured["pages"].items():
        for view, seen in views.items():
            lines.append(
                f"| {PAGES[name]}, {VIEWS[view]} | {seen['requests']:.0f} | {seen['bytes']:,.0f} "
                f"| {seen['paint']:,.0f} ms | {seen['largest']:,.0f} ms | {seen['bar']:,.0f} ms "
                f"| {seen['task']:,.0f} ms | {seen['shift']:.3f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    # Another version of the server is measured with this file copied beside it.
    print(table(compare()))
