"""A page of another user's server launches in a visitor's name: a real Hub, in a real browser.

Below a JupyterHub without subdomains, all servers and services have one origin. The attacker, eve,
has a server of her own, whose pages are what she likes; the visitor, ada, is logged in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from ..launches.parts import NOTHING, local
from ..support.hubservice import SERVICE, Service, service
from ..support.long import usually
from ..support.repositories import repository

pytestmark = [pytest.mark.hub, pytest.mark.browser]

# A server whose page is what was last written to a file beside it.
SERVER = """
import os
from http.server import HTTPServer, BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        page = Path({page!r})
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.read_bytes() if page.exists() else b"")
    def log_message(self, *_):
        pass
port = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    repository(folder / "evil", NOTHING)
    return folder


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Service]:
    """The Hub, with the service and eve's server."""
    with service(folder, "Named servers") as running:
        server = folder / "hub" / "server.py"
        server.write_text(SERVER.format(page=str(folder / "page.html")))
        running.ask("POST", "users/eve/server", status=202)
        until = time.monotonic() + 30
        while not running.servers("eve")[""]["ready"]:
            assert time.monotonic() < until
            time.sleep(0.1)
        yield running


@pytest.fixture
def ada(browser: Browser, hub: Service) -> Iterator[Page]:
    """The browser of ada, who has logged in and looked at the service."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{hub.url}link")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{hub.url}link")
    yield page
    context.close()


def attack(hub: Service, folder: Path, page: Page, script: str) -> list[str]:
    """Lead ada's browser to eve's page; return what is posted to the service from now on."""
    html = f"<!doctype html><title>eve</title><script>{script}</script>"
    (folder / "page.html").write_text(html)
    posted: list[str] = []
    page.context.on(
        "request",
        lambda request: posted.append(request.url) if request.method == "POST" else None,
    )
    page.goto(f"{hub.hub_url}user/eve/tree", wait_until="commit")
    return posted


@pytest.mark.parametrize("path", usually(["", "link", "launches"], ""))
def test_attack_a_page_that_takes_our_address_starts_nothing(
    hub: Service, folder: Path, ada: Page, path: str
) -> None:
    """With `history.pushState` its address, and so the Referer, is one of ours."""
    spec = local(folder / "evil")
    posted = attack(
        hub,
        folder,
        ada,
        f"history.pushState(null, '', '/{SERVICE}{path}'); location.href = '/{SERVICE}v2/{spec}'",
    )
    expect(ada.get_by_role("button", name="Launch")).to_be_visible()
    assert posted == []
    assert hub.servers("ada") == {}


@pytest.mark.long
def test_attack_a_detour_by_the_link_form_starts_nothing(
    hub: Service, folder: Path, ada: Page
) -> None:
    """The form's address redirects to a launch, with whatever repository is in it."""
    repo = (folder / "evil").as_uri()
    posted = attack(
        hub,
        folder,
        ada,
        f"history.pushState(null, '', '/{SERVICE}link');"
        f"location.href = '/{SERVICE}link?launch=1&repo={repo}'",
    )
    expect(ada.get_by_role("button", name="Launch")).to_be_visible()
    assert posted == []
    assert hub.servers("ada") == {}


@pytest.mark.long
def test_attack_a_page_that_reads_ours_gets_no_ticket(
    hub: Service, folder: Path, ada: Page
) -> None:
    """It fetches our pages with ada's cookies, and shows them in frames."""
    repo = (folder / "evil").as_uri()
    ours = f"/{SERVICE}link?repo={repo}"
    attack(
        hub,
        folder,
        ada,
        f"fetch('{ours}').then(r => r.text()).then(t => {{ window.read = t }},"
        " () => { window.read = '' });"
        "onload = () => { const frame = document.createElement('iframe');"
        "frame.onload = () => { try { window.framed = frame.contentDocument.body.innerHTML }"
        f" catch (error) {{ window.framed = '' }} }}; frame.src = '{ours}';"
        "document.body.append(frame) }",
    )
    ada.wait_for_function("window.read !== undefined && window.framed !== undefined")
    assert "ticket=" not in ada.evaluate("window.read")
    assert "Ready to copy" not in ada.evaluate("window.framed")


def test_our_own_page_launches_with_one_click(hub: Service, folder: Path, ada: Page) -> None:
    """Who comes from the form is not asked again; who reloads the address is."""
    ada.get_by_label("Repository").fill((folder / "evil").as_uri())
    ada.get_by_role("button", name="Create link").click()
    ada.get_by_role("link", name="Try the link").click()
    ada.wait_for_url("**#launch=*")
    # The ticket is used, and not in the address that is copied.
    assert "ticket" not in ada.url
    ada.goto(f"{hub.url}link")
    ada.get_by_label("Repository").fill((folder / "evil").as_uri())
    ada.get_by_role("button", name="Launch now").click()
    ada.wait_for_url("**#launch=*")
    ada.goto(ada.url.partition("#")[0] + "?again")
    expect(ada.get_by_role("button", name="Launch")).to_be_visible()


@pytest.mark.long
def test_attack_a_second_click_meant_for_another_window_starts_nothing(
    hub: Service, folder: Path, ada: Page
) -> None:
    """Double-clickjacking: a popup closes at the first click of two; our page gets the second."""
    ada.goto(f"{hub.url}v2/{local(folder / 'evil')}")
    button = ada.get_by_role("button", name="Launch")
    expect(button).to_be_visible()
    # The window is in front again, and is clicked at once.
    script = (
        "() => { const e = document.querySelector('binder-progress');"
        "dispatchEvent(new Event('focus'));"
        "e.shadowRoot.querySelector('#again').click() }"
    )
    ada.evaluate(script)
    expect(button).to_be_visible()
    assert "#launch" not in ada.url
    # Later it is a click for us.
    ada.wait_for_timeout(600)
    button.click()
    ada.wait_for_url("**#launch=*")
