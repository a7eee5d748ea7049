"""Every page of the server is for everybody: in all colours and widths, and in all languages."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from binderprogress.core.phases import Phase
from binderprogress.deploy.simulator import Simulator
from binderprogress.history.database import Database

from ..history.launches import past, spans
from ..support import axe
from ..support.long import usually
from ..support.prepull_page import REPORT
from ..support.replay import Stage, stage

pytestmark = pytest.mark.browser

GALLERY = """
- {title: Penguins, spec: gh/ada/penguins/HEAD, slug: penguins, kind: Notebook,
   description: "Measurements of penguins, and what can be learned from them."}
- {title: A dashboard, spec: gh/ada/dashboard/HEAD, slug: dashboard}
"""
PATHS = {
    "front": "",
    "launch": "v2/gh/ada/penguins/HEAD",
    "link": "link?repo=gh/a/b&urlpath=lab",
    "wrong": "link?repo=nonsense&urlpath=//x",
    "stats": "stats",
    "prepull": "prepull",
    "whatif": "whatif?simulate=1&instead.standby.servers=30",
    "error": "nothing/here",
    "entry": "go/nothing",
}
LANGUAGES = ["ar", "de", "en", "es", "fr", "ja", "pt", "zh"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with a gallery, a history, and images that are pulled in advance."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "gallery.yaml").write_text(GALLERY)
    history = Database(f"sqlite:///{folder}/history.sqlite", log=logging.getLogger())
    now = time.time()
    for day in range(20):
        history.write([past(began=now - 86_400 * day, spans=spans(100 + day)) for _ in range(40)])
    history.write([past(began=now, outcome=Phase.FAILED, reason="build-failed")])
    with stage(Web={"gallery": str(folder / "gallery.yaml")}) as server:
        server.launches.history = history
        server.web.prepull = lambda: REPORT
        server.web.simulate = Simulator(logging.getLogger())
        server.web.nav += ["prepull", "whatif"]
        server.say("Installing packages")
        yield server
    history.close()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce", locale="en")
    yield context.new_page()
    context.close()


def open_page(page: Page, server: Stage, name: str, language: str = "en") -> None:
    path = PATHS[name]
    page.goto(f"{server.url}{path}{'&' if '?' in path else '?'}lang={language}")
    if name == "stats":
        expect(page.locator("canvas").last).to_be_visible()
    elif name == "launch":
        expect(page.get_by_role("progressbar")).to_be_visible()


@pytest.mark.parametrize("columns", usually([360, 1280], 360))
@pytest.mark.parametrize("name", PATHS)
def test_axe_finds_nothing(server: Stage, page: Page, name: str, columns: int) -> None:
    page.set_viewport_size({"width": columns, "height": 800})
    open_page(page, server, name)
    axe.check_both_schemes(page)
    page.emulate_media(forced_colors="active")
    axe.check(page)
    page.emulate_media(forced_colors="none")


# German has the longest words, and Arabic is written from right to left.
@pytest.mark.parametrize("language", usually(LANGUAGES, "ar", "de"))
@pytest.mark.parametrize("name", PATHS)
def test_nothing_is_wider_than_a_phone(server: Stage, page: Page, name: str, language: str) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    open_page(page, server, name, language)
    assert page.evaluate("document.documentElement.lang") == language
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_who_chose_other_colours_can_tell_the_curves_apart(server: Stage, page: Page) -> None:
    """With forced colours, a canvas keeps its own; these have to be the chosen ones."""
    page.emulate_media(forced_colors="active")
    open_page(page, server, "stats")
    key = "key => getComputedStyle(key, '::before').backgroundColor"
    for chart in ("durations", "outcomes"):
        keys = page.locator(f"section[aria-labelledby={chart}-title] .key").all()
        colours = [found.evaluate(key) for found in keys]
        assert len(set(colours)) == len(keys)
        assert "rgba(0, 0, 0, 0)" not in colours
    page.emulate_media(forced_colors="none")
