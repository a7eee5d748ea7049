"""The element in pages of another site: reloads, other languages of failure, several of them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ..support import axe
from ..support.archives import certificates
from ..support.long import usually
from ..support.replay import Stage, stage
from ..support.site import Site, other_site
from ..support.widget import SPEC, embed, log_region, phase, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with other_site() as site:
        yield site


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[Stage]:
    with stage(Web={"allowed_origins": [site.origin]}) as made:
        yield made


def test_a_reload_goes_on_and_starts_nothing(
    shared: Stage, site: Site, page: Page, started: list[str]
) -> None:
    site.embed(shared.url, SPEC)
    # Another one of the same repository, which was not launched.
    site.html += site.html.rpartition("\n")[2]
    page.goto(site.origin)
    launch = page.get_by_role("button", name=f"Launch {SPEC}")
    expect(launch).to_have_count(2)
    launch.first.click()
    shared.say("Step 1/9 : FROM ubuntu\n")
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    expect(launch).to_have_count(1)
    # A duplicated tab has a copy of the storage.
    with page.context.expect_page() as opened:
        page.evaluate("window.open(location.href)")
    copy = opened.value
    expect(copy.get_by_text("Step 1 of 9")).to_be_visible()
    copy.close()
    assert len(started) == 1
    # Names that tell several apart.
    for role in ("progressbar", "region"):
        expect(page.get_by_role(role, name=SPEC)).to_be_visible()  # type: ignore[arg-type] # two roles
    page.get_by_text("Log", exact=False).locator("visible=true").first.click()
    expect(log_region(page)).to_have_accessible_name(f"Log: {SPEC}")
    axe.check(page, "binder-progress")
    page.get_by_role("button", name=f"Cancel: {SPEC}").click()
    expect(page.get_by_role("button", name=f"Launch again: {SPEC}")).to_be_visible()
    page.reload()
    expect(launch).to_have_count(2)


def test_the_link_is_there_where_the_script_is_not(
    shared: Stage, site: Site, browser: Browser, page: Page
) -> None:
    site.embed(shared.url, SPEC)
    page.goto(site.origin)
    expect(page.get_by_role("button", name=f"Launch {SPEC}")).to_be_visible()
    link = page.get_by_role("link", name=f"Launch {SPEC}")
    expect(link).to_be_hidden()

    plain = browser.new_context(java_script_enabled=False)
    without = plain.new_page()
    without.goto(site.origin)
    expect(without.get_by_role("link", name=f"Launch {SPEC}")).to_have_attribute(
        "href", f"{shared.url}v2/{SPEC}"
    )
    plain.close()

    failing = browser.new_context()
    broken = failing.new_page()
    broken.route("**/binder-progress.js", lambda route: route.abort())
    broken.goto(site.origin)
    expect(broken.get_by_role("link", name=f"Launch {SPEC}")).to_be_visible()
    failing.close()


@pytest.mark.long
def test_a_sandboxed_frame_says_what_it_lacks(
    shared: Stage, site: Site, context: BrowserContext, started: list[str]
) -> None:
    page = context.new_page()
    written: list[str] = []
    page.on("console", lambda message: written.append(message.text))
    site.embed(shared.url, SPEC)
    page.route("**/frame", lambda route: route.fulfill(body=FRAME, content_type="text/html"))
    page.goto(f"{site.origin}/frame")
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name=f"Launch {SPEC}").click()
    message = frame.locator("[part~=outcome-message]")
    expect(message).to_contain_text("not allow requests from a sandboxed frame")
    there = frame.get_by_role("link", name="Launch on 127.0.0.1")
    expect(there).to_have_attribute("href", f"{shared.url}v2/{SPEC}")
    assert any("allow-same-origin" in text for text in written)
    assert not started


ASSETS = "**/static/assets/**"


def test_a_page_from_before_an_upgrade_says_so_and_goes_on(
    play: Stage, context: BrowserContext
) -> None:
    page = context.new_page()
    posts: list[str] = []
    page.on("request", lambda r: posts.append(r.url) if r.method == "POST" else None)
    notice = page.get_by_text("This page is from before an upgrade of the server.")
    reload = page.get_by_role("button", name="Reload the page")

    def upgrade() -> None:
        """Have names in the server's files that this page does not know."""
        page.route(ASSETS, lambda route: route.fulfill(status=404, body="No such file."))

    embed(page, play)
    launch = page.get_by_role("button", name=f"Launch {SPEC}")
    expect(launch).to_be_visible()
    expect(reload).to_be_hidden()
    upgrade()
    launch.click()
    expect(notice).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(1)
    axe.check_both_schemes(page, "binder-progress")
    page.unroute(ASSETS)
    reload.click()
    play.say("Step 1/9 : FROM ubuntu\n")
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    # A part that is needed later. What is there goes on.
    upgrade()
    page.locator("summary").click()
    expect(notice).to_be_visible()
    play.say("Step 2/9 : RUN pip install\n")
    expect(page.get_by_text("Step 2 of 9")).to_be_visible()
    page.unroute(ASSETS)
    reload.click()
    page.locator("summary").click()
    expect(log_region(page)).to_contain_text("RUN pip install")
    assert len(posts) == 1


