"""Pictures of what people see, for the documentation: python -m tests.e2e.screenshots.

Each picture shows one state of a page: wide and as on a phone, light and dark. The server is the
real one; its builds say what is written here.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from binderprogress.backends.base import WaitForTurn
from binderprogress.core.phases import Phase
from binderprogress.deploy.simulator import Simulator
from binderprogress.history.database import Database

from ..conftest import CHROMIUM_ARGUMENTS, chromium_path
from ..history.launches import past, spans
from ..support.durable import DurableMemoryStore, Memory
from ..support.faultyproxy import proxy_in_thread
from ..support.prepull_page import REPORT
from ..support.replay import PlayedBuilder, Stage, stage
from ..support.versions import OFFERS, Versions, launch_the_old_version
from ..support.widget import embed

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "states"
README = FOLDER.with_name("launch.png")
SPEC = "gh/binder-examples/requirements/HEAD"

WIDTHS = (1280, 360)
HEIGHT = 720
GAP = 16
LINE = 180
"""The height of pictures of the compact element, in pixels."""
COURSE = "body { margin: 1.5rem; font: 1rem/1.5 sans-serif; }"

STEPS = ["FROM docker.io/library/buildpack-deps:jammy", "RUN apt-get -qq update", "USER jovyan"]
STEPS += ["COPY requirements.txt /tmp", "RUN pip install -r requirements.txt", "RUN ./postBuild"]
LINES = [
    "Collecting numpy>=2 (from -r requirements.txt (line 1))\n",
    "  Downloading numpy-2.3.1-cp312-cp312-manylinux_2_28_x86_64.whl (16.6 MB)\n",
    "Collecting matplotlib (from -r requirements.txt (line 2))\n",
    "  Downloading matplotlib-3.10.3-cp312-cp312-manylinux_2_17_x86_64.whl (8.6 MB)\n",
    "\x1b[33mWARNING: The candidate selected for download is a yanked version\x1b[0m\n",
    "Installing collected packages: numpy, matplotlib\n",
]
GALLERY = [
    {"title": "Penguins", "spec": SPEC, "slug": "penguins", "kind": "Notebook",
     "description": "Measurements of penguins, and what can be learned from them."},
    {"title": "A dashboard", "spec": "gh/binder-examples/voila/HEAD", "slug": "dashboard",
     "kind": "Dashboard", "description": "Sliders and plots, without code."},
    {"title": "R and RStudio", "spec": "gh/binder-examples/r/HEAD", "slug": "r", "kind": "R",
     "description": "The same plots, in another language."},
]  # fmt: skip


def _build(server: Stage, steps: int = 5) -> None:
    """Have the build take its first steps."""
    for number, command in enumerate(STEPS[:steps], 1):
        server.say(f"Step {number}/{len(STEPS)} : {command}\n")
    server.log(*LINES)


def _launch(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}v2/{SPEC}")
    expect(page.get_by_role("progressbar")).to_be_visible()


def _front(page: Page, server: Stage) -> None:
    page.goto(server.url)


def _card(page: Page, server: Stage) -> None:
    _build(server)
    page.goto(server.url)
    page.get_by_role("link", name="Launch Penguins").click()
    expect(page.locator("[part=step]")).to_contain_text("Step 5")


def _waiting(page: Page, server: Stage) -> None:
    _launch(page, server)


def _queue(page: Page, server: Stage) -> None:
    # The first one builds. What is played goes to the build that has waited longest for it.
    turn = WaitForTurn()
    server._do(lambda: server.builder.put(turn))  # type: ignore[arg-type] # builders yield it
    _post(page, server, "gh/binder-examples/r/HEAD")
    _launch(page, server)
    server.log("Step 1/6 : FROM docker.io/library/r-base\n")
    server._do(lambda: server.builder.put(turn))  # type: ignore[arg-type] # as above
    expect(page.locator("[part=step]")).to_contain_text("queue")


def _building(page: Page, server: Stage) -> None:
    _build(server)
    _launch(page, server)
    expect(page.locator("[part=step]")).to_contain_text("Step 5")


def _log(page: Page, server: Stage) -> None:
    _build(server)
    for number in range(40):
        server.log(*(line.replace("numpy", f"package-{number}") for line in LINES))
    _launch(page, server)
    page.locator("summary").click()
    expect(page.get_by_text("Installing collected packages: package-39")).to_be_visible()


def _lines(page: Page, server: Stage) -> None:
    _log(page, server)
    address = page.url
    page.goto("about:blank")
    page.goto(f"{address}&line=98-100")
    expect(page.locator("#log-view [aria-current]").first).to_be_in_viewport()


def _full(page: Page, server: Stage) -> None:
    # As on iPhones, where the log fills the page: a window in full screen cannot be resized.
    page.add_init_script("Object.defineProperty(document, 'fullscreenEnabled', { value: false })")
    _log(page, server)
    page.get_by_role("button", name="Full screen").click()
    expect(page.get_by_role("button", name="Exit full screen")).to_be_visible()


def _earlier(page: Page, server: Stage) -> None:
    launch_the_old_version(page, server)
    _building(page, server)
    expect(page.get_by_role("button", name="Start the version of")).to_be_visible()


def _outdated(page: Page, server: Stage) -> None:
    _embedded("block")(page, server)
    launch = page.get_by_role("button", name="Launch")
    expect(launch).to_be_visible()
    page.route("**/static/assets/**", lambda route: route.fulfill(status=404))
    launch.click()
    expect(page.get_by_role("button", name="Reload the page")).to_be_visible()


def _longer(page: Page, server: Stage) -> None:
    page.clock.install()
    _build(server)
    _launch(page, server)
    expect(page.locator("[part=step]")).to_contain_text("Step 5")
    # Not so long that the silent connection would count as lost.
    page.clock.fast_forward(30_000)
    expect(page.locator("[part=left]")).to_contain_text("longer than usual")


def _ready(page: Page, server: Stage) -> None:
    _building(page, server)
    _serve(page, server)


def _warm(page: Page, server: Stage) -> None:
    _ready(page, server)
    page.goto("about:blank")
    _launch(page, server)
    server.built(found=True)
    server.serve()
    expect(page.locator("#earlier-log")).to_be_visible()


def _serve(page: Page, server: Stage) -> None:
    server.built()
    server.play_hub("hub-progress-ok.txt")
    server.serve()
    expect(page.get_by_role("link", name="Open")).to_be_visible()


def _failed(page: Page, server: Stage) -> None:
    _building(page, server)
    _fail(page, server)


def _fail(page: Page, server: Stage) -> None:
    server.log(
        "ERROR: Could not find a version that satisfies nunpy (from versions: none)\n",
        "ERROR: No matching distribution found for nunpy\n",
        "Error: building at STEP 'RUN pip install -r requirements.txt': exit status 1\n",
    )
    server.fail("build-failed")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def _cancelled(page: Page, server: Stage) -> None:
    _building(page, server)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Launch again")).to_be_visible()


def _refused(page: Page, server: Stage) -> None:
    _post(page, server, SPEC)
    page.goto(f"{server.url}v2/{SPEC}")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def _shared(page: Page, server: Stage) -> None:
    _build(server)
    server.built()
    server.play_hub("hub-progress-ok.txt")
    server.serve()
    page.goto(_post(page, server, SPEC)["page_url"])
    expect(page.get_by_text("This launch was not started in this tab.")).to_be_visible()
    expect(page.get_by_role("link", name="Open")).to_be_visible()


def _link(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}link?repo={SPEC}&urlpath=index.ipynb&app=lab")


def _stats(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}stats")
    expect(page.locator("canvas").last).to_be_visible()


def _prepull(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}prepull")


def _whatif(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}whatif?simulate=1&instead.standby.servers=60")


def _missing(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}nothing/here")


def _invalid(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}v2/gh/only-an-owner")


def _german(page: Page, server: Stage) -> None:
    page.goto(f"{server.url}?lang=de")


def _arabic(page: Page, server: Stage) -> None:
    _build(server)
    page.goto(f"{server.url}v2/{SPEC}?lang=ar")
    expect(page.locator("[part=step]")).to_contain_text("requirements.txt")


def _embedded(variant: str) -> Callable[[Page, Stage], None]:
    """Return what shows the element in a page of its own, before a launch."""
    return lambda page, server: embed(page, server, f'variant="{variant}"', COURSE)


def _embedded_building(variant: str) -> Callable[[Page, Stage], None]:
    def prepare(page: Page, server: Stage) -> None:
        _embedded(variant)(page, server)
        page.get_by_role("button", name="Launch").click()
        _build(server)
        expect(page.locator("[part=step]")).to_contain_text("Step 5")

    return prepare


def _embedded_ready(variant: str) -> Callable[[Page, Stage], None]:
    def prepare(page: Page, server: Stage) -> None:
        _embedded_building(variant)(page, server)
        _serve(page, server)

    return prepare


def _embedded_failed(variant: str) -> Callable[[Page, Stage], None]:
    def prepare(page: Page, server: Stage) -> None:
        _embedded_building(variant)(page, server)
        _fail(page, server)

    return prepare


def _post(page: Page, server: Stage, spec: str) -> dict[str, Any]:
    started: dict[str, Any] = page.request.post(
        f"{server.url}api/launches", data={"spec": spec}
    ).json()
    return started


class State(NamedTuple):
    """What is shown, how a page gets there, and settings of the server."""

    text: str
    prepare: Callable[[Page, Stage], None]
    settings: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - nobody changes it
    tallest: int = 1000
    """At most so much of the page is shown, in pixels."""
    is_cut: bool = False
    """Whether the browser then loses its connection."""
    is_stored: bool = False
    """Whether launches and logs are kept."""
    builder: type[PlayedBuilder] = PlayedBuilder


STATES = {
    "front": State("The front page, with a gallery", _front),
    "card": State("A launch in its card", _card),
    "waiting": State("Before anything is known", _waiting),
    "queue": State("Waiting for other builds", _queue, {"LaunchManager": {"max_builds": 1}}),
    "building": State("Building", _building),
    "log": State("The log", _log),
    "lines": State("A link to lines of the log", _lines, tallest=1300),
    "full": State("The log in full screen", _full, tallest=HEIGHT),
    "earlier": State("An earlier version can be started", _earlier, OFFERS, builder=Versions),
    "longer": State("Longer than usual", _longer),
    "lost": State("The connection is lost", _building, is_cut=True),
    "ready": State("Ready", _ready),
    "warm": State("Ready, without a build", _warm, is_stored=True),
    "failed": State("Failed", _failed),
    "cancelled": State("Cancelled", _cancelled),
    "refused": State("Too many launches", _refused, {"Web": {"rate_limit": 1}}),
    "shared": State("A launch that somebody else started", _shared),
    "embed": State("In another page", _embedded("block")),
    "embed-building": State("In another page, building", _embedded_building("block")),
    "embed-ready": State("In another page, ready", _embedded_ready("block")),
    "embed-failed": State("In another page, failed", _embedded_failed("block")),
    "outdated": State("In a page from before an upgrade", _outdated),
    "compact": State("In one line", _embedded("compact"), tallest=LINE),
    "compact-building": State("In one line, building", _embedded_building("compact"), tallest=LINE),
    "compact-ready": State("In one line, ready", _embedded_ready("compact"), tallest=LINE),
    "compact-failed": State("In one line, failed", _embedded_failed("compact"), tallest=LINE),
    "link": State("Links, badges and embeds", _link),
    "stats": State("Statistics", _stats, tallest=1700),
    "prepull": State("Images that are pulled in advance", _prepull),
    "whatif": State("What if", _whatif),
    "missing": State("A page that does not exist", _missing),
    "invalid": State("A link that cannot be launched", _invalid),
    "german": State("In another language", _german),
    "arabic": State("From right to left", _arabic),
}


@contextmanager
def serving(folder: Path, state: State) -> Iterator[Stage]:
    """Run a server with a gallery, a history and images that are pulled in advance."""
    gallery = folder / "gallery.yaml"
    gallery.write_text(json.dumps(GALLERY))
    history = Database(f"sqlite:///{folder}/history.sqlite", log=logging.getLogger())
    config = {**state.settings, "Web": {"gallery": str(gallery), **state.settings.get("Web", {})}}
    store = DurableMemoryStore(Memory(), "replica") if state.is_stored else None
    with stage(store, builder=state.builder(), **config) as server:
        _fill(history)
        server.launches.history = history
        server.web.prepull = lambda: REPORT
        server.web.simulate = Simulator(logging.getLogger())
        server.web.nav += ["prepull", "whatif"]
        yield server
    history.close()


def _fill(history: Database) -> None:
    now = time.time()
    for day in range(30):
        at = {"began": now - 86_400 * day}
        cold = [past(**at, spans=spans(90 + 7 * (day % 5) + n, 3 + n % 4)) for n in range(9)]
        warm = [past(**at, cold=False, spans=spans(0.0, 4 + n % 5)) for n in range(30 + day % 7)]
        failed = [past(**at, outcome=Phase.FAILED, reason="build-failed")] * (day % 3)
        history.write([*cold, *warm, *failed])


def photograph(browser: Browser, state: State) -> Image.Image:
    """Return the four pictures of a state as one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), state) as server,
        proxy_in_thread(urlsplit(server.url).port or 0) as proxy,
    ):
        server.url = f"http://127.0.0.1:{proxy.port}/"
        context = browser.new_context(
            locale="en-US", reduced_motion="reduce", viewport={"width": 1280, "height": HEIGHT}
        )
        page = context.new_page()
        state.prepare(page, server)
        if state.is_cut:
            context.set_offline(True)
            proxy.cut_soon()
            expect(page.locator("[part=notice]")).to_be_visible()
        rows = [_row(page, scheme, state.tallest) for scheme in ("light", "dark")]
        _close(context)
    widest, height = sum(WIDTHS) + GAP, sum(row[0].height for row in rows) + GAP
    sheet = Image.new("RGB", (widest, height), "#808080")
    top = 0
    for row in rows:
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width + GAP
        top += row[0].height + GAP
    return sheet


