"""The log in a real Chromium: what is seen, found, followed, copied, and what attacks come to.

The log comes over the wire, from a double of it that says what a test wants and as fast as that.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from binderprogress.web.static_names import hashed_name

from ...support import axe
from ...support.long import usually
from ...support.wire import KEY, Wire
from .rows import at_end, line, numbered

pytestmark = pytest.mark.browser

ESC = "\x1b"


def test_lines_have_colours_and_overwrite_themselves(log: Locator, launch: Wire) -> None:
    launch.say(f"a {ESC}[31mred{ESC}[0m word\n", "10%\r", f"{ESC}[2K50%\r", "100%\r")
    launch.say("done\n", f"{ESC}[1;38;2;255;0;0;48;5;226mbold{ESC}[0m and {ESC}]0;title\x07plain\n")
    expect(log.locator(".log-text")).to_have_text(["a red word", "done", "bold and plain"])
    expect(log.get_by_text("red", exact=True)).to_have_css("color", "rgb(173, 36, 24)")
    bold = log.get_by_text("bold", exact=True)
    expect(bold).to_have_css("background-color", "rgb(255, 255, 0)")
    expect(bold).to_have_css("font-weight", "700")


@pytest.mark.parametrize("count", usually([20_000, 100_000], 20_000))
def test_of_many_lines_few_are_elements(log: Locator, launch: Wire, count: int) -> None:
    launch.say(*numbered(count))
    expect(line(log, f"line {count}")).to_be_visible(timeout=30_000)
    assert log.locator(".log-row").count() < 200
    log.evaluate("box => { box.scrollTop = box.scrollHeight / 2 }")
    middle = count // 2 + 1
    expect(line(log, re.compile(f"^{middle}line {middle}$"))).to_be_in_viewport()
    assert log.locator(".log-row").count() < 200
    log.focus()
    log.press("Home")
    expect(line(log, re.compile("^1line 1$"))).to_be_in_viewport()
    # A key while it still glides to the first line would only be a part of that.
    expect(log).to_have_js_property("scrollTop", 0)
    log.press("End")
    expect(line(log, f"line {count}")).to_be_in_viewport()


def test_follows_until_a_person_scrolls_up(log: Locator, launch: Wire, page: Page) -> None:
    follow = page.get_by_role("button", name="Follow")
    latest = page.get_by_role("button", name="Jump to the latest line")
    launch.say(*numbered(500))
    expect(line(log, "line 500")).to_be_in_viewport()
    expect(follow).to_have_attribute("aria-pressed", "true")
    expect(latest).to_be_hidden()

    log.hover()
    page.mouse.wheel(0, -30)
    expect(follow).to_have_attribute("aria-pressed", "false")
    before = log.evaluate("box => box.scrollTop")
    launch.say(*[f"more {number}\n" for number in range(500)])
    expect(page.locator("summary")).to_contain_text("1,000")
    assert log.evaluate("box => box.scrollTop") == before

    latest.click()
    expect(line(log, "more 499")).to_be_in_viewport()
    expect(log).to_be_focused()
    expect(latest).to_be_hidden()
    launch.say("the next\n")
    expect(line(log, "the next")).to_be_in_viewport()

    follow.click()
    launch.say(*numbered(100), "the last\n")
    expect(page.locator("summary")).to_contain_text("1,102")
    assert not at_end(log)
    # Scrolling to the end is a wish to follow it.
    log.press("End")
    expect(follow).to_have_attribute("aria-pressed", "true")
    launch.say("and one more\n")
    expect(line(log, "and one more")).to_be_in_viewport()


@pytest.mark.long
def test_wheel_stops_it_while_lines_come_fast(log: Locator, launch: Wire, page: Page) -> None:
    streaming = launch.stream(numbered(10_000), 5000)
    expect(line(log, "line").first).to_be_visible()
    log.hover()
    page.mouse.wheel(0, -200)
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "false")
    streaming.result(30)
    expect(page.locator("summary")).to_contain_text("10,000")
    assert not at_end(log)


def test_search_finds_and_goes_round(log: Locator, launch: Wire, page: Page) -> None:
    launch.say(*numbered(20_000), f"Er{ESC}[31mror{ESC}[0m: no\n", *numbered(500))
    launch.say("error and error\n", *numbered(500))
    expect(page.locator("summary")).to_contain_text("21,002")
    field = page.get_by_role("searchbox", name="Search the log")
    match = page.locator(".log-match")
    current = log.locator("mark.current")
    log.press("Control+f")
    expect(field).to_be_focused()
    field.press_sequentially("error")
    expect(match).to_have_text("1 / 3")
    # The match is in two colours, and so in two elements.
    expect(line(log, "Error: no")).to_be_in_viewport()
    expect(current).to_have_text(["Er", "ror"])
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    for place in ("2 / 3", "3 / 3", "1 / 3"):
        field.press("Enter")
        expect(match).to_have_text(place)
        expect(current.first).to_be_in_viewport()
    field.press("Shift+Enter")
    expect(match).to_have_text("3 / 3")
    expect(log.locator("mark")).to_have_text(["error", "error"])
    page.get_by_role("button", name="Previous match").click()
    expect(match).to_have_text("2 / 3")
    # What comes is searched, too.
    launch.say("another error\n")
    expect(match).to_have_text("2 / 4")

    field.press("Escape")
    expect(field).to_have_value("")
    expect(log).to_be_focused()
    expect(log.locator("mark")).to_have_count(0)
    log.press("/")
    expect(field).to_be_focused()
    field.fill("not there")
    expect(match).to_have_text("– / 0")


@pytest.mark.long
def test_a_match_far_to_the_side_is_brought_into_view(
    log: Locator, launch: Wire, page: Page
) -> None:
    page.get_by_role("button", name="Wrap lines").click()
    launch.say("." * 5000 + "needle\n")
    page.get_by_role("searchbox").fill("needle")
    expect(log.locator("mark.current")).to_be_in_viewport()
    # The number stays where it is.
    expect(log.get_by_role("link", name="Line 1")).to_be_in_viewport()


def test_copies_without_escapes(
    context: BrowserContext, log: Locator, launch: Wire, page: Page
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    launch.say(*numbered(1000), f"{ESC}[31mred{ESC}[0m\n")
    expect(line(log, "red")).to_be_visible()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "".join([*numbered(1000), "red\n"])


def test_copies_where_there_is_no_clipboard(
    context: BrowserContext, launch: Wire, page: Page
) -> None:
    # As on a page that came over http from another machine.
    context.grant_permissions(["clipboard-read"])
    page.add_init_script("""
        window.clipboard = navigator.clipboard;
        Object.defineProperty(navigator, "clipboard", { value: undefined });
    """)
    page.goto(launch.url)
    page.locator("summary").click()
    launch.say("one\n", "two\n")
    expect(page.locator(".log-row")).to_have_count(2)
    button = page.get_by_role("button", name="Copy")
    button.click()
    expect(page.get_by_text("Copied")).to_be_visible()
    expect(button).to_be_focused()
    assert page.evaluate("clipboard.readText()") == "one\ntwo\n"
    # And where that is refused as well.
    page.evaluate("document.execCommand = () => false")
    button.click()
    expect(page.get_by_text("Download the log instead")).to_be_visible()


def test_downloads_the_servers_log(log: Locator, launch: Wire, page: Page) -> None:
    launch.say("one\n", f"{ESC}[31mtwo{ESC}[0m\n")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "a-b-HEAD.log"
    assert download.value.path().read_text() == "one\ntwo\n"


def test_fills_the_screen(log: Locator, launch: Wire, page: Page) -> None:
    launch.say(*numbered(200))
    before = log.locator(".log-row").count()
    page.get_by_role("button", name="Full screen").click()
    expect(page.get_by_role("button", name="Exit full screen")).to_be_visible()
    assert page.evaluate("document.fullscreenElement?.localName") == "binder-progress"
    height = page.evaluate("innerHeight")
    assert log.bounding_box()["height"] > height - 120  # type: ignore[index] # it is visible
    expect(line(log, "line 200")).to_be_in_viewport()
    assert log.locator(".log-row").count() > before
    page.get_by_role("button", name="Exit full screen").click()
    expect(page.get_by_role("button", name="Full screen", exact=True)).to_be_visible()
    assert page.evaluate("document.fullscreenElement") is None


def test_a_lines_number_is_its_link(log: Locator, launch: Wire, page: Page) -> None:
    launch.say(*numbered(300))
    number = log.get_by_role("link", name="Line 290")
    number.click()
    expect(page).to_have_url(re.compile(f"#launch={KEY}&line=290$"))
    expect(number).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    # By keyboard: from number to number, beyond what is seen.
    for step in range(1, 31):
        page.keyboard.press("ArrowUp")
        expect(log.get_by_role("link", name=f"Line {290 - step}", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("line=260$"))
    expect(log.locator("[aria-current]")).to_have_count(1)
    # One of them is reached by the Tab key: else there were dozens to get past.
    assert log.locator("a[tabindex='0']").count() == 1
    # When it leaves the view, reading goes on in the box.
    log.evaluate("box => { box.scrollTop = 0 }")
    expect(log).to_be_focused()


HOSTILE = f"<img src=x onerror=alert(1)>\x00\x08\x07{ESC}[31m<script>alert(2)</script>{ESC}[999C"


def test_attack_a_line_of_a_megabyte_is_text(log: Locator, launch: Wire, page: Page) -> None:
    launch.say("before\n", HOSTILE * (1_000_000 // len(HOSTILE)) + "\n", "after\n")
    expect(line(log, "after")).to_be_visible()
    row = line(log, "<script>alert(2)</script>")
    expect(row).to_contain_text("This line is longer")
    assert log.locator("img, script").count() == 0
    assert len(row.inner_text()) < 11_000
    # Nor more elements than can be shown smoothly.
    assert row.locator("*").count() < 1000
    page.get_by_role("searchbox").fill("alert")
    expect(page.locator(".log-match")).to_have_text("1 / 377")


@pytest.mark.long
def test_attack_nothing_turns_a_line_around_or_hides_it(log: Locator, launch: Wire) -> None:
    launch.say("photo_\u202egnp.exe\n", f"{ESC}[8mhidden{ESC}[0m {ESC}[30;40mblack{ESC}[0m\n")
    expect(line(log, "photo_<U+202E>gnp.exe")).to_be_visible()
    expect(line(log, "hidden black")).to_be_visible()
    black = log.get_by_text("black", exact=True)
    colours = black.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    assert colours[0] != colours[1]


@pytest.mark.long
def test_attack_ten_thousand_events_a_second_leave_the_page_usable(
    log: Locator, launch: Wire, page: Page
) -> None:
    lines = [f"{ESC}[32m{n}{ESC}[0m {'x' * 60}\n" for n in range(100_000)]
    streaming = launch.stream(lines, 10_000)
    expect(line(log, "xxx").first).to_be_visible()
    page.get_by_role("searchbox").fill("99")
    expect(page.locator(".log-match")).to_have_text(re.compile(r"^\d+ / "))
    for pressed in ("true", "false", "true"):
        began = time.monotonic()
        page.get_by_role("button", name="Follow").click()
        expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", pressed)
        # A page that is not usable does not react before the log ends.
        assert time.monotonic() - began < 8
    assert not streaming.done()
    # Some seconds of it are enough.
    expect(page.locator("summary")).to_contain_text(
        re.compile(r"[2-9]\d,\d{3}|\d{3},"), timeout=30_000
    )
    launch.finish()
    last = streaming.result(60) - 1
    expect(line(log, f"{last} xxx")).to_be_in_viewport(timeout=30_000)


# Without the element, as other parts of it may use the view.
ALONE = """async () => {
  const { LogView } = await import("/static/LOG_VIEW");
  const host = document.createElement("div");
  const shadow = document.createElement("div").attachShadow({ mode: "open" });
  shadow.append(host);
  document.querySelector("main").replaceChildren(shadow.host);
  window.source = { revision: 0, changedSince: () => Infinity, time: () => 0 };
  const line = (number) => `\\x1b[31mline\\x1b[0m ${number + 1}`;
  window.log = { ...source, start: 0, end: 50, line };
  const words = (say) => ({ say, number: String, named: (what) => what });
  window.words = words;
  window.view = new LogView(host, shadow, {
    words: words((key) => key),
    source: () => ({}),
    name: () => "build.txt",
    spec: () => "gh/ada/penguins/HEAD",
    lineHref: (line) => `https://elsewhere.example/#line=${line}`,
    sections: () => [],
    progress: () => ({ phase: "Building", percent: "50%", url: "" }),
  });
  view.render(log);
}"""


@pytest.fixture
def alone(page: Page, launch: Wire) -> Page:
    """A page with nothing but the view, of fifty lines."""
    page.goto(launch.url)
    page.evaluate(ALONE.replace("LOG_VIEW", hashed_name("log-view.js")))
    expect(page.get_by_role("link", name="log.line").last).to_be_visible()
    return page


def test_without_a_servers_log_downloads_what_is_kept(alone: Page) -> None:
    with alone.expect_download() as download:
        alone.get_by_role("button", name="log.download").click()
    assert download.value.suggested_filename == "build.txt"
    expected = "".join(numbered(50))
    assert download.value.path().read_text() == expected


def test_goes_to_a_line_when_it_comes(alone: Page) -> None:
    alone.evaluate("view.goTo(10)")
    number = alone.locator("[aria-current]")
    expect(number).to_have_text("10")
    expect(number).to_be_focused()
    expect(number).to_be_in_viewport()
    alone.evaluate("view.goTo(400)")
    expect(number).to_have_text("10")
    alone.evaluate("{ log.end = 1000; view.render(log) }")
    expect(number).to_have_text("400")
    expect(number).to_be_in_viewport()
    # Of lines that were dropped it says so.
    alone.evaluate("{ log.start = 500; view.render(log); view.goTo(3) }")
    expect(alone.get_by_text("log.gone")).to_be_visible()
    expect(alone.get_by_text("log.cut")).to_be_visible()


def test_another_language_and_another_log(alone: Page) -> None:
    alone.evaluate("view.words = words((key) => `ä ${key}`)")
    expect(alone.get_by_role("button", name="ä log.follow")).to_be_visible()
    expect(alone.get_by_role("link", name="ä log.line").first).to_be_visible()
    alone.evaluate("view.render({ ...source, start: 0, end: 1, line: () => 'of another launch' })")
    expect(alone.locator(".log-row")).to_have_text(["1of another launch"])


@pytest.mark.parametrize("width", usually([360, 1280], 360))
def test_is_accessible(log: Locator, launch: Wire, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    named = [f"{ESC}[{code}mcolour{ESC}[0m " for code in [*range(30, 38), *range(90, 98)]]
    fixed = [f"{ESC}[38;5;{code}mcolour{ESC}[0m " for code in range(16, 256, 9)]
    launch.say("ERROR: https://a.example/b\n", "WARNING: old\n")
    launch.say(f"{ESC}]8;;https://a.example/c{ESC}\\link{ESC}]8;;{ESC}\\\n")
    launch.say("".join(named) + "\n", "".join(fixed) + "\n", f"{ESC}[2mdim {ESC}[7mreverse\n")
    launch.say(*numbered(10))
    log.get_by_role("link", name="Line 5").click()
    page.get_by_role("searchbox").fill("line 7")
    expect(log.locator("mark.current")).to_be_visible()
    # The page stays within its width.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    axe.check_both_schemes(page, "binder-progress")
