"""The service's pages in a real browser: the login, a launch, and the list of own launches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ..launches.parts import local
from ..support import axe
from ..support.hubservice import Service

pytestmark = [pytest.mark.hub, pytest.mark.browser]

COLD = 120_000


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


def test_from_the_login_to_the_server(page: Page, named: Service, folder: Path) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(f"{named.url}v2/{local(folder / 'small')}")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Sign in").click()
    # The page asks for confirmation: the link may come from another user's server.
    page.wait_for_url(f"{named.url}v2/**")
    page.get_by_role("button", name="Launch").click()
    link = page.get_by_role("link", name="Open the server")
    expect(link).to_be_visible(timeout=COLD)
    assert str(link.get_attribute("href")).startswith(f"{named.hub_url}user/ada/small-")
    # Reloading the page resumes the same launch.
    page.reload()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible()
    assert len(named.servers("ada")) == 1

    page.get_by_role("link", name="Your launches").click()
    page.get_by_role("link", name="small").click()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible()
    assert problems == []
    axe.check(page)


@pytest.mark.long
def test_a_launch_is_found_again_and_cancelled(page: Page, named: Service, folder: Path) -> None:
    page.goto(f"{named.url}link")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{named.url}link")
    page.get_by_label("Repository").fill((folder / "endless").as_uri())
    page.get_by_role("button", name="Create link").click()
    # A link on our own page needs no confirmation.
    page.get_by_role("link", name="Try the link").click()
    expect(page.get_by_text("Running postBuild")).to_be_visible(timeout=COLD)
    page.get_by_role("link", name="Your launches").click()
    expect(page.get_by_role("link", name="endless")).to_be_visible()
    axe.check(page)
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.get_by_text("Cancelled")).to_be_visible()
    page.get_by_role("link", name="endless").click()
    expect(page.get_by_role("button", name="Launch again")).to_be_visible()