def photograph_readme(browser: Browser) -> Image.Image:
    """Return the picture of the README: a build in its middle."""
    with stage() as server:
        context = browser.new_context(
            locale="en-US", reduced_motion="reduce", viewport={"width": 1000, "height": HEIGHT}
        )
        page = context.new_page()
        server.say("Cloning into '/tmp/repo2docker'...\n", phase="fetching")
        _launch(page, server)
        _build(server)
        expect(page.locator("[part=percent]")).to_have_text(re.compile(r"[345]\d%"), timeout=60_000)
        picture = Image.open(io.BytesIO(page.screenshot()))
        context.close()
    return picture.convert("RGB")


def _row(page: Page, scheme: Any, tallest: int) -> list[Image.Image]:
    """Take the pictures of all widths, and make them equally high."""
    page.emulate_media(color_scheme=scheme)
    pictures = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        # What depends on the width is drawn in the next frame.
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        # Pictures of the whole page move what is fixed in the window.
        taken = page.screenshot(full_page=tallest > HEIGHT)
        picture = Image.open(io.BytesIO(taken)).convert("RGB")
        pictures.append(picture.crop((0, 0, width, min(picture.height, tallest))))
    height = max(picture.height for picture in pictures)
    background = [
        Image.new("RGB", (p.width, height), p.getpixel((0, p.height - 1))) for p in pictures
    ]
    for whole, picture in zip(background, pictures, strict=True):
        whole.paste(picture, (0, 0))
    return background


def _close(context: BrowserContext) -> None:
    context.set_offline(False)
    context.close()


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("states", nargs="*", choices=[[], *STATES], help="all by default")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS
        )
        for name in options.states or STATES:
            print(name, end="", flush=True)
            sheet = photograph(browser, STATES[name])
            path = options.folder / f"{name}.webp"
            sheet.save(path, quality=70, method=6)
            print(f": {path.stat().st_size:,} bytes")
        if not options.states:
            photograph_readme(browser).save(README, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
