"""The element in real Chromium, with recorded streams whose pace a test sets: every behaviour."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from binderprogress.backends.base import BuildResult, ResolvedSpec, WaitForTurn

from ..support import axe
from ..support.faultyproxy import proxy_in_thread
from ..support.long import usually
from ..support.replay import PlayedBuilder, Stage, stage
from ..support.widget import SPEC, embed, log_region, open_launch, percent, phase, play_ready, until

pytestmark = pytest.mark.browser


SAMPLE = """
window.samples = [];
const shadow = document.querySelector("binder-progress").shadowRoot;
const look = () => {
  const [clip, ribs] = ["clip", "ribs"].map((id) => shadow.getElementById(id));
  const x = (part) => part && new DOMMatrix(getComputedStyle(part).transform).m41;
  const at = clip ? 100 + (100 * x(clip)) / clip.offsetWidth : undefined;
  window.samples.push([performance.now(), at, ribs ? x(ribs) : undefined]);
  requestAnimationFrame(look);
};
look();
"""


def drawn(page: Page) -> list[float]:
    """Where the bar was drawn, frame by frame, so far."""
    return [at for _, at, _ in page.evaluate("samples") if at is not None]


# -- the bar


@pytest.mark.usefixtures("motion")
def test_the_bar_moves_each_frame_never_back_and_is_full_only_when_ready(
    page: Page, play: Stage
) -> None:
    open_launch(page, play)
    page.evaluate(SAMPLE)
    play.log('{"message": "Cloning into x\\n", "phase": "fetching"}')
    until(page, "samples.length > 40")
    # One event, and then nothing: it moves all the same.
    quiet = drawn(page)[-20:]
    assert len(set(quiet)) > 15
    play_ready(page, play)
    until(page, "samples.at(-1)[1] === 100")
    seen = drawn(page)
    assert seen == sorted(seen)
    assert percent(page).text_content() == "100%"
    before = page.evaluate("samples.filter(([, at]) => at < 99.95).length")
    assert before > 50
    assert page.get_by_role("progressbar").get_attribute("aria-valuenow") == "100"


RIBS = """
() => {
  const speeds = [];
  for (let i = 1; i < samples.length; i += 1) {
    const [[t0, , x0], [t1, at, x1]] = [samples[i - 1], samples[i]];
    // But for frames without the bar, and the one in which the ribs begin their period again.
    if (at === undefined || x0 === undefined || x1 >= x0 || t1 <= t0) continue;
    speeds.push([at, (x0 - x1) / (t1 - t0) * 1000]);
  }
  return speeds;
}
"""


@pytest.mark.long
@pytest.mark.usefixtures("motion")
def test_ribs_move_backward_and_slow_down_but_not_for_who_wants_it_calm(
    page: Page, play: Stage
) -> None:
    open_launch(page, play)
    page.evaluate(SAMPLE)
    until(page, "samples.length > 30")
    play.play("repo2docker-ok.jsonl")
    play.built()
    expect(phase(page)).to_have_text("Launching")
    until(page, "samples.at(-1)[1] > 40")
    mark = page.evaluate("samples.length")
    until(page, f"samples.length > {mark} + 30")
    speeds = page.evaluate(RIBS)
    early = [speed for at, speed in speeds if at < 20]
    late = [speed for at, speed in speeds if at > 40]
    middle: Callable[[list[float]], float] = lambda values: sorted(values)[len(values) // 2]  # noqa: E731
    assert middle(early) > 1.2 * middle(late) > 0

    page.emulate_media(reduced_motion="reduce")
    expect(page.locator("#ribs")).to_be_hidden()
    page.evaluate("samples.length = 0")
    until(page, "samples.length > 60")
    # It stands between the numbers, which change once a second.
    assert len(set(drawn(page))) <= 3


def test_phases_are_done_current_skipped_and_to_come(page: Page, play: Stage) -> None:
    open_launch(page, play)
    play.built(found=True)
    expect(phase(page)).to_have_text("Launching")

    def state(name: str) -> tuple[str | None, str]:
        step = page.locator(f"[data-step={name}]")
        return step.get_attribute("data-state"), step.inner_text()

    # Nothing is pushed here.
    shown = page.locator("[data-step] .label").all_inner_texts()
    assert shown == ["Checking", "Fetching", "Building", "Launching", "Ready"]
    assert state("waiting")[0] == "done"
    assert state("building") == ("skipped", "Building\nskipped")
    assert state("ready")[0] == "upcoming"
    expect(page.locator("[aria-current=step]")).to_have_text(re.compile("Launching"))


def test_a_build_that_waits_for_others_is_queued(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def build(builder: PlayedBuilder, target: ResolvedSpec) -> AsyncGenerator[Any, None]:
        yield WaitForTurn()
        async for item in builder._play(BuildResult):
            yield item

    monkeypatch.setattr(PlayedBuilder, "build", build)
    with stage(LaunchManager={"max_builds": 1}) as play:
        other = {"spec": "gh/kim/other/HEAD"}
        assert page.request.post(f"{play.url}api/launches", data=other).ok
        open_launch(page, play)
        expect(phase(page)).to_have_text("Queued")
        expect(page.locator("[part=step]")).to_have_text("Number 1 in the queue")
        expect(page.locator("[aria-current=step] .label")).to_have_text("Queued")
        expect(page.locator("#live")).to_have_text("Queued")
        axe.check_all_colors(page)
        # The other one fails, so this one begins.
        play.fail("build-failed")
        play.say("Step 1/2 : FROM base\n")
        expect(phase(page)).to_have_text("Building")
        expect(page.locator("[data-step=waiting] .label")).to_have_text("Checking")


def test_the_step_in_plain_words_and_the_time_as_a_range(page: Page, play: Stage) -> None:
    open_launch(page, play)
    play.say("Step 3/12 : RUN pip install\n")
    expect(page.locator("[part=step]")).to_have_text("Step 3 of 12 · pip install")
    expect(page.locator("[part=left]")).to_have_text(
        re.compile(r"^(\d+–\d+ sec|up to \d+ sec|\d+ sec – [\d.]+ min) left$")
    )
    expect(page.locator("[part=elapsed]")).to_have_text(re.compile(r"^\d+ sec so far$"))
    play.built()
    play.hub(raw_event={"reason": "Pulling"}, message="Pulling image", progress=40)
    expect(page.locator("[part=step]")).to_have_text("Pulling the image")


def test_longer_than_usual_is_said(context: BrowserContext, page: Page, play: Stage) -> None:
    page.clock.install()
    open_launch(page, play)
    play.built(found=True)
    expect(phase(page)).to_have_text("Launching")
    page.clock.fast_forward(600_000)
    expect(page.locator("[part=left]")).to_have_text(
        re.compile(r"^longer than usual \(usually \d+ sec\)$")
    )
    # And the bar has not come to its end for that.
    assert int(percent(page).text_content().rstrip("%")) < 100  # type: ignore[union-attr]


# -- the ends


def test_a_failure_says_why_what_to_do_and_tries_again(page: Page, play: Stage) -> None:
    open_launch(page, play)
    play.play("repo2docker-badbuild.jsonl")
    play.say("Step 3/12 : RUN pip install six\n")
    play.log("ERROR: No matching distribution found for six==99.99\n")
    play.log("ERROR: process exited with status 1\n")
    play.fail("unknown")
    outcome = page.locator("[part=outcome]")
    # The sentence comes first, and nothing repeats that it has failed.
    sentence = "The requirement six==99.99 cannot be satisfied."
    expect(outcome.get_by_role("heading")).to_have_text(sentence)
    expect(page.get_by_text("Failed", exact=True)).to_have_count(0)
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.locator("[part=percent], [part=steps]")).to_have_count(0)
    expect(page.locator("[part=where]")).to_have_text(
        re.compile(r"^Building: Step 3 of 12 · pip install six( · after \d+ sec)?$")
    )
    expect(log_region(page)).to_be_visible()
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    # The screen reader hears what happened and what to do.
    expect(page.locator("#live")).to_have_text(
        f"{sentence} Correct the name or the version in the Dockerfile."
    )
    axe.check(page)
    again.click()
    expect(outcome).to_have_count(0)
    play.built(found=True)
    play.serve()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible()
    assert len(play.launcher.requests) == 1


@pytest.mark.long
def test_a_server_that_cannot_start_is_told_while_jupyterhub_tries(page: Page) -> None:
    with stage(LaunchManager={"stuck_after": 0.1}) as play:
        open_launch(page, play)
        play.built(found=True)
        play.hub(progress=50, message='Failed to pull image "kim/lab:2": not found')
        outcome = page.locator("[part=outcome]")
        expect(outcome).to_contain_text("The server cannot start yet")
        expect(outcome).to_contain_text("The image kim/lab:2 could not be found or pulled.")
        expect(outcome).to_contain_text("JupyterHub still tries to start it.")
        expect(page.locator("[part=evidence]")).to_contain_text("Failed to pull image")
        # Nobody knows how long it will take.
        expect(page.locator("[part=left]")).to_be_empty()
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        expect(page.get_by_role("button", name="Try again")).to_be_hidden()
        axe.check(page)
        play.hub(progress=60, message='Successfully pulled image "kim/lab:2" in 4.2s')
        expect(outcome).to_have_count(0)
        play.serve()
        expect(page.get_by_role("link", name="Open the server")).to_be_visible()


def test_at_the_end_it_says_where_the_time_went(page: Page, play: Stage) -> None:
    open_launch(page, play)
    play.log('{"message": "Cloning into x\\n", "phase": "fetching"}')
    expect(phase(page)).to_have_text("Fetching")
    page.wait_for_timeout(300)  # time to be shown: it is what this is about
    play.say("Step 1/2 : FROM base\n")
    expect(phase(page)).to_have_text("Building")
    page.wait_for_timeout(600)
    play.built()
    play.serve()
    table = page.get_by_role("table", name="Where the time went")
    expect(table).to_be_visible()
    names = table.get_by_role("rowheader").all_inner_texts()
    assert [name for name in names if name in {"Checking", "Fetching", "Building"}]
    assert "Step 1 of 2 · FROM base" in names
    # At once: rows may be drawn again meanwhile.
    rows = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(r => [r.querySelector('th').innerText,"
        " r.querySelector('.took').innerText])"
    )
    took = {name: float(re.sub(r"[^\d.]", "", text)) for name, text in rows}
    assert took["Building"] > took["Fetching"] >= 0.3
    # Bars lie one after the other, within the table.
    places = table.locator("rect").evaluate_all(
        "rects => rects.map(r => [parseFloat(r.getAttribute('x')),"
        " parseFloat(r.getAttribute('width'))])"
    )
    assert all(x >= 0 and x + width <= 100.1 for x, width in places)
    page.set_viewport_size({"width": 360, "height": 800})
    expect(table.get_by_role("rowheader", name="Building")).to_be_visible()


def test_a_cut_connection_goes_on_where_it_stopped(context: BrowserContext, play: Stage) -> None:
    # Not the fixture's: of connections that are cut the browser complains.
    page = context.new_page()
    port = int(play.url.rstrip("/").rsplit(":", 1)[1])
    started: list[str] = []
    page.on("request", lambda r: started.append(r.url) if r.method == "POST" else None)
    # Long enough for the page and its scripts, but not for the stream.
    with proxy_in_thread(port, every=1.5) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/v2/{SPEC}")
        expect(percent(page)).not_to_be_empty()
        page.locator("summary").click()
        notice = page.locator("[part=notice]")
        for number in range(3):
            play.say(f"line {number}\n")
            expect(notice).to_contain_text("The launch is kept until")
            # The bar says so, too: its ribs are gone.
            expect(page.locator("#ribs")).to_have_css("opacity", "0")
            expect(notice).to_be_hidden()
        play.built()
        play.serve()
        expect(page.get_by_role("link", name="Open the server")).to_be_visible(timeout=15_000)
    rows = page.locator("#log-view .log-row").all_inner_texts()
    assert re.findall(r"line \d", " ".join(rows)) == ["line 0", "line 1", "line 2"]
    assert len(started) == 1
    assert len(play.launcher.requests) == 1


def test_without_its_lazy_parts_it_still_says_why(context: BrowserContext, play: Stage) -> None:
    """Offline, parts cannot be loaded when they are needed most."""
    page = context.new_page()
    page.route("**/static/assets/ending-*.js", lambda route: route.abort())
    page.route("**/api/launches", lambda route: route.abort())
    page.goto(f"{play.url}v2/{SPEC}")
    expect(page.locator("binder-progress")).to_contain_text("The server did not respond")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_line_has_an_address(context: BrowserContext, page: Page, play: Stage) -> None:
    """On a page elsewhere it is one of the launch's own page, which opens the log there."""
    embed(page, play, "autostart")
    expect(percent(page)).not_to_be_empty()
    play.log(*(f"line {number}\n" for number in range(1, 101)))
    page.locator("summary").click()
    number = page.get_by_role("link", name="Line 90", exact=True)
    with context.expect_page() as opened:
        number.click()
    own = opened.value
    expect(own).to_have_url(re.compile(r"/v2/gh/.*#launch=[\w-]+&line=90$"))
    marked = own.locator("#log-view [aria-current]")
    expect(marked).to_have_text("90")
    expect(marked).to_be_in_viewport()
    own.get_by_role("link", name="Line 88", exact=True).click()
    expect(own).to_have_url(re.compile(r"line=88$"))
    own.reload()
    expect(marked).to_have_text("88")
    expect(marked).to_be_in_viewport()
    own.close()


