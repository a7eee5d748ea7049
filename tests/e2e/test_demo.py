"""The demo, as a person uses it: each example to its real end in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

pytestmark = [pytest.mark.hub, pytest.mark.browser]

# A cold environment is downloaded, built and started within this, in milliseconds.
COLD = 120_000


def start(page: Page, demo: dict[str, Any], title: str) -> None:
    """Launch an example as a person does: in its card on the front page."""
    page.goto(demo["url"])
    page.get_by_role("link", name=f"Launch {title}").click()
    expect(page.get_by_role("group", name=title)).to_be_visible()
    assert page.url == demo["url"]


def open_server(page: Page) -> Page:
    link = page.get_by_role("link", name="Open the server")
    expect(link).to_be_visible(timeout=COLD)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    with page.context.expect_page() as opened:
        link.click()
    # What the server itself logs in its own page is not ours.
    return opened.value


def test_the_front_page_lists_the_examples(page: Page, demo: dict[str, Any]) -> None:
    page.goto(demo["url"])
    assert [example["slug"] for example in demo["examples"]] == ["notebook", "dashboard", "failing"]
    for example in demo["examples"]:
        expect(page.get_by_role("heading", name=example["title"])).to_be_visible()


def test_the_notebook_opens_in_jupyterlab_and_runs_a_cell(page: Page, demo: dict[str, Any]) -> None:
    start(page, demo, "A notebook")
    lab = open_server(page)
    cell = lab.locator(".jp-CodeCell").first
    cell.wait_for(timeout=COLD)
    # Not before the kernel is there: Lab drops a run that comes too early.
    expect(lab.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(
        timeout=COLD
    )
    cell.locator(".cm-content").click()
    lab.keyboard.press("Shift+Enter")
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("π is about 3.14", timeout=COLD)


@pytest.mark.long
def test_the_dashboard_renders_in_voila(page: Page, demo: dict[str, Any]) -> None:
    start(page, demo, "A dashboard")
    voila = open_server(page)
    parts = [
        voila.get_by_role("heading", name="Two waves"),
        voila.locator(".widget-slider").first,
        voila.locator("img").first,
    ]
    try:
        for part in parts:
            part.wait_for(timeout=COLD / 3)
    except PlaywrightTimeout:
        # On a busy machine Voilà can miss what its kernel says, and then waits for ever: a person
        # reloads. Voilà is not what is tested here.
        voila.reload()
    for part in parts:
        expect(part).to_be_visible(timeout=COLD)


def test_the_failing_example_says_why(page: Page, demo: dict[str, Any]) -> None:
    start(page, demo, "A build that fails")
    main = page.get_by_role("main")
    expect(main).to_contain_text("cannot be satisfied", timeout=COLD)
    expect(main).to_contain_text("Correct the name or the version in requirements.txt")
    expect(page.get_by_role("group", name="Log lines that show why")).to_contain_text("six==99.99")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    # Nothing is left of the bar.
    expect(page.get_by_role("progressbar")).to_have_count(0)


@pytest.mark.long
def test_a_reload_goes_on_with_the_same_launch(
    page: Page, demo: dict[str, Any], started: list[str]
) -> None:
    start(page, demo, "A build that fails")
    expect(page.get_by_role("button", name="Try again")).to_be_visible(timeout=COLD)
    page.reload()
    expect(page.get_by_role("button", name="Try again")).to_be_visible(timeout=COLD)
    assert len(started) == 1


@pytest.mark.long
def test_the_vanity_address_launches_on_a_page_of_its_own(
    page: Page, demo: dict[str, Any], started: list[str]
) -> None:
    page.goto(f"{demo['url']}go/notebook")
    # The engine "local" runs it as this user, and the address may have been in somebody's mail.
    page.get_by_role("button", name="Launch").click()
    open_server(page).close()
    address = page.url
    assert "/v2/git/" in address
    assert "#launch=" in address
    page.reload()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)
    assert page.url == address
    assert len(started) == 1


@pytest.mark.long
def test_a_launch_in_a_card_goes_on_on_its_own_page(
    page: Page, demo: dict[str, Any], started: list[str]
) -> None:
    start(page, demo, "A notebook")
    page.get_by_role("link", name="View this launch on its own page").click()
    page.wait_for_url("**/v2/git/**#launch=*")
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)
    assert len(started) == 1
    page.go_back()
    expect(page.get_by_role("group", name="A notebook")).to_be_visible()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=COLD)
    assert len(started) == 1
