"""The element at a plain BinderHub: a page of another site, real Chromium, recorded streams."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ..support.binderhub import BinderHub, binderhub_in_thread, recorded
from ..support.replay import stage
from ..support.site import Site, other_site
from ..support.waiting import until

pytestmark = pytest.mark.browser

Launching = Callable[..., AbstractContextManager[BinderHub]]

SPEC = "gh/binder-examples/requirements/HEAD"


@pytest.fixture(scope="module")
def scripts() -> Iterator[str]:
    """A server that has our scripts, and launches nothing."""
    with stage() as made:
        yield made.url


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with other_site() as site:
        yield site


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 1000})
    yield context.new_page()
    context.close()


@pytest.fixture
def launching(page: Page, site: Site, scripts: str) -> Launching:
    """Open a page with the element, below a policy that allows the hub and no more."""

    @contextmanager
    def open_page(attributes: str = "autostart", stream: str = "ok", **options: Any) -> Any:
        options.setdefault("allow_origin", "*")
        with binderhub_in_thread(stream, **options) as hub:
            site.embed(hub.url, SPEC, attributes, scripts=scripts)
            page.goto(site.origin)
            yield hub

    return open_page


def opened(page: Page) -> Any:
    return page.get_by_role("link", name="Open the server")


def test_it_comes_to_a_server_with_steps_bar_and_time(page: Page, launching: Launching) -> None:
    with launching("", pace=0.03) as hub:
        page.get_by_role("button", name=f"Launch {SPEC}").click()
        expect(page.locator("[part=step]")).to_have_text(re.compile(r"Step \d+ of 11"))
        expect(page.locator("[part=left]")).to_have_text(re.compile(r"left$"))
        expect(page.locator("[data-step=building]")).to_have_attribute("data-state", "current")
        expect(opened(page)).to_be_visible(timeout=15_000)
        assert page.get_by_role("progressbar").get_attribute("aria-valuenow") == "100"
        href = opened(page).get_attribute("href") or ""
        assert href.startswith(f"{hub.url}user/someone/?token=")
        page.locator("summary").click()
        expect(page.get_by_role("table", name="Where the time went")).to_be_visible()
        assert (hub.requests, hub.builds, hub.launches) == ([SPEC], 1, 1)
        # The hub would keep the connection for a minute.
        until(lambda: not hub.open, within=30)


def test_a_failure_is_recognised_in_the_browser(page: Page, launching: Launching) -> None:
    with launching(stream="badbuild"):
        outcome = page.locator("[part=outcome]")
        expect(outcome).to_contain_text("The requirement six==99.99 cannot be satisfied.")
        expect(outcome).to_contain_text("Correct the name or the version in the Dockerfile")
        expect(page.locator("[part=evidence]")).to_contain_text("No matching distribution")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_in_another_language_too(page: Page, launching: Launching) -> None:
    with launching('autostart lang="de"', stream="badbuild"):
        outcome = page.locator("[part~=outcome-message]")
        expect(outcome).to_contain_text("six==99.99")
        assert "cannot" not in (outcome.text_content() or "")


@pytest.mark.fault(
    part="A BinderHub",
    fault="cuts the connection of a page during a build",
    promise="the page joins the build again",
)
def test_a_cut_while_building_joins_the_build(page: Page, launching: Launching) -> None:
    with launching(pace=0.02, cuts={1: 12}) as hub:
        expect(page.locator("[part=notice]")).to_contain_text("Reconnecting")
        expect(opened(page)).to_be_visible(timeout=20_000)
        assert (len(hub.requests), hub.builds, hub.launches) == (2, 1, 1)


@pytest.mark.fault(
    part="A BinderHub",
    fault="cuts the connection of a page while it starts a server",
    promise="the page requests no second server",
)
def test_a_cut_while_launching_starts_no_second_server(page: Page, launching: Launching) -> None:
    asked = [event.get("phase") for event in recorded("ok")].index("launching")
    may_cut = threading.Event()
    with launching(pace=0.01, cuts={1: asked + 1}, may_cut=may_cut) as hub:
        expect(page.locator("[part=phase]")).to_have_text("Launching", timeout=20_000)
        may_cut.set()
        expect(page.locator("[part=outcome]")).to_contain_text("The connection was lost")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        # Longer than it would wait before it tried again.
        page.wait_for_timeout(2500)
        assert (len(hub.requests), hub.launches) == (1, 1)


def test_attack_a_page_that_is_not_allowed_starts_nothing(page: Page, launching: Launching) -> None:
    """A BinderHub starts what any page asks for; only the answer is kept from it."""
    with launching(allow_origin="") as hub:
        outcome = page.locator("[part=outcome]")
        expect(outcome).to_contain_text("c.BinderHub.cors_allow_origin")
        assert (hub.requests, hub.builds, hub.launches) == ([], 0, 0)


def test_to_cancel_is_to_leave_it(page: Page, launching: Launching) -> None:
    with launching(pace=0.05) as hub:
        expect(page.locator("[data-step=building]")).to_have_attribute("data-state", "current")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Launch again")).to_be_visible()
        expect(page.locator("[part=outcome]")).to_contain_text("continues")
        assert hub.launches == 0


def test_to_move_the_element_is_not_to_leave_it(page: Page, launching: Launching) -> None:
    with launching(pace=0.03) as hub:
        expect(page.locator("[data-step=building]")).to_have_attribute("data-state", "current")
        page.evaluate("document.body.append(document.querySelector('binder-progress'))")
        expect(opened(page)).to_be_visible(timeout=15_000)
        assert len(hub.requests) == 1


def test_the_log_is_downloaded_from_the_page(page: Page, launching: Launching) -> None:
    with launching():
        expect(opened(page)).to_be_visible(timeout=15_000)
        page.locator("summary").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").or_(
                page.get_by_role("link", name="Download")
            ).click()
        assert "STEP 11/11" in download.value.path().read_text()