def test_a_part_that_is_only_late_is_tried_again(play: Stage, context: BrowserContext) -> None:
    page = context.new_page()
    asked: list[str] = []
    embed(page, play, "autostart")
    play.say("Step 1/9 : FROM ubuntu\n")
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    page.route("**/assets/log-view-*.js", lambda route: (asked.append(""), route.abort()))
    page.locator("summary").click()
    notice = page.get_by_text("Part of this page could not be loaded.")
    expect(notice).to_be_visible()
    page.wait_for_timeout(1500)  # what is asked for in this time is what this is about
    assert 1 <= len(asked) <= 3
    page.unroute("**/assets/log-view-*.js")
    expect(log_region(page)).to_contain_text("FROM ubuntu")
    expect(notice).to_be_hidden()


@pytest.fixture(scope="module")
def secure_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with https."""
    files = certificates(tmp_path_factory.mktemp("tls"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    with other_site(tls) as site:
        yield site


def test_a_page_with_https_cannot_use_a_server_without(secure_site: Site, browser: Browser) -> None:
    with stage(Web={"allowed_origins": [secure_site.origin], "local_only": False}) as play:
        # Chromium allows a server on this machine, but none of another name.
        named = play.url.replace("127.0.0.1", "hub.example")
        context = browser.new_context(ignore_https_errors=True, reduced_motion="reduce")
        page = context.new_page()
        written: list[str] = []
        page.on("console", lambda message: written.append(message.text))
        secure_site.embed(named, SPEC, scripts=secure_site.origin)
        page.goto(secure_site.origin)
        page.get_by_role("button", name=f"Launch {SPEC}").click()
        message = page.locator("[part~=outcome-message]")
        host = named.split("/")[2]
        expect(message).to_have_text(
            f"This page uses https, and {host} does not: browsers forbid such requests."
        )
        there = page.get_by_role("link", name=f"Launch on {host}")
        expect(there).to_have_attribute("href", f"{named}v2/{SPEC}")
        assert any("https address of hub.example" in text for text in written)
        assert any("Mixed Content" in text for text in written)
        assert not play.launches.running
        # Nothing else was wrong.
        secure_site.embed(play.url, SPEC, scripts=secure_site.origin)
        page.goto(secure_site.origin)
        page.get_by_role("button", name=f"Launch {SPEC}").click()
        play.say("Step 1/9 : FROM ubuntu\n")
        expect(phase(page)).to_have_text("Building")
        context.close()


FRAME = '<!doctype html><title>Course</title><iframe sandbox="allow-scripts" src="/"></iframe>'


def test_it_counts_down_until_it_may_launch_again(site: Site, context: BrowserContext) -> None:
    page = context.new_page()
    limited = {"allowed_origins": [site.origin], "rate_limit": 1, "rate_period": 90.0}
    with stage(Web=limited) as play:
        site.embed(play.url, SPEC)
        page.clock.install()
        page.goto(site.origin)
        page.get_by_role("button", name=f"Launch {SPEC}").click()
        play.say("Step 1/9 : FROM ubuntu\n")
        expect(phase(page)).to_have_text("Building")
        page.get_by_role("button", name="Cancel").click()
        again = page.get_by_role("button", name="Launch again")
        again.click()
        count = page.get_by_text("You can try again in")
        expect(count).to_have_text(re.compile(r"in 1 min \d\d sec\.$"))
        retry = page.get_by_role("button", name="Try again")
        expect(retry).to_be_disabled()
        axe.check(page, "binder-progress")
        page.clock.run_for(60_000)
        expect(count).to_have_text(re.compile(r"in \d\d sec\.$"))
        page.clock.run_for(40_000)
        expect(count).to_be_hidden()
        expect(retry).to_be_enabled()
        # The server's own clock has not gone on: it refuses, and counts from there.
        retry.click()
        expect(count).to_be_visible()


SHIFTS = """() => {
  const below = document.createElement("p");
  below.textContent = "What comes next in the page.";
  document.querySelector("main").append(below);
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) {
      const rect = ({ x, y, width, height }) => [x, y, width, height].map(Math.round).join();
      const moved = ({ node, previousRect, currentRect }) =>
        `${node?.nodeName ?? "inside"} ${rect(previousRect)} -> ${rect(currentRect)}`;
      window.shifts.push([value, ...sources.map(moved)]);
    }
  }).observe({ type: "layout-shift", buffered: true });
}"""

# The empty space above and below what a part shows, in pixels.
ROOM = """(part) => {
  const [box, ...rects] = [part, ...part.children].map((one) => one.getBoundingClientRect());
  const shown = rects.filter(({ height }) => height);
  return [Math.min(...shown.map(({ top }) => top)) - box.top,
    box.bottom - Math.max(...shown.map(({ bottom }) => bottom))];
}"""

# Not with a click, after which browsers excuse what moves.
START = "document.querySelector('binder-progress').start()"


@pytest.mark.parametrize(
    ("variant", "width"),
    usually([("block", 360), ("block", 1280), ("compact", 360)], ("block", 360)),
)
def test_nothing_moves_in_the_page(play: Stage, page: Page, variant: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    embed(page, play, f'variant="{variant}"')
    expect(page.get_by_role("button", name=f"Launch {SPEC}")).to_be_visible()
    page.evaluate(SHIFTS)
    element = page.locator("binder-progress")
    height = element.bounding_box()["height"]  # type: ignore[index] # it is visible
    outcome = page.locator("[part=outcome]")
    page.evaluate(START)
    play.say("Step 3/12 : RUN pip install\n")
    expect(phase(page)).to_have_text("Building")
    play.log(*(f"Collecting package {number}\n" for number in range(20)))
    play.log("ERROR: No matching distribution found for six==99.99\n")
    play.fail("unknown")
    expect(outcome).to_contain_text("six==99.99")
    if variant == "block":
        # The lines that led there take the room that is left.
        assert max(outcome.evaluate(ROOM)) < 32
        expect(page.get_by_text("ERROR: No matching distribution")).to_be_in_viewport(ratio=1)
        expect(page.get_by_text("Collecting package 19", exact=True)).to_be_visible()
    axe.check(page, "binder-progress")
    page.evaluate(START)
    play.say("Step 3/12 : RUN pip install\n")
    expect(phase(page)).to_have_text("Building")
    page.wait_for_timeout(300)  # time to be shown, at the end
    play.built()
    play.serve()
    expect(page.get_by_role("link", name="Open the server")).to_be_visible()
    axe.check_both_schemes(page, "binder-progress")
    shifts = page.evaluate("shifts")
    # Inside of the element, a number or a label that becomes longer begins further left, and on a
    # busy machine the lines of a failure may come a frame after its reason.
    assert not [shift for shift in shifts if any("inside" not in str(s) for s in shift[1:])]
    assert sum(value for value, *_ in shifts) < 0.02, shifts
    assert element.bounding_box()["height"] == height  # type: ignore[index] # see above
    if variant == "compact":
        assert height <= 52
    # What did not fit in is there with the log.
    page.locator("summary").click()
    expect(page.get_by_role("table", name="Where the time went")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if variant == "block":
        # A failure that says little is in the middle.
        page.locator("summary").click()
        page.evaluate(START)
        play.fail("bad-ref", "The branch, tag or commit mian does not exist in kim/demo.")
        expect(outcome).to_be_visible()
        above, below = outcome.evaluate(ROOM)
        assert abs(above - below) < 2
        assert element.bounding_box()["height"] == height  # type: ignore[index] # see above


@pytest.mark.usefixtures("motion")
def test_it_is_quiet(play: Stage, page: Page) -> None:
    """Between two seconds, the main thread has nothing to do, although bar and ribs move."""
    embed(page, play, "autostart")
    play.say("Step 3/12 : RUN pip install\n")
    expect(phase(page)).to_have_text("Building")
    page.wait_for_timeout(1500)  # until the parts that are loaded on demand are drawn
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def counts() -> dict[str, float]:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}

    before = counts()
    page.wait_for_timeout(5000)  # what happens in this time is what this is about
    after = counts()
    done = {name: after[name] - before[name] for name in ("LayoutCount", "RecalcStyleCount")}
    # Once a second the texts, and not with each frame.
    assert done["LayoutCount"] <= 10, done
    assert done["RecalcStyleCount"] <= 60, done
    state = "document.querySelector('binder-progress').shadowRoot.getAnimations()"
    running = f"{state}.filter(({{ playState }}) => playState === 'running').length"
    assert page.evaluate(running) > 0
    page.evaluate("document.querySelector('h1').style.marginBottom = '5000px'")
    until(page, f"{running} === 0")
