"""Ways to a launch in a real browser: the field of the front page, links, pages of errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from binderprogress.core.specs import from_address

from ..support.repositories import repository
from ..support.standalone import Running, running

pytestmark = [pytest.mark.hub, pytest.mark.browser]

# A cold environment is downloaded, built and started within this, in milliseconds.
COLD = 120_000

NAVIGATION = ["Create a link", "Statistics"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """The URL of a repository."""
    return repository(folder / "penguins", {}).as_uri()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    """A server that opens no ready server by itself unless a link wants that."""
    with running(folder) as server:
        server.call(server.standalone.hub.available())  # type: ignore[union-attr] # it has one
        yield server


@pytest.fixture
def complaining(context: BrowserContext) -> Page:
    """A page in which the browser may complain of a response with status 400."""
    return context.new_page()


def launch_page(server: Running, address: str, query: str) -> str:
    return f"{server.url}v2/{from_address(address, 'main')}?urlpath=api/status{query}"


def test_enter_launches_what_is_in_the_field(
    server: Running, page: Page, address: str, started: list[str]
) -> None:
    page.goto(server.url)
    field = page.get_by_label("Repository")
    # There is no gallery, so one begins to type.
    expect(field).to_be_focused()
    page.keyboard.type(address)
    page.keyboard.press("Enter")
    page.wait_for_url("**/v2/git/**")
    # Nobody has to confirm what was typed here.
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)
    assert len([url for url in started if url.endswith("api/launches")]) == 1
    assert "ticket=" not in page.url


def test_what_cannot_be_launched_is_corrected_on_the_next_page(
    server: Running, complaining: Page
) -> None:
    complaining.goto(server.url)
    complaining.get_by_label("Repository").fill("nonsense")
    complaining.get_by_role("button", name="Launch").click()
    field = complaining.get_by_label("Repository")
    expect(field).to_be_focused()
    expect(field).to_have_value("nonsense")
    expect(field).to_have_attribute("aria-invalid", "true")


def test_a_password_does_not_get_into_an_address(server: Running, complaining: Page) -> None:
    complaining.goto(server.url)
    complaining.get_by_label("Repository").fill("https://ada:secret@github.com/ada/penguins")
    complaining.keyboard.press("Enter")
    expect(complaining.get_by_label("Repository")).to_have_attribute("aria-invalid", "true")
    assert "secret" not in complaining.url


def test_a_link_opens_the_server_in_the_same_tab(server: Running, page: Page, address: str) -> None:
    page.goto(f"{server.url}stats")
    page.goto(launch_page(server, address, "&open=same-tab"))
    page.wait_for_url("**/user/**/api/status?token=*", timeout=COLD)
    # Going back does not lead forward again.
    page.go_back()
    page.wait_for_url("**/stats")


@pytest.mark.long
def test_the_server_decides_for_links_that_do_not(
    server: Running, page: Page, address: str
) -> None:
    link = page.get_by_role("link", name="Open the server")
    page.goto(launch_page(server, address, ""))
    expect(link).to_be_visible(timeout=COLD)
    server.standalone.web.open_ready = "same-tab"
    try:
        page.goto(launch_page(server, address, "&open=none"))
        expect(link).to_be_visible(timeout=COLD)
        page.goto(launch_page(server, address, ""))
        page.wait_for_url("**/user/**/api/status?token=*", timeout=COLD)
    finally:
        server.standalone.web.open_ready = "none"


def test_attack_a_launch_of_somebody_else_is_not_opened_by_itself(
    server: Running, page: Page, address: str
) -> None:
    """Attack: a link to the attacker's own server, which a person would think to be theirs."""
    link = page.get_by_role("link", name="Open the server")
    page.goto(launch_page(server, address, ""))
    expect(link).to_be_visible(timeout=COLD)
    shared = page.url
    other = page.context.new_page()
    other.goto(shared.replace("#", "&open=same-tab#"))
    expect(other.get_by_role("link", name="Open the server")).to_be_visible()
    expect(other.get_by_text("This launch was not started in this tab.")).to_be_visible()
    assert "/v2/" in other.url


@pytest.mark.parametrize(
    ("path", "current"),
    [("", ""), ("link", "Create a link"), ("stats", "Statistics"), ("v2/gh/a/b/HEAD", "")],
)
def test_pages_have_the_same_navigation(
    server: Running, page: Page, path: str, current: str
) -> None:
    page.goto(server.url + path)
    pages = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(pages).to_have_text(NAVIGATION)
    here = page.locator(".top [aria-current]")
    expect(here).to_have_text([current] if current else [])


def test_the_link_is_shown_where_one_looks(server: Running, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto(f"{server.url}link")
    page.get_by_label("Repository").fill("https://github.com/binder-examples/requirements")
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Ready to copy")).to_be_in_viewport()


def test_the_page_of_an_error_leads_on(server: Running, complaining: Page, address: str) -> None:
    with complaining.expect_response(re.compile("/v2/")) as response:
        complaining.goto(f"{server.url}v2/gh/only-an-owner", wait_until="commit")
    assert response.value.status == 400
    complaining.get_by_label("Repository").fill(address)
    complaining.keyboard.press("Enter")
    complaining.wait_for_url("**/v2/git/**")
