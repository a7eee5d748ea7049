"""Two lines of HTML on another site, while the network is away for more than a minute."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from ..support.faultyproxy import FaultyProxy, Mode, proxy_in_thread
from ..support.replay import Stage, stage
from ..support.site import Site, other_site
from ..support.widget import SPEC, until

pytestmark = pytest.mark.browser

AWAY = 70.0
"""Seconds without a network."""

SILENCE = 35.0
"""Seconds without data after which a connection counts as lost; see js/src/wire/reconnect.ts."""

# All that is said, and when, each time that it changes.
RECORD = """() => {
  window.said = [];
  const { shadowRoot } = document.querySelector("binder-progress");
  const text = (part) => shadowRoot.querySelector(`[part~=${part}]`)?.innerText ?? "";
  const look = () => {
    const parts = ["phase", "step", "percent", "elapsed", "left", "notice"];
    const now = Object.fromEntries(parts.map((part) => [part, text(part)]));
    const last = window.said.at(-1)?.[1];
    if (JSON.stringify(last) !== JSON.stringify(now)) window.said.push([Date.now() / 1000, now]);
  };
  look();
  new MutationObserver(look).observe(shadowRoot, {
    attributes: true, characterData: true, childList: true, subtree: true,
  });
}"""


@pytest.fixture
def site() -> Iterator[Site]:
    with other_site() as site:
        yield site


@pytest.fixture
def play(site: Site) -> Iterator[Stage]:
    with stage(Web={"allowed_origins": [site.origin]}) as made:
        yield made


@pytest.fixture
def proxies(play: Stage) -> Iterator[list[FaultyProxy]]:
    port = urlsplit(play.url).port or 0
    with proxy_in_thread(port) as cut, proxy_in_thread(port) as silent:
        yield [cut, silent]


def said(page: Page, since: float, until: float) -> list[dict[str, str]]:
    """What was said within a time, with what was there at its beginning."""
    record: list[tuple[float, dict[str, str]]] = page.evaluate("said")
    before = [words for at, words in record if at <= since]
    return before[-1:] + [words for at, words in record if since < at < until]


def launched(browser: Browser, play: Stage, site: Site, proxy: FaultyProxy) -> Page:
    """Launch on the other site, through a proxy, and load the page again."""
    # A language in which times have 24 hours.
    page = browser.new_context(locale="en-GB", reduced_motion="reduce").new_page()
    site.embed(f"http://127.0.0.1:{proxy.port}", SPEC)
    page.goto(site.origin)
    started: list[Any] = []
    page.on("request", lambda r: started.append(r) if r.method == "POST" else None)
    page.get_by_role("button", name=f"Launch {SPEC}").click()
    play.say("Step 1/9 : FROM ubuntu\n")
    expect(page.locator("[part=step]")).to_contain_text("Step 1 of 9")
    with page.expect_response(
        lambda r: re.search(r"/api/launches/[^/]+$", r.url) is not None
    ) as state:
        page.reload()
    state.value.finished()
    expect(page.locator("[part=step]")).to_contain_text("Step 1 of 9")
    assert len(started) == 1
    page.evaluate(RECORD)
    return page


@pytest.mark.long
@pytest.mark.fault(
    part="The connection to viewers",
    fault="of a page of another site is cut, or silent, for 70 seconds",
    promise="the page goes on, and says nothing false meanwhile",
)
def test_the_network_is_away_for_more_than_a_minute(
    browser: Browser, play: Stage, site: Site, proxies: list[FaultyProxy]
) -> None:
    cut, silent = proxies
    pages = [launched(browser, play, site, proxy) for proxy in proxies]
    one, other = pages
    gone = time.time()
    cut.refuses = True
    cut.cut_soon()
    silent.soon(lambda: silent.set(Mode.DROP))
    # The build goes on, which nobody can see.
    play.say("Step 2/9 : RUN true\n")
    notice = other.locator("[part=notice]")
    expect(notice).to_contain_text("Connection lost", timeout=(SILENCE + 5) * 1000)
    noticed = time.time()
    root = other.locator("[part=root]")
    assert root.get_attribute("data-lost") is not None
    until(one, f"Date.now() / 1000 > {gone + AWAY}", seconds=AWAY + 20)

    back = time.time()
    cut.refuses = False
    silent.soon(lambda: silent.set(Mode.PASS))
    for page in pages:
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("[part=step]")).to_contain_text("Step 2 of 9")
        expect(page.locator("[part=notice]")).to_be_hidden()

    assert noticed - gone < SILENCE + 5
    # From the moment on that it is known, nothing moves, and the notice is true: the server keeps
    # the launch for ten minutes after the last viewer.
    for page, known in ((one, gone + 1), (other, noticed)):
        words = said(page, known, back)
        assert len({(text["percent"], text["elapsed"], text["left"]) for text in words}) == 1
        assert {text["step"] for text in words} == {"Step 1 of 9 · FROM ubuntu"}
        notices = [text["notice"] for text in words]
        assert all(text.startswith("Connection lost. Reconnecting…") for text in notices)
        likely = {
            f"{datetime.fromtimestamp(gone + 600 - seconds):%H:%M}" for seconds in range(0, 120, 5)
        }
        for text in notices:
            kept = re.search(r"kept until (\d\d:\d\d)", text)
            assert kept is not None, notices
            assert kept[1] in likely
        # Until it was known, nothing was said of the step that nobody had seen.
        assert {text["step"] for text in said(page, gone, known)} == {"Step 1 of 9 · FROM ubuntu"}
    play.built()
    for _ in pages:
        play.serve()
    for page in pages:
        expect(page.get_by_role("link", name="Open the server")).to_be_visible()
        page.context.close()
