"""The pages in a real browser: the gallery that launches in place, without JavaScript, for all."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from binderprogress.core.specs import from_address
from binderprogress.web.static_names import hashed_name

from ..support import axe
from ..support.long import usually
from ..support.repositories import repository
from ..support.standalone import Running, running
from ..support.widget import log_region

pytestmark = [pytest.mark.hub, pytest.mark.browser]

# A cold environment is downloaded, built and started within this, in milliseconds.
COLD = 120_000

# A build that talks for some seconds, in the middle of which something is done.
TALKATIVE = "#!/bin/sh\nfor i in $(seq 1 30); do echo line $i; sleep 0.1; done\n"

PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 9">
  <path fill="#789" d="M0 0h16v9H0z"/>
</svg>
"""

TITLES = ["First", "Second", "Third", "Fourth"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose gallery has three entries that build, and one that fails at once."""
    folder = tmp_path_factory.mktemp("server")
    entries = ""
    for title in TITLES:
        # The others are always cancelled.
        script = TALKATIVE if title == "First" else TALKATIVE.replace("30", "600")
        made = repository(folder / title, {"postBuild": f"{script}# {title}\n"})
        ref = "no-such-branch" if title == "Fourth" else "main"
        entries += f"- title: {title}\n  repo: {made.as_uri()}\n  ref: {ref}\n"
        entries += "  description: What it is about.\n  picture: picture.svg\n"
        entries += f"  slug: {title.lower()}\n  urlpath: api/status\n"
    (folder / "picture.svg").write_text(PICTURE)
    (folder / "gallery.yaml").write_text(entries)
    with running(folder, Web={"gallery": str(folder / "gallery.yaml")}) as server:
        server.call(server.standalone.hub.available())  # type: ignore[union-attr] # it has one
        yield server


def card(page: Page, title: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=title))


def launch(page: Page, title: str) -> Locator:
    """Click the link of an entry, and return its card."""
    found = card(page, title)
    found.get_by_role("link", name=f"Launch {title}").click()
    return found


def until(seen: Callable[[], bool], page: Page, seconds: float = 20) -> None:
    """Wait for what the page does not show."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def launches(server: Running) -> dict[str, Any]:
    return server.standalone.launches._directory._launches


def width(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box is not None
    return box["width"]


def cancel(one: Locator) -> None:
    """Cancel the launch in a card, and close it."""
    one.get_by_role("button", name="Cancel").click()
    expect(one.get_by_role("button", name="Launch again")).to_be_visible(timeout=COLD)
    one.get_by_role("button", name="Close").click()


def is_in_view(locator: Locator) -> bool:
    """Whether all of it is seen, or as much as the window has room for."""
    box = "e.getBoundingClientRect()"
    seen = f"e => {box}.top >= 0 && {box}.bottom <= Math.max(innerHeight, {box}.height + 20)"
    return bool(locator.evaluate(seen))


# -- the gallery


def test_an_entry_launches_in_its_card(server: Running, page: Page, started: list[str]) -> None:
    page.goto(server.url)
    before = card(page, "Second").bounding_box()
    one = launch(page, "Second")
    progress = one.get_by_role("progressbar")
    expect(progress).to_be_visible()
    # The keyboard goes on where the launch is.
    focused = "document.activeElement.shadowRoot?.activeElement?.id"
    until(lambda: page.evaluate(focused) == "panel", page)
    assert page.url == server.url
    expect(one.get_by_role("link", name="Launch Second")).to_be_hidden()
    assert width(one) == pytest.approx(width(page.get_by_role("list", name="Gallery")), abs=1)
    # It went to a row of its own, but only as far from where it was clicked as it takes to see it.
    until(lambda: is_in_view(one), page)
    after = one.bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] <= before["y"] + 1
    own = one.get_by_role("link", name="View this launch on its own page")
    expect(own).to_have_attribute("href", re.compile(r"/v2/git/.*\?urlpath=api/status#launch=.+"))
    assert len(started) == 1
    expect(one.get_by_text("Running postBuild")).to_be_visible(timeout=COLD)
    cancel(one)


@pytest.mark.long
def test_a_launch_in_a_card_comes_to_its_server_which_stays_when_it_is_closed(
    server: Running, page: Page
) -> None:
    page.goto(server.url)
    one = launch(page, "First")
    link = one.get_by_role("link", name="Open the server")
    expect(link).to_be_visible(timeout=COLD)
    expect(link).to_be_focused()
    page.reload()
    expect(link).to_be_visible()
    assert page.evaluate("document.activeElement === document.body")
    url = link.get_attribute("href") or ""
    assert "/api/status?token=" in url
    one.get_by_role("button", name="Close").click()
    expect(one.get_by_role("link", name="Launch First")).to_be_focused()
    expect(link).to_be_hidden()
    assert page.request.get(url).status == 200

    # Who went on to something else is left there.
    launch(page, "First")
    expect(one.get_by_role("progressbar")).to_be_visible()
    page.get_by_role("heading", level=1).click()
    expect(link).to_be_visible(timeout=COLD)
    assert page.evaluate("document.activeElement === document.body")


@pytest.mark.long
def test_entries_launch_side_by_side_and_a_reload_goes_on_with_both(
    server: Running, page: Page, started: list[str]
) -> None:
    page.goto(server.url)
    for title in ("Second", "Third"):
        one = launch(page, title)
        expect(one.get_by_role("link", name="View this launch on its own page")).to_be_visible()
    assert len(started) == 2
    links = [card(page, title).get_by_role("link", name="own page") for title in TITLES[1:3]]
    before = [link.get_attribute("href") for link in links]
    page.reload()
    for link, href in zip(links, before, strict=True):
        expect(link).to_have_attribute("href", href or "")
    for title in ("Second", "Third"):
        expect(card(page, title).get_by_role("progressbar")).to_be_visible()
    # Nobody clicked: nothing takes the focus.
    assert page.evaluate("document.activeElement === document.body")
    assert len(started) == 2
    for title in ("Second", "Third"):
        cancel(card(page, title))
    page.reload()
    expect(page.get_by_role("link", name="Launch ")).to_have_count(4)
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_what_is_closed_goes_on_and_is_shown_again(
    server: Running, page: Page, started: list[str]
) -> None:
    page.goto(server.url)
    known = set(launches(server))
    one = launch(page, "Third")
    expect(one.get_by_text("Running postBuild")).to_be_visible(timeout=COLD)
    [key] = set(launches(server)) - known
    one.get_by_role("button", name="Close").click()
    show = one.get_by_role("button", name="Show the launch")
    expect(show).to_be_focused()
    expect(one.get_by_role("status").first).to_have_text("The launch goes on: Building")
    expect(one.get_by_role("progressbar")).to_be_hidden()
    assert width(one) < width(page.get_by_role("list", name="Gallery")) / 2
    axe.check(page)
    state = f"{server.url}api/launches/{key}"
    assert page.request.get(state).json()["phase"] == "building"

    # By keyboard.
    page.keyboard.press("Enter")
    expect(one.get_by_role("progressbar")).to_be_visible()
    one.get_by_role("button", name="Close").press("Enter")
    expect(show).to_be_focused()
    page.reload()
    expect(one.get_by_role("progressbar")).to_be_visible()
    cancel(one)
    expect(one.get_by_role("link", name="Launch Third")).to_be_focused()
    expect(page.locator("binder-progress")).to_have_count(0)
    assert page.request.get(state).json()["phase"] == "cancelled"
    assert len(started) == 1


@pytest.mark.long
def test_what_is_closed_before_the_server_answers_goes_on_too(
    server: Running, page: Page, started: list[str]
) -> None:
    page.goto(server.url)
    held: list[Route] = []
    page.route("**/api/launches", lambda route: held.append(route))
    one = launch(page, "Third")
    until(lambda: bool(held), page)
    one.get_by_role("button", name="Close").click()
    expect(one.get_by_role("status").first).to_have_text("The launch goes on: Connecting")
    held[0].continue_()
    expect(one.get_by_text(re.compile("goes on: (Waiting|Fetching|Building)"))).to_be_visible()
    page.reload()
    expect(one.get_by_role("progressbar")).to_be_visible()
    assert len(started) == 1
    cancel(one)


def test_a_failure_is_told_in_the_card(server: Running, page: Page, started: list[str]) -> None:
    page.goto(server.url)
    one = launch(page, "Fourth")
    expect(one.get_by_role("heading", name="does not exist")).to_be_visible()
    known = set(launches(server))
    one.get_by_role("button", name="Try again").click()
    until(lambda: launches(server).keys() > known, page)
    [newest] = launches(server).keys() - known
    own = one.get_by_role("link", name="own page")
    expect(own).to_have_attribute("href", re.compile(re.escape(newest)))
    # A reload tells it again, and starts nothing.
    page.reload()
    expect(one.get_by_role("heading", name="does not exist")).to_be_visible()
    assert len(started) == 2


@pytest.mark.parametrize("modifier", usually(["Control", "Shift"], "Control"))
def test_a_click_that_asks_for_another_tab_gets_one(
    server: Running, page: Page, modifier: str
) -> None:
    page.goto(server.url)
    link = card(page, "Fourth").get_by_role("link", name="Launch Fourth")
    with page.context.expect_page() as opened:
        link.click(modifiers=[modifier])  # type: ignore[list-item] # both are known ones
    opened.value.wait_for_url("**/v2/git/**")
    expect(link).to_be_visible()
    expect(page.locator("binder-progress")).to_have_count(0)


def test_the_element_is_loaded_when_it_may_be_wanted(server: Running, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url.rpartition("/")[2]))
    page.goto(server.url)
    page.wait_for_load_state("networkidle")
    core = hashed_name("core.js").rpartition("/")[2]
    assert hashed_name("index.js").rpartition("/")[2] in asked
    assert core not in asked
    page.keyboard.press("Tab")
    while not page.evaluate("document.activeElement.closest('.cards')"):
        page.keyboard.press("Tab")
    until(lambda: core in asked, page)