GROW = """
(panel) => { panel.style.paddingBottom = `${panel.getBoundingClientRect().height + 300}px`; }
"""
"""Have the page grow above the log, as when parts of it arrive late."""

FRAMES = """
() => new Promise((done) => {
  const next = (frames) => (frames ? requestAnimationFrame(() => next(frames - 1)) : done());
  next(5);
})
"""


@pytest.mark.parametrize("width", usually([360, 1280], 360))
def test_the_line_of_a_link_stays_in_view_until_the_reader_does_something(
    page: Page, play: Stage, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    open_launch(page, play)
    play.log(*(f"line {number} {'x' * (number % 40)}\n" for number in range(1, 201)))
    address = page.url
    page.goto("about:blank")
    # As on a slow computer.
    devtools = page.context.new_cdp_session(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.goto(f"{address}&line=90-95")
    marked = page.locator("#log-view [aria-current]")
    first, last = marked.first, marked.last
    expect(first).to_have_text("90", timeout=30_000)
    expect(last).to_be_in_viewport()
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    # All tools are in one row, also on a phone.
    tools = page.locator(".log-buttons .log-tool")
    assert len({box["y"] for tool in tools.all() if (box := tool.bounding_box())}) == 1
    panel = page.locator("[part=panel]")
    for _ in range(2):
        panel.evaluate(GROW)
        expect(first).to_be_in_viewport(ratio=0.9)
    # The box is less high, as when a phone is turned.
    page.set_viewport_size({"width": width, "height": 400})
    expect(first).to_be_in_viewport(ratio=0.9)
    page.set_viewport_size({"width": width, "height": 700})
    expect(first).to_be_in_viewport(ratio=0.9)
    page.mouse.move(width / 2, 10)
    page.mouse.wheel(0, -5000)
    expect(first).not_to_be_in_viewport()
    panel.evaluate(GROW)
    page.evaluate(FRAMES)
    assert page.evaluate("scrollY") == 0
    # The next link does the same, also in full screen.
    page.evaluate("location.hash = location.hash.replace('90-95', '120')")
    expect(first).to_have_text("120")
    expect(first).to_be_in_viewport(ratio=0.9)
    page.get_by_role("button", name="Full screen").click()
    page.evaluate("location.hash = location.hash.replace('120', '20')")
    expect(first).to_have_text("20")
    expect(first).to_be_in_viewport(ratio=0.9)


# -- the tab


def test_title_and_icon_show_the_state(page: Page, play: Stage) -> None:
    open_launch(page, play)
    play.say("Step 3/12 : RUN pip install\n")
    expect(page).to_have_title(re.compile(r"^\d+% · Building · binder-examples/requirements"))
    icon = "() => document.querySelector('link[rel=icon]').href"
    running = page.evaluate(icon)
    assert running.startswith("data:image/svg+xml,")
    play_ready(page, play)
    expect(page).to_have_title(re.compile(r"^Ready · "))
    assert page.evaluate(icon) != running


NOTIFICATIONS = """
window.asked = 0;
window.notified = [];
window.Notification = class {
  static permission = "default";
  static requestPermission() { window.asked += 1; return Promise.resolve("granted"); }
  constructor(title, options) { window.notified.push([title, options.body]); }
};
"""


def test_a_notification_is_asked_for_by_a_click_only(page: Page, play: Stage) -> None:
    page.add_init_script(NOTIFICATIONS)
    open_launch(page, play)
    button = page.get_by_role("button", name="Notify me")
    expect(button).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("asked") == 0
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("asked") == 1
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    play_ready(page, play)
    assert page.evaluate("notified") == [["Your server is ready", SPEC]]


@pytest.mark.long
def test_who_did_not_ask_is_not_notified(page: Page, play: Stage) -> None:
    page.add_init_script(NOTIFICATIONS)
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => true })")
    open_launch(page, play)
    play_ready(page, play)
    assert page.evaluate("[asked, notified.length]") == [0, 0]
