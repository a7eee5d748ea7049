"""Steps, times, marked lines and full screen of a log in a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from ...support import axe
from ...support.long import usually
from ...support.widget import log_region
from ...support.wire import KEY, Wire
from .rows import at_end, line, numbered

pytestmark = pytest.mark.browser


def result(row: Locator) -> str:
    """What the style sheet draws at the end of a row."""
    drawn: str = row.locator(".log-result").evaluate(
        "element => getComputedStyle(element, '::before').content"
    )
    return drawn


def steps(launch: Wire) -> None:
    """Say three steps, of which the second was cached."""
    launch.step(1)
    launch.say("Step 1/51 : FROM python\n", *numbered(300))
    launch.step(2, cached=True, after=12)
    launch.say("Step 2/51 : COPY . .\n", " ---> Using cache\n")
    launch.step(3, after=2)
    launch.say("Step 3/51 : RUN pip install\n", "installing\n")


def test_steps_fold(log: Locator, launch: Wire, page: Page) -> None:
    steps(launch)
    expect(line(log, "installing")).to_be_in_viewport()
    log.press("Home")
    first = log.get_by_role("button", name="Lines of Step 1 of 51")
    expect(first).to_have_attribute("aria-expanded", "true")
    expect(first).to_have_accessible_name(re.compile(r"^Lines of Step 1 of 51, 12 sec"))
    assert "✓ 12 sec" in result(line(log, "FROM python"))
    first.click()
    expect(first).to_have_attribute("aria-expanded", "false")
    expect(log.locator(".log-text")).to_have_text(
        [
            re.compile("FROM python"),
            re.compile("COPY"),
            re.compile("Using cache"),
            re.compile("RUN pip"),
            "installing",
        ]
    )
    assert "cached" in result(line(log, "COPY"))
    # A running step has no result.
    assert "sec" not in result(line(log, "RUN pip"))
    # By keyboard: to the number of the next visible line.
    log.get_by_role("link", name="Line 1", exact=True).focus()
    page.keyboard.press("ArrowDown")
    expect(log.get_by_role("link", name="Line 302", exact=True)).to_be_focused()

    # What is searched for is unfolded.
    page.get_by_role("searchbox").fill("line 150")
    expect(log.locator("mark.current")).to_be_in_viewport()
    expect(log.locator("mark.current")).to_have_text("line 150")

    everything = page.get_by_role("button", name="Fold steps")
    everything.click()
    expect(everything).to_have_attribute("aria-pressed", "true")
    expect(log.locator(".log-row")).to_have_count(3)
    # Lines that come belong to the folded step.
    launch.say("more\n")
    launch.step(4, after=1)
    launch.say("Step 4/51 : USER me\n")
    expect(line(log, "USER me")).to_be_visible()
    expect(line(log, "more")).to_have_count(0)
    everything.click()
    log.press("End")
    expect(line(log, "more")).to_be_in_viewport()


def test_times_are_shown_on_demand(log: Locator, launch: Wire, page: Page) -> None:
    steps(launch)
    expect(line(log, "installing")).to_be_visible()
    expect(log.locator(".log-time")).to_have_count(0)
    button = page.get_by_role("button", name="Times")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    times = log.locator(".log-time")
    expect(times.first).to_have_attribute("data-time", re.compile(r"^\d\d:\d\d:\d\d$"))
    assert times.first.get_attribute("data-time") != times.last.get_attribute("data-time")
    assert at_end(log)
    button.click()
    expect(times).to_have_count(0)


def test_times_and_steps_of_lines_that_the_events_do_not_have(
    log: Locator, launch: Wire, page: Page
) -> None:
    launch.step(1)
    launch.say("Step 1/51 : FROM python\n", *(f"line {number}\n" for number in range(2000)))
    launch.cut()
    for index, seconds in ((2, 100), (3, 20)):
        launch.step(index, after=seconds)
        # The events go on with the steps.
        launch.say("")
        launch.print(f"Step {index}/51 : RUN it\n" + "more\n" * 3000)
    expect(line(log, "more").first).to_be_visible()
    page.get_by_role("button", name="Times").click()
    page.get_by_role("button", name="Fold steps").click()
    expect(log.locator(".log-text")).to_have_text([re.compile(f"Step {n}/51") for n in (1, 2, 3)])
    assert "✓ 1 min 40 sec" in result(line(log, "Step 1/51"))
    assert "✓ 20 sec" in result(line(log, "Step 2/51"))
    times = [time.get_attribute("data-time") for time in log.locator(".log-time").all()]
    minutes = [60 * int(time[3:5]) + int(time[6:]) for time in times if time]
    assert (minutes[2] - minutes[1]) % 3600 in {19, 20, 21}
    log.get_by_role("button", name="Lines of Step 2 of 51").click()
    expect(line(log, "more").first).to_be_visible()
    expect(log.get_by_role("link", name="Line 2003", exact=True)).to_be_visible()


def test_several_lines_are_marked_and_copied(
    context: BrowserContext, log: Locator, launch: Wire, page: Page
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    launch.say(*numbered(30))
    log.get_by_role("link", name="Line 22", exact=True).click()
    log.get_by_role("link", name="Line 20", exact=True).click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile(f"#launch={KEY}&line=L20-L22$"))
    expect(log.locator(".marked")).to_have_text([re.compile(f"line {n}$") for n in (20, 21, 22)])
    # By keyboard, from the number that has the focus.
    log.get_by_role("link", name="Line 20", exact=True).focus()
    page.keyboard.press("Shift+ArrowUp")
    expect(page).to_have_url(re.compile("line=L19-L22$"))
    page.get_by_role("button", name="Copy lines 19–22").click()
    expect(page.get_by_text("Copied: 4 lines")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "line 19\nline 20\nline 21\nline 22\n"
    log.get_by_role("link", name="Line 25", exact=True).click()
    page.get_by_role("button", name="Copy log").click()
    expect(page.get_by_text("Copied: 30 lines")).to_be_visible()


def test_a_link_to_several_lines(launch: Wire, page: Page) -> None:
    launch.say(*numbered(300))
    page.goto(launch.url)
    page.locator("binder-progress").evaluate("element => { element.line = 'L100-L102' }")
    expect(page.get_by_role("link", name="Line 100", exact=True)).to_be_focused()
    expect(page.locator(".marked")).to_have_count(3)


@pytest.mark.parametrize("api", usually([True, False], True))
def test_full_screen_shows_how_far_it_is(launch: Wire, page: Page, api: bool) -> None:
    if not api:
        # As on an iPhone.
        page.add_init_script(
            "Object.defineProperty(Document.prototype, 'fullscreenEnabled', { get: () => false })"
        )
    page.set_viewport_size({"width": 360 if not api else 1280, "height": 800})
    launch.say(*numbered(300))
    page.goto(f"{launch.url}#launch={KEY}")
    page.locator("summary").click()
    page.get_by_role("button", name="Full screen").click()
    shown = page.locator(".log-progress")
    expect(shown).to_contain_text("Building")
    expect(shown).to_contain_text(re.compile(r"\d\d%"))
    box = log_region(page)
    expect(line(box, "line 300")).to_be_in_viewport()
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    launch.say("one more\n")
    expect(line(box, "one more")).to_be_in_viewport()
    bounds = page.locator("#log-view").bounding_box()
    assert bounds is not None
    assert bounds["height"] > 780
    page.get_by_role("button", name="Exit full screen").click()
    expect(shown).to_have_count(0)
    expect(follow).to_have_attribute("aria-pressed", "true")
    # High enough for the whole of the element.
    page.set_viewport_size({"width": 1280, "height": 1400})
    expect(line(box, "one more")).to_be_in_viewport()


@pytest.mark.parametrize("width", usually([360, 1280], 360))
def test_steps_are_accessible(log: Locator, launch: Wire, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    steps(launch)
    page.get_by_role("button", name="Times").click()
    page.get_by_role("button", name="Fold steps").click()
    expect(log.locator(".log-row")).to_have_count(3)
    axe.check_both_schemes(page, "binder-progress")
    page.get_by_role("button", name="Fold steps").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    axe.check_both_schemes(page, "binder-progress")