def test_where_the_element_cannot_be_loaded_the_link_leads_on(
    server: Running, browser: Browser
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.route("**/assets/core-*.js", lambda route: route.abort())
    launch(page, "Fourth")
    page.wait_for_url("**/v2/git/**")
    context.close()


@pytest.mark.parametrize("calm", usually([True, False], False))
def test_a_card_below_the_edge_comes_into_view(
    server: Running, browser: Browser, calm: bool
) -> None:
    motion = "reduce" if calm else "no-preference"
    context = browser.new_context(
        viewport={"width": 360, "height": 640},
        reduced_motion=motion,  # type: ignore[arg-type] # one of the two
    )
    page = context.new_page()
    page.goto(server.url)
    one = card(page, "Fourth")
    one.evaluate("e => scrollBy(0, e.getBoundingClientRect().top - 300)")
    launch(page, "Fourth")
    outcome = one.get_by_role("heading", name="does not exist")
    expect(outcome).to_be_visible()
    until(lambda: is_in_view(one), page)
    expect(outcome).to_be_in_viewport()
    context.close()


def test_without_javascript_links_lead_to_a_page_that_says_what_can_be_done(
    server: Running, browser: Browser
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    page.get_by_role("link", name="Launch First").click()
    page.wait_for_url("**/v2/git/**")
    notice = page.locator("noscript .notice")
    expect(notice).to_be_visible()
    expect(notice).to_contain_text("Launching needs JavaScript")
    expect(notice).to_contain_text(f"{server.url}api/launches")
    page.goto(f"{server.url}link")
    page.get_by_label("Repository").fill("gh/a/b")
    page.get_by_label("A notebook in Voilà").check()
    page.get_by_label("Path", exact=True).fill("a.ipynb")
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("region", name="Link", exact=True)).to_have_text(
        f"{server.url}v2/gh/a/b/HEAD?urlpath=voila/render/a.ipynb"
    )
    expect(page.get_by_label("A notebook in Voilà")).to_be_checked()
    context.close()


# -- the element as a plain script

PLAIN = """\
<!doctype html><link rel="icon" href="data:,">{head}<title>A page</title>
<binder-progress hub="{hub}" spec="{spec}" variant="page"></binder-progress>{end}
"""
SCRIPT = '<script {how} src="{hub}static/binder-progress.classic.js"></script>'


@pytest.mark.parametrize(("how", "place"), [("", "head"), ("defer", "head"), ("", "end")])
def test_a_plain_script_defines_the_element(
    server: Running, page: Page, how: str, place: str
) -> None:
    script = SCRIPT.format(how=how, hub=server.url)
    spec = str(from_address("https://x.org/" + "a").at("HEAD"))
    places = {"head": "", "end": "", place: script}
    html = PLAIN.format(hub=server.url, spec=spec, **places)
    policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"
    headers = {"Content-Security-Policy": policy, "Content-Type": "text/html"}
    page.route("**/plain", lambda route: route.fulfill(body=html, headers=headers))
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url.removeprefix(server.url)))
    page.goto(f"{server.url}plain")
    expect(page.get_by_role("button", name="Launch")).to_be_visible()
    assert asked == ["plain", "static/binder-progress.classic.js"]
    assert page.evaluate("Object.keys(window).filter((name) => /binder/i.test(name))") == []


