"""The element in real pages: of another site, with leave and without, and of our own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from binderprogress.core.specs import from_address

from ..support.repositories import repository
from ..support.site import Site, other_site
from ..support.standalone import Running, running
from ..support.widget import log_region

pytestmark = [pytest.mark.hub, pytest.mark.browser]

# A cold environment is downloaded, built and started within this, in milliseconds.
COLD = 120_000

# A build that talks for some seconds, in the middle of which something is done.
TALKATIVE = "#!/bin/sh\nfor i in $(seq 1 30); do echo line $i; sleep 0.1; done\n"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site that may use the server."""
    with other_site() as site:
        yield site


@pytest.fixture(scope="module")
def stranger() -> Iterator[Site]:
    """A site that may not."""
    with other_site() as site:
        yield site


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, Web={"allowed_origins": [site.origin]}) as server:
        server.call(server.standalone.hub.available())  # type: ignore[union-attr] # it has one
        yield server


@pytest.fixture
def spec(server: Running, request: pytest.FixtureRequest) -> str:
    """A repository that nobody launched before."""
    folder = Path(server.standalone.builder.local_folders[0])
    made = repository(folder / request.node.originalname, {"postBuild": TALKATIVE})
    return str(from_address(made.as_uri()))


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    # A bar that moves in each frame takes a fifth of a processor.
    moves = "reload" in request.node.name
    context = browser.new_context(reduced_motion="no-preference" if moves else "reduce")
    yield context.new_page()
    context.close()


@pytest.fixture
def problems(page: Page) -> list[str]:
    """What the browser complains of, as of what a policy refuses."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda m: found.append(m.text) if m.type == "error" else None)
    return found


@pytest.fixture
def started(page: Page) -> list[str]:
    """The requests that start a launch."""
    found: list[str] = []
    page.on("request", lambda r: found.append(r.url) if r.method == "POST" else None)
    return found


def test_two_lines_on_another_site_start_and_open_a_server(
    server: Running, site: Site, spec: str, page: Page, problems: list[str], started: list[str]
) -> None:
    site.embed(server.url, spec)
    page.goto(site.origin)
    page.get_by_role("button", name="Launch").click()
    link = page.get_by_role("link", name="Open the server")
    expect(page.get_by_text("Running postBuild")).to_be_visible(timeout=COLD)
    # The log is a part of its own, and comes from where the script came from.
    page.locator("summary").click()
    expect(log_region(page)).to_contain_text("line 1", timeout=COLD)
    expect(link).to_be_visible(timeout=COLD)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    # Its style is there, although the page allows only its own.
    assert link.evaluate("link => getComputedStyle(link).borderRadius") == "999px"
    with page.context.expect_page() as opened:
        link.click()
    opened.value.wait_for_url("**/user/**", timeout=COLD)
    assert started == [f"{server.url}api/launches"]
    assert not problems


def test_attack_without_leave_nothing_starts_and_it_says_what_to_set(
    server: Running, stranger: Site, spec: str, page: Page
) -> None:
    before = set(server.standalone.launches._directory._launches)
    stranger.embed(server.url, spec, "autostart")
    page.goto(stranger.origin)
    expect(page.get_by_role("heading", name="did not respond to this page.")).to_be_visible()
    expect(page.get_by_text("c.Web.allowed_origins").first).to_be_visible()
    expect(page.get_by_text(stranger.origin).first).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert set(server.standalone.launches._directory._launches) == before


def until(page: Page, expression: str, seconds: float = COLD / 1000) -> None:
    """Wait for JavaScript to be true; Playwright's own way is eval, which policies refuse."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


LISTEN = """
window.told = [];
for (const type of ["started", "phasechange", "progress", "ready", "failed"]) {
  document.addEventListener(type, ({ detail }) => window.told.push([type, detail]));
}
"""


@pytest.mark.long
def test_methods_and_events(
    server: Running, site: Site, spec: str, page: Page, started: list[str]
) -> None:
    site.embed(server.url, spec)
    page.goto(site.origin)
    page.evaluate(LISTEN)
    page.evaluate("customElements.whenDefined('binder-progress')")
    phases: Callable[[], list[str]] = lambda: page.evaluate(  # noqa: E731 - of one line
        "told.filter(([type]) => type === 'phasechange').map(([, detail]) => detail.phase)"
    )
    call = "document.querySelector('binder-progress').{}()"
    page.evaluate(call.format("start"))
    page.evaluate(call.format("start"))
    expect(page.get_by_text("Running postBuild")).to_be_visible(timeout=COLD)
    page.evaluate(call.format("cancel"))
    expect(page.get_by_role("button", name="Launch again")).to_be_visible(timeout=COLD)
    assert phases() == ["waiting", "fetching", "building", "cancelled"]
    assert len(started) == 1

    page.evaluate(call.format("retry"))
    until(page, "told.some(([type]) => type === 'ready')")
    assert len(started) == 2
    assert phases()[-1] == "ready"
    told = page.evaluate("told")
    [(_, ready)] = [event for event in told if event[0] == "ready"]
    keys = [detail["launch"] for type_, detail in told if type_ == "started"]
    assert len(set(keys)) == 2
    assert ready["launch"] == keys[-1]
    assert ready["url"].startswith("http://")
    assert not [event for event in told if event[0] == "failed"]
    percent = [detail.get("percent") for type_, detail in told if type_ == "progress"]
    assert percent[-1] == 100
    assert max(value for value in percent[:-1] if value is not None) < 100


@pytest.mark.long
def test_same_tab_goes_to_the_server(server: Running, site: Site, spec: str, page: Page) -> None:
    site.embed(server.url, spec, 'autostart open="same-tab" urlpath="api/status"')
    page.goto(site.origin)
    page.wait_for_url("**/user/**/api/status?token=*", timeout=COLD)


SAMPLE = """
window.drawn = [];
const clip = document.querySelector("binder-progress").shadowRoot.getElementById("clip");
const look = () => {
  const moved = new DOMMatrix(getComputedStyle(clip).transform).m41;
  window.drawn.push(100 + (100 * moved) / clip.offsetWidth);
  requestAnimationFrame(look);
};
look();
"""


def test_a_reload_resumes_and_the_bar_never_goes_back(
    server: Running, spec: str, page: Page, problems: list[str], started: list[str]
) -> None:
    page.goto(f"{server.url}v2/{spec}")
    expect(page.get_by_text("Running postBuild")).to_be_visible(timeout=COLD)
    address = page.url
    assert "#launch=" in address
    expect(page).to_have_title(re.compile(r"^\d+% · Building · "))
    page.reload()
    expect(page.get_by_text("Running postBuild")).to_be_visible(timeout=COLD)
    page.evaluate(SAMPLE)
    link = page.get_by_role("link", name="Open the server")
    expect(link).to_be_visible(timeout=COLD)
    expect(link).to_be_focused()
    until(page, "drawn.at(-1) === 100", seconds=5)
    expect(page).to_have_title(re.compile(r"^Ready · "))
    assert page.url == address
    assert len(started) == 1
    drawn = page.evaluate("drawn")
    assert drawn == sorted(drawn)
    # It moves between events: more places than events bring.
    assert len(set(drawn)) > 50
    assert not problems
