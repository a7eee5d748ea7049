"""The element in pages of another site: reloads, other languages of failure, several of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ..support import axe
from ..support.replay import Stage, stage
from ..support.site import Site, other_site
from ..support.widget import SPEC, log_region, phase

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with other_site() as site:
        yield site


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[Stage]:
    with stage(Web={"allowed_origins": [site.origin]}) as made:
        yield made


def test_a_reload_goes_on_and_starts_nothing(
    shared: Stage, site: Site, page: Page, started: list[str]
) -> None:
    site.embed(shared.url, SPEC)
    # Another one of the same repository, which was not launched.
    site.html += site.html.rpartition("\n")[2]
    page.goto(site.origin)
    launch = page.get_by_role("button", name=f"Launch {SPEC}")
    expect(launch).to_have_count(2)
    launch.first.click()
    shared.say("Step 1/9 : FROM ubuntu\n")
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    expect(launch).to_have_count(1)
    # A duplicated tab has a copy of the storage.
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href)")
    copy = opened.value
    expect(copy.get_by_text("Step 1 of 9")).to_be_visible()
    copy.close()
    assert len(started) == 1
    # Names that tell several apart.
    for role in ("progressbar", "region"):
        expect(page.get_by_role(role, name=SPEC)).to_be_visible()  # type: ignore[arg-type] # two roles
    page.get_by_text("Log", exact=False).locator("visible=true").first.click()
    expect(log_region(page)).to_have_accessible_name(f"Log: {SPEC}")
    axe.check(page, "binder-progress")
    page.get_by_role("button", name=f"Cancel: {SPEC}").click()
    expect(page.get_by_role("button", name=f"Launch again: {SPEC}")).to_be_visible()
    page.reload()
    expect(launch).to_have_count(2)


def test_the_link_is_there_where_the_script_is_not(
    shared: Stage, site: Site, browser: Browser, page: Page
) -> None:
    site.embed(shared.url, SPEC)
    page.goto(site.origin)
    expect(page.get_by_role("button", name=f"Launch {SPEC}")).to_be_visible()
    link = page.get_by_role("link", name=f"Launch {SPEC}")
    expect(link).to_be_hidden()

    plain = browser.new_context(java_script_enabled=False)
    without = plain.new_page()
    without.goto(site.origin)
    expect(without.get_by_role("link", name=f"Launch {SPEC}")).to_have_attribute(
        "href", f"{shared.url}v2/{SPEC}"
    )
    plain.close()

    failing = browser.new_context()
    broken = failing.new_page()
    broken.route("**/binder-progress.js", lambda route: route.abort())
    broken.goto(site.origin)
    expect(broken.get_by_role("link", name=f"Launch {SPEC}")).to_be_visible()
    failing.close()


def test_a_sandboxed_frame_says_what_it_lacks(
    shared: Stage, site: Site, context: BrowserContext, started: list[str]
) -> None:
    page = context.new_page()
    written: list[str] = []
    page.on("console", lambda message: written.append(message.text))
    site.embed(shared.url, SPEC)
    page.route("**/frame", lambda route: route.fulfill(body=FRAME, content_type="text/html"))
    page.goto(f"{site.origin}/frame")
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name=f"Launch {SPEC}").click()
    message = frame.locator("[part~=outcome-message]")
    expect(message).to_contain_text("not allow requests from a sandboxed frame")
    there = frame.get_by_role("link", name="Launch on 127.0.0.1")
    expect(there).to_have_attribute("href", f"{shared.url}v2/{SPEC}")
    assert any("allow-same-origin" in text for text in written)
    assert not started


FRAME = '<!doctype html><title>Course</title><iframe sandbox="allow-scripts" src="/"></iframe>'


def test_it_counts_down_until_it_may_launch_again(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    limited = {"allowed_origins": [site.origin], "rate_limit": 1, "rate_period": 90.0}
    with stage(Web=limited) as play:
        site.embed(play.url, SPEC)
        page.clock.install()
        page.goto(site.origin)
        page.get_by_role("button", name=f"Launch {SPEC}").click()
        play.say("Step 1/9 : FROM ubuntu\n")
        expect(phase(page)).to_have_text("Building")
        page.get_by_role("button", name="Cancel").click()
        again = page.get_by_role("button", name="Launch again")
        again.click()
        count = page.get_by_text("You can try again in")
        expect(count).to_have_text(re.compile(r"in 1 min \d\d sec\.$"))
        retry = page.get_by_role("button", name="Try again")
        expect(retry).to_be_disabled()
        axe.check(page, "binder-progress")
        page.clock.run_for(60_000)
        expect(count).to_have_text(re.compile(r"in \d\d sec\.$"))
        page.clock.run_for(40_000)
        expect(count).to_be_hidden()
        expect(retry).to_be_enabled()
        # The server's own clock has not gone on: it refuses, and counts from there.
        retry.click()
        expect(count).to_be_visible()
