"""A failure in real Chromium: what leads, what can help, and what is left out."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from ..support import axe
from ..support.replay import Stage
from ..support.widget import SPEC, open_launch, percent, phase

pytestmark = pytest.mark.browser


def main_action(page: Page) -> str:
    """Return the name of the one button that stands out."""
    background = "element => getComputedStyle(element).backgroundColor"
    accent = page.locator("[part=root]").evaluate(
        "root => { const probe = document.createElement('i'); root.append(probe);"
        " probe.style.color = 'var(--accent)'; const { color } = getComputedStyle(probe);"
        " probe.remove(); return color; }"
    )
    buttons = page.locator("[part=actions] .button:visible").all()
    (main,) = [button for button in buttons if button.evaluate(background) == accent]
    return main.inner_text()


def again(page: Page) -> None:
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("[part=outcome]")).to_have_count(0)
    expect(percent(page)).not_to_be_empty()


def test_what_can_help_depends_on_who_can_fix_it(page: Page, play: Stage) -> None:
    open_launch(page, play)
    heading = page.locator("[part~=outcome-title]")
    waterfall = page.get_by_role("table", name="Where the time went")

    # Whoever launches it: the address. It failed at once, so nothing is said of its time.
    play.fail("bad-ref", "The branch, tag or commit mian does not exist in kim/demo.")
    expect(heading).to_have_text("The branch, tag or commit mian does not exist in kim/demo.")
    expect(waterfall).to_have_count(0)
    assert main_action(page) == "Change the address"
    change = page.get_by_role("link", name="Change the address")
    target = "link?repo=https%3A%2F%2Fgithub.com%2Fbinder-examples%2Frequirements"
    expect(change).to_have_attribute("href", f"{play.url}{target}")

    # The author of the repository: the file, and the lines that show it.
    again(page)
    play.log(*(f"line {number}\n" for number in range(1, 61)))
    play.say("Step 3/12 : RUN pip install -r requirements.txt\n")
    play.log("\x1b[31mERROR: No matching distribution found for six==99.99\x1b[0m\n")
    play.log(*(f"more {number}\n" for number in range(1, 41)))
    play.fail("unknown")
    expect(heading).to_have_text("The requirement six==99.99 cannot be satisfied.")
    assert main_action(page) == "Edit requirements.txt"
    evidence = page.get_by_role("group", name="Log lines that show why")
    expect(evidence).to_contain_text("ERROR: No matching distribution found for six==99.99")
    axe.check_all_colors(page)
    evidence.get_by_role("link", name=re.compile(r"^Line 6\d$")).click()
    marked = page.locator("#log-view [aria-current]")
    expect(marked).to_be_in_viewport()
    expect(page.locator("#log-view .marked")).to_contain_text("six==99.99")
    expect(marked).to_be_focused()

    # The administrator.
    again(page)
    play.fail("no-engine")
    expect(heading).to_have_text("The container engine is not responding.")
    assert main_action(page) == "Copy a report for the administrator"

    # Nobody: it is the network.
    again(page)
    play.fail("host-unreachable", "The host example.org cannot be reached.")
    expect(heading).to_have_text("The host example.org cannot be reached.")
    assert main_action(page) == "Try again"
    expect(page.locator("[part=actions] .button:visible")).to_have_count(1)

    # Whoever cancelled it.
    again(page)
    page.get_by_role("button", name="Cancel").click()
    expect(heading).to_have_text("The launch was cancelled")
    expect(page.get_by_text("Cancelled", exact=True)).to_have_count(0)
    expect(page.locator("[part=panel]")).to_have_count(0)
    assert main_action(page) == "Launch again"
    axe.check_all_colors(page)


def test_the_log_is_as_high_as_it_is_long(page: Page, play: Stage) -> None:
    open_launch(page, play)
    page.locator("summary").click()
    box = page.locator(".log-box")
    expect(page.locator("#log-view .log-row")).to_have_count(1)

    def height() -> float:
        return float(box.evaluate("box => box.clientHeight"))

    assert height() < 100
    play.log(*(f"line {number}\n" for number in range(1, 11)))
    expect(page.get_by_text("line 10", exact=True)).to_be_visible()
    # Eleven lines, and no empty space.
    page.wait_for_function("box => box.scrollHeight === box.clientHeight", arg=box.element_handle())
    assert 11 * 20 < height() < 12 * 24 + 10
    play.log(*(f"line {number}\n" for number in range(11, 201)))
    expect(page.get_by_text("line 200", exact=True)).to_be_visible()
    assert height() <= 26 * 16


def test_a_screen_reader_hears_that_it_goes_on(page: Page, play: Stage) -> None:
    page.clock.install()
    page.goto(f"{play.url}v2/{SPEC}")
    expect(percent(page)).not_to_be_empty()
    live = page.locator("#live")
    expect(live).to_have_attribute("role", "status")
    play.say("Step 3/12 : RUN pip install six\n")
    expect(phase(page)).to_have_text("Building")
    expect(live).to_have_text("Building")
    page.clock.fast_forward(20_000)
    # No chatter: the step and the time have changed meanwhile.
    play.say("Step 4/12 : RUN pip install seven\n")
    expect(page.locator("[part=step]")).to_have_text("Step 4 of 12 · pip install seven")
    expect(live).to_have_text("Building")
    page.clock.fast_forward(600_000)
    expect(live).to_have_text(re.compile(r"^Building: longer than usual \(usually \d+ sec\)$"))
    page.clock.fast_forward(60_000)
    word = r"^\d+%, Building: Step 4 of 12 · pip install seven, longer than usual"
    expect(live).to_have_text(re.compile(word))
    play.fail("out-of-memory")
    expect(live).to_have_text(
        "There was not enough memory. Use fewer or smaller packages, or a larger machine."
    )


def test_a_refused_launch_says_why_first(context: BrowserContext, play: Stage) -> None:
    """Without an event: the server's own sentence, and what can help."""
    # Not the fixture's: the browser complains of the refusal.
    page = context.new_page()
    page.route("**/api/launches", refuse)
    page.goto(f"{play.url}v2/{SPEC}")
    heading = page.locator("[part~=outcome-title]")
    expect(heading).to_have_text("Launching gh/binder-examples is not allowed here.")
    expect(page.locator("#live")).to_have_text("Launching gh/binder-examples is not allowed here.")
    assert main_action(page) == "Copy a report for the administrator"
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    axe.check_all_colors(page)


def refuse(route: Route) -> None:
    """Respond as a server that does not allow a repository."""
    message = "Launching gh/binder-examples is not allowed here."
    route.fulfill(status=403, json={"error": {"message": message, "reason": "banned"}})