def test_a_plain_script_has_the_parts_that_are_loaded_when_wanted(
    server: Running, page: Page
) -> None:
    spec = card_spec(server, "fourth")
    html = PLAIN.format(
        hub=server.url, spec=spec, head=SCRIPT.format(how="", hub=server.url), end=""
    )
    page.route("**/plain", lambda r: r.fulfill(body=html, content_type="text/html"))
    page.goto(f"{server.url}plain")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.get_by_role("button", name="Launch").click()
    # The log opens by itself when a launch fails.
    expect(log_region(page)).to_contain_text("no-such-branch")
    # It has all languages, also those with other plural forms than English.
    again = page.locator("[part~=again]")
    for lang, text in {"ja": "再試行", "ar": "إعادة المحاولة"}.items():
        page.locator("binder-progress").evaluate("(it, lang) => { it.lang = lang; }", lang)
        expect(again).to_have_text(text)
    assert not [url for url in asked if "/static/" in url]


def card_spec(server: Running, slug: str) -> str:
    return str(server.standalone.web.gallery_items.items[slug].spec)


# -- for all


def test_what_is_not_for_all_is_found(page: Page) -> None:
    page.set_content("<html lang=en><title>A</title><main><h1>A</h1><button></button></main>")
    with pytest.raises(AssertionError, match=r"button-name \(critical\)[\s\S]*<button></button>"):
        axe.check(page)


