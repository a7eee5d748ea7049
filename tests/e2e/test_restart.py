"""A server that is killed, or whose database is away: the same page goes on, in Chromium."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from binderprogress.deploy.embedded_jupyterhub import free_ports

from ..support.binderhub import BinderHub, binderhub_in_thread
from ..support.gone import gone
from ..support.processes import Program, environment, program

SPEC = "gh/binder-examples/requirements/HEAD"


@contextmanager
def serving(folder: Path, port: int, hub: BinderHub, **more: str) -> Iterator[Program]:
    options = {
        "port": port,
        "Upstreams.urls": f"['{hub.url}']",
        "History.url": "",
        "Storage.url": f"sqlite:///{folder}/launches.sqlite",
        **more,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    env = environment(folder / "cache")
    log = folder / "log"
    with program("binderprogress", "serve", *arguments, env=env, log=log) as running:
        assert running.line().startswith("binderprogress listens on "), log.read_text()
        yield running


@pytest.mark.long
@pytest.mark.fault(
    part="The server",
    fault="is killed while a page in Chromium shows a build",
    promise="the page goes on by itself; its bar never goes back; nothing is started twice",
)
@pytest.mark.browser
def test_the_same_page_goes_on_after_the_server_was_killed(
    browser: Browser, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    page = browser.new_context(locale="en-GB").new_page()
    percents: list[int] = []
    starts: list[str] = []
    page.on("request", lambda r: starts.append(r.url) if r.method == "POST" else None)
    page.expose_function("noted", lambda percent: percents.append(percent))
    with binderhub_in_thread(pace=0.05) as hub:
        with serving(tmp_path, port, hub) as server:
            page.goto(f"http://127.0.0.1:{port}/v2/{SPEC}")
            page.evaluate(
                "document.querySelector('binder-progress').addEventListener('progress',"
                " (event) => noted(event.detail.percent ?? 0))"
            )
            expect(page.locator("[part=phase]")).to_have_text("Building")
            hub.pause()
            server.signal(signal.SIGKILL)
            assert gone(server.family())
        notice = page.locator("[part=notice]")
        expect(notice).to_contain_text("Connection lost. Reconnecting… The launch is kept until")
        with serving(tmp_path, port, hub):
            expect(notice).to_be_hidden(timeout=60_000)
            hub.resume()
            link = page.get_by_role("link", name="Open the server")
            expect(link).to_be_visible(timeout=60_000)
            assert (link.get_attribute("href") or "").startswith(f"{hub.url}user/someone/")
        assert (hub.builds, hub.launches) == (1, 1)
        assert len(starts) == 1
        assert percents == sorted(percents), "the bar never goes back"
        page.context.close()


@pytest.mark.fault(
    part="The launches' database",
    fault="is locked by another process during a build",
    promise="the page says so and stands still, and goes on when it is over",
)
@pytest.mark.browser
def test_a_page_says_that_the_server_waits_for_its_storage(
    browser: Browser, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    page = browser.new_context(locale="en-GB").new_page()
    step, percent = page.locator("[part=step]"), page.locator("[part=percent]")
    with (
        binderhub_in_thread(pace=0.05) as hub,
        serving(tmp_path, port, hub, **{"Storage.timeout": "1"}),
        closing(sqlite3.connect(tmp_path / "launches.sqlite", isolation_level=None)) as other,
    ):
        page.goto(f"http://127.0.0.1:{port}/v2/{SPEC}")
        expect(page.locator("[part=phase]")).to_have_text("Building")
        hub.pause()
        other.execute("BEGIN IMMEDIATE")
        hub.resume()
        expect(step).to_have_text("Waiting for storage", timeout=60_000)
        expect(page.locator("[part=left]")).to_have_text("")
        shown = percent.inner_text()
        page.wait_for_timeout(2500)
        assert percent.inner_text() == shown
        expect(step).to_have_text("Waiting for storage")
        other.execute("ROLLBACK")
        link = page.get_by_role("link", name="Open the server")
        expect(link).to_be_visible(timeout=60_000)
        expect(page.locator("[part=percent]")).to_have_text("100%")
        page.context.close()
