"""Two replicas behind nginx are restarted one after the other: nobody who watches notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from ..support.binderhub import BinderHub, binderhub_in_thread
from ..support.nginx import nginx
from ..support.postgresql import postgresql
from ..support.processes import environment
from ..support.replicas import KEY
from .replica import Replica, port_is_back

T = TypeVar("T")

SPEC = "gh/binder-examples/requirements/HEAD"

WATCH = """element => {
  element.addEventListener("progress", ({ detail }) => shown(detail.percent ?? 0));
  const look = () => {
    const notice = element.shadowRoot.querySelector("[part=notice]");
    if (notice && !notice.hidden && notice.textContent) noticed(notice.textContent);
  };
  const changes = { attributes: true, characterData: true, childList: true, subtree: true };
  new MutationObserver(look).observe(element.shadowRoot, changes);
}"""


class Seen:
    """What a page shows, and what it requests."""

    def __init__(self, page: Page) -> None:
        self.percents: list[float] = []
        self.problems: list[str] = []
        self.starts = 0
        self.streams = 0
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: self._count(request.method, request.url))
        # Playwright cannot call methods of lists.
        page.expose_function("shown", lambda percent: self.percents.append(percent))
        page.expose_function("noticed", lambda notice: self.problems.append(notice))

    def _count(self, method: str, url: str) -> None:
        self.starts += method == "POST"
        self.streams += "/events" in url


@pytest.fixture
def hub() -> Iterator[BinderHub]:
    """A BinderHub whose log goes on for half a minute. The image is built when a test says so."""
    with binderhub_in_thread(pace=0.5) as hub:
        hub.gate["built"] = asyncio.Event()
        yield hub


@pytest.fixture
def replicas(tmp_path: Path, hub: BinderHub) -> Iterator[list[Replica]]:
    """Two replicas, as the documentation configures them."""
    with postgresql() as database:
        env = {**environment(tmp_path / "cache"), "BINDERPROGRESS_CRYPT_KEY": KEY}
        settings = {
            "Upstreams.urls": f"['{hub.url}']",
            "Storage.url": database,
            "Storage.log_folder": str(tmp_path / "logs"),
            "Storage.lease_time": "5",
            "History.url": database,
            "Web.trust_proxy": "True",
        }
        with ExitStack() as stack:
            made = []
            for name in ("one", "two"):
                replica = Replica(tmp_path, name, env=env, settings=settings)
                replica.start()
                stack.callback(replica.left)
                made.append(replica)
            wait_for(made)
            yield made


def call(work: Coroutine[Any, Any, T]) -> T:
    """Do something in another thread. Playwright has an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def wait_for(replicas: list[Replica]) -> None:
    """Wait until all replicas answer, and know of each other."""
    for replica in replicas:
        call(port_is_back(replica.port))
        while True:
            with urlopen(f"{replica.url}health", timeout=60) as response:
                if json.load(response)["replicas"] == len(replicas):
                    break


def log_of(page: Page) -> str:
    """Return the log as the page has it."""
    page.get_by_role("button", name="Copy log").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.mark.long
@pytest.mark.fault(
    part="The server",
    fault="is one of two behind nginx, which get SIGTERM and start again one after the other",
    promise=(
        "a page in Chromium that watches a build shows no error, its bar never goes back, and its "
        "log has each line once"
    ),
)
@pytest.mark.browser
def test_a_person_who_watches_a_build_notices_nothing(
    browser: Browser, hub: BinderHub, replicas: list[Replica], tmp_path: Path
) -> None:
    page = browser.new_context(
        locale="en-GB", permissions=["clipboard-read", "clipboard-write"]
    ).new_page()
    seen = Seen(page)
    with nginx(tmp_path / "nginx", [replica.port for replica in replicas]) as url:
        page.goto(f"{url}v2/{SPEC}")
        page.locator("binder-progress").evaluate(WATCH)
        page.locator("summary").click()
        expect(page.locator("[part=phase]")).to_have_text("Building", timeout=60_000)
        for replica in replicas:
            assert call(replica.drain()) == 0
            replica.start()
            wait_for(replicas)
        hub.release("built")
        link = page.get_by_role("link", name="Open the server")
        expect(link).to_be_visible(timeout=120_000)
        assert (link.get_attribute("href") or "").startswith(f"{hub.url}user/someone/")
        expect(page.locator("[part=percent]")).to_have_text("100%")
        lines = log_of(page).splitlines()
    page.context.close()
    assert seen.problems == []
    assert seen.streams >= 2, "it was connected to a replica that was restarted"
    assert seen.percents == sorted(seen.percents), "the bar never goes back"
    assert seen.starts == 1
    assert (hub.builds, hub.launches) == (1, 1)
    steps = [line for line in lines if line.startswith("STEP ")]
    assert steps == sorted(set(steps), key=lambda line: int(line.split()[1].partition("/")[0]))
    assert len(steps) == 11
    for replica in replicas:
        assert call(replica.stop()) == 0
        assert "Traceback" not in replica.log
        assert replica.left() == []