def test_what_is_too_dark_is_found(page: Page) -> None:
    style = "@media (prefers-color-scheme: dark) { body { background: #111; color: #333 } }"
    page.set_content(
        f"<html lang=en><title>A</title><style>{style}</style><main><h1>A page</h1></main>"
    )
    axe.check(page)
    with pytest.raises(AssertionError, match=r"color-contrast \(serious\)[\s\S]*<h1>A page</h1>"):
        axe.check_both_schemes(page)


@pytest.mark.parametrize("columns", usually([360, 1280], 360))
def test_a_card_that_launches_is_for_all(server: Running, browser: Browser, columns: int) -> None:
    context = browser.new_context(
        reduced_motion="reduce", viewport={"width": columns, "height": 800}
    )
    page = context.new_page()
    page.goto(server.url)
    one = launch(page, "Second")
    expect(one.get_by_role("progressbar")).to_be_visible()
    axe.check_both_schemes(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= columns
    cancel(one)
    expect(page.locator("binder-progress")).to_have_count(0)
    context.close()


def test_the_picture_of_previews_is_light() -> None:
    picture = Path(__file__).parents[2] / "js" / "public" / "social.png"
    data = picture.read_bytes()
    assert len(data) < 60_000
    # As the pages say: width and height stand at the head of a PNG.
    assert [int.from_bytes(data[at : at + 4]) for at in (16, 20)] == [1200, 630]
