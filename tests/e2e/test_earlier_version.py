"""In the page, an earlier version is started while the newest one is built."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from ..support import axe
from ..support.replay import Stage
from ..support.versions import AGE, OLD, versions
from ..support.widget import SPEC, percent, phase

pytestmark = pytest.mark.browser


@pytest.fixture
def play(page: Page) -> Iterator[Stage]:
    with versions(page) as play:
        yield play


def open_building(page: Page, play: Stage) -> None:
    page.goto(f"{play.url}v2/{SPEC}")
    play.play("repo2docker-ok.jsonl")
    expect(phase(page)).to_have_text("Building")


def test_it_is_started_beside_the_build_whose_end_offers_the_newest(
    page: Page, play: Stage
) -> None:
    open_building(page, play)
    day = time.strftime("%A, %B %-d", time.localtime(time.time() - AGE))
    start = page.get_by_role("button", name=f"Start the version of {day} now: ")
    expect(start).to_be_visible()
    expect(page.locator("[part=earlier-text]")).to_contain_text("(commit aaaaaaaa)")
    axe.check_both_schemes(page)
    address = page.url

    with page.expect_request(lambda request: request.method == "POST") as posted:
        start.press("Enter")
    assert posted.value.post_data_json == {"spec": f"gh/binder-examples/requirements/{OLD}"}
    expect(page.locator("[part=earlier-text]")).to_contain_text("Earlier version: Launching")
    assert page.url == address
    play.serve(f"{play.url}?old")
    opens = page.get_by_role("link", name="Open the earlier version in a new tab")
    expect(opens).to_have_attribute("href", re.compile(r"\?old"))
    expect(phase(page)).to_have_text("Building")
    axe.check_both_schemes(page)

    # A reload goes on with both.
    page.reload()
    expect(opens).to_be_visible()
    expect(phase(page)).to_have_text("Building")
    play.built()
    expect(phase(page)).to_have_text("Launching")
    play.serve(f"{play.url}?new")
    newest = page.get_by_role("link", name="Open the server in a new tab")
    expect(newest).to_have_attribute("href", re.compile(r"\?new"))
    # It is offered, and takes nobody away.
    expect(page.locator("[part=earlier-text]")).to_contain_text("The newest version is ready, too.")
    expect(opens).to_be_visible()
    assert page.url == address
    assert len(play.launcher.requests) == 3


def test_there_is_room_for_it_in_every_variant(page: Page, play: Stage) -> None:
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        open_building(page, play)
        start = page.locator("#earlier-start")
        expect(start).to_be_visible()
        for variant in ("page", "block", "compact"):
            page.evaluate(
                "(variant) => { document.querySelector('binder-progress').variant = variant; }",
                variant,
            )
            expect(page.locator(f"[data-variant={variant}]")).to_be_visible()
            # In one line, it is shown with the log.
            expect(start).to_be_visible(visible=variant != "compact")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width
        page.locator("summary").click()
        expect(start).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(percent(page)).not_to_be_empty()
