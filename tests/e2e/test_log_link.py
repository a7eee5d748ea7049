"""The permanent link to a build's log, on the page of a launch."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from ..support import axe
from ..support.durable import DurableMemoryStore, Memory
from ..support.replay import stage

pytestmark = pytest.mark.browser

SPEC = "gh/ada/repository/HEAD"


def open_log(page: Page) -> None:
    # It is opened by itself, unless the launch fails before the page has loaded all its parts.
    page.locator("[part=log]").evaluate("(log) => { log.open = true; }")


def test_a_launch_that_failed_links_to_a_log_that_outlives_it(page: Page) -> None:
    with stage(DurableMemoryStore(Memory(), "replica")) as play:
        page.goto(f"{play.url}v2/{SPEC}")
        play.say("\x1b[31mno such package\x1b[0m\n")
        play.fail("build-failed", "The build failed.")
        link = page.locator("[part=log-link]")
        expect(link).to_have_text("Permanent link to the log of the build")
        address = link.get_attribute("href") or ""
        # The log has the same link among its tools.
        open_log(page)
        tool = page.get_by_role("link", name="Permanent link", exact=True)
        expect(tool).to_have_attribute("href", address)
        expect(tool).to_have_attribute("title", "Permanent link to the log of the build")
        with page.expect_popup() as opened:
            link.click()
        log = opened.value.locator("pre")
        expect(log).to_have_text("no such package\nThe build failed.\n")
        launch_id = page.locator("binder-progress").evaluate("(element) => element.launch")
        play.forget(launch_id)
        assert page.request.get(f"{play.url}api/launches/{launch_id}").status == 404
        opened.value.reload()
        expect(log).to_have_text("no such package\nThe build failed.\n")


def test_without_a_store_there_is_no_link(page: Page) -> None:
    with stage() as play:
        page.goto(f"{play.url}v2/{SPEC}")
        play.fail("build-failed", "The build failed.")
        expect(page.locator("[part=outcome]")).to_be_visible()
        open_log(page)
        expect(page.get_by_role("link", name="Download", exact=True)).to_be_visible()
        expect(page.locator("[part=log-link]")).to_be_hidden()
        expect(page.get_by_role("link", name="Permanent link")).to_be_hidden()


def test_a_launch_that_built_nothing_links_to_the_log_of_the_build(page: Page) -> None:
    with stage(DurableMemoryStore(Memory(), "replica")) as play:
        page.goto(f"{play.url}v2/{SPEC}")
        play.say("installing six\n")
        play.built()
        play.serve()
        expect(page.locator("#open")).to_be_visible()
        # It has its own log.
        expect(page.locator("#earlier-log")).to_have_count(0)
        page.goto("about:blank")
        page.goto(f"{play.url}v2/{SPEC}")
        play.built(found=True)
        play.serve()
        link = page.locator("#earlier-log")
        expect(link).to_have_text(re.compile(r"Log of the build of [A-Z]\w+ \d+|\d+ [A-Z]\w+"))
        page.set_viewport_size({"width": 360, "height": 800})
        axe.check_both_schemes(page, "binder-progress")
        with page.expect_popup() as opened:
            link.click()
        expect(opened.value.locator("pre")).to_have_text("installing six\nBuilt the environment.\n")
