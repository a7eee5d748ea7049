"""A page of another site launches in its visitor's name (CSRF), over plain http and https.

The attacker has a site, and a visitor who reaches a server of ours: on their own machine, in their
institute's network. What is launched is a repository of the attacker.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from binderprogress.launches import LaunchManager

from ..launches.parts import NOTHING, local
from ..support.repositories import repository
from ..support.site import Site, other_site
from ..support.standalone import Running, running

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on plain http, which answers by any name."""
    folder = tmp_path_factory.mktemp("server")
    repository(folder / "evil", NOTHING)
    settings = {"Web": {"local_only": False, "confirm_foreign": True}}
    with running(folder, hub=False, Standalone={"trust_visitors": True}, **settings) as server:
        yield server


@pytest.fixture
def evil() -> Iterator[Site]:
    with other_site() as site:
        yield site


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


def started(launches: LaunchManager) -> int:
    """How many launches were started."""
    return launches.running + sum(launches.ended.values())


def until(seen: Callable[[], bool], page: Page) -> None:
    """Wait for what the page does not show."""
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def spec_of(server: Running) -> str:
    (folder,) = server.standalone.builder.local_folders  # type: ignore[attr-defined] # it is local
    return str(local(Path(folder) / "evil", "no-such-branch"))


def by_name(url: str, name: str) -> str:
    """Return an address of this machine by a name that browsers do not take for local."""
    return url.replace("127.0.0.1", name).replace("localhost", name)


FETCH = "fetch('ADDRESS', {mode: 'no-cors', headers: {Accept: 'text/event-stream'}"
PAGES = {
    "an image": "<img src='ADDRESS'>",
    "a script": "<script src='ADDRESS'></script>",
    "a style": "<link rel='stylesheet' href='ADDRESS'>",
    "a frame": "<iframe src='ADDRESS'></iframe>",
    "a video": "<video src='ADDRESS' autoplay></video>",
    "a preload": "<link rel='preload' as='fetch' href='ADDRESS'>",
    "a form": "<form action='ADDRESS'></form><script>document.forms[0].submit()</script>",
    "a redirect": "<meta http-equiv='refresh' content='0; url=ADDRESS'>",
    "an EventSource": "<script>new EventSource('ADDRESS')</script>",
    # `Accept` is a header that CORS lets any page set, and this request has no Origin.
    "a fetch": f"<script>{FETCH}}})</script>",
    "a fetch without a Referer": f"<script>{FETCH}, referrerPolicy: 'no-referrer'}})</script>",
    "a fetch of nobody": (
        f'<iframe sandbox="allow-scripts" srcdoc="<script>{FETCH}}})</script>"></iframe>'
    ),
}


@pytest.mark.parametrize("how", PAGES)
def test_attack_a_page_elsewhere_starts_nothing_by(
    how: str, server: Running, evil: Site, page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    """Over plain http, the browser says nothing of who asks."""
    address = by_name(f"{server.url}build/{spec_of(server)}", "plain.example")
    evil.html = "<!doctype html>" + PAGES[how].replace("ADDRESS", address)
    before = started(server.standalone.launches)
    caplog.set_level(logging.INFO, "tornado.access")
    page.goto(by_name(evil.origin, "evil.example"), wait_until="commit")
    # Browsers do not tell the end of all of these requests; the server does.
    until(lambda: any("/build/" in record.getMessage() for record in caplog.records), page)
    assert started(server.standalone.launches) == before


def test_attack_a_link_elsewhere_is_asked_about(server: Running, evil: Site, page: Page) -> None:
    """Over plain http, a link on another site looks like an address that was typed."""
    address = by_name(f"{server.url}v2/{spec_of(server)}", "plain.example")
    evil.html = f"<!doctype html><a href='{address}'>A nice page</a>"
    page.goto(by_name(evil.origin, "evil.example"))
    before = started(server.standalone.launches)
    page.get_by_role("link").click()
    expect(page.get_by_role("button", name="Launch")).to_be_visible()
    assert started(server.standalone.launches) == before
    # The click is what starts it.
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**#launch=*")
    assert started(server.standalone.launches) == before + 1


def test_our_own_page_watches_over_plain_http(server: Running, page: Page) -> None:
    """BinderHub's clients in a page of the server go on working: an EventSource, and a fetch."""
    page.goto(by_name(server.url, "plain.example"))
    source = (
        "url => new Promise(done => { const s = new EventSource(url);"
        " s.onmessage = e => { s.close(); done(e.data) }; s.onerror = () => done('error') })"
    )
    fetch = "url => fetch(url, {headers: {Accept: 'text/event-stream'}}).then(r => r.text())"
    for script in (source, fetch):
        assert '"phase"' in page.evaluate(script, f"/build/{spec_of(server)}")
